"""What a report says of GPUs: device time and memory, the GPU's state while it was measured, or that there was none."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from slrbench.records import Measurement, Report
from slrbench.reporting.display import backend_on, megabytes, milliseconds
from slrbench.reporting.markdown import paragraphs, table

if TYPE_CHECKING:
    from slrbench.reporting.tables import Line

NOT_ON_A_GPU = "What this report covers was not yet run on a GPU."
"""Stands in every report without a row of a GPU."""

_PARTS = {
    "engine": "the engine's weights",
    "context": "its scratch memory",
    "buffers": "inputs and outputs",
    "peak": "the most that it used at a time, but for the first call at a shape",
    "reserved": "what it took from the driver",
    "first_call": "the most in those first calls, in which torch chooses kernels",
}
"""What a runtime says of its device memory, and what that means."""

_UNITS = {"_hz": (1e6, "MHz"), "_mhz": (1.0, "MHz"), "_w": (1.0, "W"), "_c": (1.0, "°C"), "_bytes": (1e6, "MB")}
"""Suffix of a name to what its figure is divided by and the unit that is shown."""

_WHEN = ("before", "after")

_DERIVED = ("summary", "round")
"""Parts of a state that are made from the others or are no figure."""


def ran_on_a_gpu(report: Report) -> bool:
    """Whether any row is of a GPU."""
    return any(row.device != "cpu" for row in report.summary)


def gpu_table(report: Report, lines: Sequence["Line"]) -> str:
    """Device time and memory of the rows of a GPU, as far as any has them; empty without a GPU."""
    shown = [line for line in lines if line.any.device != "cpu"]
    if not shown:
        return ""
    return paragraphs(_times(shown), _memories(shown, _memory(report.measurements)))


def _times(lines: Sequence["Line"]) -> str:
    if all(line.any.device_p50_s is None for line in lines):
        return ""
    cells = table(
        ["Model", "Backend", "B x T", "Compute p50 (ms)", "Device time (ms)"],
        [
            (
                *_who(line),
                milliseconds(line.compute.p50_s if line.compute else None),
                milliseconds(line.any.device_p50_s),
            )
            for line in lines
        ],
        left=3,
    )
    return paragraphs(
        cells,
        "Device time: p50 between two events on the GPU's own stream, around run only. It leaves out what the host "
        "spends on launching work, so it is not comparable with any time of the host's clock, and no decision uses it.",
    )


def _memories(lines: Sequence["Line"], memory: dict[tuple[Any, ...], dict[str, int]]) -> str:
    if not memory:
        return ""
    body = []
    for line in lines:
        of_row = memory.get(_key(line.any), {})
        parts = [f"{name.replace('_', ' ')} {megabytes(of_row[name])}" for name in _PARTS if name in of_row]
        body.append((*_who(line), ", ".join(parts), megabytes(of_row.get("process"))))
    named = [name for name in _PARTS if any(name in of_row for of_row in memory.values())]
    explained = "; ".join(f"{name.replace('_', ' ')}: {_PARTS[name]}" for name in named)
    return paragraphs(
        table(["Model", "Backend", "B x T", "As the runtime says (MB)", "Process"], body, left=4),
        "Process: the device memory (MB) of the whole process as the driver counts it, the most of the readings after "
        "its rounds." + (f" {explained[0].upper()}{explained[1:]}." if explained else ""),
    )


def _who(line: "Line") -> tuple[str, str, str]:
    return line.any.model, backend_on(line.any), f"{line.any.batch} x {line.any.frames}"


def _memory(measurements: Iterable[Measurement]) -> dict[tuple[Any, ...], dict[str, int]]:
    return {_key(m.candidate): m.device_memory_bytes for m in measurements if m.device_memory_bytes}


def _key(what: Any) -> tuple[Any, ...]:
    """What a row and its candidate share."""
    names = ("artifact_sha256", "backend", "precision", "variant", "device", "threads", "batch", "frames", "height")
    return (*(getattr(what, name) for name in names), what.width, what.input_kind)


# --- the GPU's state --------------------------------------------------------------------------------------------------


def gpu_lines(report: Report) -> list[str]:
    """The state of each GPU over all rounds of all its rows, a line per device; empty without one."""
    states: dict[str, list[dict[str, Any]]] = {}
    for measurement in report.measurements:
        if measurement.gpu:
            states.setdefault(measurement.candidate.device, []).append(measurement.gpu)
    return [f"{device} while measured: {', '.join(_state(of_device))}" for device, of_device in states.items()]


def gpu_doubts(report: Report) -> list[str]:
    """What of the GPU's state speaks against the figures: clocks that were held back, and processes of others."""
    summaries = [measurement.gpu.get("summary") or {} for measurement in report.measurements]
    slowed = dict.fromkeys(reason for summary in summaries for reason in summary.get("slowed_by") or ())
    doubts = [f"The GPU was held back while it was measured: {', '.join(slowed)}."] if slowed else []
    if any(summary.get("foreign_processes") for summary in summaries):
        doubts.append("Other processes used the GPU while it was measured.")
    return doubts


def _state(gpus: Iterable[dict[str, Any]]) -> list[str]:
    """Every figure of the state in words: the range where it changed, the value where it did not."""
    values: dict[tuple[str, ...], dict[str, dict[Any, None]]] = {}
    for gpu in gpus:
        for path, value in _leaves(gpu):
            when = next((word for word in path if word in _WHEN), "")
            name = tuple(word for word in path if word not in _WHEN)
            values.setdefault(name, {}).setdefault(when, {})[value] = None
    return [_figure(" ".join(name), by_time) for name, by_time in values.items()]


def _figure(name: str, by_time: dict[str, dict[Any, None]]) -> str:
    """``sm clock 1410 to 1560 MHz before, 1905 MHz after``, without a time where there is none."""
    suffix = next((suffix for suffix in _UNITS if name.endswith(suffix)), "")
    label = name.removesuffix(suffix).replace("_", " ")
    shown = {when: _range(list(values), suffix) for when, values in by_time.items()}
    if len(set(shown.values())) == 1:  # the same at all times
        text = next(iter(shown.values()))
    else:
        text = " and ".join(f"{words} {when}".strip() for when, words in shown.items())
    return text if label == "name" else f"{label} {text}"


def _range(values: list[Any], suffix: str) -> str:
    numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    if len(numbers) < len(values):
        words = {True: "yes", False: "no"}
        return " / ".join(words[value] if isinstance(value, bool) else str(value) for value in values)
    scale, unit = _UNITS.get(suffix, (1.0, ""))
    low, high = (f"{number / scale:.0f}" if suffix else f"{number:g}" for number in (min(numbers), max(numbers)))
    return (low if low == high else f"{low} to {high}") + (f" {unit}" if unit else "")


def _leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every figure below ``value`` with the names that lead to it; items of a list share theirs, an empty one is none.

    What is not known is left out.
    """
    if isinstance(value, dict):
        for name, inner in value.items():
            if name not in _DERIVED:
                yield from _leaves(inner, path if name == "rounds" else (*path, str(name)))
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _leaves(inner, path)
        if not value and path:
            yield path, "none"
    elif value is not None:
        yield path, value
