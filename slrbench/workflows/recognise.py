"""Recognise what a person names, one video after another: a broken one is told and the others go on."""

import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from exporters.artifact import write_text_atomically
from slrbench.errors import BadInputError, RunFailedError, SlrbenchError
from slrbench.recognise.captions import Caption, check_font, check_render_path, write_captioned
from slrbench.recognise.online import STRIDE, WINDOW, OnlineRecogniser, Update
from slrbench.recognise.results import Recognition
from slrbench.recognise.sources import STDIN, can_be_read_again, frames_of, is_camera
from slrbench.recognise.subtitles import srt_of
from slrbench.workflows.recognizer import Recognizer


@dataclass(frozen=True, kw_only=True)
class OnlineSettings:
    """Lengths in frames; see :class:`slrbench.recognise.online.OnlineRecogniser`."""

    window: int = WINDOW
    stride: int = STRIDE
    lookahead: int | None = None


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """What is wanted of each video beside its glosses."""

    online: OnlineSettings | None = None
    srt: Path | None = None
    """A file for one video, a folder for several."""
    render: Path | None = None
    """A file for one video, a folder for several."""
    font: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Recognised:
    """One video: what was recognised, or why it was not."""

    name: str
    recognition: Recognition | None = None
    error: SlrbenchError | None = None
    wrote: tuple[Path, ...] = ()


@dataclass(frozen=True, kw_only=True)
class _Job:
    name: str
    srt: Path | None
    render: Path | None


@dataclass
class _Shown:
    """When each gloss was first to be read, for the captions."""

    captions: list[Caption] = field(default_factory=list)


def recognise_videos(
    recognizer: Recognizer,
    names: Sequence[str],
    wishes: Wishes,
    *,
    on_start: Callable[[str], None] | None = None,
    on_update: Callable[[str, Update], None] | None = None,
    on_done: Callable[[Recognised], None] | None = None,
) -> tuple[Recognised, ...]:
    """Recognise every video; one that cannot be read is told and the rest go on.

    Args:
        recognizer: the model.
        names: video files, folders of pictures, cameras, or ``-`` for stdin.
        wishes: online or whole, and what is written.
        on_start: told the name of the video that comes next.
        on_update: online only: told what is new, while the frames arrive.
        on_done: told what each video gave.

    Raises:
        BadInputError: the wishes do not fit the videos; nothing was read then.
        OSError: a file that is wanted cannot be written.
    """
    jobs = _plan(names, wishes)
    found = []
    for job in jobs:
        if on_start is not None:
            on_start(job.name)
        try:
            done = _one(recognizer, job, wishes, on_update)
        except SlrbenchError as error:
            done = Recognised(name=job.name, error=error)
        found.append(done)
        if on_done is not None:
            on_done(done)
    return tuple(found)


def worst_error(found: Sequence[Recognised]) -> SlrbenchError | None:
    """What the command ends with: None where every video was recognised."""
    failed = [(each.name, each.error) for each in found if each.error is not None]
    if not failed:
        return None
    if len(found) == 1:
        return failed[0][1]
    words = f"{len(failed)} of {len(found)} videos could not be recognised: {', '.join(name for name, _ in failed)}"
    if all(isinstance(error, BadInputError) for _, error in failed):
        return BadInputError(words, hint="the reasons stand above")
    return RunFailedError(words, hint="the reasons stand above")


def _plan(names: Sequence[str], wishes: Wishes) -> list[_Job]:
    several = len(names) > 1
    if names.count(STDIN) > 1:
        raise BadInputError("stdin (-) can be read once", hint="name it once")
    cameras = [name for name in names if is_camera(name)]
    if cameras and wishes.online is None:
        raise BadInputError(f"{cameras[0]} is a camera, whose video has no end", hint="--online")
    if cameras and wishes.render is not None:
        raise BadInputError(
            f"{cameras[0]} is a camera: its frames cannot be read a second time", hint="record it first"
        )
    stems = _stems(names)
    srt = [_target(wishes.srt, stem, ".srt", several=several) for stem in stems]
    render = [_target(wishes.render, stem, ".mp4", several=several) for stem in stems]
    for path in render:
        if path is not None:
            check_render_path(path)
    _keep_the_videos(names, [*srt, *render])
    if wishes.font is not None:
        if wishes.render is None:
            raise BadInputError("--font is of the letters of --render", hint="--render OUT.mp4")
        check_font(wishes.font)
    return [_Job(name=name, srt=s, render=r) for name, s, r in zip(names, srt, render, strict=True)]


def _keep_the_videos(names: Sequence[str], targets: Sequence[Path | None]) -> None:
    """Raises BadInputError where a file that is to be written is one of the videos."""
    videos = [Path(name) for name in names if name != STDIN and Path(name).exists()]
    for target in targets:
        if target is not None and target.exists() and any(target.samefile(video) for video in videos):
            raise BadInputError(f"{target} is one of the videos, and would be replaced", hint="name another file")


def _stems(names: Sequence[str]) -> list[str]:
    """A name for each video's files; a number tells those of one name apart."""
    used: set[str] = set()
    stems = []
    for name in names:
        stem = base = "stdin" if name == STDIN else (Path(name).stem or Path(name).resolve().stem)
        number = 2
        while stem in used:
            stem, number = f"{base}-{number}", number + 1
        used.add(stem)
        stems.append(stem)
    return stems


def _target(wanted: Path | None, stem: str, suffix: str, *, several: bool) -> Path | None:
    if wanted is None:
        return None
    if not several and not wanted.is_dir():
        if wanted.suffix.lower() != suffix:
            raise BadInputError(f"{wanted} does not end in {suffix}", hint=f"name a {suffix} file, or a folder")
        return wanted
    if wanted.suffix.lower() == suffix and not wanted.is_dir():
        raise BadInputError(f"{wanted} is one file for several videos", hint="name a folder")
    wanted.mkdir(parents=True, exist_ok=True)
    return wanted / f"{stem}{suffix}"


def _one(
    recognizer: Recognizer, job: _Job, wishes: Wishes, on_update: Callable[[str, Update], None] | None
) -> Recognised:
    with _kept(job, live=wishes.online is not None) as source:
        shown = _Shown()
        frames = frames_of(source, recognizer.frames_per_second)
        if wishes.online is None:
            recognition = recognizer(frames)
            shown.captions = [
                Caption(gloss=s.gloss, from_s=s.start_s, confidence=s.confidence) for s in recognition.segments
            ]
        else:
            settings = wishes.online
            online = recognizer.online(window=settings.window, stride=settings.stride, lookahead=settings.lookahead)
            for update in _updates(online, frames, endless=is_camera(job.name)):
                shown.captions += [
                    Caption(gloss=s.gloss, from_s=update.at_s, confidence=s.confidence) for s in update.committed
                ]
                if on_update is not None:
                    on_update(job.name, update)
            recognition = online.recognition()
        wrote = []
        if job.srt is not None:
            write_text_atomically(job.srt, srt_of(recognition))
            wrote.append(job.srt)
        if job.render is not None:
            again = frames_of(source, recognizer.frames_per_second)
            write_captioned(job.render, again, shown.captions, recognizer.frames_per_second, font=wishes.font)
            wrote.append(job.render)
    return Recognised(name=job.name, recognition=recognition, wrote=tuple(wrote))


def _updates(online: OnlineRecogniser, frames: Iterator[NDArray[np.uint8]], *, endless: bool) -> Iterator[Update]:
    try:
        for frame in frames:
            yield from online.push([frame])
    except KeyboardInterrupt:
        if not endless:
            raise
        # How a person ends a camera's video: what came until now is settled.
    yield online.finish()


@contextmanager
def _kept(job: _Job, *, live: bool) -> Iterator[str]:
    """Where the frames are read from: what comes through a pipe is kept in a file, unless it is recognised live.

    A file can be read a second time, and from its end: many containers have their index there.
    """
    if can_be_read_again(job.name) or is_camera(job.name) or (live and job.render is None):
        yield job.name
        return
    with tempfile.TemporaryDirectory(prefix="slrbench-") as folder:
        kept = Path(folder) / "stdin"
        with kept.open("wb") as file:
            if job.name == STDIN:
                shutil.copyfileobj(sys.stdin.buffer, file)
            else:
                with Path(job.name).open("rb") as pipe:
                    shutil.copyfileobj(pipe, file)
        try:
            yield str(kept)
        except SlrbenchError as error:
            message = error.message.replace(str(kept), "stdin" if job.name == STDIN else job.name)
            raise type(error)(message, hint=error.hint) from error
