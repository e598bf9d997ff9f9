"""Corpus specifications as text: ``KIND:option=value`` or ``KIND:PATH,option=value``. Loads nothing heavy."""

import re
from collections.abc import Mapping

from slrbench.errors import BadInputError

BUILT_IN = "fingerspelling"

_FRAMES = ("size", "resize", "augment", "flip", "colour", "tempo")

PATH_KINDS: Mapping[str, tuple[str, ...]] = {
    "phoenix2014": ("subset", *_FRAMES),
    "phoenix2014t": _FRAMES,
    "csl-daily": ("labels", *_FRAMES),
    "manifest": _FRAMES,
}
"""Corpora that are files: kind to the options that it takes."""

KINDS = (BUILT_IN, *PATH_KINDS)

_OPTION = re.compile(r"(?P<rest>.*),\s*(?P<name>[a-z_]+)\s*=(?P<value>[^,=/\\]*)", re.DOTALL)


def parse_spec(text: str) -> tuple[str, dict[str, str]]:
    """Split ``fingerspelling:language=ase+gsg,size=64`` into its kind and its options.

    The path of ``phoenix2014:PATH,size=112`` is option ``path``. A path may hold commas and equal signs: options are
    read from the end, and as long as they look like ``,name=value`` with no slash in the value. So a path that itself
    ends in such words is written with a slash after it.

    Raises:
        BadInputError: an unknown kind or option, no path, an option without a value, or one given twice.
    """
    kind, _, rest = text.strip().partition(":")
    if kind not in KINDS:
        raise BadInputError(f"unknown corpus {kind!r}", hint=f"known: {', '.join(KINDS)}")
    if kind in PATH_KINDS:
        return kind, _path_and_options(kind, rest, text)
    options: dict[str, str] = {}
    for part in filter(None, (p.strip() for p in rest.split(","))):
        name, equals, value = (x.strip() for x in part.partition("="))
        if not equals or not name or not value:
            raise BadInputError(f"{part!r} in {text!r} is not option=value", hint="write for example size=48")
        if name in options:
            raise BadInputError(f"option {name!r} is given twice in {text!r}", hint="give it once")
        options[name] = value
    return kind, options


def _path_and_options(kind: str, rest: str, text: str) -> dict[str, str]:
    known = PATH_KINDS[kind]
    options: dict[str, str] = {}
    path = rest.strip()
    while (match := _OPTION.fullmatch(path)) is not None:
        path, name, value = match["rest"].rstrip(), match["name"], match["value"].strip()
        if name not in known:
            raise BadInputError(
                f"unknown option {name!r} of corpus {kind} in {text!r}",
                hint=f"known: {', '.join(known)}; a path that ends so needs a slash after it",
            )
        if not value:
            raise BadInputError(f"option {name!r} in {text!r} has no value", hint="write for example size=112")
        if name in options:
            raise BadInputError(f"option {name!r} is given twice in {text!r}", hint="give it once")
        options[name] = value
    if not path or re.fullmatch(r"[a-z_]+=[^/\\]*", path):
        raise BadInputError(f"{text!r} names no path", hint=f"{kind}:PATH,option=value")
    return {"path": path, **dict(reversed(options.items()))}


def with_option(text: str, name: str, value: str) -> str:
    """The same corpus with one option replaced, or added; it then stands last.

    Raises:
        BadInputError: ``text`` is no corpus specification.
    """
    kind, options = parse_spec(text)
    options.pop(name, None)
    options[name] = value
    path = [options.pop("path")] if "path" in options else []
    return f"{kind}:{','.join([*path, *(f'{key}={given}' for key, given in options.items())])}"


def positive_int(options: Mapping[str, str], name: str, default: int, *, low: int, high: int) -> int:
    """An integer option between ``low`` and ``high``, both included.

    Raises:
        BadInputError: not an integer, or out of range.
    """
    text = options.get(name)
    if text is None:
        return default
    if not text.isdecimal() or not low <= int(text) <= high:
        raise BadInputError(f"{name}={text!r} is not an integer in {low}..{high}", hint=f"for example {name}={default}")
    return int(text)


def share(options: Mapping[str, str], name: str, default: float) -> float:
    """An option that is a number from 0 up to, but not including, 1.

    Raises:
        BadInputError: not a number, or out of range.
    """
    text = options.get(name)
    if text is None:
        return default
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1:
        raise BadInputError(f"{name}={text!r} is not a number in 0..1", hint=f"for example {name}={default}")
    return value


def yes_or_no(options: Mapping[str, str], name: str, default: bool) -> bool:
    """An option that is ``yes`` or ``no``.

    Raises:
        BadInputError: it is something else.
    """
    text = options.get(name)
    if text is None:
        return default
    if text not in ("yes", "no"):
        raise BadInputError(f"{name}={text!r} is neither yes nor no", hint=f"{name}=yes")
    return text == "yes"
