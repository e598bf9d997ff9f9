"""Frames of a video file, a pipe or a camera, by PyAV.

Shapes: T frames, H height, W width. Frames are RGB, uint8.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from slrbench.data.opened_video import TimedFrame, open_video

VERSION = 1
"""Raise it when the same file gives other frames: caches and fingerprints depend on it."""

_ALREADY_S = 1e-6  # a frame this little early counts as being there: times are rounded to the container's time base


def iterate_frames(
    source: Path | str | BinaryIO, *, frames_per_second: float | None = 25.0
) -> Iterator[tuple[NDArray[np.uint8], float]]:
    """Yield frames (H, W, 3) as they are decoded, with their time in seconds from the first one.

    Rotation and mirroring that the file asks of a player are applied. Pixels that are not square stay as stored.

    Args:
        source: a video file; a readable binary file object such as a pipe; or a camera's device, ``/dev/video0``
            (Video4Linux; opened as libav documents, but not verified with a camera).
        frames_per_second: constant rate that the video is brought to, Hz: at each time k / rate the frame whose
            presentation time is nearest. None yields every frame once, at its own time.

    Raises:
        BadInputError: the file is missing, empty, no video, damaged or cut off; the message names it and the fault.
            Frames that came before the fault have been yielded by then.
        UnavailableError: a camera cannot be opened here.
    """
    with open_video(source) as video:
        timed = video.frames()
        if frames_per_second is None:
            for frame in timed:
                yield video.upright(frame.picture), frame.seconds
            return
        # Frames that the rate leaves out are not converted, and one that is repeated is converted once.
        shown: TimedFrame | None = None
        for frame, seconds in _resampled(timed, frames_per_second):
            if shown is not frame:
                shown, rgb = frame, video.upright(frame.picture)
            yield rgb, seconds


def read_video(path: Path, *, frames_per_second: float | None = 25.0) -> NDArray[np.uint8]:
    """All frames of a file, ``(T, H, W, 3)``.

    Raises:
        BadInputError: as ``iterate_frames``.
    """
    return np.stack([frame for frame, _ in iterate_frames(path, frames_per_second=frames_per_second)])


def count_frames(path: Path, *, frames_per_second: float = 25.0) -> int:
    """Frames that ``read_video`` would give, from the file's header where it says enough; nothing is decoded.

    A header may be off by a frame. Where it gives no duration, the file is read through without decoding.

    Raises:
        BadInputError: the file is missing, empty or no video.
    """
    with open_video(path) as video:
        promised = video.promised()
        seconds = promised[0] if promised is not None else video.seconds_of_packets()
    return max(1, round(seconds * frames_per_second))


def check_video(path: Path) -> None:
    """Find without decoding all of it what keeps a file from being read: the first frame, the header and every packet.

    Raises:
        BadInputError: the file is missing, empty, no video, or cut off.
    """
    with open_video(path) as video:
        next(video.frames())
    with open_video(path) as video:
        video.require_whole(video.seconds_of_packets())


def _resampled(frames: Iterable[TimedFrame], rate: float) -> Iterator[tuple[TimedFrame, float]]:
    """At each time k / rate the frame that is nearest in time; of two that are equally near, the earlier."""
    count, previous = 0, None
    for frame in frames:
        previous = previous or frame
        while (at := count / rate) <= frame.seconds + _ALREADY_S:
            yield previous if at - previous.seconds <= frame.seconds - at else frame, at
            count += 1
        previous = frame
    if previous is not None:
        for late in range(count, max(1, round((previous.seconds + previous.duration) * rate))):
            yield previous, late / rate
