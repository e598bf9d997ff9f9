"""The video of a benchmark's ``pixels_to_glosses`` rows."""

from collections.abc import Iterable
from dataclasses import replace
from itertools import islice
from pathlib import Path

from exporters.artifact import sha256_file
from slrbench.errors import BadInputError
from slrbench.measure.settings import MeasureSettings, PixelSettings
from slrbench.recognise.view import view_of
from slrbench.workflows.bench_candidates import BenchModel


def check_video_file(video: str) -> None:
    """Return where there is no video, or one that can be decoded here, as far as its first frame shows.

    Raises:
        BadInputError: it is none.
    """
    if not video:
        return
    from slrbench.data.video import iterate_frames

    path = Path(video)
    if not path.is_file():
        raise BadInputError(f"there is no video file {path}", hint="--video FILE.mp4")
    frames = iterate_frames(path)
    if not list(islice(frames, 1)):
        raise BadInputError(f"{path} has no frames", hint="give a video of at least one frame")


def with_video(settings: MeasureSettings, video: str, models: Iterable[BenchModel]) -> MeasureSettings:
    """The settings with the video, by its hash, and how each model's frames are resized before the crop.

    Raises:
        OSError: the file cannot be read.
    """
    if not video:
        return settings
    path = Path(video)
    pixels = PixelSettings(
        path=str(path.resolve()),
        sha256=sha256_file(path),
        resize={
            model.model_id: view_of(model.card.data, model.card.frame_size).resize
            for model in models
            if model.card is not None
        },
    )
    return replace(settings, video=pixels)
