"""Reports from measurements that look like real ones: raw samples by round and process, and errors of each clip."""

from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import numpy as np

from slrbench.records import Accuracy, Candidate, Environment, ErrorCounts, Measurement, Report
from slrbench.reporting.derive import derive

CLIPS = 40
WORDS = 6


@dataclass(frozen=True)
class File:
    """One thing that was measured."""

    model: str = "student"
    backend: str = "onnx"
    p50_ms: float = 10.0
    noise: float = 0.01
    """Standard deviation of the rounds, as a share."""
    errors: int | None = 12
    """Word errors among all clips; None: not evaluated."""
    size_mb: float = 8.0
    rss_mb: float | None = 200.0
    cold_ms: tuple[float, ...] = (400.0, 420.0)
    calls: int = 70
    """Samples of one round."""
    content: str = ""
    """Makes another file of the same name."""
    candidate: dict[str, Any] = field(default_factory=dict)


MACHINE = Environment(
    platform="Linux-6.1-x86_64", python="3.11.7", cpu="Example(R) CPU @ 2.40GHz (avx2)", cpu_logical_cores=4,
    cpu_physical_cores=2, memory_bytes=8_000_000_000,
    versions={"torch": "2.14.1", "onnxruntime": "1.31.1", "openvino": "2026.4.1"}, load_average_1m=0.1,
    created_at="2026-01-02T03:04:05+00:00",
)  # fmt: skip


def candidate_of(file: File) -> Candidate:
    format = "checkpoint" if file.backend == "torch" else file.backend
    name = f"{file.model} {format} {file.content}"
    values: dict[str, Any] = {
        "model": file.model, "backend": file.backend, "format": format, "threads": 2, "batch": 1, "frames": 32,
        "height": 64, "width": 64, "path": f"trained_models/{file.model}/model.{format}",
        "artifact_sha256": sha256(name.encode()).hexdigest(), "size_bytes": round(file.size_mb * 1e6),
        "parity": "passed",
    }  # fmt: skip
    return Candidate.model_validate(values | file.candidate)


def measurement_of(file: File, *, rounds: int, seed: int) -> Measurement:
    random = np.random.default_rng([seed, len(file.model), len(file.backend), round(file.p50_ms * 1e3)])
    of_round = file.p50_ms * 1e-3 * np.exp(file.noise * random.standard_normal(rounds))
    times = np.repeat(of_round, file.calls) * np.exp(0.005 * random.standard_normal(rounds * file.calls))
    round_of = np.repeat(np.arange(rounds), file.calls)
    return Measurement(
        candidate=candidate_of(file),
        requested={},
        actual={},
        compute_s=tuple(0.9 * times),
        end_to_end_s=tuple(times),
        round_of=tuple(round_of.tolist()),
        process_of=tuple((round_of % 3).tolist()),
        throughput_calls=100,
        throughput_s=0.1 * file.p50_ms,
        cold_start_s=file.cold_ms[0] * 1e-3 if file.cold_ms else None,
        cold_starts=tuple(
            {"import": ms * 0.5e-3, "load": ms * 0.3e-3, "first call": ms * 0.2e-3} for ms in file.cold_ms
        ),
        peak_rss_bytes=None if file.rss_mb is None else round(file.rss_mb * 1e6),
    )


def accuracy_of(file: File) -> Accuracy | None:
    if file.errors is None:
        return None
    candidate = candidate_of(file)
    # The same clips are hard for every file: errors fall on the first ones first.
    clip_errors = [0] * CLIPS
    for index in range(file.errors):
        clip_errors[index % CLIPS] += 1
    return Accuracy(
        **candidate.model_dump(
            include={"model", "backend", "precision", "variant", "device", "artifact_sha256", "input_kind", "height",
                     "width"}
        ),
        split="test", data="made:clips=40", data_fingerprint="0" * 8, clips=CLIPS,
        counts=ErrorCounts(substitutions=file.errors, deletions=0, insertions=0, reference_words=CLIPS * WORDS),
        wer=file.errors / (CLIPS * WORDS), sequences_wrong=sum(map(bool, clip_errors)), clip_errors=tuple(clip_errors),
        clip_words=(WORDS,) * CLIPS,
    )  # fmt: skip


def make_report(
    *files: File,
    rounds: int = 10,
    seed: int = 0,
    title: str = "Benchmark: made",
    control_factor: float | None = None,
    **changes: Any,
) -> Report:
    """A report of these files; with ``control_factor`` the first is measured twice, the copy that much slower."""
    measurements = tuple(measurement_of(file, rounds=rounds, seed=seed) for file in files)
    control: dict[str, Any] = {}
    if control_factor is not None:
        again = measurements[0].model_copy(
            update={"end_to_end_s": tuple(control_factor * t for t in measurements[0].end_to_end_s)}
        )
        control = {"baseline": 0, "control": again}
    environment = MACHINE.model_copy(update=changes.pop("environment", {}))
    report = Report(
        title=title, created_at=environment.created_at, environment=environment, measurements=measurements,
        accuracies=tuple(a for file in files if (a := accuracy_of(file)) is not None), **control, **changes,
    )  # fmt: skip
    return derive(report)


TEACHER = File(model="teacher", backend="openvino", p50_ms=30.0, errors=10, size_mb=40.0, rss_mb=300.0)
STUDENT = File(model="student", backend="openvino", p50_ms=10.0, errors=24, size_mb=9.0, rss_mb=220.0)
STUDENT_ONNX = File(model="student", backend="onnx", p50_ms=12.0, errors=24, size_mb=8.0, rss_mb=120.0)
STUDENT_TORCH = File(model="student", backend="torch", p50_ms=25.0, errors=24, size_mb=8.5, rss_mb=700.0)
WRONG = File(
    model="student", backend="torchscript", p50_ms=2.0, errors=24, size_mb=1.0, rss_mb=50.0,
    candidate={"parity": "failed"},
)  # fmt: skip
FILES = (TEACHER, STUDENT, STUDENT_ONNX, STUDENT_TORCH, WRONG)
