"""Pictures and videos of a corpus, for people: a contact sheet, or a few clips one after another.

Shapes: T frames, H, W; pictures are RGB.
"""

from itertools import islice
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from exporters.artifact import atomic_path
from slrbench.data.corpus import Clip, Corpus, readable_clips
from slrbench.errors import BadInputError

PICTURES = (".png", ".jpg", ".jpeg")
VIDEOS = (".gif", ".mp4")

_COLUMNS = 12
_CAPTION = 18  # pixels
_CELL = 96  # pixels, the side to which frames are enlarged
_BACKGROUND = (18, 18, 20)
_INK = (235, 235, 235)
_HELD = (120, 220, 140)


def write_preview(corpus: Corpus, path: Path, *, split: str = "test", clips: int = 6) -> None:
    """Write a contact sheet (.png, .jpg) or a video (.gif, .mp4) of a split's first clips.

    Raises:
        BadInputError: another suffix, a missing folder, an unknown split, or one without clips.
        OSError: the file cannot be written.
    """
    suffix = path.suffix.lower()
    if suffix not in (*PICTURES, *VIDEOS):
        raise BadInputError(
            f"cannot write a preview as {path.name!r}", hint=f"end the name in one of {' '.join((*PICTURES, *VIDEOS))}"
        )
    if not path.parent.is_dir():
        raise BadInputError(f"there is no folder {path.parent} for {path.name}", hint="make it, or name another")
    source = corpus.split(split)
    chosen = [clip for _, clip in islice(readable_clips(source, range(len(source))), clips)]
    if not chosen:
        raise BadInputError(f"split {split!r} of {corpus.spec} has no clips to show", hint="--split test")
    with atomic_path(path) as temporary:
        if suffix in PICTURES:
            Image.fromarray(contact_sheet(chosen)).save(temporary)
        elif suffix == ".gif":
            frames = [Image.fromarray(frame) for frame in captioned_video(chosen)]
            duration_ms = round(1000 / corpus.frames_per_second)
            frames[0].save(temporary, save_all=True, append_images=frames[1:], duration=duration_ms, loop=0)
        else:
            _write_mp4(captioned_video(chosen), temporary, corpus.frames_per_second)


def contact_sheet(clips: list[Clip]) -> NDArray[np.uint8]:
    """Every frame of every clip in rows of ``_COLUMNS``; frames in which a gloss is held carry it in green."""
    strips = [_strip(clip) for clip in clips]
    width = max(strip.width for strip in strips)
    height = sum(strip.height for strip in strips)
    sheet = Image.new("RGB", (width, height), _BACKGROUND)
    top = 0
    for strip in strips:
        sheet.paste(strip, (0, top))
        top += strip.height
    return np.asarray(sheet)


def _strip(clip: Clip) -> Image.Image:
    rows = -(-len(clip.frames) // _COLUMNS)
    strip = Image.new("RGB", (_COLUMNS * _CELL, 2 * _CAPTION + rows * (_CELL + _CAPTION)), _BACKGROUND)
    draw = ImageDraw.Draw(strip)
    draw.text((4, 2), f"{' '.join(clip.glosses)}    {len(clip.frames)} frames, signer {clip.signer}", fill=_INK)
    for t, frame in enumerate(clip.frames):
        row, column = divmod(t, _COLUMNS)
        left, top = column * _CELL, _CAPTION + row * (_CELL + _CAPTION)
        strip.paste(_enlarged(frame), (left, top))
        gloss = _held_gloss(clip, t)
        label, colour = (f"{t}  {gloss}", _HELD) if gloss else (f"{t}", (130, 130, 130))
        draw.text((left + 4, top + _CELL + 2), label, fill=colour)
    return strip


def _enlarged(frame: NDArray[np.uint8]) -> Image.Image:
    return Image.fromarray(frame).resize((_CELL, _CELL), Image.Resampling.NEAREST)


def _held_gloss(clip: Clip, frame: int) -> str | None:
    for gloss, (start, stop) in zip(clip.glosses, clip.boundaries or (), strict=False):
        if start <= frame < stop:
            return gloss
    return None


def captioned_video(clips: list[Clip], *, side: int = 256) -> list[NDArray[np.uint8]]:
    """The clips one after another, enlarged, the word below with the letter that is held in green."""
    frames = []
    for clip in clips:
        for t, frame in enumerate(clip.frames):
            picture = Image.new("RGB", (side, side + 32), _BACKGROUND)
            picture.paste(Image.fromarray(frame).resize((side, side), Image.Resampling.NEAREST), (0, 0))
            draw = ImageDraw.Draw(picture)
            left = 8
            for i, gloss in enumerate(clip.glosses):
                start, stop = (clip.boundaries or ((0, 0),) * len(clip.glosses))[i]
                draw.text((left, side + 8), gloss, fill=_HELD if start <= t < stop else _INK, font_size=18)
                left += int(draw.textlength(gloss, font_size=18)) + 8
            frames.append(np.asarray(picture))
    return frames


def _write_mp4(frames: list[NDArray[np.uint8]], path: Path, frames_per_second: float) -> None:
    with av.open(str(path), mode="w", format="mp4") as container:
        stream = container.add_stream("h264", rate=round(frames_per_second))
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
