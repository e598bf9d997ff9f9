"""Load scenarios and streams, for people; and the figure of streams that a row of the report repeats."""

from collections.abc import Iterable, Sequence

from slrbench.records import Candidate, LoadRun
from slrbench.reporting.display import MISSING, backend_on, milliseconds, number
from slrbench.reporting.markdown import Cells, bullets, paragraphs, table, text
from slrbench.statistics.percentiles import MIN_SAMPLES

_WHO = {
    "artifact_sha256", "model", "backend", "format", "precision", "variant", "device", "threads", "batch", "frames",
    "height", "width", "input_kind",
}  # fmt: skip


def streams_of(report_load: Sequence[LoadRun], candidate: Candidate) -> int | None:
    """Streams that a candidate sustains; None where that was not found out.

    A number whose p99 is not known with 99 % confidence is none; that not even one stream is sustained is 0.
    """
    for run in report_load:
        if run.scenario == "streams" and run.figure is not None and _same(run.candidate, candidate):
            return int(run.figure) if run.valid or run.figure == 0.0 else None
    return None


def _same(one: Candidate, other: Candidate) -> bool:
    """Whether they are one candidate; paths are shortened and verdicts filled in where a report is written."""
    return one.model_dump(include=_WHO) == other.model_dump(include=_WHO)


def load_section(load: Sequence[LoadRun]) -> str:
    """All tables of load; empty where the report has none."""
    return paragraphs(
        loadgen_table(load), _loadgen_note(load), streams_table(load), _stream_lines(load), _streams_note(load),
        _reasons(load),
    )  # fmt: skip


def load_summary(load: Sequence[LoadRun]) -> str:
    """What a terminal shows of it: LoadGen's table, a line per candidate and streams, and what the words mean."""
    return paragraphs(
        loadgen_table(load), _loadgen_note(load), _stream_lines(load), _streams_note(load), _reasons(load)
    )


def loadgen_table(load: Sequence[LoadRun]) -> str:
    """LoadGen's scenarios: the figure, latencies from intended arrival, and how LoadGen's result agrees with ours."""
    by_candidate: dict[str, list[LoadRun]] = {}
    for run in _of_loadgen(load):
        by_candidate.setdefault(load_name(run.candidate, load), []).append(run)
    headers = ["Scenario", "Figure", "", "p50 (ms)", "p90 (ms)", "p99 (ms)", "Queries", "Valid", "Agrees"]
    # A table each: a name beside nine columns would leave no room on a screen.
    return paragraphs(
        *(
            paragraphs(f"{text(name)}:", table(headers, map(_loadgen_cells, runs), left=1))
            for name, runs in by_candidate.items()
        )
    )


def _of_loadgen(load: Sequence[LoadRun]) -> list[LoadRun]:
    return [run for run in load if run.scenario != "streams"]


def _of_streams(load: Sequence[LoadRun]) -> list[LoadRun]:
    return [run for run in load if run.scenario == "streams"]


def _loadgen_note(load: Sequence[LoadRun]) -> str:
    runs = _of_loadgen(load)
    if not runs:
        return ""
    return (
        "Figure: SingleStream p90 and MultiStream (8 clips) p99 in ms, Server and Offline in clips/s, as LoadGen gives "
        "them; latencies are of our own clock, from the intended arrival. Agrees: the largest difference between the "
        f"two.{_server_note(runs)} MLPerf asks for 600 s of submissions; these runs are shorter."
    )


def _server_note(runs: Iterable[LoadRun]) -> str:
    bounds = {run.settings["latency_bound_s"] for run in runs if "latency_bound_s" in run.settings}
    said = " and ".join(milliseconds(bound) for bound in sorted(bounds))
    return f" Server: the highest Poisson rate found with p99 under {said} ms." if said else ""


def _loadgen_cells(run: LoadRun) -> Cells:
    latency = run.scenario in ("SingleStream", "MultiStream")
    return (
        run.scenario,
        milliseconds(run.figure) if latency else number(run.figure),
        "" if run.figure is None else "ms" if latency else "clips/s",
        *(milliseconds(run.percentiles_s.get(name)) for name in ("p50", "p90", "p99")),
        run.samples,
        "yes" if run.valid else "NO",
        agreement_words(run),
    )


def agreement_words(run: LoadRun) -> str:
    """The largest difference between any of LoadGen's figures and ours, in percent."""
    ratios = run.loadgen.get("agreement", {})
    if not ratios:
        return MISSING
    return f"{100.0 * max(abs(ratio - 1.0) for ratio in ratios.values()):.2f} %"


def streams_table(load: Sequence[LoadRun]) -> str:
    """How many cameras each candidate sustains, and the point beside it that fails."""
    runs = _of_streams(load)
    if not runs:
        return ""
    bound = milliseconds(runs[0].settings.get("latency_bound_s"))
    headers = ["Candidate", "Streams", f"p99 of {bound} (ms)", "At most", "Clips", "Sure"]
    return table(headers, [_streams_cells(run, load) for run in runs], left=1)


def _stream_lines(load: Sequence[LoadRun]) -> str:
    return bullets(stream_words(run, load) for run in _of_streams(load))


def _streams_note(load: Sequence[LoadRun]) -> str:
    runs = _of_streams(load)
    if not runs:
        return ""
    first = runs[0].settings
    return (
        f"A stream is a camera at 25 fps that delivers clips at its own times, every {first.get('stride', MISSING)} "
        "frames; latency counts from the arrival of a clip's last frame. p99 is given from 662 clips on. At most: "
        "p99 is no longer than this with 99 % confidence (MLPerf's early stopping; from 459 clips on). Sure: that is "
        "within the bound."
    )


def _streams_cells(run: LoadRun, load: Sequence[LoadRun]) -> Cells:
    best, _ = _around(run)
    return (
        load_name(run.candidate, load),
        MISSING if run.figure is None else int(run.figure),
        *(MISSING if best is None else milliseconds(value(best)) for value in (p99_of, _bound_of)),
        run.samples,
        "yes" if run.valid else "NO",
    )


def p99_of(point: dict[str, float]) -> float | None:
    """p99 of a trial; None where it has too few samples for one, whatever the report holds."""
    return point.get("p99_s") if point.get("samples", 0.0) >= MIN_SAMPLES[0.99] else None


def tail_of(point: dict[str, float]) -> float | None:
    """p99 of a trial, or its longest latency where it has too few samples."""
    known = p99_of(point)
    # Reports of before gave p99 of every trial; of up to 100 samples that is the longest.
    return known if known is not None else point.get("max_s", point.get("p99_s"))


def _bound_of(point: dict[str, float]) -> float | None:
    return point.get("p99_bound_s")


def _tail_words(point: dict[str, float], of: str = "") -> str:
    known = p99_of(point)
    if known is not None:
        return f"p99 {milliseconds(known)} ms{of}"
    bound = _bound_of(point)
    if bound is not None:
        return f"p99 <= {milliseconds(bound)} ms{of} with 99 % confidence"
    return f"longest {milliseconds(tail_of(point))} ms{of}"


def stream_words(run: LoadRun, load: Sequence[LoadRun]) -> str:
    """``student on onnx sustains 7 streams: p99 143 ms of 200; at 8: longest 412 ms, ended early``.

    Args:
        run: which.
        load: all runs of the report, from which the name tells it.
    """
    best, worse = _around(run)
    bound = milliseconds(run.settings.get("latency_bound_s"))
    name = load_name(run.candidate, load)
    more = ""
    if worse is not None:
        early = ", ended early" if worse.get("samples", 0.0) < worse.get("planned", 0.0) else ""
        behind = "" if early or worse.get("kept_up", 1.0) else ", falling behind"
        more = f"; at {int(worse['streams'])}: {_tail_words(worse)}{early}{behind}"
    if run.figure is None or best is None:
        return f"{name} sustains {'no stream' if run.figure == 0.0 else 'fewer'}{more or f': {run.reason}'}"
    count = int(run.figure)
    streams = "1 stream" if count == 1 else f"{count} streams"
    return f"{name} sustains {streams}: {_tail_words(best, f' of {bound}')}{more}"


def _around(run: LoadRun) -> tuple[dict[str, float] | None, dict[str, float] | None]:
    """The point of the result, the longest where there are several, and the lowest above it that fails."""
    here = [p for p in run.points if p["streams"] == run.figure and p.get("within")]
    above = [p for p in run.points if not p.get("within") and p["streams"] > (run.figure or 0.0)]
    best = max(here, key=lambda p: p["samples"], default=None)
    return best, min(above, key=lambda p: p["streams"], default=None)


def _reasons(load: Sequence[LoadRun]) -> str:
    return bullets(f"{load_name(run.candidate, load)}, {run.scenario}: {run.reason}" for run in load if run.reason)


def load_name(candidate: Candidate, load: Sequence[LoadRun]) -> str:
    """``student on onnx, 1 x 64``: with whatever of shape, size and threads the runs of this load differ in."""
    others = [run.candidate for run in load]
    shapes, sizes = {(c.batch, c.frames) for c in others}, {(c.height, c.width) for c in others}
    said = [
        f"{candidate.model} on {backend_on(candidate)}",
        f"{candidate.batch} x {candidate.frames}" if candidate.batch != 1 or len(shapes) > 1 else "",
        f"{candidate.height} x {candidate.width} px" if len(sizes) > 1 else "",
        f"threads {candidate.threads}" if len({c.threads for c in others}) > 1 else "",
    ]
    return ", ".join(word for word in said if word)
