"""From clips to arrays: normalisation and padding. NumPy only.

Shapes: B clips, T frames, H height, W width, L labels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slrbench.data.corpus import Clip


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Clips of one step; clip b is valid in its first ``lengths[b]`` frames."""

    video: NDArray[np.uint8]  # (B, T, H, W, 3)
    lengths: NDArray[np.int64]  # (B,)
    labels: NDArray[np.int64]  # (sum of label_lengths,)
    label_lengths: NDArray[np.int64]  # (B,)
    clip_ids: tuple[str, ...] = ()  # B of them


def normalise(frames: NDArray[Any]) -> NDArray[np.float32]:
    """uint8 ``(..., T, H, W, 3)`` to float32 ``(..., 3, T, H, W)`` in [-1, 1]: ``x / 127.5 - 1``."""
    moved = np.moveaxis(frames, -1, -4)
    values = np.empty(moved.shape, dtype=np.float32)  # the only copy: of a long clip, each is hundreds of megabytes
    np.multiply(moved, np.float32(1 / 127.5), out=values, dtype=np.float32)
    values -= np.float32(1.0)
    return values


def collate(clips: Sequence[Clip]) -> Batch:
    """Pad on the right by repeating each clip's last frame, so that padding looks like a hand held still.

    Raises:
        ValueError: no clips, or frames of different sizes.
    """
    if not clips:
        raise ValueError("a batch needs at least one clip")
    sizes = {clip.frames.shape[1:] for clip in clips}
    if len(sizes) != 1:
        raise ValueError(f"clips of one batch have different frame sizes: {sorted(sizes)}")
    longest = max(len(clip.frames) for clip in clips)
    video = np.empty((len(clips), longest, *clips[0].frames.shape[1:]), dtype=np.uint8)
    for row, clip in zip(video, clips, strict=True):
        row[: len(clip.frames)] = clip.frames
        row[len(clip.frames) :] = clip.frames[-1]
    return Batch(
        video=video,
        lengths=np.array([len(clip.frames) for clip in clips], dtype=np.int64),
        labels=np.concatenate([np.asarray(clip.labels, dtype=np.int64) for clip in clips]),
        label_lengths=np.array([len(clip.labels) for clip in clips], dtype=np.int64),
        clip_ids=tuple(clip.clip_id for clip in clips),
    )
