"""Frames of a video file, a pipe or a camera, by PyAV.

A file that is cut off or damaged is an error and never a shorter clip: its label would belong to what is missing.
Short of 3 frames or 2 % of what the header promises a file counts as whole, because cutting tools leave that much.

Shapes: T frames, H height, W width. Frames are RGB, uint8.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO, NoReturn

import av
import av.sidedata.sidedata
import numpy as np
from av.container import InputContainer
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from slrbench.errors import BadInputError, UnavailableError

VERSION = 1
"""Raise it when the same file gives other frames: caches and fingerprints depend on it."""

_MISSING_FRAMES, _MISSING_SHARE = 3, 0.02  # what a file may lack of what its header promises
_OTHER_TRACKS_S = 0.5  # how much longer a container may be than its video: sound goes on for a while
_LONGEST_GAP_S = 60.0  # between two frames; beyond it the timestamps are broken, and repeating frames fills the memory
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
    with _opened(source) as video:
        timed = video.frames()
        if frames_per_second is None:
            for frame in timed:
                yield video.upright(frame.picture), frame.seconds
            return
        # Frames that the rate leaves out are not converted, and one that is repeated is converted once.
        shown: _Timed | None = None
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
    with _opened(path) as video:
        promised = video.promised()
        seconds = promised[0] if promised is not None else video.seconds_of_packets()
    return max(1, round(seconds * frames_per_second))


def check_video(path: Path) -> None:
    """Find without decoding all of it what keeps a file from being read: the first frame, the header and every packet.

    Raises:
        BadInputError: the file is missing, empty, no video, or cut off.
    """
    with _opened(path) as video:
        next(video.frames())
    with _opened(path) as video:
        video.require_whole(video.seconds_of_packets())


@dataclass(frozen=True, eq=False)
class _Timed:
    picture: VideoFrame
    seconds: float  # from the first frame
    duration: float  # seconds that it stays


def _resampled(frames: Iterable[_Timed], rate: float) -> Iterator[tuple[_Timed, float]]:
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


class _Video:
    """An opened video stream."""

    def __init__(self, container: InputContainer, stream: VideoStream, name: str, *, live: bool) -> None:
        self._container, self._stream, self._name, self._live = container, stream, name, live
        self._size: tuple[int, int] | None = None

    def frames(self) -> Iterator[_Timed]:
        """Every frame in order of presentation.

        Raises:
            BadInputError: the stream is damaged, has no frames, or fewer than the header promises.
        """
        rate = float(self._stream.average_rate or 0) or 25.0
        origin: float | None = None
        count, seconds, duration = 0, 0.0, 1 / rate
        try:
            for picture in self._container.decode(self._stream):
                time = picture.time if picture.time is not None else (origin or 0.0) + count / rate
                origin = time if origin is None else origin
                gap = time - origin - seconds
                if gap > _LONGEST_GAP_S:
                    self._fail(f"frame {count} comes {gap:.0f} s after the one before: the timestamps are broken")
                if picture.is_corrupt and not self._live:
                    self._fail(f"frame {count}, at {seconds:.2f} s, is damaged")
                seconds = max(seconds, time - origin)
                duration = float(picture.duration * (picture.time_base or 0)) or 1 / rate
                yield _Timed(picture, seconds, duration)
                count += 1
        except av.FFmpegError as error:
            self._fail(f"it cannot be decoded after {count} frames ({seconds:.2f} s): {_words(error)}")
        if not count:
            self._fail("it has a video stream without a single frame that can be decoded")
        self.require_whole(seconds + duration)

    def promised(self) -> tuple[float, float] | None:
        """Seconds that the header promises, and how many of them may be missing; None where it does not say."""
        stream, rate = self._stream, float(self._stream.average_rate or 25)
        seconds, more = 0.0, 0.0
        if stream.duration and stream.time_base:
            seconds = float(stream.duration * stream.time_base)
        elif (tag := _clock(stream.metadata.get("DURATION", ""))) is not None:
            seconds = tag  # Matroska's, one per track
        elif self._container.duration:
            seconds = self._container.duration / av.time_base
            more = _OTHER_TRACKS_S if len(self._container.streams) > 1 else 0.0
        if seconds <= 0:
            return None
        return seconds, max(_MISSING_FRAMES / rate, _MISSING_SHARE * seconds, more)

    def _require_whole(self, count: int, seconds: float) -> None:
        promised = self.promised()
        if self._live or promised is None or seconds > promised[0] - promised[1]:
            return
        self._fail(
            f"it is cut off: its header promises {promised[0]:.2f} s, {seconds:.2f} s ({count} frames) are there"
        )

    def seconds_of_packets(self) -> float:
        """Duration of the stream, by reading it through without decoding."""
        base = float(self._stream.time_base or 0)
        times: list[int] = []
        try:
            times.extend(packet.pts for packet in self._container.demux(self._stream) if packet.pts is not None)
        except av.FFmpegError as error:
            self._fail(f"it cannot be read after {len(times)} frames: {_words(error)}")
        times.sort()
        last = min((b - a for a, b in pairwise(times) if b > a), default=0)
        return (times[-1] - times[0] + last) * base if times else 0.0

    def upright(self, picture: VideoFrame) -> NDArray[np.uint8]:
        """RGB (H, W, 3) as a player shows it; later frames get the size of the first."""
        self._size = self._size or (picture.width, picture.height)
        rgb: NDArray[np.uint8] = picture.to_ndarray(format="rgb24", width=self._size[0], height=self._size[1])
        matrix = _display_matrix(picture)
        if matrix is not None:
            return np.ascontiguousarray(_displayed(rgb, matrix))
        tag = self._stream.metadata.get("rotate", "")  # older files: degrees clockwise
        turns = round(float(tag) / 90) if tag.lstrip("-").isdecimal() else 0
        return np.ascontiguousarray(np.rot90(rgb, -turns))

    def _fail(self, fault: str) -> NoReturn:
        raise BadInputError(
            f"{self._name}: {fault}",
            hint="play it to see what is left of it; convert or copy it again, or leave it out",
        )


def _display_matrix(picture: VideoFrame) -> NDArray[np.int32] | None:
    kind = av.sidedata.sidedata.Type.DISPLAYMATRIX
    data = picture.side_data.get(kind)  # type: ignore[call-overload]  # the stub names strings only
    return np.frombuffer(bytes(data), dtype=np.int32).reshape(3, 3) if data is not None else None


def _displayed(rgb: NDArray[np.uint8], matrix: NDArray[np.int32]) -> NDArray[np.uint8]:
    """Apply a display matrix of right angles: (x', y') = (x, y) times its upper left quarter."""
    (a, b), (c, d) = matrix[:2, :2].astype(np.int64)
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return rgb[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1]
    return rgb.swapaxes(0, 1)[:: -1 if b < 0 else 1, :: -1 if c < 0 else 1]


@contextmanager
def _opened(source: Path | str | BinaryIO) -> Iterator[_Video]:
    """Open the first video stream of a source.

    Raises:
        BadInputError: as ``iterate_frames``.
        UnavailableError: a camera cannot be opened.
    """
    if isinstance(source, Path | str):
        path, name = Path(source), str(source)
        camera = path.is_char_device()
        container = _open_camera(path) if camera else _open(_required(path), name)
        live = camera or path.is_fifo()
    else:
        name, live = str(getattr(source, "name", "the input")), not source.seekable()
        container = _open(source, name)
    with container:
        streams = [s for s in container.streams.video if Disposition.attached_pic not in s.disposition]
        if not streams:
            kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "no stream at all"
            raise BadInputError(f"{name}: there is no video in it, only {kinds}", hint="name a file with pictures")
        stream = streams[0]
        if stream.codec_context is None:
            raise BadInputError(
                f"{name}: there is no decoder for its video (codec tag {stream.codec_tag!r})",
                hint="convert it to H.264",
            )
        yield _Video(container, stream, name, live=live)


def _required(path: Path) -> str:
    """The path, where it is a file with something in it."""
    if not path.exists():
        raise BadInputError(f"{path}: there is no such file", hint="check the path")
    if path.is_dir():
        raise BadInputError(f"{path}: it is a folder, not a video file", hint="name a file in it")
    if path.is_file() and path.stat().st_size == 0:
        raise BadInputError(f"{path}: the file is empty", hint="copy it again, or leave it out")
    return str(path)


def _open(source: str | BinaryIO, name: str) -> InputContainer:
    # Playlists may name addresses: a corpus's file is no reason to reach out of the machine.
    options = {"protocol_whitelist": "file,pipe,fd"}
    try:
        return av.open(source, mode="r", options=options)
    except av.FFmpegError as error:
        raise BadInputError(
            f"{name}: it is not a video, or its beginning or its index is missing: {_words(error)}",
            hint="play it to see; a pipe needs a format without an index at the end, such as Matroska",
        ) from error


def _open_camera(path: Path) -> InputContainer:
    try:
        return av.open(str(path), mode="r", format="v4l2")
    except (av.FFmpegError, ValueError) as error:
        raise UnavailableError(
            f"{path}: the camera cannot be opened: {_words(error)}",
            hint="close what else uses it, and check that you may read the device",
        ) from error


def _words(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error).lower()


def _clock(text: str) -> float | None:
    """Seconds of ``00:01:02.500``; None for anything else."""
    parts = text.strip().split(":")
    try:
        hours, minutes, seconds = (float(part) for part in parts)
    except ValueError:
        return None
    return 3600 * hours + 60 * minutes + seconds
