"""Where a clip's frames lie, and how they are read: a video file, or a file per frame.

Shapes: T frames, H height, W width. Frames are RGB, uint8.
"""

import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from slrbench.data.shards import DamagedShardError, ShardFolder
from slrbench.errors import BadInputError

VERSION = 1
"""Raise it when the same files give other frames: the cache and fingerprints depend on it."""

FRAMES_PER_SECOND = 25.0
"""Rate that videos are brought to, Hz: that of the public corpora."""

_log = logging.getLogger(__name__)


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
    if isinstance(source, VideoFile):
        return str(source.path)
    return os.path.commonpath([path.parent for path in source.paths]) if source.paths else "a clip without frames"


def check(source: ClipSource) -> None:
    """Find, without decoding all of it, what keeps a clip from being read.

    Raises:
        BadInputError: a file is missing, empty, cut off, or is no video or picture.
    """
    if isinstance(source, VideoFile):
        from slrbench.data.video import check_video

        check_video(source.path)
        return
    if not source.paths:
        raise BadInputError(f"{source_name(source)}: there are no frames", hint="leave the clip out")
    for path in source.paths:
        if not path.is_file() or path.stat().st_size == 0:
            fault = "the file is empty" if path.is_file() else "there is no such file"
            raise BadInputError(f"{path}: {fault}", hint="copy it again, or leave the clip out")
    next(_pictures(source.paths))


class FrameReader:
    """Reads clips at one frame size, through a cache where a folder is given. May be sent to other processes.

    Frames are squashed to the size, as the field's pre-processing does, by Lanczos resampling of Pillow, which takes
    every pixel of a larger frame into account (no aliasing).
    """

    def __init__(self, resize: tuple[int, int], cache: Path | None = None) -> None:
        """Keep the frame size, height and width in pixels, and the folder of the cache.

        Raises:
            BadInputError: ``cache`` is a file.
        """
        from slrbench.data import video

        self.resize = resize
        made_by = f"sources {VERSION}, video {video.VERSION}, {FRAMES_PER_SECOND} Hz, {resize[0]} x {resize[1]} pixels"
        self.shards = ShardFolder(cache, made_by) if cache is not None else None

    def read(self, source: ClipSource) -> NDArray[np.uint8]:
        """All frames ``(T, H, W, 3)``, squashed to the frame size with antialiasing. Read-only where cached.

        A damaged shard is made again, and a warning is logged.

        Raises:
            BadInputError: a file is missing or cannot be decoded; the message names it and the fault.
            RunFailedError: the disk of the cache is full.
            OSError: the cache cannot be written.
        """
        if self.shards is None:
            return self._decode(source)
        key, damage = self._key(source, self.shards), None
        try:
            if (found := self.shards.load(key)) is not None:
                return found
        except DamagedShardError as error:
            damage = error
        frames = self._decode(source)
        self.shards.store(key, frames, source_name(source))
        if damage is not None:
            _log.warning("the cached clip of %s was damaged (%s); it was made again", source_name(source), damage)
        return frames

    def is_cached(self, source: ClipSource) -> bool:
        """Whether there is a shard of the source as it is now; it is not looked into.

        Raises:
            BadInputError: a file is missing.
        """
        return self.shards is not None and self.shards.path(self._key(source, self.shards)).exists()

    def count(self, source: ClipSource) -> int:
        """Number of frames T that ``read`` gives; nothing is decoded.

        For a video it comes from the header, cached or not, so that every process and every run sees the same number;
        it may be off by a frame.

        Raises:
            BadInputError: a video is missing or has no readable header.
        """
        if isinstance(source, FrameFiles):
            return len(source.paths)
        from slrbench.data.video import count_frames

        return count_frames(source.path, frames_per_second=FRAMES_PER_SECOND)

    def _key(self, source: ClipSource, shards: ShardFolder) -> str:
        files = (source.path,) if isinstance(source, VideoFile) else source.paths
        try:
            return shards.key(files)
        except OSError as error:
            raise BadInputError(
                f"{error.filename}: {_words(error)}", hint="check the path, or leave the clip out"
            ) from (error)

    def _decode(self, source: ClipSource) -> NDArray[np.uint8]:
        pictures = _video(source.path) if isinstance(source, VideoFile) else _pictures(source.paths)
        frames = [_squashed(picture, self.resize) for picture in pictures]
        if not frames:
            raise BadInputError(f"{source_name(source)}: there are no frames", hint="leave the clip out")
        return np.stack(frames)


def _video(path: Path) -> Iterator[Image.Image]:
    from slrbench.data.video import iterate_frames

    for frame, _ in iterate_frames(path, frames_per_second=FRAMES_PER_SECOND):
        yield Image.fromarray(frame)


def _pictures(paths: tuple[Path, ...]) -> Iterator[Image.Image]:
    for path in paths:
        try:
            with Image.open(path) as picture:
                yield ImageOps.exif_transpose(picture).convert("RGB")
        except FileNotFoundError as error:
            raise BadInputError(
                f"{path}: there is no such file", hint="check the path, or leave the clip out"
            ) from error
        # A broken PNG is a SyntaxError to Pillow, a broken TIFF may be a ValueError.
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise BadInputError(
                f"{path}: it is not a picture, or a damaged one: {_words(error)}",
                hint="copy it again, or leave the clip out",
            ) from error


def _squashed(picture: Image.Image, size: tuple[int, int]) -> NDArray[np.uint8]:
    height, width = size
    if picture.size != (width, height):
        picture = picture.resize((width, height), Image.Resampling.LANCZOS)
    return np.asarray(picture)


def _words(error: Exception) -> str:
    text = str(getattr(error, "strerror", None) or error)
    return text[:1].lower() + text[1:]
