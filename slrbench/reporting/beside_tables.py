"""What is measured beside latency, as sections of report.md: several requests in flight, the machine's roof."""

from collections.abc import Iterable, Iterator, Sequence

from slrbench.records import Candidate, MachinePeak, Measurement, ParallelRun, Report, SummaryRow
from slrbench.reporting.candidate_names import Namer
from slrbench.reporting.display import MISSING, number, percent
from slrbench.reporting.markdown import Cells, bullets, first_that_fits, paragraphs, table
from slrbench.reporting.pixel_tables import pixels_section
from slrbench.reporting.worker_tables import cold_start_section, energy_section, outputs_section


def beside_sections(report: Report) -> Iterator[tuple[str, str]]:
    """Title and text of each section; the text is empty where the report has nothing for it."""
    yield "Throughput with several requests", parallel_section(report.measurements)
    yield "Roofline", roofline_section(report)
    yield "Energy", energy_section(report.measurements)
    yield "Outputs of timed calls", outputs_section(report.measurements)
    yield "Cold start", cold_start_section(report.measurements)
    yield "Pixels to glosses", pixels_section(report)


# --- several requests in flight ---------------------------------------------------------------------------------------


def parallel_section(measurements: Sequence[Measurement]) -> str:
    """Clips per second by requests in flight, and why there are none for some; empty where nobody tried."""
    shown = [m for m in measurements if m.parallel]
    namer = Namer(m.candidate for m in measurements)
    reasons = namer.reasons((m.candidate, why) for m in measurements if (why := _why_not_parallel(m)))
    if not shown and all("parallel" not in m.actual for m in measurements):
        return ""
    counts = sorted({run.requests for m in shown for run in m.parallel})
    return paragraphs(
        first_that_fits((_beside_each_other(namer, shown, counts), _below_each_other(namer, shown))) if shown else "",
        "Calls host to host on all requests at once, which share the candidate's threads. Ratio: to the same file's "
        "one request in the same kind of pass; above 1, several are worth it."
        if shown
        else "",
        paragraphs("Not measured with more requests:", bullets(reasons)) if reasons else "",
    )


_FAILED = "throughput with several requests was not measured: "
"""Begins the warning of a process that ended in such a pass."""


def _why_not_parallel(m: Measurement) -> str:
    """Empty where nothing is missing."""
    if note := m.actual.get("parallel"):
        return str(note)
    if any(run.requests > 1 for run in m.parallel):
        return ""
    if m.candidate.device == "cpu" and m.candidate.threads == 1:
        return "one thread has room for one request"
    if m.candidate.device != "cpu":
        return "on a GPU one request is in flight here"
    if failed := [w.removeprefix(_FAILED) for w in m.warnings if w.startswith(_FAILED)]:
        return failed[-1]
    return "" if m.parallel else "no such pass was made"


def _clips_per_s(m: Measurement, run: ParallelRun) -> float | None:
    return run.calls * m.candidate.batch / run.seconds if run.seconds > 0 else None


def _ratio(m: Measurement, run: ParallelRun) -> float | None:
    one = next((_clips_per_s(m, other) for other in m.parallel if other.requests == 1), None)
    reached = _clips_per_s(m, run)
    return reached / one if one and reached is not None else None


def _beside_each_other(namer: Namer, shown: Sequence[Measurement], counts: Sequence[int]) -> str:
    """A line per candidate."""
    headers = [
        header
        for count in counts
        for header in (f"{count} req. (clips/s)", *([f"{count} req. (ratio)"] if count > 1 else []))
    ]
    rows: list[Cells] = []
    for m in shown:
        by_count = {run.requests: run for run in m.parallel}
        figures: list[str] = []
        for count in counts:
            run = by_count.get(count)
            figures.append(number(_clips_per_s(m, run) if run else None))
            if count > 1:
                figures.append(_two_decimals(_ratio(m, run) if run else None))
        rows.append((*namer.cells(m.candidate), *figures))
    return table([*namer.headers, *headers], rows, left=len(namer.headers))


def _below_each_other(namer: Namer, shown: Sequence[Measurement]) -> str:
    """A line per candidate and number of requests."""
    return table(
        [*namer.headers, "Requests", "Clips/s", "Ratio"],
        [
            (
                *namer.cells(m.candidate),
                run.requests,
                number(_clips_per_s(m, run)),
                MISSING if run.requests == 1 else _two_decimals(_ratio(m, run)),
            )
            for m in shown
            for run in m.parallel
        ],
        left=len(namer.headers),
    )


def _two_decimals(value: float | None) -> str:
    return MISSING if value is None else f"{value:.2f}"


# --- roofline ---------------------------------------------------------------------------------------------------------

_ROOF_WORDS = (
    "Of peak: the least time that the call could take here, the larger of its operations at the peak and its "
    "traffic at the bandwidth, over the compute p50; above 100 % can be, where fewer operations are done than counted "
    "or caches hold the traffic. Bound by: the larger of the two; overhead below 25 %, where neither explains the time."
)


def roofline_section(report: Report) -> str:
    """What the machine reaches by itself, and how near each row comes to it; empty where no peak was looked for."""
    rows = [row for row in report.summary if row.scope == "compute"]
    if not report.peaks:
        on_gpus = bool(rows) and all(row.device != "cpu" for row in rows)
        return f"Not measured: {_ONLY_ON_CPUS}." if on_gpus else ""
    of_row = [(row, report.measurements[row.measurement].candidate) for row in rows if row.measurement is not None]
    namer = Namer(candidate for _, candidate in of_row)
    lacking = [(c, _why_no_share(c, report.peaks)) for row, c in of_row if row.peak_share is None]
    reasons = namer.reasons(lacking)
    return paragraphs(
        _peaks(report.peaks),
        _shares(namer, of_row) if of_row else "",
        _ROOF_WORDS if of_row else "",
        paragraphs("Not measured:", bullets(reasons)) if reasons else "",
    )


_NOT_MEASURED = "not measured"
_ONLY_ON_CPUS = "the machine's peaks are those of its CPU, a GPU's are not measured"


def _peaks(peaks: Sequence[MachinePeak]) -> str:
    ways: dict[str, list[str]] = {}
    for p in peaks:
        of = f"{p.device}, {p.threads} thread{'s' * (p.threads > 1)}, {p.precision}"
        ways.setdefault(p.how or "no library could be timed", []).append(of)
    return paragraphs(
        table(
            ["Device", "Threads", "Precision", "Peak (GFLOP/s)", "Copy (GB/s)"],
            [(p.device, p.threads, p.precision, _giga(p.flops_per_s), _giga(p.bytes_per_s)) for p in peaks],
            left=3,
        ),
        bullets(f"{'; '.join(of)}: {how}" for how, of in ways.items()),
    )


def _giga(per_second: float | None) -> str:
    return _NOT_MEASURED if per_second is None else number(per_second, 1e9)


def _shares(namer: Namer, of_row: Sequence[tuple[SummaryRow, Candidate]]) -> str:
    return table(
        [*namer.headers, "Bound by", "Of peak (%)"],
        [
            (
                *namer.cells(candidate),
                row.bound_by,
                _NOT_MEASURED if row.peak_share is None else percent(row.peak_share),
            )
            for row, candidate in of_row
        ],
        left=len(namer.headers) + 1,
    )


def _why_no_share(c: Candidate, peaks: Iterable[MachinePeak]) -> str:
    if c.device != "cpu":
        return _ONLY_ON_CPUS
    if c.macs is None or c.traffic_bytes is None:
        return "its operations and its traffic were not counted, which takes torch"
    precision = "int8" if c.precision == "int8" else "fp32"
    peak = next((p for p in peaks if (p.device, p.threads, p.precision) == (c.device, c.threads, precision)), None)
    if peak is None:
        return "no peak was measured at its threads and precision"
    if not peak.flops_per_s:
        return f"no library's matrix product in {precision} could be timed"
    return "the copy could not be timed" if not peak.bytes_per_s else "no time was measured"
