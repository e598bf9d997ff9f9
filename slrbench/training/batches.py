"""Batches of training clips, each a function of the step number alone, so that a resumed run sees the same ones.

Shapes: B clips, T frames.
"""

from dataclasses import dataclass

import numpy as np

from slrbench.ctc import is_feasible
from slrbench.data.batching import Batch, collate
from slrbench.data.corpus import Clip, Corpus, Split, readable_clips

_POOL_BATCHES = 16  # batches whose clips are sorted by length together, so that little is padded


@dataclass(frozen=True)
class TrainingBatch:
    """A batch, None where no clip is left for it, and how many were dropped because CTC could not align them."""

    batch: Batch | None
    dropped: int


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
    ) -> None:
        """Keep what determines the batches; ``stride`` is the network's, for what CTC can align."""
        self._corpus = corpus
        self._batch_size = batch_size
        self._seed = seed
        self._stride = stride
        self._curriculum_steps = curriculum_steps
        self._first_difficulty = first_difficulty
        first = corpus.training_epoch(0, seed=seed, difficulty=1.0)
        self.steps_per_epoch = max(1, len(first) // batch_size)
        self.unreadable: dict[str, str] = {}  # clips that could not be read so far, and why
        self._pool: tuple[tuple[int, int], list[list[Clip]]] | None = None

    def difficulty(self, epoch: int) -> float:
        """Curriculum of an epoch: rises linearly to 1 over ``curriculum_steps``."""
        if self._curriculum_steps == 0:
            return 1.0
        share = epoch * self.steps_per_epoch / self._curriculum_steps
        return min(1.0, self._first_difficulty + (1 - self._first_difficulty) * share)

    def __getitem__(self, step: int) -> TrainingBatch:
        """The batch of a step, counted from 0."""
        epoch, within = divmod(step, self.steps_per_epoch)
        pool, position = divmod(within, _POOL_BATCHES)
        if self._pool is None or self._pool[0] != (epoch, pool):
            self._pool = (epoch, pool), self._load(epoch, pool)
        clips = self._pool[1][position]
        kept = [clip for clip in clips if is_feasible(clip.labels, len(clip.frames), self._stride)]
        return TrainingBatch(collate(kept) if kept else None, len(clips) - len(kept))

    def _load(self, epoch: int, pool: int) -> list[list[Clip]]:
        split: Split = self._corpus.training_epoch(epoch, seed=self._seed, difficulty=self.difficulty(epoch))
        rng = np.random.default_rng(np.random.SeedSequence((self._seed, epoch)))
        order = rng.permutation(len(split))
        batches = min(_POOL_BATCHES, self.steps_per_epoch - pool * _POOL_BATCHES)
        start = pool * _POOL_BATCHES * self._batch_size
        wanted = map(int, order[start : start + batches * self._batch_size])
        clips = [clip for _, clip in readable_clips(split, wanted, self.unreadable)]
        clips.sort(key=lambda clip: len(clip.frames))
        groups = [clips[i : i + self._batch_size] for i in range(0, len(clips), self._batch_size)]
        groups += [[] for _ in range(batches - len(groups))]  # where clips could not be read
        shuffled = np.random.default_rng(np.random.SeedSequence((self._seed, epoch, pool))).permutation(len(groups))
        return [groups[int(i)] for i in shuffled]
