"""The field's augmentations of a clip, by torchvision's transforms v2. Loads torch when a function is called.

Shapes: T frames, H height, W width. Frames are RGB, uint8.
"""

import numpy as np
from numpy.typing import NDArray

from slrbench.errors import BadInputError

VERSION = 1
"""Raise it when the same clip and generator give other frames: a resumed run must see the same clips."""

COLOURED = 0.3
"""Share of the clips whose colours are changed."""

_TOGETHER = 8  # frames whose colours are changed together: these stay in the processor's cache, a clip would not


def augment(
    frames: NDArray[np.uint8],
    rng: np.random.Generator,
    *,
    size: int,
    flip: bool = False,
    colour: float = 0.4,
    tempo: float = 0.2,
) -> NDArray[np.uint8]:
    """A variation ``(T', size, size, 3)`` of a clip ``(T, H, W, 3)``, a function of the clip and the generator.

    Every frame of the clip is cropped by the same box and changed in the same way. Nothing of the input is changed.

    Args:
        frames: the clip.
        rng: where every random number comes from; how many are drawn depends on no option.
        size: side of the crop, pixels.
        flip: whether half of the clips are mirrored. Off: it swaps the hands.
        colour: greatest change in brightness, contrast and saturation, as a share, in 3 of 10 clips.
        tempo: greatest change in speed, as a share: frames are left out or repeated, evenly.

    Raises:
        BadInputError: the frames are smaller than the crop, or a share is not in 0..1.
    """
    for name, share in (("colour", colour), ("tempo", tempo)):
        if not 0.0 <= share < 1.0:
            raise BadInputError(f"{name}={share} is not a share in 0..1, 1 left out", hint=f"for example {name}=0.2")
    _require_size(frames, size)
    import torch
    from torchvision.transforms.v2 import functional

    speed, down, across, mirrored, coloured = rng.random(5)
    factors = 1.0 + colour * (2.0 * rng.random(3) - 1.0)
    order = rng.permutation(3)
    top, left = int(down * (frames.shape[1] - size + 1)), int(across * (frames.shape[2] - size + 1))
    chosen = _at_speed(len(frames), 1.0 + tempo * (2.0 * speed - 1.0))
    video = torch.from_numpy(frames[chosen]).permute(0, 3, 1, 2)
    video = functional.crop(video, top, left, size, size)
    if flip and mirrored < 0.5:
        video = functional.horizontal_flip(video)
    if colour and coloured < COLOURED:
        changes = [
            (functional.adjust_brightness, functional.adjust_contrast, functional.adjust_saturation)[i] for i in order
        ]
        parts = []
        for part in video.split(_TOGETHER):
            part = part.contiguous()
            for change, which in zip(changes, order, strict=True):
                part = change(part, float(factors[which]))
            parts.append(part)
        video = torch.cat(parts)
    found: NDArray[np.uint8] = video.permute(0, 2, 3, 1).numpy()
    return found


def centre_crop(frames: NDArray[np.uint8], *, size: int) -> NDArray[np.uint8]:
    """The middle ``(T, size, size, 3)`` of a clip, for evaluation; a view, no copy.

    Raises:
        BadInputError: the frames are smaller than the crop.
    """
    _require_size(frames, size)
    top, left = (frames.shape[1] - size) // 2, (frames.shape[2] - size) // 2
    return frames[:, top : top + size, left : left + size]


def _at_speed(length: int, slower: float) -> NDArray[np.intp]:
    """Indices of a clip that is ``slower`` times as long, at least one frame: each nearest to its place in time."""
    count = max(1, round(length * slower))
    return (2 * np.arange(count, dtype=np.intp) + 1) * length // (2 * count)


def _require_size(frames: NDArray[np.uint8], size: int) -> None:
    if min(frames.shape[1:3]) < size:
        raise BadInputError(
            f"frames of {frames.shape[1]} x {frames.shape[2]} pixels are smaller than the crop, {size}",
            hint="give a larger resize=, or a smaller size=",
        )
