"""Whether the indices of a report point at something: what reads a report relies on it."""

from collections.abc import Iterator

from slrbench.records import Decision, Report

_Pointer = tuple[str, int | None, int]  # where it stands, the index, how many there are


def dangling(report: Report) -> str | None:
    """The first index of the report that points at nothing, in words; None where all point at something."""
    for where, index, count in _pointers(report):
        if index is not None and not 0 <= index < count:
            return f"{where} is {index}, and there are {count}"
    for i, row in enumerate(report.summary):
        if report.machines and row.machine not in report.machines:
            return f"summary.{i}.machine is {row.machine!r}, which is not among the machines"
    lost = sorted(report.machines.keys() ^ report.decisions.keys())
    return f"{lost[0]!r} is not among both machines and decisions" if lost else None


def _pointers(report: Report) -> Iterator[_Pointer]:
    rows, measured = len(report.summary), len(report.measurements)
    yield "baseline", report.baseline, measured
    for i, row in enumerate(report.summary):
        yield f"summary.{i}.measurement", row.measurement, measured
    for i, comparison in enumerate(report.comparisons):
        yield f"comparisons.{i}.row", comparison.row, rows
        yield f"comparisons.{i}.baseline", comparison.baseline, rows
    for i, fit in enumerate(report.scaling):
        yield f"scaling.{i}.row", fit.row, rows
    for i, measurement in enumerate(report.measurements):
        for kind, indices in measurement.marks.items():
            for index in indices:
                yield f"measurements.{i}.marks.{kind}", index, len(measurement.round_of)
    if report.decision is not None:
        yield from _of_decision("decision", report.decision, rows)
    for name, decision in report.decisions.items():
        yield from _of_decision(f"decisions.{name}", decision, rows)


def _of_decision(name: str, decision: Decision, rows: int) -> Iterator[_Pointer]:
    for field in ("recommended", "runner_up", "nearest_miss"):
        yield f"{name}.{field}", getattr(decision, field), rows
    for field in ("pareto", "front_share", "choice_share"):
        for index in getattr(decision, field):
            yield f"{name}.{field}", index, rows
    for field in ("rejected", "uncertain", "sensitivity"):
        for entry in getattr(decision, field):
            yield f"{name}.{field}", entry.row, rows
