"""Word error rate of anything that maps video to log-probabilities: a module, or an exported file on its runtime.

No torch. Shapes: B clips, T frames, T' output steps, C classes with the blank at index 0.

How errors are counted is ``slrbench.scoring``'s. References are glosses, not labels: what is not in the vocabulary
counts as the error that it is.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from slrbench.ctc import greedy_decode
from slrbench.data.batching import normalise
from slrbench.data.corpus import Clip, Corpus, Split, Vocabulary, readable_clips
from slrbench.errors import BadInputError, RunFailedError
from slrbench.records import ErrorCounts, Record
from slrbench.scoring import PLAIN, RULES, Alignment, ScoringRule, rule_named, score

CALL_PIXELS = 512 * 224 * 224
"""Pixels of one call at most, if it is not a single clip: 0.3 GB of float32 video, 8 clips of 64 frames at 224."""

HELD_PIXELS = 4096 * 224 * 224
"""Pixels of clips that wait for others of their length: 0.6 GB of uint8 video."""


class EvaluationResult(Record):
    """What decoding a split gave, with every sequence in the order of the split."""

    counts: ErrorCounts
    clips: int
    sequences_wrong: int
    references: tuple[tuple[str, ...], ...]
    """As they were scored: after the clean-up of ``scoring``."""
    hypotheses: tuple[tuple[str, ...], ...]
    """As they were scored."""
    glosses: tuple[tuple[str, ...], ...] = ()
    """References before the clean-up."""
    decoded: tuple[tuple[str, ...], ...] = ()
    """Hypotheses before the clean-up."""
    unreadable: dict[str, str] = Field(default_factory=dict)
    """Clips that could not be read, and why; nothing of them is in the figures or the sequences."""
    clip_errors: tuple[int, ...]
    """Substitutions, deletions and insertions of each clip; they add up to those of ``counts``."""
    scoring: str = PLAIN.name
    alignment: Alignment = PLAIN.alignment
    other_alignment: ErrorCounts | None = None
    """The same words by the alignment that was not chosen."""
    unknown_words: int = 0
    """Reference words that the network has no class for."""

    @property
    def clip_words(self) -> tuple[int, ...]:
        """Reference words of each clip."""
        return tuple(map(len, self.references))

    @property
    def wer(self) -> float:
        """Word error rate, a share; may exceed 1."""
        return self.counts.wer


def evaluate(
    infer: Callable[[NDArray[Any]], NDArray[np.float32]],
    split: Split,
    vocabulary: Vocabulary,
    *,
    batch: int = 1,
    limit: int | None = None,
    input_kind: Literal["float32", "uint8"] = "float32",
    decode: Callable[[NDArray[np.float32]], Sequence[tuple[int, ...]]] = greedy_decode,
    scoring: ScoringRule = PLAIN,
    alignment: Alignment | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> EvaluationResult:
    """Decode the clips of ``split`` and count errors against their glosses.

    Clips of different length are never padded together: a batch holds clips of equal length only. Clips that cannot be
    read are left out and named in the result. A gloss that the vocabulary has not is a word like any other, and so an
    error.

    Args:
        infer: from video, float32 ``(B, 3, T, H, W)`` in [-1, 1] or uint8 ``(B, T, H, W, 3)``, to log-probabilities
            ``(T', B, C)``.
        split: the clips.
        vocabulary: the classes of the network.
        batch: most clips in one call.
        limit: only the first so many clips.
        input_kind: which of the two videos ``infer`` takes.
        decode: from log-probabilities ``(T', B, C)`` to the labels of each clip, such as a ``Decoder``.
        scoring: the convention; see ``scoring_of`` for a corpus's own.
        alignment: in place of the convention's.
        progress: called with (clips done, clips in all).

    Raises:
        BadInputError: the split is empty or unreadable, a clip has no gloss, or the network's classes are not the
            vocabulary's.
        RunFailedError: the output is not (T', B, C), or has NaN in it.
    """
    total = len(split) if limit is None else min(limit, len(split))
    references: dict[int, tuple[str, ...]] = {}
    hypotheses: dict[int, tuple[str, ...]] = {}
    unreadable: dict[str, str] = {}
    for group in _equal_lengths(readable_clips(split, range(total), unreadable), batch):
        frames = np.stack([clip.frames for _, clip in group])
        video = frames if input_kind == "uint8" else normalise(frames)
        log_probs = infer(video)
        _check(log_probs, len(group), vocabulary)
        decoded = decode(log_probs)
        for (index, clip), labels in zip(group, decoded, strict=True):
            references[index] = clip.glosses
            hypotheses[index] = vocabulary.decode(labels)
        if progress is not None:
            progress(len(references) + len(unreadable), total)
    if unreadable and not references:
        name, reason = next(iter(unreadable.items()))
        raise BadInputError(
            f"none of the {total} clips of {split.name} can be read, for example {name}: {reason}",
            hint="python -m slrbench data SPEC names every such clip",
        )
    order = sorted(references)
    said, read = [references[i] for i in order], [hypotheses[i] for i in order]
    found = score(references=said, hypotheses=read, rule=scoring, alignment=alignment)
    return EvaluationResult(
        counts=found.counts,
        clip_errors=found.clip_errors,
        clips=len(order),
        unreadable=unreadable,
        sequences_wrong=sum(r != h for r, h in zip(found.references, found.hypotheses, strict=True)),
        references=found.references,
        hypotheses=found.hypotheses,
        glosses=tuple(said),
        decoded=tuple(read),
        scoring=scoring.name,
        alignment=found.alignment,
        other_alignment=found.aligned("sclite" if found.alignment == "unit" else "unit").counts,
        unknown_words=_unknown_words(said, vocabulary, scoring),
    )


def scoring_of(corpus: Corpus) -> ScoringRule:
    """The convention that figures of a corpus follow: the corpus's own, or that of its kind, or ``plain``."""
    kind = corpus.spec.partition(":")[0]  # of packed clips, too, which say which corpus they are of
    return rule_named(getattr(corpus, "scoring", None) or (kind if kind in RULES else PLAIN.name))


def _unknown_words(references: Sequence[Sequence[str]], vocabulary: Vocabulary, scoring: ScoringRule) -> int:
    """Words that no output can be, before or after the clean-up."""
    known = set(vocabulary.glosses)
    cleaned = {word for gloss in known for word in scoring.reference((gloss,))}
    return sum(
        gloss not in known and not cleaned.issuperset(scoring.reference((gloss,)))
        for reference in references
        for gloss in reference
    )


def _equal_lengths(clips: Iterator[tuple[int, Clip]], batch: int) -> Iterator[list[tuple[int, Clip]]]:
    """Groups of at most ``batch`` clips of equal frame count, with their indices.

    Long clips come in smaller groups, and groups that wait for clips of their length wait only while there is room: a
    corpus of a few hundred clips of as many lengths would otherwise be in memory as a whole.
    """
    waiting: dict[int, list[tuple[int, Clip]]] = {}
    held = 0
    for index, clip in clips:
        length, pixels = len(clip.frames), math.prod(clip.frames.shape[:3])
        group = waiting.setdefault(length, [])
        group.append((index, clip))
        held += pixels
        if len(group) == batch or (len(group) + 1) * pixels > CALL_PIXELS:
            held -= len(group) * pixels
            yield waiting.pop(length)
        while held > HELD_PIXELS:
            largest = max(waiting, key=lambda frames: frames * len(waiting[frames]))
            held -= sum(math.prod(clip.frames.shape[:3]) for _, clip in waiting[largest])
            yield waiting.pop(largest)
    yield from waiting.values()


def _check(log_probs: NDArray[np.float32], batch: int, vocabulary: Vocabulary) -> None:
    if log_probs.ndim != 3 or log_probs.shape[1] != batch:
        raise RunFailedError(
            f"the output has shape {log_probs.shape}, expected (T', {batch}, {vocabulary.num_classes})",
            hint="python -m slrbench verify says what is wrong with the file",
        )
    if log_probs.shape[2] != vocabulary.num_classes:
        raise BadInputError(
            f"the network has {log_probs.shape[2]} classes, the corpus {vocabulary.num_classes} with the blank",
            hint="evaluate on the corpus that the network was trained on (checkpoint.json names it under data)",
        )
    # argmax over NaN answers an index like any other, and a WER made of it would look like a result.
    if np.isnan(log_probs).any():
        raise RunFailedError(
            f"{int(np.isnan(log_probs).sum())} of {log_probs.size} outputs are NaN",
            hint="python -m slrbench verify says what is wrong with the file",
        )
