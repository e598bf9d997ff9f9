"""An n-gram model over glosses: interpolated Kneser-Ney, trained on the label sequences of a corpus's training split.

Shapes: C classes; labels are 1 .. C-1, and index 0, the blank's, stands for the end of a sequence.

P(w | h) = (max(c(h w) - D, 0) + D * N(h) * P(w | h')) / c(h): N(h) is how many different labels follow h, h' is h
without its oldest label. Below the highest order c counts in how many different contexts a sequence of labels was seen,
unless it begins a sentence (Kneser & Ney, ICASSP 1995; Chen & Goodman, 1999). D = n1 / (n1 + 2 n2) of each order, with
n1 and n2 the sequences counted once and twice. The last P is 1 / C, so everything has a probability above 0.
"""

import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError

from exporters.artifact import atomic_path
from slrbench.errors import BadInputError
from slrbench.records import Record

END = 0
"""The end of a sequence, as the label that follows the last one."""

_START = -1

SCHEMA_VERSION = 1
MAX_ORDER = 6

WRITE_AGAIN = "evaluate --lm 3 --save-lm FILE writes one"

KEPT = 4096
"""Most contexts whose probabilities are kept: 40 MB for 1,300 classes."""

Context = tuple[int, ...]
_Counts = Mapping[Context, Mapping[int, int]]


class _Entry(Record):
    """What follows one context, and how often; -1 in a context is the start of a sequence, a label 0 its end."""

    context: tuple[int, ...]
    labels: tuple[int, ...]
    counts: tuple[int, ...]


class NgramFile(Record):
    """A model as it stands in its file."""

    schema_version: int = SCHEMA_VERSION
    kind: str = "slrbench n-gram model"
    glosses: tuple[str, ...] = Field(description="class i + 1 is glosses[i]")
    orders: tuple[tuple[_Entry, ...], ...] = Field(min_length=1, max_length=MAX_ORDER)


@dataclass(frozen=True, kw_only=True)
class NgramModel:
    """A language model for ``beam_search``."""

    glosses: tuple[str, ...]
    orders: tuple[_Counts, ...]
    """Adjusted counts of each order, unigrams first: context to what follows it."""
    _known: dict[Context, NDArray[np.float64]] = field(default_factory=dict, repr=False, compare=False)
    _discounts: dict[int, float] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def train(cls, sequences: Iterable[Sequence[int]], *, glosses: Sequence[str], order: int) -> "NgramModel":
        """Count the label sequences, each of labels 1 .. C-1.

        Args:
            sequences: one for each training clip.
            glosses: class i + 1 is ``glosses[i]``.
            order: 1 .. 6; 3 is a trigram.

        Raises:
            BadInputError: ``order`` is out of range, a label is no class, or there is no sequence.
        """
        if not 1 <= order <= MAX_ORDER:
            raise BadInputError(f"an n-gram model of order {order}", hint=f"orders 1 .. {MAX_ORDER}; 3 is usual")
        raw: list[dict[Context, Counter[int]]] = [defaultdict(Counter) for _ in range(order)]
        seen = 0
        for sequence in sequences:
            if any(not 1 <= label <= len(glosses) for label in sequence):
                raise BadInputError(f"labels {tuple(sequence)} are not all in 1..{len(glosses)}")
            seen += 1
            words = (_START, *sequence, END)
            for i in range(1, len(words)):
                for n in range(min(i, order - 1) + 1):
                    raw[n][words[i - n : i]][words[i]] += 1
        if not seen:
            raise BadInputError("an n-gram model of no sequences", hint="the training split has no clips")
        return cls(glosses=tuple(glosses), orders=tuple(_adjusted(raw)))

    @property
    def order(self) -> int:
        """Labels that are looked at together: 3 for a trigram."""
        return len(self.orders)

    @property
    def num_classes(self) -> int:
        """C, with the blank."""
        return len(self.glosses) + 1

    def log_probs(self, history: Sequence[int]) -> NDArray[np.float64]:
        """Log-probabilities of what follows ``history``, ``(C,)``: labels, at index 0 the end; not to be changed."""
        padded = (_START, *history)
        context = padded[max(0, len(padded) - self.order + 1) :]
        while context and context not in self.orders[len(context)]:
            context = context[1:]
        if context not in self._known:
            if len(self._known) >= KEPT:
                self._known.clear()
            self._known[context] = np.log(self._probabilities(context))
        return self._known[context]

    def _probabilities(self, context: Context) -> NDArray[np.float64]:
        found = np.full(self.num_classes, 1.0 / self.num_classes)
        for n in range(len(context) + 1):
            followers = self.orders[n][context[len(context) - n :]]  # what ends a context that was seen was seen, too
            discount = self._discount(n)
            counts = np.fromiter(followers.values(), dtype=np.float64)
            found *= discount * len(counts) / counts.sum()
            found[list(followers)] += (counts - discount) / counts.sum()
        return found

    def _discount(self, n: int) -> float:
        """D of order n + 1; 0.5 where too few sequences are seen once or twice for an estimate."""
        if n not in self._discounts:
            often = Counter(min(count, 3) for followers in self.orders[n].values() for count in followers.values())
            once, twice = often[1], often[2]
            self._discounts[n] = once / (once + 2 * twice) if once and twice else 0.5
        return self._discounts[n]

    def perplexity(self, sequences: Iterable[Sequence[int]]) -> float:
        """What the model expects: exp(-mean log-probability) over labels and ends, 1 .. ; lower is better.

        Raises:
            BadInputError: there is no sequence.
        """
        total, count = 0.0, 0
        for sequence in sequences:
            for i, label in enumerate((*sequence, END)):
                total -= float(self.log_probs(sequence[:i])[label])
                count += 1
        if not count:
            raise BadInputError("the perplexity of no sequences")
        return math.exp(total / count)

    def write(self, path: Path) -> None:
        """Write the model as JSON, whole or not at all."""
        orders = tuple(
            tuple(
                _Entry(context=context, labels=tuple(followers), counts=tuple(followers.values()))
                for context, followers in sorted(counts.items())
            )
            for counts in self.orders
        )
        with atomic_path(path) as temporary:
            text = NgramFile(glosses=self.glosses, orders=orders).model_dump_json()
            temporary.write_text(text + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> "NgramModel":
        """A model that ``write`` wrote.

        Raises:
            BadInputError: there is no such file, or it is no n-gram model.
        """
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            file = NgramFile.model_validate(document)
        except OSError as error:
            raise BadInputError(f"{path} cannot be read: {error.strerror}") from error
        except (ValueError, ValidationError) as error:
            raise BadInputError(
                f"{path} is not an n-gram model: {str(error).splitlines()[0]}", hint=WRITE_AGAIN
            ) from error
        classes = len(file.glosses) + 1
        orders: list[_Counts] = []
        for entries in file.orders:
            for entry in entries:
                _check_entry(entry, len(orders), classes, path)
            orders.append({e.context: dict(zip(e.labels, e.counts, strict=True)) for e in entries})
            if not orders[0] or any(context[1:] not in orders[-2] for context in orders[-1] if context):
                raise BadInputError(f"{path} is damaged: shorter contexts are missing", hint=WRITE_AGAIN)
        return cls(glosses=file.glosses, orders=tuple(orders))


def _adjusted(raw: Sequence[Mapping[Context, Counter[int]]]) -> Iterable[_Counts]:
    """Kneser-Ney's counts of each order: contexts where there is a longer order, occurrences else."""
    for n, counts in enumerate(raw):
        if n == len(raw) - 1:
            yield {context: dict(followers) for context, followers in counts.items()}
            continue
        # What begins a sequence has nothing before it that could vary.
        adjusted = {c: Counter(followers) for c, followers in counts.items() if c[:1] == (_START,)}
        for context, followers in raw[n + 1].items():
            adjusted.setdefault(context[1:], Counter()).update(dict.fromkeys(followers, 1))
        yield {context: dict(followers) for context, followers in adjusted.items()}


def _check_entry(entry: _Entry, length: int, classes: int, path: Path) -> None:
    good = (
        len(entry.context) == length
        and len(entry.labels) == len(entry.counts) == len(set(entry.labels)) > 0
        and all(0 <= label < classes for label in entry.labels)
        and all(count >= 1 for count in entry.counts)
    )
    if not good:
        raise BadInputError(
            f"{path} is damaged: what follows {list(entry.context)} is no list of labels below {classes} with counts",
            hint=WRITE_AGAIN,
        )
