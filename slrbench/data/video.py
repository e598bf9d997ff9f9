"""Frames of a video file, a pipe or a camera, by PyAV.

Shapes: T frames, H height, W width. Frames are RGB, uint8.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray


def iterate_frames(
    source: Path | str | BinaryIO, *, frames_per_second: float | None = 25.0
) -> Iterator[tuple[NDArray[np.uint8], float]]:
    """Yield frames (H, W, 3) as they are decoded, with their time in seconds from the first one.

    Args:
        source: a video file; a readable binary file object such as a pipe; or a camera's device, ``/dev/video0``.
        frames_per_second: constant rate that the video is brought to, Hz: at each time k / rate the frame whose
            presentation time is nearest. None yields every frame once, at its own time.

    Raises:
        BadInputError: the file is missing, empty, no video, damaged or cut off; the message names it and the fault.
        UnavailableError: a camera cannot be opened here.
    """
    raise NotImplementedError


def read_video(path: Path, *, frames_per_second: float | None = 25.0) -> NDArray[np.uint8]:
    """All frames of a file, ``(T, H, W, 3)``.

    Raises:
        BadInputError: as ``iterate_frames``.
    """
    raise NotImplementedError


def count_frames(path: Path, *, frames_per_second: float = 25.0) -> int:
    """Frames that ``read_video`` would give, from the file's header where it says enough; nothing is decoded.

    Raises:
        BadInputError: the file is missing, empty or no video.
    """
    raise NotImplementedError
