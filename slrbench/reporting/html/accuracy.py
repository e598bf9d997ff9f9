"""Word error rates with their intervals, and the difference to the fp32 checkpoint."""

from slrbench.records import Accuracy, Report
from slrbench.reporting.display import percent, with_input
from slrbench.reporting.html.charts.axes import in_unit
from slrbench.reporting.html.charts.drawing import Drawing
from slrbench.reporting.html.charts.rows import Axis, Row, rows_picture
from slrbench.reporting.html.charts.scale import Scale
from slrbench.reporting.html.figure import figure
from slrbench.reporting.html.from_markdown import to_html
from slrbench.reporting.html.markup import Markup
from slrbench.reporting.html.names import model_class


def accuracy_figure(report: Report, words: str) -> Markup | None:
    """A dot, an interval where it is known, and report.md's ``words`` on them; None where nothing was evaluated."""
    if not report.accuracies:
        return None
    rows = [_row(report, accuracy) for accuracy in report.accuracies]
    ends = [end for a in report.accuracies if a.wer_interval for end in (a.wer_interval.low, a.wer_interval.high)]
    values = [0.0, *(a.wer for a in report.accuracies), *ends]
    said = "; ".join(f"{row.name}: {row.figure}" for row in rows)
    picture = rows_picture(
        rows, Axis(values, in_unit(1e-2), "WER, %", log=False), f"Word error rate of each file. {said}.", height=14.0
    )
    caption = "Word error rate of each very file, as it was timed. " + (
        "Bars: 95 % intervals by bootstrap over clips. " if ends else ""
    )
    return figure(picture, caption + "Left is better.", table=to_html(words, "word error rates"))


def _name(accuracy: Accuracy) -> str:
    words = [with_input(accuracy.backend, accuracy.input_kind, accuracy.variant)]
    words += [accuracy.precision] if accuracy.precision != "fp32" else []
    words += [accuracy.device] if accuracy.device != "cpu" else []
    return f"{accuracy.model} on {' '.join(words)}"


def _row(report: Report, accuracy: Accuracy) -> Row:
    colour = model_class(report, accuracy.model)

    def draw(drawing: Drawing, x: Scale, y: float) -> None:
        interval = accuracy.wer_interval
        if interval is not None:
            drawing.line(x(interval.low), y, x(interval.high), y, f"bar {colour}")
        drawing.circle(x(accuracy.wer), y, 4.5, f"point {colour}")

    return Row(f"{_name(accuracy)}, {accuracy.split}", f"{percent(accuracy.wer)} %", draw)
