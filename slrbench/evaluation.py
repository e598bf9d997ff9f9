"""Word error rate of anything that maps video to log-probabilities: a module, or an exported file on its runtime.

NumPy and jiwer only. Shapes: B clips, T frames, T' output steps, C classes with the blank at index 0.

Errors are counted by jiwer with unit costs for substitution, deletion and insertion, over all clips together:
WER = (S + D + I) / N. (The PHOENIX scripts weigh 4, 3 and 3 while aligning, and may so count a little more.)
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import jiwer
import numpy as np
from numpy.typing import NDArray

from slrbench.ctc import greedy_decode
from slrbench.data.batching import normalise
from slrbench.data.corpus import Clip, Split, Vocabulary
from slrbench.errors import BadInputError, RunFailedError
from slrbench.records import ErrorCounts, Record

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
    hypotheses: tuple[tuple[str, ...], ...]
    clip_errors: tuple[int, ...]
    """Substitutions, deletions and insertions of each clip; they add up to those of ``counts``."""

    @property
    def clip_words(self) -> tuple[int, ...]:
        """Reference words of each clip."""
        return tuple(map(len, self.references))

    @property
    def wer(self) -> float:
        """Word error rate, a share; may exceed 1."""
        return self.counts.wer


def count_errors(references: Sequence[Sequence[str]], hypotheses: Sequence[Sequence[str]]) -> ErrorCounts:
    """Substitutions, deletions and insertions over all pairs; a hypothesis may be empty.

    A gloss is one word whatever characters are in it, spaces among them.

    Raises:
        BadInputError: there is no pair, or a reference is empty (its error rate would be undefined).
        ValueError: the two lists differ in length.
    """
    return _align(references, hypotheses)[0]


def _align(
    references: Sequence[Sequence[str]], hypotheses: Sequence[Sequence[str]]
) -> tuple[ErrorCounts, tuple[int, ...]]:
    """Errors over all pairs, and how many each pair has."""
    if len(references) != len(hypotheses):
        raise ValueError(f"{len(references)} references do not go with {len(hypotheses)} hypotheses")
    if not references:
        raise BadInputError("there is nothing to score: no clip was given", hint="choose another split, or more clips")
    empty = [i for i, reference in enumerate(references) if not reference]
    if empty:
        raise BadInputError(
            f"the reference of clip {empty[0]} is empty ({len(empty)} of {len(references)}): its WER is undefined",
            hint="leave clips without glosses out",
        )
    tokens: dict[str, str] = {}

    def words(glosses: Sequence[str]) -> str:
        return " ".join(tokens.setdefault(gloss, f"g{len(tokens)}") for gloss in glosses)

    found = jiwer.process_words([words(glosses) for glosses in references], [words(glosses) for glosses in hypotheses])
    counts = ErrorCounts(
        substitutions=found.substitutions,
        deletions=found.deletions,
        insertions=found.insertions,
        reference_words=sum(len(reference) for reference in references),
    )
    return counts, tuple(sum(map(_errors, chunks)) for chunks in found.alignments)


def _errors(chunk: jiwer.AlignmentChunk) -> int:
    """Errors in one stretch of an alignment: one per word of the longer side, none where both are equal."""
    if chunk.type == "equal":
        return 0
    return max(chunk.ref_end_idx - chunk.ref_start_idx, chunk.hyp_end_idx - chunk.hyp_start_idx)


def evaluate(
    infer: Callable[[NDArray[Any]], NDArray[np.float32]],
    split: Split,
    vocabulary: Vocabulary,
    *,
    batch: int = 1,
    limit: int | None = None,
    input_kind: Literal["float32", "uint8"] = "float32",
    progress: Callable[[int, int], None] | None = None,
) -> EvaluationResult:
    """Decode the clips of ``split`` greedily and count errors against their glosses.

    Clips of different length are never padded together: a batch holds clips of equal length only.

    Args:
        infer: from video, float32 ``(B, 3, T, H, W)`` in [-1, 1] or uint8 ``(B, T, H, W, 3)``, to log-probabilities
            ``(T', B, C)``.
        split: the clips.
        vocabulary: the classes of the network.
        batch: most clips in one call.
        limit: only the first so many clips.
        input_kind: which of the two videos ``infer`` takes.
        progress: called with (clips done, clips in all).

    Raises:
        BadInputError: the split is empty, a clip has no gloss, or the network's classes are not the vocabulary's.
        RunFailedError: the output is not (T', B, C), or has NaN in it.
    """
    total = len(split) if limit is None else min(limit, len(split))
    references: dict[int, tuple[str, ...]] = {}
    hypotheses: dict[int, tuple[str, ...]] = {}
    for group in _equal_lengths(split, total, batch):
        frames = np.stack([clip.frames for _, clip in group])
        video = frames if input_kind == "uint8" else normalise(frames)
        decoded = _decode(infer(video), len(group), vocabulary)
        for (index, clip), labels in zip(group, decoded, strict=True):
            references[index] = clip.glosses
            hypotheses[index] = vocabulary.decode(labels)
        if progress is not None:
            progress(len(references), total)
    ordered = tuple(references[i] for i in range(total)), tuple(hypotheses[i] for i in range(total))
    counts, clip_errors = _align(*ordered)
    return EvaluationResult(
        counts=counts,
        clip_errors=clip_errors,
        clips=total,
        sequences_wrong=sum(reference != hypothesis for reference, hypothesis in zip(*ordered, strict=True)),
        references=ordered[0],
        hypotheses=ordered[1],
    )


def _equal_lengths(split: Split, total: int, batch: int) -> Iterator[list[tuple[int, Clip]]]:
    """Groups of at most ``batch`` clips of equal frame count, with their indices.

    Long clips come in smaller groups, and groups that wait for clips of their length wait only while there is room: a
    corpus of a few hundred clips of as many lengths would otherwise be in memory as a whole.
    """
    waiting: dict[int, list[tuple[int, Clip]]] = {}
    held = 0
    for index in range(total):
        clip = split[index]
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


def _decode(log_probs: NDArray[np.float32], batch: int, vocabulary: Vocabulary) -> list[tuple[int, ...]]:
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
    return greedy_decode(log_probs)
