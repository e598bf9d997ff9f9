"""From frames of any size to those that a network was trained on.

Shapes: T frames, H height, W width; frames are RGB, uint8.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from slrbench.errors import BadInputError

Fit = Literal["squash", "crop"]

RESIZE_OF_CROP = 8 / 7
"""Side of a frame over that of the crop which the network sees, for corpora of videos: 256 over 224."""

_OPTION = re.compile(r"[:,](size|resize)=(\d+)(?=,|$)")


@dataclass(frozen=True, kw_only=True)
class View:
    """How a frame becomes the network's: ``fit`` to the shape, resized by Lanczos resampling, cropped at the centre.

    ``squash`` gives up the aspect ratio, as the field's corpora do; ``crop`` first cuts the frame to the aspect ratio
    of ``resize``, around its centre.
    """

    resize: tuple[int, int]
    """Height and width before the crop, pixels."""
    size: tuple[int, int]
    """Height and width that the network sees, pixels; no larger than ``resize``."""
    fit: Fit = "squash"

    def of(self, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """One frame, ``(H, W, 3)`` of any size, as the network sees it.

        Raises:
            BadInputError: it is not such a frame.
        """
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3 or 0 in frame.shape:
            raise BadInputError(
                f"a frame is {frame.dtype} {frame.shape}, expected uint8 (H, W, 3), RGB",
                hint="frames are uint8 (T, H, W, 3)",
            )
        whole = _cut(frame, self.resize) if self.fit == "crop" else frame
        if whole.shape[:2] != self.resize:
            from PIL import Image  # machines that only measure the network need none

            height, width = self.resize
            resized = Image.fromarray(np.ascontiguousarray(whole)).resize((width, height), Image.Resampling.LANCZOS)
            whole = np.asarray(resized)
        return _centre(whole, self.size)

    def of_all(self, frames: Iterable[NDArray[np.uint8]]) -> NDArray[np.uint8]:
        """All frames, ``(T, H, W, 3)``, as the network sees them; frames that fit already are not copied.

        Raises:
            BadInputError: there is none, or one is no frame.
        """
        if isinstance(frames, np.ndarray) and self._fits(frames):
            return frames
        seen = [self.of(frame) for frame in frames]
        if not seen:
            raise BadInputError("there are no frames to recognise", hint="give a video of at least one frame")
        return np.stack(seen)

    def _fits(self, frames: NDArray[Any]) -> bool:
        right = frames.dtype == np.uint8 and frames.ndim == 4 and len(frames) > 0
        return right and self.resize == self.size and frames.shape[1:] == (*self.size, 3)


def view_of(data: str, frame_size: tuple[int, int], *, fit: Fit = "squash") -> View:
    """The view under which a network is evaluated on its corpus.

    The built-in corpus renders frames as the network sees them. Corpora of videos are resized, to ``resize=`` of the
    spec or to 8/7 of the crop, and cropped at the centre.

    Args:
        data: corpus spec of the network's card.
        frame_size: height and width that the network sees, pixels.
        fit: what to do with another aspect ratio.
    """
    if data.partition(":")[0] == "fingerspelling":
        return View(resize=frame_size, size=frame_size, fit=fit)
    given = {name: int(value) for name, value in _OPTION.findall(data)}
    height, width = frame_size
    if "resize" in given:
        resize = max(given["resize"], height), max(given["resize"], width)
    else:
        resize = round(height * RESIZE_OF_CROP), round(width * RESIZE_OF_CROP)
    return View(resize=resize, size=frame_size, fit=fit)


def _cut(frame: NDArray[np.uint8], shape: tuple[int, int]) -> NDArray[np.uint8]:
    """The largest centred part of the aspect ratio of ``shape``."""
    height, width = frame.shape[:2]
    scale = min(height / shape[0], width / shape[1])
    return _centre(frame, (max(1, round(shape[0] * scale)), max(1, round(shape[1] * scale))))


def _centre(frame: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    top, left = (frame.shape[0] - size[0]) // 2, (frame.shape[1] - size[1]) // 2
    return frame[top : top + size[0], left : left + size[1]]
