"""The field's augmentations of a clip, by torchvision's transforms v2. Loads torch when a function is called.

Shapes: T frames, H height, W width. Frames are RGB, uint8.
"""

import numpy as np
from numpy.typing import NDArray


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

    Args:
        frames: the clip.
        rng: where every random number comes from; how many are drawn does not depend on them.
        size: side of the crop, pixels; one box for the whole clip.
        flip: whether half of the clips are mirrored. Off: it swaps the hands.
        colour: strength of changes in brightness, contrast and saturation (a quarter of it in hue).
        tempo: the clip is made up to this share slower or faster, by repeating or leaving out frames.

    Raises:
        BadInputError: the frames are smaller than the crop.
    """
    raise NotImplementedError


def centre_crop(frames: NDArray[np.uint8], *, size: int) -> NDArray[np.uint8]:
    """The middle ``(T, size, size, 3)`` of a clip, for evaluation; a view, no copy.

    Raises:
        BadInputError: the frames are smaller than the crop.
    """
    raise NotImplementedError
