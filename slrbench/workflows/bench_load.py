"""Load scenarios of a benchmark: one candidate at a time, after the rounds, each in a fresh process."""

import re
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np

from slrbench.errors import SlrbenchError
from slrbench.measure.load.candidate import Loaded, call_seconds
from slrbench.measure.load.loadgen import require_loadgen
from slrbench.measure.load.loadgen_runs import run_scenario, with_relative_files
from slrbench.measure.load.settings import LoadSettings
from slrbench.measure.load.stream_search import run_streams
from slrbench.measure.process import Worker
from slrbench.measure.rounds import open_in
from slrbench.measure.sampling import SamplingRule
from slrbench.measure.timing_inputs import InputSource, noise_inputs
from slrbench.records import Candidate, LoadRun

Progress = Callable[[str, int, int], None]

FOLDER = "load"
"""Beside report.json: ``load/<candidate>/<scenario>`` holds LoadGen's log files."""

_LIMIT_S = 300.0


def check_load(settings: LoadSettings) -> None:
    """What can be refused before anything is measured.

    Raises:
        BadInputError: the settings make no sense.
        UnavailableError: LoadGen is asked for and not installed.
    """
    settings.check()
    if settings.scenarios:
        require_loadgen()


def run_load(
    candidates: Sequence[Candidate],
    settings: LoadSettings,
    *,
    folder: Path | None,
    inputs: InputSource = noise_inputs,
    progress: Progress | None = None,
    limit_s: float = _LIMIT_S,
) -> tuple[LoadRun, ...]:
    """Every scenario of every candidate; where one cannot be run, its record says why and the others go on.

    Args:
        candidates: what to load, in the order in which it is done.
        settings: which scenarios, and how much.
        folder: the report's; LoadGen's log files go below it. None keeps none.
        inputs: the clips of a candidate.
        progress: told what is being done, between tests.
        limit_s: time for one command of a worker, beyond what the command is meant to take.

    Raises:
        OSError: the folder cannot be written, or the disk is full.
    """
    names = (*settings.scenarios, *(("streams",) if settings.streams is not None else ()))
    done: list[LoadRun] = []
    with tempfile.TemporaryDirectory(prefix="slrbench-load-") as scratch:
        place = folder if folder is not None else Path(scratch) / "report"
        for candidate in candidates:
            tell = partial(_tell, progress, candidate, done, len(names) * len(candidates))
            waiting = list(names)
            while waiting:  # once, and again after a scenario in which the worker died
                try:
                    with Worker(threads=candidate.threads) as worker:
                        loaded = _open(worker, candidate, inputs, Path(scratch), limit_s)
                        while waiting and worker.alive:
                            name = waiting.pop(0)
                            done.append(_attempt(loaded, name, settings, place, partial(tell, name)))
                except SlrbenchError as error:  # it did not open, so none of what is left can be run
                    done += [_failed(candidate, name, error) for name in waiting]
                    waiting = []
    if progress is not None:
        progress("loading", len(done), len(done))
    if folder is None:
        return tuple(run.model_copy(update={"files": ()}) for run in done)
    return tuple(with_relative_files(run, folder) for run in done)


def _tell(
    progress: Progress | None, candidate: Candidate, done: list[LoadRun], total: int, scenario: str, what: str
) -> None:
    if progress is not None:
        progress(f"loading {candidate.model} on {candidate.backend}, {scenario}: {what}", len(done), total)


def _open(worker: Worker, candidate: Candidate, inputs: InputSource, scratch: Path, limit_s: float) -> Loaded:
    made = inputs(candidate)
    path = scratch / "clips.npy"
    first = scratch / "first.npy"
    np.save(path, made.videos)
    np.save(first, made.videos[0])
    open_in(worker, candidate, first_input=first, limit_s=limit_s)
    worker.ask("inputs", limit_s=limit_s, path=str(path))
    warm = worker.ask("warm_up", limit_s=limit_s, rule=asdict(SamplingRule()))
    typical, fastest = call_seconds(warm["samples_s"])
    return Loaded(
        candidate=candidate,
        worker=worker,
        clips=len(made.videos) * candidate.batch,
        source=made.source,
        call_s=typical,
        fast_call_s=fastest,
        limit_s=limit_s,
    )


def _attempt(
    loaded: Loaded, name: str, settings: LoadSettings, place: Path, progress: Callable[[str], None]
) -> LoadRun:
    try:
        if name == "streams":
            return run_streams(loaded, settings, progress)
        return run_scenario(
            loaded, name, settings, place / FOLDER / candidate_folder(loaded.candidate) / name, progress
        )
    except SlrbenchError as error:
        return _failed(loaded.candidate, name, error)


def _failed(candidate: Candidate, name: str, error: SlrbenchError) -> LoadRun:
    return LoadRun.model_validate(
        {"candidate": candidate, "scenario": name, "valid": False, "figure": None, "reason": error.message}
    )


def candidate_folder(candidate: Candidate) -> str:
    """A name of the candidate that is a folder's, and no other candidate's of the same report."""
    c = candidate
    words = (
        c.model, c.backend, c.variant, c.precision, c.input_kind, c.device, f"t{c.threads}",
        f"{c.batch}x{c.frames}x{c.height}x{c.width}",
    )  # fmt: skip
    return "-".join(re.sub(r"[^A-Za-z0-9._=]+", "_", word) for word in words if word)
