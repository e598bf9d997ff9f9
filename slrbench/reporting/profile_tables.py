"""A profile by the network's modules, as tables. Pure functions; seconds inside, milliseconds in the text."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from slrbench.records import OperatorTime, Profile
from slrbench.reporting.display import with_input
from slrbench.reporting.markdown import paragraphs, table

ELSEWHERE = "(outside the modules)"
"""Input and output handling, and what the runtime adds by itself, such as changes of memory layout."""

KINDS_WIDTH = 36
"""Characters for a module's longest operators, so that the table fits a terminal."""


@dataclass(frozen=True, kw_only=True)
class ModuleTime:
    """All operators of one module."""

    module: str
    seconds: float
    operators: int
    kinds: tuple[tuple[str, float], ...]
    """Operator types with their seconds, the longest first."""


def by_module(operators: Iterable[OperatorTime], *, depth: int) -> tuple[ModuleTime, ...]:
    """Operators grouped by the first ``depth`` parts of their module's name, in the order of the network.

    Raises:
        ValueError: ``depth`` is below 1.
    """
    if depth < 1:
        raise ValueError(f"depth is {depth}, expected at least 1")
    groups: dict[str, list[OperatorTime]] = {}
    for operator in operators:
        name = ".".join(operator.module.split(".")[:depth]) if operator.module else ELSEWHERE
        groups.setdefault(name, []).append(operator)
    order = [*(name for name in groups if name != ELSEWHERE), *([ELSEWHERE] if ELSEWHERE in groups else [])]
    return tuple(_module_time(name, groups[name]) for name in order)


def _module_time(name: str, operators: Sequence[OperatorTime]) -> ModuleTime:
    kinds: dict[str, float] = {}
    for operator in operators:
        kinds[operator.kind] = kinds.get(operator.kind, 0.0) + operator.seconds
    return ModuleTime(
        module=name,
        seconds=sum(operator.seconds for operator in operators),
        operators=len(operators),
        kinds=tuple(sorted(kinds.items(), key=lambda item: -item[1])),
    )


def profile_text(profile: Profile, *, depth: int, top: int) -> str:
    """Modules, the ``top`` operators and what the figures are."""
    total = sum(operator.seconds for operator in profile.operators)
    return paragraphs(
        _module_table(profile, depth, total), _operator_table(profile, top, total), _basis(profile, total)
    )


def _module_table(profile: Profile, depth: int, total: float) -> str:
    rows = [
        (
            group.module,
            f"{1e3 * group.seconds:.3f}",
            f"{100 * group.seconds / total:.1f}",
            group.operators,
            _kinds(group, total),
        )
        for group in by_module(profile.operators, depth=depth)
    ]
    rows.append(("All", f"{1e3 * total:.3f}", "100.0", len(profile.operators), ""))
    cells = table(["Module", "Time (ms)", "Share (%)", "Operators", "Most of it (%)"], rows, left=1)
    return _left_aligned_last(cells)


def _kinds(group: ModuleTime, total: float) -> str:
    """The longest operator types with their share of the whole, as many as fit."""
    words = ""
    for kind, spent in group.kinds:
        longer = f"{words}, {kind} {100 * spent / total:.1f}".removeprefix(", ")
        if words and len(longer) > KINDS_WIDTH:
            break
        words = longer
    return words


def _operator_table(profile: Profile, top: int, total: float) -> str:
    longest = sorted(profile.operators, key=lambda operator: -operator.seconds)[:top]
    rows = [
        (
            operator.module or ELSEWHERE,
            operator.kind,
            operator.implementation,
            f"{1e3 * operator.seconds:.3f}",
            f"{100 * operator.seconds / total:.1f}",
        )
        for operator in longest
    ]
    return table(["Module", "Operator", "Implementation", "Time (ms)", "Share (%)"], rows, left=3) if rows else ""


def _basis(profile: Profile, total: float) -> str:
    p = profile
    modules = "" if any(o.module for o in p.operators) else " This file's graph keeps no names of modules."
    return (
        f"{p.model} on {with_input(p.backend, p.input_kind)}, {p.device}, {p.threads} thread{'s' * (p.threads > 1)}, "
        f"{p.batch} x {p.frames} frames of {p.height} x {p.width} pixels. Times are the profiler's ({p.profiler}), a "
        f"mean over {p.calls} calls; they show how a call is shared out. A call took {1e3 * p.plain_s:.3f} ms without "
        f"the profiler and {1e3 * p.profiled_s:.3f} ms with it (medians, host to host), of which operators account for "
        f"{1e3 * total:.3f} ms.{modules}"
    )


def _left_aligned_last(cells: str) -> str:
    """The table with its last column aligned to the left, since it is text behind figures."""
    lines = cells.splitlines()
    start = [line.rfind("|", 0, line.rfind("|")) + 1 for line in lines]
    out = []
    for index, (line, at) in enumerate(zip(lines, start, strict=True)):
        cell = line[at:-1]
        out.append(
            line[:at] + (":" + "-" * (len(cell) - 1) if index == 1 else f" {cell.strip()}".ljust(len(cell))) + "|"
        )
    return "\n".join(out)
