"""What a report says of GPUs: device time and memory, the GPU's state while it was measured, or that there was none."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from slrbench.records import Measurement, Report
from slrbench.reporting.display import backend_on, megabytes, milliseconds
from slrbench.reporting.markdown import paragraphs, table

if TYPE_CHECKING:
    from slrbench.reporting.tables import Line

NOT_ON_A_GPU = "On the CPU only: not yet run on a GPU."
"""Stands in every report without a row of a GPU."""

_MEMORY = ("engine", "context", "buffers", "peak")
_UNITS = {"_hz": (1e6, "MHz"), "_mhz": (1.0, "MHz"), "_w": (1.0, "W"), "_c": (1.0, "°C"), "_bytes": (1e6, "MB")}
"""Suffix of a name to what its figure is divided by and the unit that is shown."""

_WHEN = ("before", "after")

_HARMLESS = {"", "none", "idle", "gpu_idle", "gpu idle", "applications_clocks_setting", "applications clocks setting"}
"""Reasons for a lower clock that do not disturb: nothing to do, or clocks that a person has set."""


def ran_on_a_gpu(report: Report) -> bool:
    """Whether any row is of a GPU."""
    return any(row.device != "cpu" for row in report.summary)


def gpu_table(report: Report, lines: Sequence["Line"]) -> str:
    """Device time and memory of the rows that have any; empty without a GPU."""
    shown = [line for line in lines if line.any.device != "cpu"]
    if not shown:
        return ""
    memory = _memory(report.measurements)
    times = any(line.any.device_p50_s is not None for line in shown)
    holders = [name for name in _MEMORY if any(name in memory.get(_key(line.any), {}) for line in shown)]
    headers = ["Model", "Backend", "B x T", "Compute p50 (ms)", *(["Device time (ms)"] if times else [])]
    body = []
    for line in shown:
        row = line.any
        of_row = memory.get(_key(row), {})
        body.append(
            (
                row.model,
                backend_on(row),
                f"{row.batch} x {row.frames}",
                milliseconds(line.compute.p50_s if line.compute else None),
                *([milliseconds(row.device_p50_s)] if times else []),
                *(megabytes(of_row.get(name)) for name in holders),
            )
        )
    return paragraphs(
        table([*headers, *(f"{name.capitalize()} (MB)" for name in holders)], body, left=3),
        "Device time: p50 between two events on the GPU's own stream, around run only. It leaves out what the host "
        "spends on launching work, so it is not comparable with any time of the host's clock, and no decision uses it."
        if times
        else "",
        f"Device memory by what holds it: {', '.join(holders)}." if holders else "",
    )


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
    """What of the GPU's state speaks against the figures: throttling, and processes of others."""
    throttled: dict[str, None] = {}
    shared = False
    for measurement in report.measurements:
        for path, value in _leaves(measurement.gpu):
            words = " ".join(path)
            if "throttle" in words:
                reason = path[-1] if value is True else str(value)
                if value not in (False, 0, None) and reason.lower() not in _HARMLESS:
                    throttled[reason] = None
            shared = shared or ("foreign" in words and value not in (False, 0, None, "none"))
    doubts = [f"The GPU lowered its clock while it was measured: {', '.join(throttled)}."] if throttled else []
    return doubts + (["Other processes used the GPU while it was measured."] if shared else [])


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
            yield from _leaves(inner, path if name in ("rounds", "state") else (*path, str(name)))
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _leaves(inner, path)
        if not value and path:
            yield path, "none"
    elif value is not None:
        yield path, value
