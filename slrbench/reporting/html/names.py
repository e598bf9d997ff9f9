"""What the rows of pictures are called, and which rows a picture compares."""

from collections import Counter
from collections.abc import Sequence

from slrbench.records import Candidate, Measurement, Report, SummaryRow
from slrbench.reporting.display import backend_on

Setting = tuple[object, ...]


def name_of(what: SummaryRow | Candidate) -> str:
    """``student on onnx (uint8) fp16``."""
    return f"{what.model} on {backend_on(what)}"


def shape_of(what: SummaryRow | Candidate) -> str:
    """Batch, frames and size of the frames."""
    return f"{what.batch} × {what.frames}, {what.height} × {what.width} px"


def setting_of(what: SummaryRow | Candidate) -> Setting:
    """What must be the same for times to be comparable."""
    machine = getattr(what, "machine", "")
    return what.batch, what.frames, what.height, what.width, what.threads, what.device, machine


def setting_words(what: SummaryRow | Candidate) -> str:
    """The setting for people."""
    threads = f"{what.threads} thread{'s' * (what.threads > 1)}"
    machine = getattr(what, "machine", "")
    return ", ".join(
        [
            f"batch {what.batch}, {what.frames} frames",
            f"{what.height} × {what.width} px",
            threads,
            what.device,
            *([machine] if machine else []),
        ]
    )


def decided_setting(report: Report, rows: Sequence[SummaryRow]) -> Setting | None:
    """That of the recommended row; where nothing is recommended, the one that most of ``rows`` have."""
    if not rows:
        return None
    decision = report.decision
    if decision is not None and decision.recommended is not None:
        return setting_of(report.summary[decision.recommended])
    counts = Counter(setting_of(row) for row in rows)
    return max(counts, key=lambda setting: counts[setting])


def row_of(report: Report, index: int) -> SummaryRow | None:
    """The end-to-end row of a measurement; older reports have no numbers, so the key is compared."""
    candidate = report.measurements[index].candidate
    rows = [row for row in report.summary if row.scope == "end_to_end"]
    numbered = next((row for row in rows if row.measurement == index), None)
    return numbered or next((row for row in rows if row.measurement is None and _same(row, candidate)), None)


_KEY = (
    "model",
    "backend",
    "precision",
    "variant",
    "device",
    "threads",
    "batch",
    "frames",
    "height",
    "width",
    "input_kind",
)


def _same(row: SummaryRow, candidate: Candidate) -> bool:
    return all(getattr(row, name) == getattr(candidate, name) for name in _KEY)


def is_baseline(report: Report, measurement: Measurement) -> bool:
    """Whether the others are compared with this measurement."""
    return report.baseline is not None and report.measurements[report.baseline] is measurement


def model_class(report: Report, model: str) -> str:
    """The colour's class of a model: one of six, the same in every picture."""
    models = list(dict.fromkeys(row.model for row in report.summary))
    return f"c{models.index(model) % 6 + 1}" if model in models else "c1"
