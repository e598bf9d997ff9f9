"""Measure candidates against each other: rounds that visit all of them in random order, each in its own process.

Measuring one candidate after the other mistakes a slow minute of the machine for a slow candidate (Abedi and Brecht,
ICPE 2017). So every round visits every candidate, in a seeded random order; while one is timed, the others' processes
block on their pipes.
"""

import os
import random
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slrbench.errors import SlrbenchError
from slrbench.measure.gathered import Gatherer, actual_of, fields_of, warnings_of
from slrbench.measure.gpu_environment import GpuWatch
from slrbench.measure.gpu_rounds import GpuRounds, gpu_device
from slrbench.measure.process import Worker
from slrbench.measure.sampling import SamplingRule
from slrbench.measure.timing_inputs import InputSource, noise_inputs
from slrbench.records import Candidate, Measurement, Skipped

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is; only between timed regions."""


@dataclass(frozen=True, kw_only=True)
class MeasureSettings:
    """How much is measured."""

    rounds: int = 5
    processes: int = 3
    """Fresh processes per candidate over the run; each gives a cold start."""
    seed: int = 0
    """Of the order within rounds."""
    sampling: SamplingRule = field(default_factory=SamplingRule)
    limit_s: float = 300.0
    """A worker that does not answer a command in this time is ended."""
    most_workers: int = 16
    """Processes alive at a time; beyond it the one that rested longest is ended, and started anew at its next turn."""

    @classmethod
    def quick(cls, *, seed: int = 0) -> "MeasureSettings":
        """Enough for a first table with p50 and p90: 3 rounds of at least 22 calls (66 samples), one process each."""
        sampling = SamplingRule(min_calls=22, min_time_s=0.25, throughput_time_s=0.25, warmup_cap_s=2.0, max_time_s=5.0)
        return cls(rounds=3, processes=1, seed=seed, sampling=sampling)

    def starts_afresh(self, round_: int) -> bool:
        """Whether every candidate gets a new process in this round (counted from 0)."""
        processes = min(self.processes, self.rounds)
        return round_ > 0 and round_ * processes // self.rounds != (round_ - 1) * processes // self.rounds


@dataclass(frozen=True, kw_only=True)
class MeasureResult:
    """What was measured so far, what was not and why, and the order of each round (indices of candidates)."""

    measurements: tuple[Measurement, ...]
    skipped: tuple[Skipped, ...]
    errors: tuple[SlrbenchError, ...]
    """What stands behind each of ``skipped``."""
    order: tuple[tuple[int, ...], ...]


Infer = Callable[[NDArray[Any]], NDArray[np.float32]]


def measure(
    candidates: Sequence[Candidate],
    settings: MeasureSettings,
    *,
    inputs: InputSource = noise_inputs,
    progress: Progress | None = None,
    on_round: Callable[[MeasureResult, int], None] | None = None,
    at_end: Callable[[Candidate, Infer], None] | None = None,
) -> MeasureResult:
    """Measure all candidates; one that fails, hangs or is killed becomes a skipped row and the rest go on.

    Args:
        candidates: what to measure.
        settings: how much.
        inputs: the videos for a candidate.
        progress: called before each visit.
        on_round: called after each round with everything so far and the number of rounds that are done.
        at_end: called for each measured candidate after its last round, while its process is still there, with a
            function that runs a video through it: for what need not be timed, such as its word error rate.
    """
    with tempfile.TemporaryDirectory(prefix="slrbench-") as scratch:
        run = _Run(candidates, settings, inputs, Path(scratch))
        try:
            total = settings.rounds * len(candidates)
            for round_ in range(settings.rounds):
                for visit, index in enumerate(run.next_order()):
                    if progress is not None:
                        progress("measuring", round_ * len(candidates) + visit, total)
                    run.attempt(index, partial(run.visit, round_))
                if on_round is not None:
                    on_round(run.result(), round_ + 1)
            if progress is not None:
                progress("measuring", total, total)
            if at_end is not None:
                for index in range(len(candidates)):
                    run.attempt(index, partial(run.hand_over, at_end))
            return run.result()
        finally:
            run.close()


@dataclass
class _Cell:
    """What one candidate has given so far."""

    candidate: Candidate
    worker: Worker | None = None
    processes: int = 0
    last_used: int = -1
    error: SlrbenchError | None = None
    input_source: str = ""
    opened: list[dict[str, Any]] = field(default_factory=list)
    compute_s: list[float] = field(default_factory=list)
    end_to_end_s: list[float] = field(default_factory=list)
    round_of: list[int] = field(default_factory=list)
    process_of: list[int] = field(default_factory=list)
    warmup_s: list[float] = field(default_factory=list)
    warmup_steady: bool = True
    throughput_calls: int = 0
    throughput_s: float = 0.0
    device_s: list[float] = field(default_factory=list)
    device_memory_bytes: dict[str, int] = field(default_factory=dict)
    gpu: GpuRounds | None = None
    answers: list[dict[str, Any]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def warn(self, text: str) -> None:
        if text not in self.warnings:
            self.warnings.append(text)

    def keep_memory(self, found: dict[str, int]) -> None:
        """The most that was ever seen of each."""
        for name, size in found.items():
            self.device_memory_bytes[name] = max(size, self.device_memory_bytes.get(name, 0))

    def stop(self, *, at_once: bool = False) -> None:
        if self.worker is not None:
            self.worker.close(at_once=at_once)
            self.worker = None


class _Run:
    """Processes, inputs and samples of one run."""

    def __init__(
        self, candidates: Sequence[Candidate], settings: MeasureSettings, inputs: InputSource, scratch: Path
    ) -> None:
        self._cells = [_Cell(candidate) for candidate in candidates]
        self._settings = settings
        self._inputs = inputs
        self._scratch = scratch
        self._files: dict[tuple[Any, ...], tuple[Path, Path, str]] = {}
        self._random = random.Random(settings.seed)
        self._order: list[tuple[int, ...]] = []
        self._visits = 0
        self._watches: dict[str, GpuWatch] = {}
        self._gatherer = Gatherer(scratch, seed=settings.seed, limit_s=settings.limit_s)
        for cell in self._cells:
            if (device := gpu_device(cell.candidate.backend, cell.candidate.device)) is not None:
                if device not in self._watches:
                    self._watches[device] = GpuWatch(device)
                cell.gpu = GpuRounds(self._watches[device])

    def next_order(self) -> tuple[int, ...]:
        order = list(range(len(self._cells)))
        self._random.shuffle(order)
        self._order.append(tuple(order))
        return self._order[-1]

    def attempt(self, index: int, action: Callable[[_Cell], None]) -> None:
        cell = self._cells[index]
        if cell.error is not None:
            return
        try:
            action(cell)
        except SlrbenchError as error:
            cell.error = error
            cell.stop(at_once=True)

    def visit(self, round_: int, cell: _Cell) -> None:
        if self._settings.starts_afresh(round_):
            cell.stop()
        rested = cell.worker is not None
        worker = self._worker_of(cell)
        rule = asdict(self._settings.sampling)
        # This process holds a context of the GPU too, once it has built an engine.
        own = {os.getpid(), *(c.worker.pid for c in self._cells if c.worker is not None)}
        if cell.gpu is not None:
            cell.gpu.begin(own=own, worker=worker.pid)
        answer = worker.ask(
            "round",
            limit_s=self._settings.limit_s,
            rule=rule,
            settle=rested,
            **self._gatherer.arguments(worker, round_),
        )
        if cell.gpu is not None:
            cell.keep_memory(cell.gpu.end(round_, own=own, worker=worker.pid))
        last = round_ + 1 == self._settings.rounds or self._settings.starts_afresh(round_ + 1)
        cell.answers.append(
            self._gatherer.complete(
                answer, worker, cell.candidate, source=cell.input_source, last_rule=rule if last else None
            )
        )
        if "failed" in answer.get("extras", ()):
            cell.stop(at_once=True)
        count = len(answer["compute_s"])
        cell.compute_s += answer["compute_s"]
        cell.end_to_end_s += answer["end_to_end_s"]
        cell.round_of += [round_] * count
        cell.process_of += [cell.processes - 1] * count
        cell.device_s += answer["device_s"]
        cell.keep_memory(answer["device_memory_bytes"])
        cell.throughput_calls += answer["throughput_calls"]
        cell.throughput_s += answer["throughput_s"]
        if count < self._settings.sampling.min_calls:
            cell.warn(f"rounds stopped at {answer['stop_reason']}, with fewer than the calls asked for")

    def hand_over(self, at_end: Callable[[Candidate, Infer], None], cell: _Cell) -> None:
        worker = self._worker_of(cell)
        at_end(cell.candidate, infer_with(worker, self._scratch, limit_s=self._settings.limit_s))

    def _worker_of(self, cell: _Cell) -> Worker:
        """The candidate's process: opened, with its inputs loaded, warmed up."""
        self._visits += 1
        cell.last_used = self._visits
        if cell.worker is not None:
            return cell.worker
        self._make_room()
        first, rest, cell.input_source = self._input_files(cell.candidate)
        cell.worker = Worker(threads=cell.candidate.threads)
        limit = self._settings.limit_s
        cell.opened.append(open_in(cell.worker, cell.candidate, first_input=first, limit_s=limit))
        cell.processes += 1
        cell.worker.ask("inputs", limit_s=limit, path=str(rest))
        warm = cell.worker.ask("warm_up", limit_s=limit, rule=asdict(self._settings.sampling))
        cell.warmup_s += warm["samples_s"]
        cell.warmup_steady = cell.warmup_steady and warm["steady"]
        return cell.worker

    def _make_room(self) -> None:
        alive = sorted((c for c in self._cells if c.worker is not None), key=lambda c: c.last_used)
        for cell in alive[: max(0, len(alive) + 1 - self._settings.most_workers)]:
            cell.stop()

    def _input_files(self, candidate: Candidate) -> tuple[Path, Path, str]:
        c = candidate
        key = (c.model, c.batch, c.frames, c.height, c.width, c.input_kind)
        if key not in self._files:
            made = self._inputs(candidate)
            first, rest = (self._scratch / f"{len(self._files)}-{name}.npy" for name in ("first", "all"))
            np.save(first, made.videos[0])
            np.save(rest, made.videos)
            self._files[key] = first, rest, made.source
        return self._files[key]

    def result(self) -> MeasureResult:
        failed = [c for c in self._cells if c.error is not None]
        candidates = [c.candidate for c in self._cells]
        return MeasureResult(
            measurements=tuple(_measurement(c) for c in self._cells if c.error is None and c.compute_s),
            skipped=tuple(
                skipped_row(c.candidate, _shape_words(c.candidate, candidates) + c.error.message)
                for c in failed
                if c.error is not None
            ),
            errors=tuple(c.error for c in failed if c.error is not None),
            order=tuple(self._order),
        )

    def close(self) -> None:
        for cell in self._cells:
            cell.stop(at_once=True)
        for watch in self._watches.values():
            watch.close()


def open_in(worker: Worker, candidate: Candidate, *, first_input: Path | None, limit_s: float) -> dict[str, Any]:
    """Let a worker import the runtime, load the artifact and make the first call; what it answers."""
    return worker.ask(
        "open",
        limit_s=limit_s,
        backend=candidate.backend,
        path=candidate.path,
        device=candidate.device,
        threads=candidate.threads,
        input_kind=candidate.input_kind,
        precision=candidate.precision,
        variant=candidate.variant,
        sha256=candidate.artifact_sha256,
        first_input=None if first_input is None else str(first_input),
    )


def infer_with(worker: Worker, scratch: Path, *, limit_s: float) -> Infer:
    """A function from a video to log-probabilities ``(T', B, C)``, computed by an opened worker."""
    source, target = scratch / f"{worker.pid}-video.npy", scratch / f"{worker.pid}-output.npy"

    def infer(video: NDArray[Any]) -> NDArray[np.float32]:
        np.save(source, video)
        worker.ask("infer", limit_s=limit_s, source=str(source), target=str(target))
        output: NDArray[np.float32] = np.load(target)
        return output

    return infer


def skipped_row(candidate: Candidate, reason: str) -> Skipped:
    """The row that stands in the report in place of a measurement."""
    return Skipped(
        model=candidate.model,
        backend=candidate.backend,
        precision=candidate.precision,
        variant=candidate.variant,
        device=candidate.device,
        reason=reason,
    )


def _shape_words(candidate: Candidate, candidates: Sequence[Candidate]) -> str:
    """What a skipped row has no column for and not all candidates share, such as ``batch 8, frames 64: ``."""
    axes = ("variant", "input_kind", "threads", "batch", "frames", "height", "width")
    shown = [axis for axis in axes if len({getattr(c, axis) for c in candidates}) > 1]
    words = ", ".join(f"{axis.replace('_', ' ')} {getattr(candidate, axis)}" for axis in shown)
    return f"{words}: " if words else ""


def _measurement(cell: _Cell) -> Measurement:
    starts = [opened["cold_start_parts_s"] for opened in cell.opened]
    totals = [sum(parts.values()) for parts in starts]
    typical = min(range(len(totals)), key=lambda i: abs(totals[i] - median(totals)))
    peaks = [opened["peak_rss_bytes"] for opened in cell.opened if opened["peak_rss_bytes"] is not None]
    requested, actual = cell.opened[-1]["requested"], cell.opened[-1]["actual"]
    warnings = list(cell.warnings) + (cell.gpu.warnings if cell.gpu is not None else [])
    if not cell.warmup_steady:
        warnings.append("warm-up had not settled when its time was up")
    warnings += warnings_of(cell.answers)
    gpu = cell.gpu.record() if cell.gpu is not None else {}
    return Measurement(
        candidate=cell.candidate,
        requested=requested,
        actual=actual
        | {"inputs": cell.input_source, "runtimes_imported": cell.opened[-1]["runtimes_imported"]}
        | actual_of(cell.answers),
        compute_s=tuple(cell.compute_s),
        end_to_end_s=tuple(cell.end_to_end_s),
        round_of=tuple(cell.round_of),
        process_of=tuple(cell.process_of),
        warmup_s=tuple(cell.warmup_s),
        warmup_steady=cell.warmup_steady,
        throughput_calls=cell.throughput_calls,
        throughput_s=cell.throughput_s,
        cold_start_s=totals[typical],
        cold_start_parts_s=starts[typical],
        peak_rss_bytes=max(peaks, default=None),
        device_s=tuple(cell.device_s) if len(cell.device_s) == len(cell.compute_s) else (),
        device_memory_bytes=dict(cell.device_memory_bytes),
        gpu=gpu,
        warnings=tuple(warnings),
        **fields_of(cell.answers, opened=cell.opened, round_of=cell.round_of, gpu=gpu),
    )
