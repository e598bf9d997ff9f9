"""The videos that timed calls rotate over. Shapes: N inputs, B clips, T frames, H height, W width."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
    elements = candidate.batch * 3 * candidate.frames * candidate.height * candidate.width
    size = elements * np.dtype(candidate.input_kind).itemsize
    if MOST_INPUTS * size <= BUDGET_BYTES:
        return MOST_INPUTS
    if available_bytes is None:
        import psutil

        available_bytes = int(psutil.virtual_memory().available)
    budget = max(BUDGET_BYTES, available_bytes // SHARE_OF_AVAILABLE)
    return max(LEAST_INPUTS, min(MOST_INPUTS, budget // size))


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
