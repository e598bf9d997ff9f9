"""The section of report.md about calls from a video's bytes to glosses."""

from slrbench.records import PixelsToGlosses, Report, SummaryRow
from slrbench.reporting.candidate_names import Namer
from slrbench.reporting.display import MISSING, TIME_UNITS
from slrbench.reporting.markdown import paragraphs, table
from slrbench.reporting.statistics import VIDEO_HZ


def pixels_section(report: Report) -> str:
    """Time of a call and of its parts; empty where no video was timed."""
    rows = [row for row in report.summary if row.scope == "pixels_to_glosses" and row.measurement is not None]
    shown = [(row, report.measurements[row.measurement or 0]) for row in rows]
    found = [(row, m, m.pixels) for row, m in shown if m.pixels is not None]
    if not found:
        return ""
    namer = Namer(m.candidate for m in report.measurements)
    unit = TIME_UNITS[1]  # decoding CTC is a small part: in seconds it would be zero
    names = list(dict.fromkeys(name for _, _, pixels in found for name in pixels.parts_s))
    cells = [
        (
            *namer.cells(m.candidate),
            unit(row.p50_s),
            unit(row.p90_s) if row.p90_s is not None else MISSING,
            *(unit(pixels.parts_s[name]) if name in pixels.parts_s else MISSING for name in names),
            f"{real_time(row):.1f}",
        )
        for row, m, pixels in found
    ]
    parts = [f"{'CTC' if name == 'ctc' else name.capitalize()} ({unit.name})" for name in names]
    headers = [*namer.headers, f"p50 ({unit.name})", f"p90 ({unit.name})", *parts, "x real time"]
    return paragraphs(table(headers, cells, left=len(namer.headers)), _about([pixels for _, _, pixels in found]))


def real_time(row: SummaryRow) -> float:
    """Seconds of video per second of computing."""
    return row.frames / VIDEO_HZ / row.p50_s


def _about(found: list[PixelsToGlosses]) -> str:
    videos = dict.fromkeys(
        f"{one.video} ({one.source_height} x {one.source_width}, SHA-256 {one.video_sha256[:16]})" for one in found
    )
    return (
        f"From the bytes of {', '.join(videos)} in memory to glosses, one clip of T frames at a time: decode, resize "
        "and crop, network from host to host (with the normalisation of its input), greedy CTC decoding. Medians; "
        "taken once in each process, after its rounds."
    )
