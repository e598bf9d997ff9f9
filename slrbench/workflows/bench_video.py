"""The video of a benchmark's ``pixels_to_glosses`` rows."""

from collections.abc import Iterable
from itertools import islice
from pathlib import Path

from exporters.artifact import sha256_file
from slrbench.errors import BadInputError
from slrbench.measure.settings import PixelSettings
from slrbench.recognise.view import view_of
from slrbench.workflows.bench_candidates import BenchModel


def check_video_file(path: Path) -> None:
    """Return where the file is a video that can be decoded here, as far as its first frame shows.

    Raises:
        BadInputError: it is none.
    """
    from slrbench.data.video import iterate_frames

    if not path.is_file():
        raise BadInputError(f"there is no video file {path}", hint="--video FILE.mp4")
    frames = iterate_frames(path)
    if not list(islice(frames, 1)):
        raise BadInputError(f"{path} has no frames", hint="give a video of at least one frame")


def pixel_settings(path: Path, models: Iterable[BenchModel]) -> PixelSettings:
    """The video, by its hash, and how each model's frames are resized before the crop.

    Raises:
        OSError: the file cannot be read.
    """
    return PixelSettings(
        path=str(path.resolve()),
        sha256=sha256_file(path),
        resize={
            model.model_id: view_of(model.card.data, model.card.frame_size).resize
            for model in models
            if model.card is not None
        },
    )
