"""A corpus of files: what its annotations name is read from videos or frames, resized, and cropped.

Whole frames are squashed to ``resize`` x ``resize`` pixels, as the field does. Evaluation sees the ``size`` x ``size``
pixels in the middle; training sees augmentations, which are functions of seed, epoch and clip.

Shapes: T frames, H height, W width. Frames are RGB, uint8.
"""

import hashlib
import json
import zlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slrbench.data import augmentation, csl_daily, manifest, phoenix2014, phoenix2014t, sources
from slrbench.data.annotations import SPLITS, CorpusIndex, IndexedClip, LeftOut
from slrbench.data.corpus import Clip, Vocabulary
from slrbench.data.options import positive_int, share, yes_or_no
from slrbench.data.sources import ClipSource, FrameFiles, FrameReader
from slrbench.errors import BadInputError, UnreadableClipError

__all__ = ["IndexedClip", "IndexedCorpus", "IndexedSplit"]

VERSION = 1
"""Version of what becomes of a file's frames; a change that alters any clip raises it."""

SIZE, RESIZE = 224, 256
"""Pixels that the network gets, and that frames are resized to before the crop."""

_KINDS: Mapping[str, ModuleType] = {
    "phoenix2014": phoenix2014,
    "phoenix2014t": phoenix2014t,
    "csl-daily": csl_daily,
    "manifest": manifest,
}
_CRC = zlib.crc32(b"indexed")


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """What training does to a clip; ``on`` False shows it as evaluation does."""

    on: bool = True
    flip: bool = False
    colour: float = 0.4
    tempo: float = 0.2

    @classmethod
    def from_options(cls, options: Mapping[str, str]) -> "Augmentation":
        """Read ``augment=yes``, ``flip=no``, ``colour=0.4`` and ``tempo=0.2``.

        Raises:
            BadInputError: a value does not fit.
        """
        return cls(
            on=yes_or_no(options, "augment", cls.on),
            flip=yes_or_no(options, "flip", cls.flip),
            colour=share(options, "colour", cls.colour),
            tempo=share(options, "tempo", cls.tempo),
        )


@dataclass(frozen=True, kw_only=True)
class IndexedSplit:
    """Clips that are read when they are asked for; ``prepare`` crops the one at an index, or varies it."""

    name: str
    clips: Sequence[IndexedClip]
    vocabulary: Vocabulary
    reader: FrameReader
    prepare: Callable[[NDArray[np.uint8], int], NDArray[np.uint8]]

    def __len__(self) -> int:
        """Number of clips."""
        return len(self.clips)

    def label_length(self, index: int) -> int:
        """Number of glosses of the clip at ``index``."""
        return len(self.clips[index].glosses)

    def glosses(self, index: int) -> tuple[str, ...]:
        """Glosses of the clip at ``index``."""
        return self.clips[index].glosses

    def frame_count(self, index: int) -> int | None:
        """Frames of the clip's files, before any augmentation; None where the file does not say."""
        try:
            return self.reader.count(self.clips[index].source)
        except BadInputError:
            return None

    def __getitem__(self, index: int) -> Clip:
        """Read the clip at ``index``: ``(T, size, size, 3)``.

        Raises:
            IndexError: ``index`` is out of range.
            UnreadableClipError: a file of the clip cannot be read.
        """
        if not 0 <= index < len(self.clips):
            raise IndexError(f"clip {index} is not in 0..{len(self.clips) - 1}")
        clip = self.clips[index]
        try:
            frames = self.reader.read(clip.source)
        except BadInputError as error:
            raise UnreadableClipError(clip.clip_id, error.message) from error
        return Clip(
            clip_id=clip.clip_id,
            frames=self.prepare(frames, index),
            glosses=clip.glosses,
            labels=self.vocabulary.encode_known(clip.glosses),
            signer=clip.signer,
        )


@dataclass(frozen=True, kw_only=True)
class CentreCrop:
    """As evaluation sees every clip."""

    size: int

    def __call__(self, frames: NDArray[np.uint8], index: int) -> NDArray[np.uint8]:
        """The middle of every frame."""
        return augmentation.centre_crop(frames, size=self.size)


@dataclass(frozen=True, kw_only=True)
class Varied:
    """As one epoch of training sees them."""

    size: int
    augmentation: Augmentation
    key: tuple[int, ...]

    def __call__(self, frames: NDArray[np.uint8], index: int) -> NDArray[np.uint8]:
        """The variation of the clip at ``index`` in this epoch."""
        how = self.augmentation
        rng = np.random.default_rng(np.random.SeedSequence((*self.key, index)))
        return augmentation.augment(frames, rng, size=self.size, flip=how.flip, colour=how.colour, tempo=how.tempo)


@dataclass(frozen=True, kw_only=True)
class IndexedCorpus:
    """``--data KIND:PATH`` for kinds that are files; see ``IndexedCorpus.from_options`` for the options."""

    kind: str
    spec: str
    index: CorpusIndex
    size: int = SIZE
    resize: int = RESIZE
    augmentation: Augmentation = Augmentation()
    cache: Path | None = None

    @classmethod
    def from_options(cls, kind: str, options: Mapping[str, str], *, cache: Path | None = None) -> "IndexedCorpus":
        """Read ``path``, ``size=224``, ``resize=256``, those of the kind, and those of ``Augmentation``.

        Where only ``size`` or only ``resize`` is given, the other follows at 7 to 8.

        Raises:
            BadInputError: a value does not fit, the path is not such a corpus, or none of its clips can be used.
        """
        size, resize = _sizes(options)
        augmentation = Augmentation.from_options(options)
        path = Path(options["path"]).expanduser()
        index: CorpusIndex = _KINDS[kind].index(path, options)
        given = {name: value for name, value in options.items() if name != "path"}
        corpus = cls(
            kind=kind,
            spec=f"{kind}:{options['path']}" + "".join(f",{name}={given[name]}" for name in sorted(given)),
            index=index,
            size=size,
            resize=resize,
            augmentation=augmentation,
            cache=cache,
        )
        if not any(index.splits.values()):
            first = index.left_out[0] if index.left_out else None
            why = f", for example {first.clip_id}: {first.reason}" if first else ""
            raise BadInputError(
                f"{options['path']} has no clip that can be used ({len(index.left_out)} were left out{why})",
                hint=f"expected {_KINDS[kind].EXPECTED}",
            )
        return corpus

    @property
    def scoring(self) -> str:
        """Convention by which word errors are counted."""
        return self.index.scoring

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """The glosses of the training split, sorted."""
        return Vocabulary(glosses=tuple(sorted({gloss for clip in self.clips("train") for gloss in clip.glosses})))

    @property
    def frame_size(self) -> tuple[int, int]:
        """Height and width, pixels."""
        return self.size, self.size

    @property
    def frames_per_second(self) -> float:
        """Frame rate, Hz."""
        return self.index.frames_per_second

    @property
    def split_names(self) -> tuple[str, ...]:
        """``train``, ``dev`` and ``test``, then what else the annotations name."""
        return (*SPLITS, *(name for name in self.index.splits if name not in SPLITS))

    def clips(self, split: str) -> Sequence[IndexedClip]:
        """What is known of the clips of a split, none of them read."""
        return self.index.splits.get(split, [])

    @property
    def left_out(self) -> Sequence[LeftOut]:
        """Clips that are annotated and not used."""
        return self.index.left_out

    @cached_property
    def reader(self) -> FrameReader:
        """Reads the frames of any clip."""
        return FrameReader((self.resize, self.resize), self.cache)

    def split(self, name: str) -> IndexedSplit:
        """The split of that name, as evaluation sees it.

        Raises:
            BadInputError: an unknown name.
        """
        if name not in self.split_names:
            raise BadInputError(f"unknown split {name!r}", hint=f"known: {', '.join(self.split_names)}")
        return self._split(name, CentreCrop(size=self.size))

    def training_epoch(self, epoch: int, *, seed: int, difficulty: float = 1.0) -> IndexedSplit:
        """The training clips, each varied anew; there is no curriculum.

        Raises:
            BadInputError: there are no training clips.
        """
        if not self.clips("train"):
            raise BadInputError(f"{self.spec} has no training clips", hint="split 'train' is what is trained on")
        if not self.augmentation.on:
            return self.split("train")
        return self._split("train", Varied(size=self.size, augmentation=self.augmentation, key=(_CRC, seed, epoch)))

    def _split(self, name: str, prepare: Callable[[NDArray[np.uint8], int], NDArray[np.uint8]]) -> IndexedSplit:
        return IndexedSplit(
            name=name, clips=self.clips(name), vocabulary=self.vocabulary, reader=self.reader, prepare=prepare
        )

    def fingerprint(self) -> str:
        """SHA-256 over options, annotations, and the names and sizes of files, not over where they lie.

        Of a clip of frames that is the number of frames and the first, middle and last file: asking for the size of
        each of a million files would take minutes.
        """
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        document: dict[str, Any] = {
            "kind": self.kind,
            "versions": [VERSION, sources.VERSION, augmentation.VERSION],
            "size": self.size,
            "resize": self.resize,
            "augmentation": vars(self.augmentation),
            "rows": self.index.rows_sha256,
            "files": [
                (name, clip.clip_id, *_marks_of(clip.source)) for name in self.split_names for clip in self.clips(name)
            ],
        }
        return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()

    def out_of_vocabulary(self, split: str) -> Counter[str]:
        """Glosses of a split that training never shows, and how often each occurs."""
        known = set(self.vocabulary.glosses)
        return Counter(gloss for clip in self.clips(split) for gloss in clip.glosses if gloss not in known)

    def statistics(self) -> dict[str, object]:
        """What a person checks first, from annotations and headers; no frame is decoded."""
        from slrbench.data.survey import survey

        return survey(self, read="headers").document()


def _sizes(options: Mapping[str, str]) -> tuple[int, int]:
    if "size" in options:
        size = positive_int(options, "size", SIZE, low=24, high=1024)
        resize = positive_int(options, "resize", round(size * RESIZE / SIZE), low=24, high=2048)
    else:
        resize = positive_int(options, "resize", RESIZE, low=24, high=2048)
        size = round(resize * SIZE / RESIZE)
    if size > resize:
        raise BadInputError(
            f"size={size} is more than resize={resize}: the network gets a part of the resized frame",
            hint=f"resize={round(size * RESIZE / SIZE)}",
        )
    return size, resize


def _marks_of(source: ClipSource) -> tuple[int | str, ...]:
    if not isinstance(source, FrameFiles):
        return (source.path.name, _size_of(source.path))
    paths = source.paths
    chosen = (paths[0], paths[len(paths) // 2], paths[-1])
    return (len(paths), *(mark for path in chosen for mark in (path.name, _size_of(path))))


def _size_of(path: Path) -> int:
    """Bytes; -1 where the file is not there, such as a link that points nowhere: reading the clip will say so."""
    try:
        return path.stat().st_size
    except OSError:
        return -1
