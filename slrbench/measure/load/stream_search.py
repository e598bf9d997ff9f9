"""The streams scenario: how many cameras at 25 fps one candidate serves with p99 of latency under a bound."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from slrbench.measure.load.candidate import Loaded, known_percentiles
from slrbench.measure.load.schedule import VIDEO_HZ
from slrbench.measure.load.search import disturbed_words, highest_count, to_be_retried
from slrbench.measure.load.settings import LONGEST, MOST_STREAMS, LoadSettings
from slrbench.measure.load.streams import SHARE
from slrbench.records import LoadRun
from slrbench.statistics.percentiles import MIN_SAMPLES, percentile, percentile_if_known
from slrbench.statistics.tails import allowed_above, samples_needed, upper_bound

LEAST_PERIODS = 4
"""Clips of each stream in a point, at least: whether a server keeps up shows over periods."""

MOST_SHORT = 14
"""Short trials of a search, at most."""

STEPS_DOWN = (0.1, 0.1, 0.1, 0.2, 0.2, 0.4, 0.4, 0.4)
"""By how much fewer streams are tried where a long trial fails at what short ones found."""

ENDINGS = {"queue": "the queue was full", "late": "too many clips were late"}

AskPoint = Callable[[int, float], dict[str, Any]]
"""Runs a point of so many streams for so many seconds and answers what ``streams.Point`` holds."""


@dataclass(frozen=True, kw_only=True)
class Tried:
    """A point that was run, and its judgement."""

    streams: int
    bound_s: float
    latencies_s: list[float]
    planned: int
    ended: str
    kept_up: bool
    late: int
    lateness_s: list[float]
    busy_share: float

    @property
    def within(self) -> bool:
        """Whether these samples' p99 is under the bound and the server kept up."""
        return not self.ended and self.kept_up

    @property
    def sure(self) -> bool:
        """Whether p99 is under the bound with 99 % confidence (MLPerf's early stopping)."""
        return self.within and self.p99_bound_s is not None and self.p99_bound_s <= self.bound_s

    @property
    def p99_bound_s(self) -> float | None:
        """p99 is no longer than this with 99 % confidence; None where there are too few clips to say so of any time."""
        bound = upper_bound(self.latencies_s, SHARE)
        # From 459 samples on it is said of the longest one, which is no sample's rank that MLPerf would discard.
        known = allowed_above(len(self.latencies_s), SHARE) >= 0
        return bound if bound is not None else max(self.latencies_s) if known and self.latencies_s else None

    def words(self) -> str:
        """Why it is not within, or not sure."""
        if self.ended:
            return f"{ENDINGS[self.ended]} after {len(self.latencies_s)} of {self.planned} clips"
        if not self.kept_up:
            return "the server fell behind: it was never idle at the end"
        needed = _clips_needed(self.late)
        return (
            f"p99 under {1e3 * self.bound_s:g} ms rests on {len(self.latencies_s)} clips, {self.late} of them late; "
            f"99 % confidence takes {needed}"
        )

    def figures(self) -> dict[str, float]:
        """As the report shows it."""
        found = {
            "streams": float(self.streams),
            "samples": float(len(self.latencies_s)),
            "planned": float(self.planned),
            "late": float(self.late),
            "within": float(self.within),
            "kept_up": float(self.kept_up),
            "sure": float(self.sure),
            "busy_share": self.busy_share,
        }
        if self.latencies_s:
            found |= {"p50_s": percentile(self.latencies_s, 0.5), "max_s": max(self.latencies_s)}
        p99_s = percentile_if_known(self.latencies_s, SHARE)
        if p99_s is not None:
            found["p99_s"] = p99_s
        if self.p99_bound_s is not None:
            found["p99_bound_s"] = self.p99_bound_s
        if self.lateness_s:
            found["wake_p50_s"], found["wake_max_s"] = percentile(self.lateness_s, 0.5), max(self.lateness_s)
        return found


def clip_period_s(frames: int, stride: int | None) -> float:
    """From one clip of a camera to its next."""
    return (stride or frames) / VIDEO_HZ


def find_streams(
    ask: AskPoint,
    *,
    wanted: int | None,
    start: int,
    seconds: float,
    period_s: float,
    bound_s: float,
    progress: Callable[[str], None] = lambda text: None,
) -> tuple[Tried | None, list[Tried]]:
    """Search, then go on with what was found until its p99 is sure or the time is up.

    Args:
        ask: runs a point.
        wanted: this many streams and no others; None searches.
        start: where the search starts.
        seconds: of a point.
        period_s: from one clip of a camera to its next.
        bound_s: latency bound.
        progress: told what is being tried.

    Returns:
        The last point within the bound, None where none was; and all points, in the order in which they were run.
    """
    tried: list[Tried] = []

    def run(streams: int, least_clips: int = 0) -> Tried:
        progress(f"{streams} streams")
        length = max(seconds, LEAST_PERIODS * period_s)
        length = min(max(length, least_clips * period_s / streams), max(length, LONGEST * seconds))
        tried.append(_judge(streams, ask(streams, length), bound_s))
        return tried[-1]

    if wanted is None:
        found = highest_count(
            lambda streams: run(streams).within, start=start, most=MOST_STREAMS, most_trials=MOST_SHORT
        )
    else:
        found = wanted if run(wanted).within else 0
    best = next((point for point in reversed(tried) if found and point.streams == found), None)
    if best is None or best.sure:
        return best, tried
    # Short points find about how many; a long one is to be sure. Where it fails, fewer are tried, each for as long.
    longer = run(best.streams, max(MIN_SAMPLES[SHARE], _clips_needed(max(1, 2 * best.late))))
    for step in STEPS_DOWN if wanted is None else ():
        if longer.within or longer.streams == 1:
            break
        fewer = min(longer.streams - 1, int((1.0 - step) * longer.streams))
        longer = run(fewer, MIN_SAMPLES[SHARE])
        if to_be_retried(verdicts_of(tried)):
            longer = run(fewer, MIN_SAMPLES[SHARE])
    return longer if longer.within else None, tried


def verdicts_of(tried: Sequence[Tried]) -> list[tuple[float, bool]]:
    """Streams and whether they were within the bound, in the order of the trials."""
    return [(float(point.streams), point.within) for point in tried]


def _clips_needed(late: int) -> int:
    """Clips from which p99 is sure with so many of them late: with none, none need be left out of MLPerf's bound."""
    return samples_needed(SHARE, allowed=late + 1 if late else 0)


def _judge(streams: int, point: dict[str, Any], bound_s: float) -> Tried:
    return Tried(
        streams=streams,
        bound_s=bound_s,
        latencies_s=list(point["latencies_s"]),
        planned=point["planned"],
        ended=point["ended"],
        kept_up=point["kept_up"],
        late=sum(latency > bound_s for latency in point["latencies_s"]),
        lateness_s=list(point["lateness_s"]),
        busy_share=point["busy_s"] / point["elapsed_s"] if point["elapsed_s"] > 0.0 else 1.0,
    )


def run_streams(loaded: Loaded, settings: LoadSettings, progress: Callable[[str], None]) -> LoadRun:
    """The streams scenario of one candidate."""
    candidate = loaded.candidate
    period_s = clip_period_s(candidate.frames, settings.stride)
    bound_s = settings.bound_s
    if loaded.fast_call_s > bound_s:
        return _none(loaded, settings, f"a single call takes {1e3 * loaded.fast_call_s:.0f} ms at the least")

    def ask(streams: int, seconds: float) -> dict[str, Any]:
        return loaded.ask(
            "load_point", takes_s=seconds + 10.0 * bound_s, streams=streams, period_s=period_s, seconds=seconds,
            seed=settings.seed, bound_s=bound_s,
        )  # fmt: skip

    wanted = None if settings.streams == "auto" else settings.streams
    start = max(1, int(0.7 * loaded.capacity * period_s))
    best, tried = find_streams(
        ask, wanted=wanted, start=start, seconds=settings.seconds, period_s=period_s, bound_s=bound_s,
        progress=progress,
    )  # fmt: skip
    shown = best or tried[-1]
    sure = best is not None and best.sure
    reasons = [
        "" if sure else f"{shown.streams} streams: {shown.words()}",
        disturbed_words(verdicts_of(tried), best.streams if best is not None else 0, "streams"),
    ]
    return LoadRun(
        candidate=candidate,
        scenario="streams",
        settings=_settings(loaded, settings),
        valid=sure,
        figure=_figure(best, tried),
        percentiles_s=known_percentiles(shown.latencies_s),
        samples=len(shown.latencies_s),
        points=tuple(point.figures() for point in tried),
        reason="; ".join(filter(None, reasons)),
    )


def _figure(best: Tried | None, tried: Sequence[Tried]) -> float | None:
    """Streams that are sustained; 0 where not even one is, None where the trials ended before that was known."""
    if best is not None:
        return float(best.streams)
    return 0.0 if tried[-1].streams == 1 else None


def _none(loaded: Loaded, settings: LoadSettings, reason: str) -> LoadRun:
    return LoadRun(
        candidate=loaded.candidate, scenario="streams", settings=_settings(loaded, settings), valid=False, figure=0.0,
        reason=reason,
    )  # fmt: skip


def _settings(loaded: Loaded, settings: LoadSettings) -> dict[str, Any]:
    candidate = loaded.candidate
    return {
        "streams": settings.streams,
        "latency_bound_s": settings.bound_s,
        "percentile": SHARE,
        "frames": candidate.frames,
        "stride": settings.stride or candidate.frames,
        "frames_per_s": VIDEO_HZ,
        "seconds": settings.seconds,
        "seed": settings.seed,
        "inputs": loaded.source,
    }
