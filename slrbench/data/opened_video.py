"""An opened video stream of a file, a pipe or a camera: its frames with their times, and what is wrong with it.

A file that is cut off or damaged is an error and never a shorter clip: its label would belong to what is missing.
Short of 3 frames or 2 % of what the header promises a file counts as whole, because cutting tools leave that much.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import av
import av.sidedata.sidedata
import numpy as np
from av.container import InputContainer
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from slrbench.errors import BadInputError, UnavailableError

_MISSING_FRAMES, _MISSING_SHARE = 3, 0.02  # what a file may lack of what its header promises
_OTHER_TRACKS_S = 0.5  # how much longer a container may be than its video: sound goes on for a while
_LONGEST_GAP_S = 60.0  # between two frames; beyond it the timestamps are broken, and repeating frames fills the memory


@dataclass(frozen=True, eq=False)
class TimedFrame:
    """A decoded picture, not converted yet."""

    picture: VideoFrame
    seconds: float  # from the first frame
    duration: float  # seconds that it stays


class OpenedVideo:
    """An opened video stream."""

    def __init__(self, container: InputContainer, stream: VideoStream, name: str, *, live: bool) -> None:
        """Keep an open container and its stream; what is ``live`` has no end that could be missing."""
        self._container, self._stream, self._name, self._live = container, stream, name, live
        self._size: tuple[int, int] | None = None

    def frames(self) -> Iterator[TimedFrame]:
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
                seconds = max(seconds, time - origin)
                if picture.is_corrupt and not self._live:
                    self._fail(f"frame {count}, at {seconds:.2f} s, is damaged")
                duration = float(picture.duration * (picture.time_base or 0)) or 1 / rate
                if duration > _LONGEST_GAP_S:
                    self._fail(f"frame {count} is said to last {duration:.0f} s: the timestamps are broken")
                yield TimedFrame(picture, seconds, duration)
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

    def require_whole(self, seconds: float) -> None:
        """Compare what is there with what the header promises.

        Raises:
            BadInputError: there is less.
        """
        promised = self.promised()
        if not self._live and promised is not None and seconds <= promised[0] - promised[1]:
            self._fail(f"it is cut off: its header promises {promised[0]:.2f} s, {seconds:.2f} s are there")

    def seconds_of_packets(self) -> float:
        """Duration of the stream, by reading it through without decoding."""
        base = float(self._stream.time_base or 0)
        times: list[int] = []
        try:
            for packet in self._container.demux(self._stream):
                time = packet.pts if packet.pts is not None else packet.dts  # AVI has no presentation times
                if packet.is_corrupt and not self._live:
                    self._fail(f"frame {len(times)} is cut off or damaged")
                times += [time] if time is not None else []
        except av.FFmpegError as error:
            self._fail(f"it cannot be read after {len(times)} frames: {_words(error)}")
        times.sort()
        last = min((b - a for a, b in pairwise(times) if b > a), default=0)
        return (times[-1] - times[0] + last) * base if times else 0.0

    def upright(self, picture: VideoFrame) -> NDArray[np.uint8]:
        """RGB (H, W, 3) as a player shows it; later frames get the size of the first."""
        self._size = self._size or (picture.width, picture.height)
        pixels = picture.to_ndarray(format="rgb24", width=self._size[0], height=self._size[1])
        rgb = pixels.astype(np.uint8, copy=False)
        matrix = _display_matrix(picture)
        if matrix is not None:
            return np.ascontiguousarray(_displayed(rgb, matrix))
        tags = {name.lower(): value for name, value in self._stream.metadata.items()}
        tag = tags.get("rotate", "")  # older files: degrees clockwise
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
def open_video(source: Path | str | BinaryIO) -> Iterator[OpenedVideo]:
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
        container = _open(source if source.seekable() else _Pipe(source), name)
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
        yield OpenedVideo(container, stream, name, live=live)


class _Pipe:
    """Gives what has come, where a buffered pipe would wait for all that libav asks for, and frames would be late."""

    def __init__(self, pipe: BinaryIO) -> None:
        self.read = getattr(pipe, "read1", pipe.read)


def _required(path: Path) -> str:
    """The path, where it is a file with something in it."""
    if not path.exists():
        raise BadInputError(f"{path}: there is no such file", hint="check the path")
    if path.is_dir():
        raise BadInputError(f"{path}: it is a folder, not a video file", hint="name a file in it")
    if path.is_file() and path.stat().st_size == 0:
        raise BadInputError(f"{path}: the file is empty", hint="copy it again, or leave it out")
    return str(path)


def _open(source: Any, name: str) -> InputContainer:
    # Playlists may name addresses: a corpus's file is no reason to reach out of the machine.
    options = {"protocol_whitelist": "file,pipe,fd"}
    try:
        container: InputContainer = av.open(source, mode="r", options=options)
    except av.FFmpegError as error:
        raise BadInputError(
            f"{name}: it is not a video, or its beginning or its index is missing: {_words(error)}",
            hint="play it to see; a pipe needs a format without an index at the end, such as Matroska",
        ) from error
    return container


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
