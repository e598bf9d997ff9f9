"""Bring the clips of a corpus into its cache before anything waits for them, and name those that cannot be read."""

from collections.abc import Callable, Sequence
from pathlib import Path

from slrbench.data.corpus import Corpus
from slrbench.errors import BadInputError

Progress = Callable[[str, int, int], None]


def check_cache(folder: Path | None) -> None:
    """Raises BadInputError where what is to be the folder of the cache is a file."""
    if folder is not None and folder.is_file():
        raise BadInputError(f"--cache {folder} is a file", hint="name a folder; it is made where there is none")


def fill_cache(
    corpus: Corpus,
    *,
    workers: int,
    progress: Progress,
    say: Callable[[str], None],
    splits: Sequence[str] = ("train", "dev", "test"),
    limit: int | None = None,
) -> None:
    """Decode every clip of the splits that is not in the cache yet; nothing to do for a corpus without one.

    Clips that cannot be read are named, and left to training and evaluation, which go on without them.

    Args:
        corpus: any corpus.
        workers: processes that decode; 0 decodes in this one.
        progress: told what is done, clips done, and clips in all.
        say: told in a line what was done.
        splits: their clips.
        limit: only the first so many clips of each split.

    Raises:
        RunFailedError: the disk is full, or a worker process was killed.
        OSError: the cache cannot be written.
    """
    if getattr(corpus, "cache", None) is None:
        return
    # What reads pictures and videos is not on every machine that evaluates packed clips.
    from slrbench.data.cache import fill
    from slrbench.data.indexed import IndexedCorpus

    if not isinstance(corpus, IndexedCorpus):
        return
    sources = [clip.source for name in splits for clip in corpus.clips(name)[:limit]]
    report = fill(
        corpus.reader, sources, workers=workers, progress=lambda done, total: progress("filling the cache", done, total)
    )
    for one in report.unreadable:
        say(f"cache: cannot be read: {one.fault}")
    if report.written or report.unreadable:
        say(
            f"cache: {report.written} clips decoded, {report.kept} were there, {len(report.unreadable)} cannot be read "
            f"({corpus.cache})"
        )
