"""What training and evaluation need to know of a corpus: splits of labelled clips and a vocabulary. NumPy only.

Shapes: T frames, H height, W width. Frames are RGB, uint8.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from slrbench.errors import UnreadableClipError

BLANK_TOKEN = "<blank>"


@dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """Glosses in class order; class 0 is the CTC blank and is not among ``glosses``."""

    glosses: tuple[str, ...]

    @property
    def num_classes(self) -> int:
        """Number of classes C, with the blank."""
        return len(self.glosses) + 1

    def encode(self, glosses: Sequence[str]) -> tuple[int, ...]:
        """Class indices (1 .. C-1) of glosses; raises KeyError for a gloss that is not in the vocabulary."""
        index = {gloss: i + 1 for i, gloss in enumerate(self.glosses)}
        return tuple(index[gloss] for gloss in glosses)

    def encode_known(self, glosses: Sequence[str]) -> tuple[int, ...]:
        """Class indices of those glosses that are in the vocabulary; the others have none and are left out."""
        index = {gloss: i + 1 for i, gloss in enumerate(self.glosses)}
        return tuple(index[gloss] for gloss in glosses if gloss in index)

    def decode(self, labels: Sequence[int]) -> tuple[str, ...]:
        """Glosses of class indices 1 .. C-1; raises IndexError for the blank or an index out of range."""
        if any(not 1 <= label < self.num_classes for label in labels):
            raise IndexError(f"labels {tuple(labels)} are not all in 1..{self.num_classes - 1}")
        return tuple(self.glosses[label - 1] for label in labels)


@dataclass(frozen=True, kw_only=True)
class Clip:
    """One labelled clip."""

    clip_id: str
    frames: NDArray[np.uint8]  # (T, H, W, 3)
    glosses: tuple[str, ...]
    labels: tuple[int, ...]
    """Class indices, 1 .. C-1, of the glosses. A gloss outside the vocabulary (of dev or test) has none: what is scored
    are the glosses, in which it stays and is an error."""
    signer: str
    boundaries: tuple[tuple[int, int], ...] | None = None
    """First frame and one past the last frame of each gloss, where the corpus knows them."""


class Split(Protocol):
    """A sequence of clips; the clip at an index never changes."""

    @property
    def name(self) -> str:
        """``train``, ``dev``, ``test`` or another name of the corpus."""
        ...

    def __len__(self) -> int:
        """Number of clips."""
        ...

    def __getitem__(self, index: int) -> Clip:
        """The clip at ``index``; raises IndexError outside 0 .. len-1, UnreadableClipError for a broken file."""
        ...

    def label_length(self, index: int) -> int:
        """Number of glosses of the clip at ``index``, without rendering or decoding it."""
        ...

    def frame_count(self, index: int) -> int | None:
        """Frames of the clip at ``index``; None where only rendering or decoding it would tell."""
        ...


class Corpus(Protocol):
    """A corpus: what ``slrbench.data.open_corpus`` returns for ``--data``."""

    @property
    def spec(self) -> str:
        """The text that opens this corpus again, with every option that is not a default."""
        ...

    @property
    def vocabulary(self) -> Vocabulary:
        """The classes, from the training split only."""
        ...

    @property
    def frame_size(self) -> tuple[int, int]:
        """Height and width of every frame, pixels."""
        ...

    @property
    def frames_per_second(self) -> float:
        """Frame rate of every clip, Hz."""
        ...

    @property
    def split_names(self) -> tuple[str, ...]:
        """Names that ``split`` takes; ``train``, ``dev`` and ``test`` are among them."""
        ...

    def split(self, name: str) -> Split:
        """The split of that name; raises BadInputError for a name that is not in ``split_names``."""
        ...

    def training_epoch(self, epoch: int, *, seed: int, difficulty: float = 1.0) -> Split:
        """Augmented training clips of one epoch, the same for the same (epoch, seed, difficulty).

        ``difficulty`` in (0, 1] is the curriculum: shorter clips come first where it is below 1. A corpus without one
        ignores it.
        """
        ...

    def fingerprint(self) -> str:
        """SHA-256 over everything that determines the clips (options, versions, source files)."""
        ...

    def statistics(self) -> Mapping[str, object]:
        """Counts that a person checks first, as JSON-ready values."""
        ...


def readable_clips(
    split: Split, indices: Iterable[int], unreadable: dict[str, str] | None = None
) -> Iterator[tuple[int, Clip]]:
    """The clips at ``indices`` with their indices, without those that cannot be read.

    These are noted in ``unreadable``, the clip's name to what is wrong with it.
    """
    for index in indices:
        try:
            clip = split[index]
        except UnreadableClipError as error:
            if unreadable is not None:
                unreadable[error.clip_id] = error.reason
            continue
        yield index, clip


def glosses_of(split: Split, index: int) -> tuple[str, ...]:
    """Glosses of the clip at ``index``, without rendering or decoding it where the split has ``glosses(index)``.

    Raises:
        UnreadableClipError: the split has not, and the clip's file is broken.
    """
    known = getattr(split, "glosses", None)
    return tuple(known(index)) if callable(known) else split[index].glosses
