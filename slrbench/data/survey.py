"""A look at every clip of a corpus of files: what is there, what is missing, what cannot be read, what CTC can align.

Shapes: T frames.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from os import cpu_count
from typing import TYPE_CHECKING, Literal

import numpy as np

from slrbench.ctc import output_length, required_steps
from slrbench.data.sources import FrameReader, check
from slrbench.errors import BadInputError

if TYPE_CHECKING:
    from slrbench.data.indexed import IndexedClip, IndexedCorpus

Read = Literal["all", "some", "headers"]
"""What is decoded: every frame; only what soon shows a missing, empty or cut-off file; or nothing."""

STRIDES = (4, 8)
"""Output strides that what CTC can align is counted for."""


@dataclass(frozen=True, kw_only=True)
class ClipFacts:
    """What the survey found of a clip; ``frames`` is None where it could not be read."""

    split: str
    clip_id: str
    signer: str
    glosses: tuple[str, ...]
    frames: int | None
    fault: str | None = None

    def alignable(self, stride: int) -> bool:
        """Whether CTC can align the glosses at that output stride."""
        number = {gloss: i for i, gloss in enumerate(dict.fromkeys(self.glosses))}
        steps = required_steps([number[gloss] for gloss in self.glosses])
        return self.frames is not None and steps <= output_length(self.frames, stride)


@dataclass(frozen=True, kw_only=True)
class Survey:
    """The facts of all clips, and of the corpus."""

    corpus: "IndexedCorpus"
    clips: tuple[ClipFacts, ...]
    read: Read

    @property
    def unreadable(self) -> list[ClipFacts]:
        """Clips whose files cannot be read."""
        return [clip for clip in self.clips if clip.fault is not None]

    def of(self, split: str) -> list[ClipFacts]:
        """The readable clips of a split."""
        return [clip for clip in self.clips if clip.split == split and clip.fault is None]

    def document(self) -> dict[str, object]:
        """Everything as JSON-ready values."""
        corpus = self.corpus
        return {
            "corpus": corpus.spec,
            "scoring": corpus.scoring,
            "fingerprint": corpus.fingerprint(),
            "decoded": self.read,
            "frame_size": list(corpus.frame_size),
            "frames_per_second": corpus.frames_per_second,
            "signers": len({clip.signer for clip in self.clips}),
            "vocabulary": list(corpus.vocabulary.glosses),
            "splits": {name: self._figures(name) for name in corpus.split_names},
            "missing": [vars(clip) for clip in corpus.left_out],
            "unreadable": [{"clip_id": c.clip_id, "split": c.split, "reason": c.fault} for c in self.unreadable],
            "notes": list(corpus.index.notes),
        }

    def _figures(self, split: str) -> dict[str, object]:
        clips = self.of(split)
        frames = [clip.frames for clip in clips if clip.frames is not None]
        lengths = [len(clip.glosses) for clip in clips]
        unknown = self.corpus.out_of_vocabulary(split)
        seen = {clip.signer for clip in self.clips if clip.split == "train"}
        return {
            "clips": len(clips),
            "signers": dict(sorted(Counter(clip.signer for clip in clips).items())),
            "signers_not_in_train": sorted({clip.signer for clip in clips} - seen),
            "frames": sum(frames),
            "frames_min_median_max": spread(frames),
            "glosses": sum(lengths),
            "glosses_min_median_max": spread(lengths),
            "output_steps_min_median_max": spread([output_length(n, STRIDES[0]) for n in frames]),
            "frames_per_gloss": round(sum(frames) / max(1, sum(lengths)), 2),
            "adjacent_repeats": sum(a == b for c in clips for a, b in pairwise(c.glosses)),
            "out_of_vocabulary": sum(unknown.values()),
            "out_of_vocabulary_glosses": dict(unknown.most_common()),
            **{
                f"not_alignable_at_stride_{stride}": sum(not clip.alignable(stride) for clip in clips)
                for stride in STRIDES
            },
            "missing": sum(clip.split == split for clip in self.corpus.left_out),
            "unreadable": sum(clip.split == split for clip in self.unreadable),
        }


def spread(values: Sequence[int]) -> list[int]:
    """Least, median and most; nothing of nothing."""
    return [min(values), int(np.median(values)), max(values)] if values else []


def survey(
    corpus: "IndexedCorpus", *, read: Read = "all", progress: Callable[[int, int], None] | None = None
) -> Survey:
    """Look at every clip of every split, on all cores: decoding leaves Python's lock.

    ``progress`` is called with clips done and clips in all.
    """
    work = [(name, clip) for name in corpus.split_names for clip in corpus.clips(name)]
    reader = corpus.reader
    facts = []
    with ThreadPoolExecutor(max_workers=max(1, cpu_count() or 1)) as pool:
        for found in _in_order(pool, [(reader, name, clip, read) for name, clip in work]):
            facts.append(found)
            if progress is not None:
                progress(len(facts), len(work))
    return Survey(corpus=corpus, clips=tuple(facts), read=read)


def _in_order(
    pool: ThreadPoolExecutor, work: Sequence[tuple[FrameReader, str, "IndexedClip", Read]]
) -> Iterator[ClipFacts]:
    yield from pool.map(lambda arguments: _facts(*arguments), work)


def _facts(reader: FrameReader, split: str, clip: "IndexedClip", read: Read) -> ClipFacts:
    frames, fault = None, None
    try:
        frames = _frames(reader, clip, read)
    except BadInputError as error:
        fault = error.message
    return ClipFacts(
        split=split, clip_id=clip.clip_id, signer=clip.signer, glosses=clip.glosses, frames=frames, fault=fault
    )


def _frames(reader: FrameReader, clip: "IndexedClip", read: Read) -> int:
    """Number of frames, after decoding what ``read`` asks for; raises BadInputError for what cannot be read."""
    source = clip.source
    if read == "all":
        return len(reader.read(source))
    if read == "some":
        check(source)
    return reader.count(source)
