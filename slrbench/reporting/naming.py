"""What tells the rows of one report apart: model, backend, shape, and each axis of which a model has several values."""

from collections.abc import Callable, Iterable, Sequence

from slrbench.records import SummaryRow
from slrbench.reporting.display import backend_on, row_name


def shape(row: SummaryRow) -> str:
    """Batch and frames in one cell."""
    return f"{row.batch} x {row.frames}"


def size(row: SummaryRow) -> str:
    """Height and width of the frames."""
    return f"{row.height} x {row.width}"


def threads_words(row: SummaryRow) -> str:
    """``1 thread`` or ``2 threads``."""
    return f"{row.threads} thread{'s' if row.threads > 1 else ''}"


_AXES: dict[str, Callable[[SummaryRow], str]] = {"Threads": lambda row: str(row.threads), "Size": size}
_IN_WORDS: dict[str, Callable[[SummaryRow], str]] = {
    "Threads": threads_words,
    "Size": lambda row: f"{size(row)} pixels",
}


class Naming:
    """Names of the rows of one report, in cells of a table and in sentences."""

    def __init__(self, rows: Sequence[SummaryRow]) -> None:
        """``rows``: all of the report."""
        self._short = short_names(row.model for row in rows)
        self._swept = [axis for axis, of_row in _AXES.items() if _several(rows, of_row)]

    @property
    def headers(self) -> list[str]:
        """Of the columns that :meth:`__call__` fills; all are text."""
        return ["Model", "Backend", "B x T", *self._swept]

    def __call__(self, row: SummaryRow) -> tuple[str, ...]:
        """A cell for each of the headers."""
        return (self._short[row.model], backend_on(row), shape(row), *self.swept(row).values())

    def swept(self, row: SummaryRow) -> dict[str, str]:
        """Header to cell of the axes of which some model has more than one value."""
        return {axis: _AXES[axis](row) for axis in self._swept}

    def at(self, row: SummaryRow) -> str:
        """``1 x 32``, with the swept axes behind it: ``1 x 32, 4 threads``."""
        return ", ".join([shape(row), *(_IN_WORDS[axis](row) for axis in self._swept)])

    def sentence(self, row: SummaryRow) -> str:
        """``student on onnx (fp32, cpu) at 1 x 32, 4 threads``."""
        return f"{row_name(row)} at {self.at(row)}"


def short_names(models: Iterable[str]) -> dict[str, str]:
    """Model to what it is called in a table: of random weights what comes before the options, where that is but one."""
    distinct = list(dict.fromkeys(models))
    short = {model: model.partition(":")[0] if model.startswith("untrained ") else model for model in distinct}
    return {model: name if list(short.values()).count(name) == 1 else model for model, name in short.items()}


def _several(rows: Iterable[SummaryRow], of_row: Callable[[SummaryRow], str]) -> bool:
    found: dict[str, set[str]] = {}
    for row in rows:
        found.setdefault(row.model, set()).add(of_row(row))
    return any(len(values) > 1 for values in found.values())
