"""What a worker's answers to ``round`` may hold beside its samples, joined over the rounds of one candidate.

Every field is optional: a worker that does not watch for contention gives no marks, one that was not asked for energy
none of it.
"""

from collections.abc import Callable, Sequence
from statistics import median
from typing import Any, TypeVar

from slrbench.records import Energy, OutputCheck, ParallelRun

_T = TypeVar("_T")


def optional_fields(answers: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Those fields of a ``Measurement`` that only some answers have; the ones that none has are left out."""
    joined = {
        "marks": _joined_marks(answers),
        "steady_rss_bytes": _of_those("steady_rss_bytes", answers, max),
        "parallel": _of_those("parallel", answers, _joined_parallel),
        "energy": _of_those("energy", answers, _joined_energy),
        "output_check": _of_those("output_check", answers, _joined_checks),
    }
    return {name: value for name, value in joined.items() if value}


def _of_those(name: str, answers: Sequence[dict[str, Any]], join: Callable[[list[Any]], _T]) -> _T | None:
    found = [answer[name] for answer in answers if answer.get(name)]
    return join(found) if found else None


def _joined_marks(answers: Sequence[dict[str, Any]]) -> dict[str, tuple[int, ...]]:
    """A round's marks are indices into that round's samples; the measurement's into all of them."""
    marks: dict[str, list[int]] = {}
    before = 0
    for answer in answers:
        for name, indices in (answer.get("marks") or {}).items():
            marks.setdefault(name, []).extend(before + index for index in indices)
        before += len(answer["compute_s"])
    return {name: tuple(indices) for name, indices in marks.items() if indices}


def _joined_parallel(found: list[list[dict[str, Any]]]) -> tuple[ParallelRun, ...]:
    runs: dict[int, ParallelRun] = {}
    for run in (ParallelRun.model_validate(each) for of_round in found for each in of_round):
        known = runs.get(run.requests, ParallelRun(requests=run.requests, calls=0, seconds=0.0))
        runs[run.requests] = ParallelRun(
            requests=run.requests, calls=known.calls + run.calls, seconds=known.seconds + run.seconds
        )
    return tuple(runs[requests] for requests in sorted(runs))


def _joined_energy(found: list[dict[str, Any]]) -> Energy:
    """Over the rounds in which the counters could be read; where none could, why."""
    all_ = [Energy.model_validate(each) for each in found]
    read = [each for each in all_ if each.joules is not None]
    if not read:
        return all_[-1]
    return read[-1].model_copy(
        update={
            "joules": sum(each.joules or 0.0 for each in read),
            "calls": sum(each.calls for each in read),
            "seconds": sum(each.seconds for each in read),
        }
    )


def _joined_checks(found: list[dict[str, Any]]) -> OutputCheck:
    """Passed where every round's passed; the largest error; the median of the ratios with one clip repeated."""
    checks = [OutputCheck.model_validate(each) for each in found]
    alike = [check.decoded_alike for check in checks if check.decoded_alike is not None]
    ratios = [check.repeated_ratio for check in checks if check.repeated_ratio is not None]
    return OutputCheck(
        compared_with=checks[-1].compared_with,
        calls=sum(check.calls for check in checks),
        max_abs_error=max((c.max_abs_error for c in checks if c.max_abs_error is not None), default=None),
        decoded_alike=all(alike) if alike else None,
        passed=all(check.passed for check in checks),
        repeated_ratio=median(ratios) if ratios else None,
        caches=sum(check.caches for check in checks) * 2 > len(checks),  # of one round it may be a moment's quiet
    )
