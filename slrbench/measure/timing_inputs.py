"""The videos that timed calls rotate over. Shapes: N inputs, B clips, T frames, H height, W width."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slrbench.errors import RunFailedError
from slrbench.records import Candidate

MOST_INPUTS = 8
"""Different inputs in rotation, so that no runtime profits from seeing the same data again."""

LEAST_INPUTS = 2
BUDGET_BYTES = 256 << 20
"""Inputs may always take so much: every worker reads them."""
SHARE_OF_AVAILABLE = 8
"""Beyond it they may take one part in so many of the memory that is available: workers share them then."""


@dataclass(frozen=True, kw_only=True)
class TimingInputs:
    """Videos ``(N, B, 3, T, H, W)`` float32, or ``(N, B, T, H, W, 3)`` uint8, and where they come from, in words."""

    videos: NDArray[Any]
    source: str


InputSource = Callable[[Candidate], TimingInputs]


def input_count(candidate: Candidate, *, available_bytes: int | None = None) -> int:
    """How many inputs of this candidate's shape are used: 8, or fewer where memory does not allow it.

    ``available_bytes`` is the memory that is available, as the system says where it is not given.
    """
    size = input_bytes(candidate)
    if MOST_INPUTS * size <= BUDGET_BYTES:
        return MOST_INPUTS
    if available_bytes is None:
        import psutil

        available_bytes = int(psutil.virtual_memory().available)
    budget = max(BUDGET_BYTES, available_bytes // SHARE_OF_AVAILABLE)
    return max(LEAST_INPUTS, min(MOST_INPUTS, budget // size))


def input_bytes(candidate: Candidate) -> int:
    """Size of one input of this candidate's shape."""
    elements = candidate.batch * 3 * candidate.frames * candidate.height * candidate.width
    return elements * np.dtype(candidate.input_kind).itemsize


def noise_inputs(candidate: Candidate, *, seed: int = 0) -> TimingInputs:
    """Uniform noise over the whole range of the input."""
    generator = np.random.default_rng(seed)
    count = input_count(candidate)
    b, t, h, w = candidate.batch, candidate.frames, candidate.height, candidate.width
    if candidate.input_kind == "uint8":
        videos: NDArray[Any] = generator.integers(0, 256, (count, b, t, h, w, 3), dtype=np.uint8)
    else:
        videos = generator.random((count, b, 3, t, h, w), dtype=np.float32) * 2.0 - 1.0
    return TimingInputs(videos=videos, source=f"{count} inputs of uniform noise")


def fit_frames(frames: NDArray[np.uint8], wanted: int) -> NDArray[np.uint8]:
    """The first ``wanted`` frames of a clip ``(T, ...)``; a shorter clip is played again from its start."""
    if len(frames) == 0:
        raise ValueError("a clip without frames cannot be played again")
    return frames[np.arange(wanted) % len(frames)]


def clip_inputs(
    candidate: Candidate,
    clips: Sequence[NDArray[np.uint8]],
    normalise: Callable[[NDArray[np.uint8]], NDArray[np.float32]],
    *,
    source: str,
) -> TimingInputs:
    """Real clips ``(T, H, W, 3)``, each cut or repeated to the candidate's frames; clip after clip fills the batches.

    ``normalise`` maps raw frames ``(B, T, H, W, 3)`` to the network's input.
    """
    count = input_count(candidate)
    fitted = [fit_frames(clip, candidate.frames) for clip in clips]
    batches = [
        np.stack([fitted[(n * candidate.batch + b) % len(fitted)] for b in range(candidate.batch)])
        for n in range(count)
    ]
    videos = np.stack(batches if candidate.input_kind == "uint8" else [normalise(batch) for batch in batches])
    used = min(len(fitted), count * candidate.batch)
    return TimingInputs(
        videos=videos, source=f"{count} inputs of {used} {source}, cut or repeated to {candidate.frames} frames"
    )


@dataclass(frozen=True, kw_only=True)
class InputFiles:
    """Inputs as files that workers load: the first one alone, and all of them."""

    first: Path
    all: Path
    source: str
    sha256: str
    """Of the content."""


class InputStore:
    """The inputs of each shape, made once."""

    def __init__(self, make: InputSource, folder: Path) -> None:
        """Of ``make``, in files below ``folder``."""
        self._make = make
        self._folder = folder
        self._files: dict[tuple[Any, ...], InputFiles] = {}

    def of(self, candidate: Candidate) -> InputFiles:
        """The files of a candidate's shape.

        Raises:
            RunFailedError: they do not fit into the memory that is free.
            SlrbenchError: they cannot be made.
        """
        c = candidate
        key = (c.model, c.batch, c.frames, c.height, c.width, c.input_kind)
        if key not in self._files:
            self._files[key] = self._written(candidate)
        return self._files[key]

    def _written(self, candidate: Candidate) -> InputFiles:
        import psutil

        # Asked for before it is taken: Linux grants more than there is, and then ends the process that uses it. One
        # copy is what it takes to make them, one the worker's; what the network itself needs is not known.
        needed, free = 2 * input_count(candidate) * input_bytes(candidate), psutil.virtual_memory().available
        words = f"out of memory: the inputs of one call have {input_bytes(candidate) / 1e9:.1f} GB"
        hint = "use a smaller batch, fewer frames or a smaller size"
        if needed > free:
            raise RunFailedError(f"{words}, and {free / 1e9:.1f} GB are free", hint=hint)
        try:
            made = self._make(candidate)
            first, rest = (self._folder / f"{len(self._files)}-{name}.npy" for name in ("first", "all"))
            np.save(first, made.videos[0])
            np.save(rest, made.videos)
        except MemoryError as error:
            raise RunFailedError(words, hint=hint) from error
        # Of the first few: how many there are depends on the memory that is free.
        sha256 = hashlib.sha256(np.ascontiguousarray(made.videos[:LEAST_INPUTS]).data).hexdigest()
        return InputFiles(first=first, all=rest, source=made.source, sha256=sha256)
