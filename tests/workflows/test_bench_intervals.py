"""The note on intervals that stayed wide, with its reasons."""

from typing import Any

import numpy as np
import pytest

from slrbench.records import Candidate, Measurement
from slrbench.workflows.bench_intervals import wide_intervals


def measured(spread: float, rounds: int, **more: Any) -> Measurement:
    candidate = Candidate(
        model="tiny", backend="onnx", format="onnx", threads=1, batch=1, frames=8, height=8, width=8, path="x",
        artifact_sha256="0", size_bytes=1,
    )  # fmt: skip
    generator = np.random.default_rng(0)
    times = [0.01 * float(np.exp(spread * generator.normal())) for _ in range(rounds)]
    return Measurement.model_validate(
        {
            "candidate": candidate, "requested": {}, "actual": {}, "compute_s": times, "end_to_end_s": times,
            "round_of": list(range(rounds)), "warmup_steady": True, **more,
        }
    )  # fmt: skip


def name(candidate: Candidate) -> str:
    return candidate.model


def test_narrow_intervals_are_not_mentioned() -> None:
    assert wide_intervals([measured(0.001, 10)], name) == []


@pytest.mark.parametrize(
    ("rounds", "more", "reasons"),
    [
        (12, {}, "its rounds differ that much over 12 rounds"),
        (7, {}, "7 rounds"),
        (12, {"warmup_steady": False}, "warm-up had not settled"),
        (12, {"marks": {"steal": (0, 1), "run queue": (1,)}}, "2 of 12 samples under contention: steal, run queue"),
        (8, {"marks": {"steal": (0,)}, "warmup_steady": False},
         "1 of 8 samples under contention: steal, warm-up had not settled, 8 rounds"),
    ],
)  # fmt: skip
def test_a_wide_interval_has_its_reasons(rounds: int, more: dict[str, Any], reasons: str) -> None:
    (note,) = wide_intervals([measured(0.001, 10), measured(0.3, rounds, **more)], name)
    assert note.startswith("intervals of the median wider than ±3 %: tiny: ±")
    assert note.endswith(f" % ({reasons})")


def test_too_few_rounds_are_told_once() -> None:
    note = "no interval of the median: it needs 6 rounds, and there were 5"
    assert wide_intervals([measured(0.1, 5), measured(0.1, 5)], name) == [note]
    (other,) = wide_intervals([measured(0.1, 5), measured(0.001, 10)], name)
    assert other == "no interval of the median of 1 of them: it needs 6 rounds, and there were 5"
