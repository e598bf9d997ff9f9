"""What one candidate has given so far: the starts of its processes and its visits, and the measurement they make."""

from dataclasses import dataclass, field
from statistics import median
from typing import Any

from slrbench.errors import SlrbenchError
from slrbench.measure.gathered import actual_of, fields_of, pixels_of, warnings_of
from slrbench.measure.gpu_rounds import GpuRounds
from slrbench.measure.process import Worker
from slrbench.measure.settings import PixelSettings
from slrbench.records import Candidate, Interval, Measurement
from slrbench.statistics.bootstrap import median_interval


@dataclass(frozen=True, kw_only=True)
class Start:
    """A fresh process of a candidate: its cold start and its warm-up, as the worker answered."""

    round: int
    opened: dict[str, Any]
    warm_up: dict[str, Any]
    seconds: float
    """Wall time of all of it, for plans of how long a visit takes."""


@dataclass(frozen=True, kw_only=True)
class Visit:
    """One round of one candidate, as its worker answered."""

    round: int
    process: int
    """Which of the candidate's processes, counted from 0."""
    answer: dict[str, Any]
    seconds: float
    gpu: dict[str, Any] | None = None
    """The GPU before and after; None on a CPU."""


@dataclass
class Cell:
    """One candidate, or the baseline's second copy, and what it has given."""

    candidate: Candidate
    copy: bool = False
    worker: Worker | None = None
    last_used: int = -1
    error: SlrbenchError | None = None
    failures: int = 0
    """How often it failed, in earlier runs of the same journal too."""
    input_source: str = ""
    gpu: GpuRounds | None = None
    starts: list[Start] = field(default_factory=list)
    visits: list[Visit] = field(default_factory=list)
    turns_s: float = 0.0
    """Wall time of the turns of the round that is going on."""

    @property
    def served(self) -> int:
        """Rounds that its last process has given."""
        return sum(visit.process == len(self.starts) - 1 for visit in self.visits)

    @property
    def seconds(self) -> float:
        """Wall time that was spent on it."""
        return sum(start.seconds for start in self.starts) + sum(visit.seconds for visit in self.visits)

    def stop(self, *, at_once: bool = False) -> None:
        """End its process."""
        if self.worker is not None:
            self.worker.close(at_once=at_once)
            self.worker = None

    def samples(self, name: str) -> tuple[float, ...]:
        """One of the columns of samples, over all rounds."""
        return tuple(value for visit in self.visits for value in visit.answer[name])

    def of_each_sample(self, name: str) -> tuple[int, ...]:
        """``round`` or ``process`` of each sample."""
        return tuple(getattr(v, name) for v in self.visits for _ in v.answer["compute_s"])

    def _turns(self) -> tuple[int, ...]:
        """The turn of each sample; empty where the journal of an earlier version has not kept them."""
        known = [visit.answer.get("turn_of", ()) for visit in self.visits]
        whole = all(len(turns) == len(v.answer["compute_s"]) for turns, v in zip(known, self.visits, strict=True))
        return tuple(turn for turns in known for turn in turns) if whole else ()

    def estimate(self) -> Interval | None:
        """The median end to end with its interval, as far as it is known; None where there are too few rounds."""
        if not self.visits:
            return None
        return median_interval(
            self.samples("end_to_end_s"), self.of_each_sample("round"), process_of=self.of_each_sample("process")
        )

    def measurement(self, *, min_calls: int, video: PixelSettings | None = None) -> Measurement | None:
        """Everything as a record; None where no round was measured.

        Args:
            min_calls: of a round; one with fewer is warned of.
            video: what was timed from pixels to glosses.
        """
        if not self.visits:
            return None
        answers = [visit.answer for visit in self.visits]
        parts = [start.opened["cold_start_parts_s"] for start in self.starts]
        totals = [sum(each.values()) for each in parts]
        typical = min(range(len(totals)), key=lambda i: abs(totals[i] - median(totals)))
        peaks = [s.opened["peak_rss_bytes"] for s in self.starts if s.opened["peak_rss_bytes"] is not None]
        last = self.starts[-1].opened
        gpu = self.gpu.record() if self.gpu is not None else {}
        opened = [start.opened for start in self.starts]
        round_of = self.of_each_sample("round")
        compute, device = self.samples("compute_s"), self.samples("device_s")
        return Measurement(
            candidate=self.candidate,
            requested=last["requested"],
            actual=last["actual"]
            | {"inputs": self.input_source, "runtimes_imported": last["runtimes_imported"]}
            | actual_of(answers),
            compute_s=compute,
            end_to_end_s=self.samples("end_to_end_s"),
            round_of=round_of,
            process_of=self.of_each_sample("process"),
            turn_of=self._turns(),
            warmup_s=tuple(value for start in self.starts for value in start.warm_up["samples_s"]),
            warmup_steady=all(start.warm_up["steady"] for start in self.starts),
            throughput_calls=sum(answer["throughput_calls"] for answer in answers),
            throughput_s=sum(answer["throughput_s"] for answer in answers),
            cold_start_s=totals[typical],
            cold_start_parts_s=parts[typical],
            peak_rss_bytes=max(peaks, default=None),
            device_s=device if len(device) == len(compute) else (),
            device_memory_bytes=_most_of_each(answer["device_memory_bytes"] for answer in answers),
            gpu=gpu,
            warnings=tuple(self._warnings(min_calls)),
            pixels=pixels_of([(v.round, v.process, v.answer) for v in self.visits], video),
            **fields_of(answers, opened=opened, round_of=round_of, gpu=gpu),
        )

    def _warnings(self, min_calls: int) -> list[str]:
        short = [v.answer["stop_reason"] for v in self.visits if len(v.answer["compute_s"]) < min_calls]
        found = [f"rounds stopped at {reason}, with fewer than the calls asked for" for reason in dict.fromkeys(short)]
        found += self.gpu.warnings if self.gpu is not None else []
        if not all(start.warm_up["steady"] for start in self.starts):
            found.append("warm-up had not settled when its time was up")
        return found + warnings_of([visit.answer for visit in self.visits])


def half_width(interval: Interval) -> float:
    """How far the further end of an interval is from its figure, as a share of the figure."""
    return max(interval.high - interval.value, interval.value - interval.low) / interval.value


def _most_of_each(found: Any) -> dict[str, int]:
    """The most that was ever seen of each."""
    most: dict[str, int] = {}
    for memory in found:
        for name, size in memory.items():
            most[name] = max(size, most.get(name, 0))
    return most
