"""What workers found out beside times, as sections of report.md: energy, outputs of timed calls, cold starts."""

from collections.abc import Iterable, Sequence

from slrbench.records import Candidate, Energy, Measurement, OutputCheck
from slrbench.reporting.candidate_names import Namer
from slrbench.reporting.display import MISSING, TimeUnit, time_unit
from slrbench.reporting.markdown import Cells, bullets, first_that_fits, paragraphs, table, text

# --- energy -----------------------------------------------------------------------------------------------------------

_COUNTED = {
    "RAPL package": "RAPL package: the processor packages' own counters over calls back to back; what they take when "
    "idle and for other programs is included, memory and the rest of the machine are not",
    "NVML": "NVML: the GPU's own counter over calls back to back; what it takes when idle and for other programs is "
    "included, the host is not",
}
"""Source to what its figure holds."""


def energy_section(measurements: Sequence[Measurement]) -> str:
    """Where energy comes from or why there is none, once where it is the same for all; empty where nobody asked."""
    why = [(m.candidate, _energy_words(m.energy)) for m in measurements if m.energy is not None]
    if not why:
        return ""
    if len(why) == len(measurements) and len({words for _, words in why}) == 1:
        words = why[0][1]
        return text(f"{words[0].upper()}{words[1:]}.")
    return bullets(Namer(m.candidate for m in measurements).reasons(why))


def _energy_words(energy: Energy) -> str:
    if energy.joules is None:
        return (energy.unavailable or "not measured, the reason is not known").rstrip(".")
    return _COUNTED.get(energy.source, f"{energy.source}: over calls back to back")


# --- outputs of timed calls -------------------------------------------------------------------------------------------

_NETWORK = "fp32 network"
"""Is in ``OutputCheck.compared_with`` where that was one of the two."""


def outputs_section(measurements: Sequence[Measurement]) -> str:
    """Timed calls whose outputs were compared, with what and how they differ; empty where none were."""
    checked = [(m.candidate, m.output_check) for m in measurements if m.output_check is not None]
    if not checked:
        return ""
    namer = Namer(m.candidate for m in measurements)
    failed = not all(check.passed for _, check in checked)
    found = [
        (
            *(*namer.cells(c), _YES[check.decoded_alike], *([_YES[check.passed]] if failed else [])),
            *(check.calls, *_figures(check)),
        )
        for c, check in checked
    ]
    words = [*namer.headers, "Alike", *(["Passed"] if failed else [])]
    compared = [(c, f"compared with {check.compared_with}") for c, check in checked]
    alone = [(c, _why_not_network(c, measurements)) for c, check in checked if _NETWORK not in check.compared_with]
    unchecked = [(m.candidate, "no output of a timed call was compared") for m in measurements if not m.output_check]
    return paragraphs(
        table([*words, "Calls", "Error (log p)", "Again (x)"], found, left=len(words)),
        f"{'' if failed else 'All that were compared passed. '}Calls: timed calls whose output was compared. Alike: "
        "they decode to the same glosses. Error: the largest absolute difference of log-probabilities. Again: "
        "time with one clip over and over / with clips never seen, of each the shortest of some calls, the median of "
        "several pairs; far below 1, something caches.",
        bullets(namer.reasons([*compared, *alone, *unchecked])),
    )


_YES = {True: "yes", False: "NO", None: MISSING}


def _figures(check: OutputCheck) -> tuple[str, str]:
    error = MISSING if check.max_abs_error is None else f"{check.max_abs_error:.1e}"
    return error, (MISSING if check.repeated_ratio is None else f"{check.repeated_ratio:.2f}") + (
        " (caches)" if check.caches else ""
    )


def _is_network(c: Candidate) -> bool:
    """Whether others are compared with it: the network as it was trained, on the CPU."""
    return (c.backend, c.precision, c.variant, c.device) == ("torch", "fp32", "", "cpu")


def _why_not_network(c: Candidate, measurements: Iterable[Measurement]) -> str:
    if _is_network(c):
        return "it is the fp32 network itself"
    fed = _fed(c)
    if any(_is_network(m.candidate) and _fed(m.candidate) == fed for m in measurements):
        return "not compared with the fp32 network: its outputs were not known when these were compared"
    return "not compared with the fp32 network: no row of torch in fp32 on the CPU at the same shape in this run"


def _fed(c: Candidate) -> tuple[object, ...]:
    return c.model, c.batch, c.frames, c.height, c.width, c.input_kind


# --- cold start -------------------------------------------------------------------------------------------------------


def cold_start_section(measurements: Sequence[Measurement]) -> str:
    """The range of cold starts over fresh processes, whole and in parts; empty where there are none."""
    starts = [(m.candidate, found) for m in measurements if (found := [parts for parts in m.cold_starts if parts])]
    if not starts:
        return ""
    namer = Namer(m.candidate for m in measurements)
    unit = time_unit(sum(parts.values()) for _, found in starts for parts in found)
    names = list(dict.fromkeys(name for _, found in starts for parts in found for name in parts))

    def ranges(names: Sequence[str]) -> list[list[str]]:
        return [[_range([parts[n] for parts in found if n in parts], unit) for n in names] for _, found in starts]

    who = [namer.cells(c) for c, _ in starts]
    whole = [(len(found), _range([sum(parts.values()) for parts in found], unit)) for _, found in starts]
    first, left = ["Processes", f"Cold start ({unit.name})"], len(namer.headers)
    of_parts = [f"{name.capitalize()} ({unit.name})" for name in names]
    sums = table([*namer.headers, *first], _beside(who, whole), left=left)
    together = table([*namer.headers, *first, *of_parts], _beside(who, whole, ranges(names)), left=left)
    parts_alone = table([*namer.headers, *of_parts], _beside(who, ranges(names)), left=left)
    return paragraphs(
        first_that_fits((together, paragraphs(sums, parts_alone), sums)),
        "Least to most over the fresh processes. Import is the runtime's; what a network needs besides, such as "
        "torchvision for a student on torch, is loaded with it. With the file in the page cache, since its hash is "
        "checked just before: a first start after a boot reads the file from the disk as well.",
    )


def _beside(*columns: Sequence[Cells]) -> list[Cells]:
    return [[cell for cells in of_row for cell in cells] for of_row in zip(*columns, strict=True)]


def _range(times_s: Sequence[float], unit: TimeUnit) -> str:
    if not times_s:
        return MISSING
    low, high = unit(min(times_s)), unit(max(times_s))
    return low if low == high else f"{low} to {high}"
