"""The processes that train together: torch.distributed, set up by accelerate from what torchrun says.

A program for one process runs unchanged: there is one, its totals are its own values, and it waits for nobody.
"""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Literal, TypeVar

import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list, gather, gather_object
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from slrbench.data.corpus import Clip, Split, Vocabulary, readable_clips
from slrbench.errors import BadInputError, RunFailedError, UnavailableError
from slrbench.evaluation import evaluate
from slrbench.records import ErrorCounts
from slrbench.training.launch import is_launched, launched_processes, restarts

Device = Literal["auto", "cpu", "cuda"]

_T = TypeVar("_T")

# The others wait while the first process fills the cache, runs the over-fitting test and the checks. A process that
# died is noticed at once all the same: its connections break, and torchrun ends the rest.
_PATIENCE = timedelta(hours=24)
_BROKEN = ("gloo", "nccl", "connection closed", "connection reset", "socket", "process group", "peer")


def trains_on_cpu(device: Device) -> bool:
    """What accelerate has to be told: on a machine without a GPU, launched processes would not find each other."""
    return device == "cpu" or (is_launched() and not torch.cuda.is_available())


def check_device(device: Device, mixed_precision: str) -> None:
    """Refuse what cannot train here.

    Raises:
        BadInputError: fp16 on a CPU.
        UnavailableError: a GPU was asked for, and torch sees none.
    """
    gpu = torch.cuda.is_available()
    if device == "cuda" and not gpu:
        raise UnavailableError(
            "device 'cuda' cannot train here: torch sees no GPU", hint="--set device=cpu    (python -m slrbench doctor)"
        )
    if mixed_precision == "fp16" and (device == "cpu" or not gpu):
        raise BadInputError("fp16 does not train on a CPU", hint="--set mixed_precision=bf16, or no")


class Processes:
    """The processes of this training, seen from one of them."""

    def __init__(self, device: Device = "cpu") -> None:
        """Join the others; returns when all are there.

        Raises:
            RunFailedError: they cannot be reached.
        """
        several = launched_processes() > 1
        joins = several and not torch.distributed.is_initialized()
        options = {"timeout": _PATIENCE} if joins else {}
        if several:
            # Kernels in channels-last order, which are much faster on a CPU, cost one copy of their gradients here.
            warnings.filterwarnings("ignore", message="Grad strides do not match bucket view strides")
        with ends_with_the_others():
            if joins and restarts() > 0:
                _join_anew(on_cpu=trains_on_cpu(device))
                options = {}
            self._state = PartialState(cpu=trains_on_cpu(device), **options)

    @property
    def index(self) -> int:
        """Which process this is, from 0."""
        return int(self._state.process_index)

    @property
    def count(self) -> int:
        """How many there are."""
        return int(self._state.num_processes)

    @property
    def is_main(self) -> bool:
        """Whether this is the process that writes files and speaks."""
        return self.index == 0

    def wait(self) -> None:
        """Return when every process is here."""
        self._state.wait_for_everyone()

    def gather(self, values: Sequence[float]) -> list[list[float]]:
        """``values`` of every process, in their order; all give equally many."""
        if self.count == 1:
            return [list(values)]
        rows = gather(torch.tensor([list(values)], dtype=torch.float64, device=self._state.device))
        return [list(map(float, row)) for row in rows.tolist()]

    def totals(self, values: Sequence[float]) -> list[float]:
        """Sums of ``values`` over all processes."""
        return [sum(column) for column in zip(*self.gather(values), strict=True)]

    def from_main(self, value: _T) -> _T:
        """The value that the main process gives; the others' is not looked at."""
        if self.count == 1:
            return value
        shared: list[Any] = broadcast_object_list([value if self.is_main else None])
        result: _T = shared[0]
        return result

    def evaluate(
        self,
        infer: Any,
        split: Split,
        vocabulary: Vocabulary,
        *,
        limit: int | None = None,
        unreadable: dict[str, str] | None = None,
        **options: Any,
    ) -> ErrorCounts:
        """Word errors of the first ``limit`` clips of ``split``; every clip is decoded in exactly one process.

        Clips that this process cannot read are noted in ``unreadable``, the clip's name to what is wrong with it.
        Further arguments are those of ``slrbench.evaluation.evaluate``.
        """
        clips = len(split) if limit is None else min(limit, len(split))
        noted = {} if unreadable is None else unreadable
        if self.count == 1:
            alone = evaluate(infer, split, vocabulary, limit=clips, **options)
            noted.update(alone.unreadable)
            return alone.counts
        share = _Share(split, range(self.index, clips, self.count))
        found = ErrorCounts(substitutions=0, deletions=0, insertions=0, reference_words=0)
        # A process without a clip that can be read has nothing to add; only where none has any there is no figure.
        if any(True for _ in readable_clips(share, range(len(share)), noted)):
            shared = evaluate(infer, share, vocabulary, **options)
            noted.update(shared.unreadable)
            found = shared.counts
        names = ("substitutions", "deletions", "insertions", "reference_words")
        totals = self.totals([getattr(found, name) for name in names])
        if totals[-1] == 0:
            raise BadInputError(
                f"{split.name} has no clip that can be read and scored", hint="python -m slrbench data SPEC names them"
            )
        return ErrorCounts(**{name: int(total) for name, total in zip(names, totals, strict=True)})

    def joined(self, noted: Mapping[str, str]) -> dict[str, str]:
        """What all processes have noted."""
        if self.count == 1:
            return dict(noted)
        several: list[dict[str, str]] = gather_object([dict(noted)])
        return {name: words for each in several for name, words in each.items()}


def _join_anew(*, on_cpu: bool) -> None:
    """Join the others after torchrun has started all processes again.

    Its store outlives the processes, and with it the addresses of those that are gone: the new ones read them there,
    and connect to nobody, where they come before the new addresses (torch 2.14). So each attempt has keys of its own.
    """
    store, rank, count = next(rendezvous("env://", timeout=_PATIENCE))
    torch.distributed.init_process_group(
        backend="gloo" if on_cpu else "nccl",
        store=PrefixStore(f"attempt-{restarts()}", store),
        rank=rank,
        world_size=count,
        timeout=_PATIENCE,
    )


class _Share:
    """The clips of a split that one process decodes."""

    def __init__(self, split: Split, indices: range) -> None:
        self._split, self._indices = split, indices

    @property
    def name(self) -> str:
        return self._split.name

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, index: int) -> Clip:
        return self._split[self._indices[index]]

    def label_length(self, index: int) -> int:
        return self._split.label_length(self._indices[index])

    def frame_count(self, index: int) -> int | None:
        return self._split.frame_count(self._indices[index])


@contextmanager
def ends_with_the_others(hint: str | None = None) -> Iterator[None]:
    """Say in words that another process is gone, where torch says it in the words of its transport.

    Raises:
        RunFailedError: inside, a process could not be reached.
    """
    try:
        yield
    except RuntimeError as error:
        words = str(error)
        if launched_processes() > 1 and any(word in words.lower() for word in _BROKEN):
            raise RunFailedError(
                f"another process of this training ended or cannot be reached ({words.splitlines()[0][:120]})",
                hint=hint or "what ended it stands in its own output, above or on the other machine",
            ) from error
        raise


def leave() -> None:
    """Take leave of the other processes at the end of a program; NCCL warns of those who do not."""
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
