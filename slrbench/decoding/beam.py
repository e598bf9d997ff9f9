"""CTC prefix beam search: the most probable label sequences of one clip.

Shapes: T output steps, C classes with the blank at index 0, K prefixes in the beam. Everything is a natural logarithm.

A label sequence is as probable as all its alignments together. The search goes through the output step by step and
keeps, for each prefix (the labels so far), the probability of its alignments that end in a blank apart from those that
end in its last label: only after a blank is the same label a new one (Graves et al., ICML 2006; Hannun et al.,
arXiv:1408.2873). Sums are exact. With an unlimited beam so is the result; a limited beam forgets prefixes, and with
them their alignments, so a probability may come out too low, never too high.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from slrbench.ctc import BLANK

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]


class LanguageModel(Protocol):
    """How probable the next label is after those before it; ``slrbench.decoding.ngram`` has one."""

    def log_probs(self, history: tuple[int, ...]) -> NDArray[np.float64]:
        """Log-probabilities of what follows ``history``, ``(C,)``: labels 1 .. C-1, and at index 0 the end."""
        ...


@dataclass(frozen=True, kw_only=True)
class Hypothesis:
    """One label sequence that a clip may show."""

    labels: tuple[int, ...]  # class indices, 1 .. C-1
    log_prob: float
    """Of the alignments that the search kept: by the network alone, at most 0."""
    score: float
    """What hypotheses are ranked by: ``log_prob`` with the language model and the insertion bonus."""


@dataclass(frozen=True, kw_only=True)
class _Beam:
    """Prefixes, best first, with the log-probabilities (K,) of their alignments by what the last step showed."""

    prefixes: list[tuple[int, ...]]
    blank: Floats
    label: Floats
    bonus: Floats
    """Language model and insertion bonus of each prefix."""

    @property
    def total(self) -> Floats:
        return np.logaddexp(self.blank, self.label)


@dataclass(frozen=True, kw_only=True)
class _Ranking:
    """What the score of a prefix has beside its probability."""

    language_model: LanguageModel | None
    lm_weight: float
    insertion_bonus: float

    @property
    def by_label(self) -> bool:
        """Whether it depends on which label is added."""
        return self.language_model is not None and self.lm_weight != 0.0

    def extensions(self, beam: _Beam, labels: Indices) -> Floats:
        """The bonus of each prefix with each label added, ``(K, labels)``."""
        added = np.full((len(beam.prefixes), len(labels)), self.insertion_bonus)
        if self.language_model is not None and self.by_label:
            for row, prefix in zip(added, beam.prefixes, strict=True):
                row += self.lm_weight * self.language_model.log_probs(prefix)[labels]
        return beam.bonus[:, None] + added

    def ends(self, beam: _Beam) -> Floats:
        """The bonus of each prefix as a whole sequence, ``(K,)``."""
        if self.language_model is None or not self.by_label:
            return beam.bonus
        model = self.language_model
        return beam.bonus + self.lm_weight * np.array([model.log_probs(prefix)[BLANK] for prefix in beam.prefixes])


def beam_search(
    log_probs: NDArray[Any],
    *,
    beam: int | None,
    nbest: int = 1,
    language_model: LanguageModel | None = None,
    lm_weight: float = 0.0,
    insertion_bonus: float = 0.0,
    prune: float = math.inf,
) -> tuple[Hypothesis, ...]:
    """The best label sequences of one clip, best first.

    They are ranked by log P(labels | clip) + ``lm_weight`` * log P(labels) + ``insertion_bonus`` * number of labels.

    Args:
        log_probs: ``(T, C)``, natural logarithm; -inf for what is impossible.
        beam: prefixes that are kept at each step; None: all, whose number grows exponentially with T.
        nbest: most hypotheses to return; there are fewer where the beam holds fewer.
        language_model: the prior of label sequences, end included.
        lm_weight: 0 leaves the language model out.
        insertion_bonus: for each label, nats; above 0 makes up for what a language model takes from long sequences.
        prune: at each step no label is added that is less probable than the step's best class by more than this, nats.

    Raises:
        ValueError: ``log_probs`` is not ``(T, C)``, has NaN in it, or a step in which nothing is possible; ``beam`` or
            ``nbest`` is below 1; ``prune`` is not above 0.
    """
    values = _checked(log_probs)
    if (beam is not None and beam < 1) or nbest < 1 or not prune > 0:
        raise ValueError(f"beam and nbest must be at least 1 and prune above 0, not {beam}, {nbest} and {prune}")
    ranking = _Ranking(language_model=language_model, lm_weight=lm_weight, insertion_bonus=insertion_bonus)
    kept = _Beam(prefixes=[()], blank=np.zeros(1), label=np.full(1, -np.inf), bonus=np.zeros(1))
    for step in values:
        kept = _advance(kept, step, _labels_tried(kept, step, beam, ranking, prune), beam, ranking)
    total = kept.total
    scores = total + ranking.ends(kept)
    return tuple(
        Hypothesis(labels=kept.prefixes[i], log_prob=float(total[i]), score=float(scores[i]))
        for i in _best(scores, nbest)
    )


def _checked(log_probs: NDArray[Any]) -> Floats:
    values = np.asarray(log_probs, dtype=np.float64)
    if values.ndim != 2 or values.shape[1] < 1:
        raise ValueError(f"log_probs must be (T, C), not of shape {values.shape}")
    if np.isnan(values).any():
        raise ValueError(f"{int(np.isnan(values).sum())} of {values.size} log-probabilities are NaN")
    if len(values) and not np.isfinite(values.max(axis=1)).all():
        raise ValueError("there is an output step whose log-probabilities are all -inf, or one is +inf")
    return values


def _labels_tried(kept: _Beam, step: Floats, beam: int | None, ranking: _Ranking, prune: float) -> Indices:
    """Labels that a prefix may be extended by at this step, in ascending order.

    Where the ranking does not depend on the label, the most probable labels are enough, without changing the result:
    of the extensions of one prefix, ``beam`` of the best ``beam + 1`` labels come before that of any other label. (One
    more than ``beam``, because repeating the prefix's own last label takes a blank.) A last label of a prefix in the
    beam is always among them, since its extension may be such a prefix again.
    """
    possible = step[1:] > -np.inf
    if prune < math.inf:
        possible &= step[1:] >= step.max() - prune
    labels = np.flatnonzero(possible) + 1
    if beam is None or ranking.by_label or len(labels) <= beam + 1:
        return labels
    best = labels[np.argpartition(step[labels], len(labels) - beam - 1)[-beam - 1 :]]
    last = {prefix[-1] for prefix in kept.prefixes if prefix}
    return np.union1d(best, np.intersect1d(labels, np.fromiter(last, dtype=np.intp)))


def _advance(kept: _Beam, step: Floats, labels: Indices, beam: int | None, ranking: _Ranking) -> _Beam:
    """The beam one output step later."""
    total = kept.total
    last = np.array([prefix[-1] if prefix else BLANK for prefix in kept.prefixes], dtype=np.intp)
    blank = total + step[BLANK]
    label = kept.label + step[last]  # -inf for the empty prefix, which no label ends
    before = np.where(labels == last[:, None], kept.blank[:, None], total[:, None])
    extended = before + step[labels]
    _merge(kept.prefixes, labels, extended, label)

    bonus = ranking.extensions(kept, labels)
    scores = np.concatenate([np.logaddexp(blank, label) + kept.bonus, (extended + bonus).ravel()])
    size = len(kept.prefixes)
    chosen = _best(scores, beam)
    stays = chosen < size
    parent, column = np.divmod(np.maximum(chosen - size, 0), max(1, len(labels)))
    source = np.where(stays, chosen, parent)
    blanks, ends = np.where(stays, blank[source], -np.inf), label[source]
    bonuses = kept.bonus[source]
    prefixes = [kept.prefixes[i] for i in source]
    if not stays.all():
        new = np.flatnonzero(~stays)
        ends[new] = extended[parent[new], column[new]]
        bonuses[new] = bonus[parent[new], column[new]]
        for i in new:
            prefixes[i] = (*prefixes[i], int(labels[column[i]]))
    return _Beam(prefixes=prefixes, blank=blanks, label=ends, bonus=bonuses)


def _merge(prefixes: Iterable[tuple[int, ...]], labels: Indices, extended: Floats, label: Floats) -> None:
    """Where a prefix extended is another prefix of the beam, move its probability over there, in place."""
    index = {prefix: i for i, prefix in enumerate(prefixes)}
    columns = {int(c): j for j, c in enumerate(labels)}
    for prefix, i in index.items():
        if not prefix:
            continue
        parent, column = index.get(prefix[:-1]), columns.get(prefix[-1])
        if parent is not None and column is not None:
            label[i] = np.logaddexp(label[i], extended[parent, column])
            extended[parent, column] = -np.inf


def _best(scores: Floats, count: int | None) -> Indices:
    """Indices of the ``count`` highest scores above -inf, best first; among equals the first."""
    chosen = np.flatnonzero(scores > -np.inf)
    if count is not None and len(chosen) > count:
        least = np.partition(scores[chosen], len(chosen) - count)[len(chosen) - count]
        chosen = chosen[scores[chosen] >= least]
    ordered: Indices = chosen[np.argsort(-scores[chosen], kind="stable")]
    return ordered if count is None else ordered[:count]
