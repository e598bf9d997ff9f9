"""Batches of training clips, each a function of the step number alone, so that a resumed run sees the same ones.

Several processes share the clips of a batch; a process may take its share in several parts, so that it fits memory.

Shapes: B clips, T frames.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slrbench.ctc import is_feasible
from slrbench.data.batching import Batch, collate
from slrbench.data.corpus import Clip, Corpus, Split, readable_clips

_POOL_BATCHES = 16  # batches whose clips are sorted by length together, so that little is padded


@dataclass(frozen=True)
class TrainingBatch:
    """A batch, or one process's share of it, and how many clips were dropped because CTC could not align them.

    It is None where no clip is left for it.
    """

    batch: Batch | None
    dropped: int


@dataclass(frozen=True)
class _Pool:
    """Clips of neighbouring batches, already grouped; read beforehand where only reading tells their length."""

    key: tuple[int, int]
    split: Split
    groups: list[list[int]]
    read: dict[int, Clip]

    def clips(self, indices: Sequence[int], unreadable: dict[str, str]) -> Iterator[Clip]:
        """Those that can be read; the others are noted in ``unreadable``."""
        for index in indices:
            if index in self.read:
                yield self.read[index]
            else:
                yield from (clip for _, clip in readable_clips(self.split, [index], unreadable))


class BatchStream:
    """Random access to the batches of a training run by step number."""

    def __init__(
        self,
        corpus: Corpus,
        *,
        batch_size: int,
        seed: int,
        stride: int,
        curriculum_steps: int = 0,
        first_difficulty: float = 1.0,
        share: tuple[int, int] = (0, 1),
    ) -> None:
        """Keep what determines the batches.

        ``stride`` is the network's, for what CTC can align; ``share`` is which process this is, and of how many: each
        reads only its own clips of a batch, every so-manieth, where the corpus knows their lengths without reading.
        """
        self._corpus = corpus
        self._batch_size = batch_size
        self._seed = seed
        self._stride = stride
        self._curriculum_steps = curriculum_steps
        self._first_difficulty = first_difficulty
        self._share = share
        first = corpus.training_epoch(0, seed=seed, difficulty=1.0)
        self.steps_per_epoch = max(1, len(first) // batch_size)
        self.unreadable: dict[str, str] = {}  # clips that could not be read so far, and why
        self._pool: _Pool | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Everything but the clips at hand, for a process that makes batches of its own."""
        return {**self.__dict__, "_pool": None}

    def difficulty(self, epoch: int) -> float:
        """Curriculum of an epoch: rises linearly to 1 over ``curriculum_steps``."""
        if self._curriculum_steps == 0:
            return 1.0
        share = epoch * self.steps_per_epoch / self._curriculum_steps
        return min(1.0, self._first_difficulty + (1 - self._first_difficulty) * share)

    def __getitem__(self, step: int) -> TrainingBatch:
        """The batch of a step, counted from 0."""
        epoch, within = divmod(step, self.steps_per_epoch)
        number, position = divmod(within, _POOL_BATCHES)
        if self._pool is None or self._pool.key != (epoch, number):
            self._pool = self._load(epoch, number)
        pool = self._pool
        index, count = self._share
        clips = list(pool.clips(pool.groups[position][index::count], self.unreadable))
        kept = [clip for clip in clips if is_feasible(clip.labels, len(clip.frames), self._stride)]
        return TrainingBatch(collate(kept) if kept else None, len(clips) - len(kept))

    def _load(self, epoch: int, number: int) -> _Pool:
        split: Split = self._corpus.training_epoch(epoch, seed=self._seed, difficulty=self.difficulty(epoch))
        rng = np.random.default_rng(np.random.SeedSequence((self._seed, epoch)))
        order = rng.permutation(len(split))
        batches = min(_POOL_BATCHES, self.steps_per_epoch - number * _POOL_BATCHES)
        start = number * _POOL_BATCHES * self._batch_size
        indices = [int(i) for i in order[start : start + batches * self._batch_size]]
        read: dict[int, Clip] = {}
        lengths = _frame_counts(split, indices)
        if lengths is None:
            read = dict(readable_clips(split, indices, self.unreadable))
            indices = list(read)
            lengths = {i: len(clip.frames) for i, clip in read.items()}
        indices.sort(key=lengths.__getitem__)
        groups = [indices[i : i + self._batch_size] for i in range(0, len(indices), self._batch_size)]
        groups += [[] for _ in range(batches - len(groups))]  # where clips could not be read
        shuffled = np.random.default_rng(np.random.SeedSequence((self._seed, epoch, number))).permutation(len(groups))
        return _Pool((epoch, number), split, [groups[int(i)] for i in shuffled], read)


def _frame_counts(split: Split, indices: Sequence[int]) -> dict[int, int] | None:
    """Frames of clips without reading them; None where the split cannot tell of any."""
    count: Any = getattr(split, "frame_count", None)
    if count is None:
        return None
    known = {i: count(i) for i in indices}
    if all(frames is None for frames in known.values()):
        return None
    return {i: frames or 0 for i, frames in known.items()}


def in_parts(batch: Batch, *, clips: int, frames: int = 0) -> list[Batch]:
    """Neighbouring clips together, at most ``clips`` of them, and at most ``frames`` with padding (0: any number).

    A clip that is longer than ``frames`` is a part of its own.
    """
    starts, longest = [0], 0
    for row, length in enumerate(map(int, batch.lengths)):
        longest = max(longest, length)
        size = row - starts[-1] + 1
        if size > clips or (size > 1 and 0 < frames < size * longest):
            starts.append(row)
            longest = length
    return [_rows(batch, start, stop) for start, stop in zip(starts, [*starts[1:], len(batch.lengths)], strict=True)]


def even_out(parts: Sequence[Batch], count: int) -> list[Batch | None]:
    """``count`` parts of the same clips, None where there are too few clips for that.

    All processes go through a step in equally many parts, since batch normalisation looks at the clips of all of them.
    """
    result: list[Batch | None] = list(parts)
    while len(result) < count:
        sizes = [len(part.lengths) if part is not None else 0 for part in result]
        largest = int(np.argmax(sizes)) if sizes else 0
        part = result[largest] if sizes else None
        if part is None or sizes[largest] == 1:
            result.append(None)
        else:
            half = sizes[largest] // 2
            result[largest : largest + 1] = [_rows(part, 0, half), _rows(part, half, sizes[largest])]
    return result


def _rows(batch: Batch, start: int, stop: int) -> Batch:
    """Clips ``start`` .. ``stop - 1`` of a batch, without the padding that only the others needed."""
    if (start, stop) == (0, len(batch.lengths)):
        return batch
    ends: NDArray[np.int64] = np.concatenate([[0], np.cumsum(batch.label_lengths)])
    lengths = batch.lengths[start:stop]
    return Batch(
        video=np.ascontiguousarray(batch.video[start:stop, : int(lengths.max())]),
        lengths=lengths,
        labels=batch.labels[int(ends[start]) : int(ends[stop])],
        label_lengths=batch.label_lengths[start:stop],
        clip_ids=batch.clip_ids[start:stop],
    )
