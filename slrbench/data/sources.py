"""Where a clip's frames lie, and how they are read: a video file, or a file per frame.

Shapes: T frames, H height, W width. Frames are RGB, uint8.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class VideoFile:
    """A clip in one file, brought to 25 frames per second."""

    path: Path


@dataclass(frozen=True)
class FrameFiles:
    """A clip as one picture per frame, in order of time, taken to be at the corpus's frame rate."""

    paths: tuple[Path, ...]


ClipSource = VideoFile | FrameFiles


def source_name(source: ClipSource) -> str:
    """The file or folder, for messages."""
    raise NotImplementedError


class FrameReader:
    """Reads clips at one frame size, through a cache where a folder is given. May be sent to other processes."""

    def __init__(self, resize: tuple[int, int], cache: Path | None = None) -> None:
        """Keep the frame size, height and width in pixels, and the folder of the cache."""
        raise NotImplementedError

    def read(self, source: ClipSource) -> NDArray[np.uint8]:
        """All frames ``(T, H, W, 3)``, squashed to the frame size with antialiasing. Read-only where cached.

        Raises:
            BadInputError: a file is missing or cannot be decoded; the message names it and the fault.
            RunFailedError: the disk of the cache is full, or it cannot be written.
        """
        raise NotImplementedError

    def count(self, source: ClipSource) -> int:
        """Number of frames T that ``read`` gives, from the cache or the file's header; nothing is decoded.

        Raises:
            BadInputError: a video is missing or has no readable header.
        """
        raise NotImplementedError
