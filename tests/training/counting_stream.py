"""A stream of batches for tests, in a module of its own: worker processes import it, and it should cost little."""

import os
import signal
from dataclasses import dataclass, field

import numpy as np

from slrbench.data.batching import Batch
from slrbench.errors import BadInputError
from slrbench.training.batches import TrainingBatch


@dataclass
class Counting:
    """A stream whose batches tell their step; some steps have no batch, and one goes wrong."""

    empty: tuple[int, ...] = ()
    wrong: int | None = None
    killed: int | None = None
    unreadable: dict[str, str] = field(default_factory=dict)

    def __getitem__(self, step: int) -> TrainingBatch:
        if step == self.wrong:
            raise BadInputError("clip 7 is broken", hint="leave it out")
        if step == self.killed:
            os.kill(os.getpid(), signal.SIGKILL)
        self.unreadable[f"clip {step}"] = "broken"
        if step in self.empty:
            return TrainingBatch(None, 3)
        one = np.array([step], dtype=np.int64)
        video = np.full((1, 2, 4, 4, 3), step, dtype=np.uint8)
        return TrainingBatch(Batch(video=video, lengths=one, labels=one, label_lengths=one), step % 3)
