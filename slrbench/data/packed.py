"""A few labelled clips as a file, so that a machine without the corpus or its packages can measure word error rates.

``test_clips.npz`` holds ``frames``, uint8 ``(N, H, W, 3)``: the frames of all clips one after another; ``lengths``,
int64 ``(clips,)``; and ``about``, a JSON document. Arrays only: nothing in the file is executed when it is read.
Deflate brings rendered clips down to a tenth (100 of 64 x 64 pixels: 70 MB to 6.2 MB); differences between frames
compress worse (7.8 MB). NumPy only.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from exporters.artifact import atomic_path
from exporters.parity_cases import UNREADABLE, load_arrays
from slrbench.data.corpus import Clip, Corpus, Split, Vocabulary, readable_clips
from slrbench.errors import BadInputError
from slrbench.records import ErrorCounts, Record

CLIPS_NAME = "test_clips.npz"
SCHEMA_VERSION = 1


class PackedClip(Record):
    """What is known of a clip beside its frames."""

    clip_id: str
    glosses: tuple[str, ...]
    signer: str


class AboutClips(Record):
    """The document inside the file."""

    schema_version: int = SCHEMA_VERSION
    spec: str = Field(description="corpus that the clips are of, as --data takes it")
    fingerprint: str = Field(description="of that corpus, where the clips were packed")
    split: str
    split_clips: int = Field(description="clips of the whole split")
    glosses: tuple[str, ...] = Field(description="class i + 1 is glosses[i]")
    frames_per_second: float = Field(gt=0.0)
    clips: tuple[PackedClip, ...] = Field(min_length=1)
    out_of_vocabulary: tuple[str, ...] = Field(
        default=(), description="glosses of these clips that no class stands for: each is an error"
    )
    reference: ErrorCounts | None = Field(
        default=None, description="word errors of the checkpoint itself on these very clips"
    )


@dataclass(frozen=True, kw_only=True)
class PackedSplit:
    """The packed clips, the first ones of their split."""

    about: AboutClips
    frames: tuple[NDArray[np.uint8], ...]
    vocabulary: Vocabulary

    @property
    def name(self) -> str:
        """Name of the split that they come from."""
        return self.about.split

    def __len__(self) -> int:
        """Number of packed clips."""
        return len(self.frames)

    def label_length(self, index: int) -> int:
        """Number of glosses of the clip at ``index``."""
        return len(self.about.clips[index].glosses)

    def glosses(self, index: int) -> tuple[str, ...]:
        """Glosses of the clip at ``index``."""
        return self.about.clips[index].glosses

    def frame_count(self, index: int) -> int | None:
        """Frames of the clip at ``index``."""
        return len(self.frames[index])

    def __getitem__(self, index: int) -> Clip:
        """The clip at ``index``."""
        if not 0 <= index < len(self.frames):
            raise IndexError(f"clip {index} is not in 0..{len(self.frames) - 1}")
        clip = self.about.clips[index]
        return Clip(
            clip_id=clip.clip_id,
            frames=self.frames[index],
            glosses=clip.glosses,
            labels=self.vocabulary.encode_known(clip.glosses),
            signer=clip.signer,
        )


@dataclass(frozen=True, kw_only=True)
class PackedCorpus:
    """A corpus of which only some clips of one split are at hand; spec and fingerprint are those of the whole."""

    about: AboutClips
    _split: PackedSplit

    @property
    def source(self) -> str:
        """What the clips are, in words."""
        return f"packed {self.about.split} clips of {self.about.spec}"

    @property
    def spec(self) -> str:
        """The spec of the corpus that the clips are of."""
        return self.about.spec

    @property
    def vocabulary(self) -> Vocabulary:
        """The classes."""
        return self._split.vocabulary

    @property
    def frame_size(self) -> tuple[int, int]:
        """Height and width, pixels."""
        _, height, width, _ = self._split.frames[0].shape
        return height, width

    @property
    def frames_per_second(self) -> float:
        """Frame rate, Hz."""
        return self.about.frames_per_second

    @property
    def split_names(self) -> tuple[str, ...]:
        """The one split of which clips are packed."""
        return (self.about.split,)

    def split(self, name: str) -> Split:
        """The packed clips.

        Raises:
            BadInputError: ``name`` is another split.
        """
        if name != self.about.split:
            raise BadInputError(
                f"only clips of {self.about.split!r} are packed, not of {name!r}", hint=f"--split {self.about.split}"
            )
        return self._split

    def training_epoch(self, epoch: int, *, seed: int, difficulty: float = 1.0) -> Split:
        """There is none.

        Raises:
            BadInputError: always.
        """
        raise BadInputError("packed clips are for measuring, not for training", hint=f"--data {self.about.spec}")

    def fingerprint(self) -> str:
        """The fingerprint of the whole corpus, where the clips were packed."""
        return self.about.fingerprint

    def statistics(self) -> Mapping[str, object]:
        """How many clips, frames and glosses there are."""
        return {
            "clips": len(self._split),
            "frames": sum(len(frames) for frames in self._split.frames),
            "glosses": sum(len(clip.glosses) for clip in self.about.clips),
        }


def write_packed_clips(
    path: Path, corpus: Corpus, split: str, clips: int, *, reference: ErrorCounts | None = None
) -> None:
    """Write the first ``clips`` clips of a split, or all where it has fewer; whole or not at all.

    Raises:
        BadInputError: the corpus has no such split, or it has no clips.
        OSError: the file cannot be written.
    """
    source = corpus.split(split)
    chosen = [clip for _, clip in readable_clips(source, range(min(clips, len(source))))]
    if not chosen:
        raise BadInputError(f"there are no clips of {split} to pack", hint="choose another corpus")
    about = AboutClips(
        spec=corpus.spec,
        fingerprint=corpus.fingerprint(),
        split=split,
        split_clips=len(source),
        glosses=corpus.vocabulary.glosses,
        frames_per_second=corpus.frames_per_second,
        clips=tuple(PackedClip(clip_id=c.clip_id, glosses=c.glosses, signer=c.signer) for c in chosen),
        out_of_vocabulary=tuple(sorted({g for c in chosen for g in c.glosses} - set(corpus.vocabulary.glosses))),
        reference=reference,
    )
    arrays = {
        "frames": np.concatenate([clip.frames for clip in chosen]),
        "lengths": np.array([len(clip.frames) for clip in chosen], dtype=np.int64),
    }
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, about=np.array(about.model_dump_json()), **arrays)


def read_packed_clips(path: Path) -> PackedCorpus:
    """The clips of a file that :func:`write_packed_clips` wrote.

    Raises:
        BadInputError: it is missing, damaged, or of another schema.
    """
    again = "pack the model again with this version of slrbench, and copy the archive again"
    try:
        with path.open("rb") as file, load_arrays(file) as stored:  # NumPy leaks a damaged file
            document = json.loads(str(stored["about"]))
            found = document.get("schema_version") if isinstance(document, dict) else None
            if found != SCHEMA_VERSION:
                raise BadInputError(f"{path} has schema_version {found!r}, expected {SCHEMA_VERSION}", hint=again)
            about = AboutClips.model_validate(document)
            frames, lengths = stored["frames"], stored["lengths"]
        _check_arrays(about, frames, lengths)
    except UNREADABLE as error:  # pydantic's ValidationError is a ValueError
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise BadInputError(f"{path} does not hold packed clips: {first}", hint=again) from error
    split = PackedSplit(
        about=about,
        frames=tuple(np.split(frames, np.cumsum(lengths)[:-1])),
        vocabulary=Vocabulary(glosses=about.glosses),
    )
    return PackedCorpus(about=about, _split=split)


def packed_clips_in(folder: Path) -> PackedCorpus | None:
    """The packed clips of a model's folder; None where it has none.

    Raises:
        BadInputError: there is such a file, and it cannot be used.
    """
    path = folder / CLIPS_NAME
    return read_packed_clips(path) if path.is_file() else None


def _check_arrays(about: AboutClips, frames: NDArray[np.uint8], lengths: NDArray[np.int64]) -> None:
    """Raises ValueError where arrays and document do not go together."""
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3:
        raise ValueError(f"frames are {frames.dtype} {frames.shape}, expected uint8 (N, H, W, 3)")
    if lengths.shape != (len(about.clips),) or lengths.dtype != np.int64 or (lengths < 1).any():
        raise ValueError(f"lengths are not those of {len(about.clips)} clips of at least one frame")
    if int(lengths.sum()) != len(frames):
        raise ValueError(f"{len(frames)} frames, the lengths say {int(lengths.sum())}")
    unknown = {gloss for clip in about.clips for gloss in clip.glosses} - {*about.glosses, *about.out_of_vocabulary}
    if unknown:
        raise ValueError(f"glosses that are not in the vocabulary: {' '.join(sorted(unknown)[:10])}")
