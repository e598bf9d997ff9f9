"""Batches made ahead of the step that takes them, in worker processes: what training waits for is the network.

``torch.utils.data.DataLoader`` does the work. A batch is a function of its step number, so that the number of workers
changes nothing but the time.
"""

import multiprocessing
from collections.abc import Iterator
from dataclasses import replace
from multiprocessing.context import BaseContext
from typing import Any, Protocol

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from slrbench.data.batching import Batch
from slrbench.errors import RunFailedError, SlrbenchError
from slrbench.training.batches import TrainingBatch

_AHEAD = 2  # batches that each worker has ready


class Stream(Protocol):
    """Batches by step number; ``BatchStream`` is one."""

    def __getitem__(self, step: int) -> TrainingBatch:
        """The batch of a step, counted from 0."""
        ...


class Prefetcher:
    """The batches of a stream, taken in the order of steps; those of the next steps are made meanwhile."""

    def __init__(self, stream: Stream, *, steps: int, workers: int = 0) -> None:
        """Keep the stream, which is sent to ``workers`` processes when the first batch is taken; 0 makes them here."""
        self._stream, self._steps, self._workers = stream, steps, workers
        self._next = -1
        self._batches: Iterator[tuple[Any, ...]] | None = None

    def __getitem__(self, step: int) -> TrainingBatch:
        """The batch of a step, 0 .. steps - 1. Another step than the next one starts the workers anew.

        Raises:
            SlrbenchError: what making the batch raises.
            RunFailedError: a worker process was killed.
        """
        if not self._workers:
            return self._stream[step]
        if self._batches is None or step != self._next:
            self.close()
            self._batches = self._start(step)
        try:
            found = next(self._batches)
        except RuntimeError as error:
            self.close()
            raise RunFailedError(
                f"a process that prepares batches was killed at step {step}: {str(error).splitlines()[0]}",
                hint="the memory, or the shared memory (/dev/shm), may be full: give fewer --workers; "
                "--resume goes on from the last state",
            ) from error
        self._next = step + 1
        made, unreadable = found
        getattr(self._stream, "unreadable", {}).update(unreadable)
        return _unpacked(made)

    def close(self) -> None:
        """End the workers."""
        self._batches = None  # the loader's iterator ends its processes when it goes
        self._next = -1

    def _start(self, step: int) -> Iterator[tuple[Any, ...]]:
        loader: DataLoader[tuple[Any, ...]] = DataLoader(
            _Steps(self._stream),
            batch_size=None,  # the stream makes whole batches
            sampler=range(step, self._steps),
            num_workers=self._workers,
            collate_fn=_as_is,
            prefetch_factor=_AHEAD,
            # One pass over the steps: the workers live as long as the training.
            persistent_workers=False,
            multiprocessing_context=_context(),
            # Without its own generator a loader would draw from torch's, and dropout would see other numbers.
            generator=torch.Generator(),
        )
        return iter(loader)


def _context() -> BaseContext:
    """Processes that are no forks of this one: with its threads (torch's, gloo's, CUDA's) these may hang.

    They are forks of a server that has loaded torch, where there are such; else each loads torch for itself.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context


class _Steps(Dataset[tuple[Any, ...]]):
    """The stream as the loader takes it. Tensors go through shared memory, arrays would be copied through a pipe."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def __getitem__(self, step: int) -> tuple[Any, ...]:
        return self._made(step), dict(getattr(self._stream, "unreadable", {}))

    def _made(self, step: int) -> tuple[Any, ...]:
        # The loader would make errors into others of its own, with a traceback for a message and without the hint.
        try:
            drawn = self._stream[step]
        except (SlrbenchError, OSError) as error:
            return (error,)
        if drawn.batch is None:
            return drawn, None
        fields = {
            name: torch.from_numpy(np.ascontiguousarray(value)) if isinstance(value, np.ndarray) else value
            for name, value in vars(drawn.batch).items()
        }
        return replace(drawn, batch=None), fields


def _as_is(batch: Any) -> Any:
    return batch


def _unpacked(found: tuple[Any, ...]) -> TrainingBatch:
    if isinstance(found[0], Exception):
        raise found[0]
    drawn: TrainingBatch = found[0]
    fields: dict[str, Any] | None = found[1]
    if fields is None:
        return drawn
    batch = Batch(**{name: value.numpy() if torch.is_tensor(value) else value for name, value in fields.items()})
    return replace(drawn, batch=batch)
