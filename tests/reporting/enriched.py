"""An invented report in which every part of the present schema has something: two models on three runtimes.

The figures are drawn from a seed, and fit each other as those of a real run do.
"""

import random
from statistics import median
from typing import Any

from slrbench.records import (
    Accuracy,
    Candidate,
    Comparison,
    Decision,
    Energy,
    Environment,
    ErrorCounts,
    Interval,
    LoadRun,
    MachinePeak,
    Measurement,
    NoiseFloor,
    OutputCheck,
    ParallelRun,
    Rejection,
    Report,
    ScalingFit,
    Sensitivity,
    Skipped,
    SpeedVerdict,
    SummaryRow,
)

_BACKENDS = ("torch", "onnx", "openvino")
_BASE_S = {"teacher": 0.040, "student": 0.0085}
_FACTOR = {"torch": 1.0, "onnx": 0.62, "openvino": 0.45}
_WER = {"teacher": 0.071, "student": 0.094}
_SIZE = {"teacher": 20_400_000, "student": 6_100_000}
_MACS = {"teacher": 2_880_000_000, "student": 310_000_000}
_SHAPES = ((1, 64), (1, 16), (1, 32), (4, 64))
_ROUNDS, _CALLS = 10, 25


def enriched_report(*, valid: bool = True, hostile: str = "") -> Report:
    """The report; ``valid=False``: its A/A excludes 1. ``hostile`` is put into every text that a report takes."""
    random_ = random.Random(7)
    candidates = [
        _candidate(model + hostile, backend, batch, frames)
        for batch, frames in _SHAPES
        for model in ("teacher", "student")
        for backend in _BACKENDS
    ]
    measurements = tuple(_measurement(candidate, random_) for candidate in candidates)
    summary = tuple(row for index, m in enumerate(measurements) for row in _rows(index, m))
    end_to_end = [i for i, row in enumerate(summary) if row.scope == "end_to_end"]
    return Report(
        title=f"Every part of a report{hostile}",
        created_at="2026-01-02T03:04:05+00:00",
        command=f"python -m slrbench bench teacher student --batch 1,4 --frames 16,32,64{hostile}",
        environment=_environment(hostile),
        measurements=measurements,
        accuracies=tuple(_accuracy(candidate, random_) for candidate in candidates[:6]),
        verdicts={c.artifact_sha256: _verdict(c, hostile) for c in candidates[:6]},
        skipped=(
            Skipped(
                model=f"student{hostile}",
                backend="trt",
                precision="fp16",
                device="cuda:0",
                reason=f"no NVIDIA GPU here{hostile}",
            ),
        ),
        measuring={"settings": {"rounds": _ROUNDS, "seed": 0}},
        baseline=0,
        control=_measurement(candidates[0], random_),
        peaks=(MachinePeak(threads=2, flops_per_s=4.6e11, bytes_per_s=2.1e10, how=f"matrix product 2048{hostile}"),),
        load=_load(candidates, hostile),
        summary=summary,
        noise_floor=NoiseFloor(
            ratio=Interval(value=1.004, low=0.993, high=1.016) if valid else Interval(value=1.09, low=1.06, high=1.13),
            threshold=0.02,
            valid=valid,
        ),
        comparisons=tuple(_comparison(i, summary, random_) for i in range(len(summary)) if i % 12 > 1),
        scaling=_scaling(summary, end_to_end),
        decision=_decision(summary, end_to_end, hostile),
        tables={f"Distillation{hostile}": [{"student": f"with teacher{hostile}", "WER": 0.094}]},
        notes=(f"An invented report.{hostile}",),
    )


def _candidate(model: str, backend: Any, batch: int, frames: int) -> Candidate:
    kind = "teacher" if model.startswith("teacher") else "student"
    formats = {"torch": "checkpoint", "onnx": "onnx", "openvino": "openvino"}
    return Candidate(
        model=model,
        backend=backend,
        format=formats[backend],
        threads=2,
        batch=batch,
        frames=frames,
        height=64,
        width=64,
        path=f"trained_models/{kind}/model.{backend}",
        artifact_sha256=f"{kind}-{backend}".encode().hex().ljust(64, "0"),
        size_bytes=_SIZE[kind],
        compressed_bytes=int(0.92 * _SIZE[kind]),
        parameters=_SIZE[kind] // 4,
        macs=_MACS[kind] * batch * frames // 64,
        parity="passed",
    )


def _kind(candidate: Candidate | SummaryRow) -> str:
    return "teacher" if candidate.model.startswith("teacher") else "student"


def _measurement(candidate: Candidate, random_: random.Random) -> Measurement:
    middle = _BASE_S[_kind(candidate)] * _FACTOR[candidate.backend]
    middle *= (0.1 + 0.9 * candidate.frames / 64) * candidate.batch**0.9
    compute, marked = [], []
    for _ in range(_ROUNDS):
        drift = random_.gauss(1.0, 0.006)
        for _ in range(_CALLS):
            slow = random_.random() < 0.03
            if slow:
                marked.append(len(compute))
            compute.append(
                middle * drift * random_.lognormvariate(0.0, 0.02) * (random_.uniform(1.3, 2.2) if slow else 1)
            )
    return Measurement(
        candidate=candidate,
        requested={"device": "cpu", "threads": 2},
        actual={"device": "cpu", "threads": 2},
        compute_s=tuple(compute),
        end_to_end_s=tuple(1.01 * sample for sample in compute),
        round_of=tuple(number for number in range(_ROUNDS) for _ in range(_CALLS)),
        process_of=tuple(number % 3 for number in range(_ROUNDS) for _ in range(_CALLS)),
        warmup_s=(2 * middle, middle),
        warmup_steady=True,
        throughput_calls=200,
        throughput_s=200 * middle,
        cold_start_s=1.5,
        cold_start_parts_s={"import": 1.0, "load": 0.4, "first call": 0.1},
        peak_rss_bytes=int(2.1e8 + 2e5 * candidate.frames * candidate.batch),
        marks={"steal": tuple(marked[::2]), "switched out": tuple(marked[1::2])},
        steady_rss_bytes=200_000_000,
        cold_starts=({"import": 1.0, "load": 0.4, "first call": 0.1},),
        parallel=(ParallelRun(requests=2, calls=100, seconds=80 * middle),),
        energy=Energy(unavailable="not available here: no RAPL"),
        output_check=OutputCheck(
            compared_with="the first call", calls=8, max_abs_error=1e-6, decoded_alike=True, passed=True
        ),
    )


def _rows(index: int, m: Measurement) -> list[SummaryRow]:
    c = m.candidate
    rows = []
    for scope, samples in (("compute", m.compute_s), ("end_to_end", m.end_to_end_s)):
        p50 = median(samples)
        ordered = sorted(samples)
        speed = 2 * (c.macs or 0) / p50
        rows.append(
            SummaryRow(
                **c.model_dump(include=set(Candidate.model_fields) & set(SummaryRow.model_fields)),
                scope="compute" if scope == "compute" else "end_to_end",
                p50_s=p50,
                p90_s=ordered[int(0.9 * len(ordered))],
                p95_s=ordered[int(0.95 * len(ordered))],
                p99_s=None,
                mean_s=sum(samples) / len(samples),
                samples=len(samples),
                throughput_clips_per_s=c.batch / p50,
                frames_per_s=c.batch * c.frames / p50,
                real_time_factor=c.batch * c.frames / p50 / 25,
                cold_start_s=m.cold_start_s,
                peak_rss_bytes=m.peak_rss_bytes,
                wer=_WER[_kind(c)],
                wer_split="test",
                measurement=index,
                p50_interval=Interval(value=p50, low=0.985 * p50, high=1.02 * p50),
                p50_unmarked_s=0.998 * p50,
                marked_samples=sum(map(len, m.marks.values())),
                p90_bound_s=1.1 * ordered[int(0.9 * len(ordered))],
                steady_rss_bytes=m.steady_rss_bytes,
                wer_interval=Interval(value=_WER[_kind(c)], low=_WER[_kind(c)] - 0.017, high=_WER[_kind(c)] + 0.021),
                streams=max(1, int(0.8 * c.batch / p50 * c.frames / 25)) if scope == "end_to_end" else None,
                peak_share=min(1.0, speed / 4.6e11),
                bound_by="overhead" if _kind(c) == "student" else "compute",
            )
        )
    return rows


def _accuracy(c: Candidate, random_: random.Random) -> Accuracy:
    wer = _WER[_kind(c)]
    errors = tuple(int(random_.random() < 6 * wer) for _ in range(100))
    return Accuracy(
        model=c.model,
        backend=c.backend,
        artifact_sha256=c.artifact_sha256,
        height=64,
        width=64,
        split="test",
        data="fingerspelling",
        data_fingerprint="0" * 64,
        clips=100,
        counts=ErrorCounts(substitutions=30, deletions=12, insertions=5, reference_words=600),
        wer=wer,
        sequences_wrong=41,
        clip_errors=errors,
        clip_words=(6,) * 100,
        decoded=(("A", "B"),) * 100,
        wer_interval=Interval(value=wer, low=wer - 0.017, high=wer + 0.021),
        against="0" * 64,
        wer_difference=Interval(value=0.001, low=-0.002, high=0.004),
        agreement=0.98,
    )


def _verdict(c: Candidate, hostile: str) -> dict[str, Any]:
    return {
        "passed": True,
        "model": c.model,
        "format": c.format,
        "precision": "fp32",
        "cases": [{"max_abs_error": 2e-5}],
        "tolerance_atol": 1e-3,
        "needed_atol": 1e-5,
        "reasons": [f"close enough{hostile}"],
    }


def _environment(hostile: str) -> Environment:
    return Environment(
        platform=f"Linux-6.1-x86_64{hostile}",
        python="3.11.7",
        cpu=f"Example CPU{hostile}",
        cpu_logical_cores=2,
        cpu_physical_cores=1,
        memory_bytes=16_000_000_000,
        versions={"torch": f"2.14.1{hostile}"},
        load_average_1m=0.1,
        created_at="2026-01-02T03:04:05+00:00",
    )


def _load(candidates: list[Candidate], hostile: str) -> tuple[LoadRun, ...]:
    tail = {"p50": 0.006, "p90": 0.011, "p95": 0.016, "p99": 0.031}
    streams = tuple(
        {
            "streams": float(n),
            "samples": 700.0,
            "p99_s": 0.008 * 1.45 ** (n - 1),
            "within": float(0.008 * 1.45 ** (n - 1) <= 0.1),
        }
        for n in range(1, 10)
    )
    rates = tuple(
        {"rate": 20.0 * n, "samples": 700.0, "p99_s": 0.007 / (1 - n / 9), "within": float(0.007 / (1 - n / 9) <= 0.04)}
        for n in range(1, 9)
    )
    student, teacher = candidates[5], candidates[2]
    return (
        LoadRun(
            candidate=student, scenario="SingleStream", valid=True, figure=0.0042, percentiles_s=tail, samples=2000
        ),
        LoadRun(
            candidate=student,
            scenario="Server",
            settings={"latency_bound_s": 0.04},
            valid=True,
            figure=140.0,
            percentiles_s=tail,
            samples=5000,
            loadgen={"result": "VALID"},
            files=("loadgen/student/mlperf_log_summary.txt",),
            points=rates,
        ),
        LoadRun(
            candidate=student,
            scenario="streams",
            settings={"latency_bound_s": 0.1},
            valid=True,
            figure=7.0,
            percentiles_s=tail,
            samples=900,
            points=streams,
        ),
        LoadRun(
            candidate=teacher,
            scenario="Offline",
            valid=False,
            figure=None,
            reason=f"ran shorter than 10 minutes{hostile}",
        ),
    )


def _comparison(index: int, summary: tuple[SummaryRow, ...], random_: random.Random) -> Comparison:
    row = summary[index]
    same = ("scope", "batch", "frames")
    baseline = next(i for i, other in enumerate(summary) if all(getattr(other, n) == getattr(row, n) for n in same))
    ratio = row.p50_s / summary[baseline].p50_s
    wide = 0.02 + 0.03 * random_.random()
    verdict: SpeedVerdict = "FASTER" if ratio < 0.95 else "SLOWER" if ratio > 1.05 else "UNCLEAR"
    return Comparison(
        row=index,
        baseline=baseline,
        ratio=Interval(value=ratio, low=ratio * (1 - wide), high=ratio * (1 + wide)),
        verdict=verdict,
        more_rounds=12 if verdict == "UNCLEAR" else None,
    )


def _scaling(summary: tuple[SummaryRow, ...], end_to_end: list[int]) -> tuple[ScalingFit, ...]:
    fits = []
    for first in [i for i in end_to_end if (summary[i].batch, summary[i].frames) == (1, 64)]:
        row = summary[first]
        group = [summary[i] for i in end_to_end if (summary[i].model, summary[i].backend) == (row.model, row.backend)]
        of_frames = sorted((r.frames, r.p50_s) for r in group if r.batch == 1)
        slope = (of_frames[-1][1] - of_frames[0][1]) / (of_frames[-1][0] - of_frames[0][0])
        fits.append(
            ScalingFit(
                row=first,
                axis="frames",
                figure="p50_s",
                points=tuple((float(at), value) for at, value in of_frames),
                intercept=of_frames[0][1] - slope * of_frames[0][0],
                slope=slope,
                r_squared=0.998,
            )
        )
    first = end_to_end[0]
    memory = tuple((float(n), 2.1e8 + 1.28e7 * n) for n in (1, 2, 4))
    fits.append(
        ScalingFit(row=first, axis="batch", figure="peak_rss_bytes", points=memory, intercept=2.1e8, slope=1.28e7)
    )
    return tuple(fits)


def _decision(summary: tuple[SummaryRow, ...], end_to_end: list[int], hostile: str) -> Decision:
    here = [i for i in end_to_end if (summary[i].batch, summary[i].frames) == (1, 64)]
    fastest = min((i for i in here if summary[i].model.startswith("student")), key=lambda i: summary[i].p50_s)
    best = min((i for i in here if summary[i].model.startswith("teacher")), key=lambda i: summary[i].p50_s)
    return Decision(
        scope="end_to_end",
        pareto=(fastest, best),
        recommended=fastest,
        reason=f"It is the fastest within the limits.{hostile}",
        rejected=tuple(Rejection(row=i, reason=f"slower{hostile}") for i in here if i not in (fastest, best)),
        requirements={"max_p99_ms": 40.0, "max_wer": 0.15},
        runner_up=best,
        front_share={fastest: 1.0, best: 0.87},
        sensitivity=(Sensitivity(limit="max_wer", value=0.09, direction="below", row=best),),
    )
