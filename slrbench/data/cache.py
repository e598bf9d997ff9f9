"""Reading many clips into the cache, in worker processes."""

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field

from slrbench.data.sources import ClipSource, FrameReader, source_name
from slrbench.errors import BadInputError, RunFailedError

Progress = Callable[[int, int], None]

_AHEAD = 4  # tasks that wait for each worker: enough to keep it busy, few enough to stop soon after an error


@dataclass(frozen=True, kw_only=True)
class Unreadable:
    """A source that gives no clip."""

    index: int
    """Its place among the sources that were given."""
    name: str
    fault: str


@dataclass(kw_only=True)
class FillReport:
    """What became of the sources."""

    written: int = 0
    """Clips that were decoded and written."""
    kept: int = 0
    """Clips that were in the cache."""
    unreadable: list[Unreadable] = field(default_factory=list)
    """In the order of the sources."""


def fill(
    reader: FrameReader, sources: Sequence[ClipSource], *, workers: int = 0, progress: Progress | None = None
) -> FillReport:
    """Bring every clip into the reader's cache, so that training decodes nothing; what is there is not made again.

    A clip that is in the cache is not read here: its checksum is compared when it is first used. May be interrupted,
    or killed, at any time, and may run twice at once: a clip is in the cache whole or not at all.

    Args:
        reader: has the folder of the cache, and the frame size.
        sources: the clips.
        workers: processes that decode; 0 decodes in this one.
        progress: told how many clips are done, of how many.

    Raises:
        ValueError: the reader has no cache.
        RunFailedError: the disk is full, or a worker process was killed.
        OSError: the cache cannot be written.
    """
    if reader.shards is None:
        raise ValueError("the reader has no cache to fill")
    reader.shards.sweep()
    report = FillReport()
    for index, (fault, done) in _each(reader, sources, workers, progress):
        report.written += done == "written"
        report.kept += done == "kept"
        if fault is not None:
            report.unreadable.append(Unreadable(index=index, name=source_name(sources[index]), fault=fault))
    report.unreadable.sort(key=lambda one: one.index)
    return report


_Outcome = tuple[str | None, str]  # fault; "written" or "kept"


def _fill_one(reader: FrameReader, source: ClipSource) -> _Outcome:
    try:
        if reader.is_cached(source):
            return None, "kept"
        reader.read(source)
    except BadInputError as error:
        return error.message, ""
    return None, "written"


def _each(
    reader: FrameReader, sources: Sequence[ClipSource], workers: int, progress: Progress | None
) -> Iterator[tuple[int, _Outcome]]:
    """The outcome for each source, in the order in which they are done."""
    outcomes = _in_workers(reader, sources, workers) if workers else _here(reader, sources)
    for done, outcome in enumerate(outcomes, start=1):
        yield outcome
        if progress is not None:
            progress(done, len(sources))


def _here(reader: FrameReader, sources: Sequence[ClipSource]) -> Iterator[tuple[int, _Outcome]]:
    for index, source in enumerate(sources):
        yield index, _fill_one(reader, source)


def _in_workers(reader: FrameReader, sources: Sequence[ClipSource], workers: int) -> Iterator[tuple[int, _Outcome]]:
    # Fresh processes: a fork of a process with threads (torch's, OpenMP's) may hang.
    context = multiprocessing.get_context("spawn")
    places: dict[Future[_Outcome], int] = {}
    pool = ProcessPoolExecutor(min(workers, max(1, len(sources))), mp_context=context)
    try:
        for index, source in enumerate(sources):
            places[pool.submit(_fill_one, reader, source)] = index
            while len(places) >= _AHEAD * workers:
                yield from _finished(places)
        while places:
            yield from _finished(places)
    except BrokenProcessPool as error:
        raise RunFailedError(
            "a process that reads clips was killed, most likely because the memory was full",
            hint="the same command goes on where it stopped; give fewer --workers",
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _finished(places: dict[Future[_Outcome], int]) -> Iterator[tuple[int, _Outcome]]:
    for future in wait(places, return_when=FIRST_COMPLETED).done:
        yield places.pop(future), future.result()
