"""A video with the glosses written below it as they are recognised, for people to look at.

Shapes: H height, W width, pixels; frames are RGB, uint8.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from exporters.artifact import atomic_path
from slrbench.errors import BadInputError

SMALLEST_SIDE = 360
"""Smaller videos are enlarged until their shorter side has so many pixels: text must be legible."""

_BACKGROUND = (18, 18, 20)
_INK = (235, 235, 235)
_NEW = (120, 220, 140)
_FAINT = (130, 130, 135)
_NEW_S = 0.6  # seconds for which a gloss is green
_GAP = 12  # pixels between glosses


@dataclass(frozen=True, kw_only=True)
class Caption:
    """A gloss, and from when on it is shown, seconds."""

    gloss: str
    from_s: float
    confidence: float


class Captioner:
    """Draws frames of one video with what was recognised up to their time."""

    def __init__(self, captions: Sequence[Caption], frames_per_second: float, *, font: Path | None = None) -> None:
        """Keep the captions in order of time.

        Args:
            captions: what is written.
            frames_per_second: of the video, Hz.
            font: a TrueType or OpenType file, for glosses whose letters Pillow's own font lacks.

        Raises:
            BadInputError: the font cannot be read.
        """
        self._captions = sorted(captions, key=lambda caption: caption.from_s)
        self._rate = frames_per_second
        self._font_path = font
        self._fonts: dict[int, ImageFont.FreeTypeFont | ImageFont.ImageFont] = {}
        self._font(12)

    def draw(self, frame: NDArray[np.uint8], index: int) -> NDArray[np.uint8]:
        """The frame at ``index``, enlarged where it is small, with a bar below it; sides are even, as encoders ask."""
        picture = _enlarged(Image.fromarray(np.ascontiguousarray(frame)))
        text_size = max(18, round(min(picture.size) / 15))
        bar = round(2.9 * text_size)
        width = picture.width + picture.width % 2
        height = picture.height + bar + (picture.height + bar) % 2
        page = Image.new("RGB", (width, height), _BACKGROUND)
        page.paste(picture, (0, 0))
        self._write(ImageDraw.Draw(page), index / self._rate, picture.height, width, text_size)
        return np.asarray(page)

    def _write(self, draw: ImageDraw.ImageDraw, time_s: float, top: int, width: int, size: int) -> None:
        font, small = self._font(size), self._font(max(11, size // 2))
        shown = [caption for caption in self._captions if caption.from_s <= time_s]
        widths = [draw.textlength(caption.gloss, font=font) + _GAP for caption in shown]
        first = len(shown)
        room = width - 2 * _GAP
        while first > 0 and widths[first - 1] <= room:  # the newest are kept, the oldest leave
            first -= 1
            room -= int(widths[first])
        if shown and first == len(shown):
            first -= 1  # longer than the line: better cut than left out
        left = float(_GAP)
        for caption, wide in zip(shown[first:], widths[first:], strict=True):
            colour = _NEW if time_s - caption.from_s < _NEW_S else _INK
            draw.text((left, top + 0.25 * size), caption.gloss, fill=colour, font=font)
            left += wide
        last = f"   {shown[-1].gloss} {shown[-1].confidence:.0%}" if shown else ""
        draw.text((_GAP, top + 1.85 * size), f"{time_s:6.2f} s{last}", fill=_FAINT, font=small)

    def _font(self, size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
        if size not in self._fonts:
            try:
                self._fonts[size] = (
                    ImageFont.load_default(size)
                    if self._font_path is None
                    else ImageFont.truetype(str(self._font_path), size)
                )
            except OSError as error:
                raise BadInputError(
                    f"{self._font_path} is no font that can be read: {error}", hint="--font FILE.ttf or FILE.otf"
                ) from error
        return self._fonts[size]


def check_font(path: Path) -> None:
    """Return where letters can be drawn with that font.

    Raises:
        BadInputError: they cannot.
    """
    Captioner((), 25.0, font=path)._font(16)


def write_captioned(
    path: Path,
    frames: Iterable[NDArray[np.uint8]],
    captions: Sequence[Caption],
    frames_per_second: float,
    *,
    font: Path | None = None,
) -> None:
    """Write the video with its captions as H.264 in an .mp4; whole or not at all. Frames are taken one by one.

    Raises:
        BadInputError: the name does not end in .mp4, its folder is missing, there are no frames, or the font cannot
            be read.
        OSError: the file cannot be written.
    """
    import av

    check_render_path(path)
    captioner = Captioner(captions, frames_per_second, font=font)
    with atomic_path(path) as temporary:
        count = 0
        with av.open(str(temporary), mode="w", format="mp4") as container:
            stream = container.add_stream("h264", rate=Fraction(frames_per_second).limit_denominator(1001))
            stream.pix_fmt = "yuv420p"
            for count, frame in enumerate(frames, start=1):
                drawn = captioner.draw(frame, count - 1)
                if count == 1:
                    stream.height, stream.width = drawn.shape[:2]
                elif drawn.shape[:2] != (stream.height, stream.width):
                    resized = Image.fromarray(drawn).resize((stream.width, stream.height))
                    drawn = np.asarray(resized)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(drawn, format="rgb24")))
            if count:
                container.mux(stream.encode())
        if not count:
            raise BadInputError(f"there are no frames to write to {path}", hint="give a video of at least one frame")


def check_render_path(path: Path) -> None:
    """Return where a video can be written to ``path``.

    Raises:
        BadInputError: the name does not end in .mp4, or its folder is missing.
    """
    if path.suffix.lower() != ".mp4":
        raise BadInputError(f"cannot write a video as {path.name!r}", hint="end the name in .mp4")
    if not path.parent.is_dir():
        raise BadInputError(f"there is no folder {path.parent} for {path.name}", hint="make it, or name another")


def _enlarged(picture: Image.Image) -> Image.Image:
    factor = -(-SMALLEST_SIDE // min(picture.size))
    if factor <= 1:
        return picture
    # Whole factors and no smoothing: what the network saw stays to be seen.
    return picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.NEAREST)
