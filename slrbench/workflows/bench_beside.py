"""What a benchmark measures beside its rounds: the machine's own peaks, and load. Kept in the journal as it ends."""

from collections.abc import Callable, Sequence
from pathlib import Path

from slrbench.measure.journal import Journal
from slrbench.measure.load.settings import LoadSettings
from slrbench.measure.peaks import better_of, measure_peaks
from slrbench.measure.timing_inputs import InputSource
from slrbench.records import Candidate, LoadRun, MachinePeak
from slrbench.workflows.bench_draft import candidate_name
from slrbench.workflows.bench_load import run_load

Progress = Callable[[str, int, int], None]


def peaks_now(
    candidates: Sequence[Candidate],
    journal: Journal,
    when: str,
    progress: Progress | None = None,
    *,
    before: Sequence[MachinePeak] = (),
) -> tuple[MachinePeak, ...]:
    """The machine's peaks at the candidates' threads and precisions; of two measurements in a run the better figures.

    Args:
        candidates: what will be, or was, measured.
        journal: where they are kept, and taken from where it has them.
        when: ``before`` or ``after`` the rounds.
        progress: told that they are measured.
        before: those of before the rounds.
    """
    known = journal.get("peaks", when)
    if known is not None:
        return tuple(MachinePeak.model_validate(each) for each in known["peaks"])
    if progress is not None:
        progress(f"measuring the machine's peaks {when} the rounds", 0, 1)
    found = measure_peaks(candidates)
    if before:
        found = better_of(before, found)
    journal.put({"peaks": [each.model_dump(mode="json") for each in found]}, "peaks", when)
    return found


def load_each(
    candidates: Sequence[Candidate],
    settings: LoadSettings,
    journal: Journal,
    *,
    folder: Path | None,
    inputs: InputSource,
    progress: Progress | None = None,
) -> tuple[LoadRun, ...]:
    """Every candidate under load, one after another; those that the journal holds are not loaded again.

    Raises:
        OSError: the folder cannot be written, or the disk is full.
    """
    runs: list[LoadRun] = []
    for candidate in candidates:
        of = ("load", candidate_name(candidate))
        known = journal.get(*of)
        if known is None:
            found = run_load([candidate], settings, folder=folder, inputs=inputs, progress=progress)
            known = {"runs": [run.model_dump(mode="json") for run in found]}
            if not any("was killed by" in run.reason for run in found):  # what ended the run may have ended it
                journal.put(known, *of)
        runs += [LoadRun.model_validate(run) for run in known["runs"]]
    return tuple(runs)
