"""The frames of what a person names: a video file, a folder of pictures, ``-`` for stdin, or a camera.

Shapes: H height, W width; frames are RGB, uint8, at one constant rate.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from slrbench.errors import BadInputError

STDIN = "-"
PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".ppm")

_LIVE = "what comes through a pipe live needs a format without an index at its end, such as Matroska or MPEG-TS"

_DIGITS = re.compile(r"(\d+)")


def frames_of(name: str, frames_per_second: float) -> Iterator[NDArray[np.uint8]]:
    """Frames ``(H, W, 3)`` in order of time, as they are read.

    Args:
        name: a video file, a folder with one picture per frame (taken to be at the rate that is asked for), ``-`` for
            a video that comes through stdin, or a camera's device.
        frames_per_second: the rate that videos are brought to, Hz.

    Raises:
        BadInputError: there is no such thing, or it is damaged; the message names it and the fault.
        UnavailableError: a camera cannot be opened here.
    """
    path = Path(name)
    if name != STDIN and path.is_dir():
        yield from _pictures(path)
        return
    from slrbench.data.video import iterate_frames

    source = sys.stdin.buffer if name == STDIN else path
    try:
        for frame, _ in iterate_frames(source, frames_per_second=frames_per_second):
            yield frame
    except BadInputError as error:
        if name != STDIN:
            raise
        raise BadInputError(error.message, hint=_LIVE) from error


def is_camera(name: str) -> bool:
    """Whether frames come without end, from a device of the system."""
    return name != STDIN and Path(name).is_char_device()


def can_be_read_again(name: str) -> bool:
    """Whether the same frames come a second time: not from a pipe or a camera."""
    return name != STDIN and not is_camera(name) and not Path(name).is_fifo()


def _pictures(folder: Path) -> Iterator[NDArray[np.uint8]]:
    paths = sorted((p for p in folder.iterdir() if p.suffix.lower() in PICTURES), key=_in_order)
    if not paths:
        raise BadInputError(
            f"{folder} holds no pictures",
            hint=f"a folder of frames holds one file per frame: {', '.join(PICTURES)}",
        )
    for path in paths:
        try:
            with Image.open(path) as picture:
                frame = np.asarray(ImageOps.exif_transpose(picture).convert("RGB"))
        # A broken PNG is a SyntaxError to Pillow, a broken TIFF may be a ValueError.
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            first = (str(error).splitlines() or [type(error).__name__])[0]
            raise BadInputError(f"{path} is no picture: {first}", hint="copy it again, or leave it out") from error
        yield frame


def _in_order(path: Path) -> list[tuple[int, int | str]]:
    """A key that sorts ``2.png`` before ``10.png``."""
    return [(0, int(part)) if part.isdecimal() else (1, part) for part in _DIGITS.split(path.name)]
