"""Small real videos, written with PyAV, whose frames can be told apart after lossy coding."""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

HEIGHT, WIDTH = 48, 64
CODECS = {".mp4": "libx264", ".mov": "libx264", ".mkv": "libx264", ".avi": "mpeg4", ".webm": "libvpx"}

Frames = NDArray[np.uint8]


def grey_frames(count: int, *, first: int = 0) -> Frames:
    """Frames (count, 48, 64, 3) whose grey tells their number, up to 27 of them."""
    levels = 20 + 8 * (first + np.arange(count))
    assert levels.max() < 240
    return np.broadcast_to(levels[:, None, None, None], (count, HEIGHT, WIDTH, 3)).astype(np.uint8)


def numbers_of(frames: Frames) -> list[int]:
    """The numbers that ``grey_frames`` wrote."""
    return [round((float(frame.mean()) - 20) / 8) for frame in frames]


def corner_frames(count: int) -> Frames:
    """Black frames with red in the top left, green in the top right and blue in the bottom left quarter."""
    frames = np.zeros((count, HEIGHT, WIDTH, 3), dtype=np.uint8)
    frames[:, : HEIGHT // 2, : WIDTH // 2, 0] = 255
    frames[:, : HEIGHT // 2, WIDTH // 2 :, 1] = 255
    frames[:, HEIGHT // 2 :, : WIDTH // 2, 2] = 255
    return frames


def write_video(
    path: Path,
    frames: Frames,
    *,
    rate: Fraction | int = 25,
    times_ms: Sequence[int] | None = None,
    display: Mapping[str, Any] | None = None,
    tags: Mapping[str, str] | None = None,
    options: dict[str, str] | None = None,
) -> Path:
    """Write frames (T, H, W, 3) at a constant rate, or at the given times; returns the path."""
    with av.open(str(path), mode="w", options=options or {}) as container:
        stream = container.add_stream(CODECS[path.suffix], rate=rate)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.gop_size = 5
        if times_ms is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        if display is not None:
            stream.set_display_rotation(**display)
        stream.metadata.update(tags or {})
        for index, pixels in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
            if times_ms is not None:
                picture.pts, picture.time_base = times_ms[index], Fraction(1, 1000)
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return path


def write_sound(path: Path) -> Path:
    """A file with sound and no video."""
    with av.open(str(path), mode="w") as container:
        stream = container.add_stream("aac", rate=16000, layout="mono")
        for start in range(0, 16000, 1024):
            sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), dtype=np.float32), format="fltp", layout="mono")
            sound.sample_rate, sound.pts = 16000, start
            container.mux(stream.encode(sound))
        container.mux(stream.encode())
    return path


def cut_off(path: Path, share: float) -> Path:
    """Keep only the first part of a file; returns the path."""
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    return path


def break_in_five_ways(folder: Path) -> dict[str, Path]:
    """Five files that give no clip, by what is wrong with them."""
    noisy = np.random.default_rng(0).integers(0, 256, (20, HEIGHT, WIDTH, 3), dtype=np.uint8)
    empty, text = folder / "empty.mp4", folder / "text.mp4"
    empty.touch()
    text.write_text("This was a readme once.\n" * 40, encoding="utf-8")
    return {
        "empty": empty,
        "cut off": cut_off(write_video(folder / "cut.mkv", noisy), 0.5),
        "is not a video": text,
        "no video in it, only audio": write_sound(folder / "sound.mp4"),
        "no such file": folder / "missing.mp4",
    }
