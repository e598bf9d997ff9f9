"""What the options of ``slrbench bench`` mean: lists, times, and how much is measured."""

import re
import shlex
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from slrbench.measure.settings import MeasureSettings


def settings_of(
    *, quick: bool, rounds: int | None, processes: int | None, budget: str | None, seed: int
) -> "MeasureSettings":
    """How much is measured.

    Raises:
        BadInputError: the options do not go together.
    """
    from slrbench.errors import BadInputError
    from slrbench.measure.settings import LEAST_ROUNDS, MeasureSettings

    settings = MeasureSettings.quick(seed=seed) if quick else MeasureSettings(seed=seed)
    if budget is not None:
        settings = replace(settings, rounds=LEAST_ROUNDS, budget_s=_seconds(budget))
        if rounds is not None and rounds < LEAST_ROUNDS:
            raise BadInputError(
                f"--rounds {rounds} is too few for --budget, expected at least {LEAST_ROUNDS}: fewer give no interval",
                hint="leave --rounds out",
            )
    if rounds is not None:
        settings = replace(settings, rounds=rounds)
    if processes is not None:
        if processes > settings.rounds:
            raise BadInputError(
                f"--processes {processes} is more than the {settings.rounds} rounds, and a process serves one at least",
                hint=f"--processes {settings.rounds}, or more --rounds",
            )
        settings = replace(settings, processes=processes)
    return settings


def _seconds(text: str) -> float:
    """A time such as 90s, 5m or 1.5h."""
    from slrbench.errors import BadInputError

    found = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)(s|m|h)", text.strip(), flags=re.ASCII)
    if found is None or float(found[1]) == 0.0:
        raise BadInputError(
            f"--budget {text!r} is not a time above zero with its unit (s, m or h)", hint="--budget 5m, for example"
        )
    return float(found[1]) * {"s": 1.0, "m": 60.0, "h": 3600.0}[found[2]]


def words_of(text: str) -> tuple[str, ...]:
    """The words of a list, each once."""
    return tuple(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))


def numbers_of(text: str, option: str) -> tuple[int, ...]:
    """The numbers of a list, each once.

    Raises:
        BadInputError: a word is no number.
    """
    from slrbench.errors import BadInputError

    words = words_of(text)
    if bad := [word for word in words if not word.isdecimal()]:
        raise BadInputError(f"{option} {bad[0]!r} is not a whole number", hint=f"{option} 1, or {option} 1,8")
    return tuple(int(word) for word in words)


_LEFT_OUT = ("--rounds", "--budget", "--output", "-o", "--resume")
"""Options with a value that the next command does not repeat."""


def deeper_command(arguments: list[str], rounds: int | None) -> str:
    """The same measurement without --quick, with that many rounds (None: the usual), into a folder of its own."""
    kept: list[str] = []
    words = iter(arguments)
    for word in words:
        if word in _LEFT_OUT:
            next(words, None)
        elif word not in ("--quick", "--json") and not word.startswith((*(f"{name}=" for name in _LEFT_OUT), "-o")):
            kept.append(word)
    return shlex.join(["python", "-m", "slrbench", *kept, *(["--rounds", str(rounds)] if rounds else [])])
