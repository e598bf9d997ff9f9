"""Word error rates with intervals, by bootstrap over clips: words of one clip are misread together.

WER = errors / words, both summed over clips, so a resample draws clips and sums anew. A difference is paired: the same
clips are drawn for both, since what is hard to read is hard for both.

Where nothing varies (no clip has an error, or both err alike everywhere) every resample is the same, and its interval
would be a point that no finite number of clips can support. Then the end is what one error in each of the clips that
may be wrong unseen would make: where none of n clips is, at most a share of 1 - ((1 - confidence) / 2) ** (1 / n) are.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from slrbench.records import Interval
from slrbench.statistics.bootstrap import CELLS, CONFIDENCE, MIN_ROUNDS, RESAMPLES, interval_of

MIN_CLIPS = MIN_ROUNDS
"""The fewest clips from which there is an interval."""


def wer_interval(
    clip_errors: Sequence[int],
    clip_words: Sequence[int],
    *,
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval | None:
    """The word error rate with its interval, shares; None below ``MIN_CLIPS`` clips.

    Args:
        clip_errors: substitutions, deletions and insertions of each clip.
        clip_words: reference words of each clip, at least 1.
        confidence: two-sided.
        resamples: how many draws.
        seed: of the draws.

    Raises:
        ValueError: the two differ in length, or a clip has no words.
    """
    errors, words = _arrays(clip_errors, clip_words)
    if len(errors) < MIN_CLIPS:
        return None
    value = float(errors.sum() / words.sum())
    if not errors.any():
        return Interval(value=0.0, low=0.0, high=_unseen(words, confidence), confidence=confidence)
    found = interval_of(_draw_rates(errors, words, resamples, seed), value, len(errors), confidence)
    return found.model_copy(update={"low": max(0.0, found.low)})


def wer_difference(
    errors_a: Sequence[int],
    errors_b: Sequence[int],
    clip_words: Sequence[int],
    *,
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval | None:
    """WER of a minus WER of b on the same clips, shares; None below ``MIN_CLIPS`` clips. Above 0, ``a`` reads worse.

    Raises:
        ValueError: the three differ in length, or a clip has no words.
    """
    a, words = _arrays(errors_a, clip_words)
    b, _ = _arrays(errors_b, clip_words)
    if len(a) < MIN_CLIPS:
        return None
    difference = a - b
    if not difference.any():
        end = _unseen(words, confidence)
        return Interval(value=0.0, low=-end, high=end, confidence=confidence)
    value = float(difference.sum() / words.sum())
    return interval_of(_draw_rates(difference, words, resamples, seed), value, len(a), confidence)


def draw_wer(
    clip_errors: Sequence[int], clip_words: Sequence[int], *, resamples: int = RESAMPLES, seed: int = 0
) -> NDArray[np.float64]:
    """What the word error rate would have been with other clips, ``(resamples,)``; the same seed draws the same clips.

    Raises:
        ValueError: the two differ in length, there is no clip, or a clip has no words.
    """
    errors, words = _arrays(clip_errors, clip_words)
    if not len(errors):
        raise ValueError("a word error rate of no clips")
    return _draw_rates(errors, words, resamples, seed)


def agreement(decoded_a: Sequence[Sequence[str]], decoded_b: Sequence[Sequence[str]]) -> float:
    """Share of clips (0 .. 1) that both decode to the same sequence.

    Raises:
        ValueError: there is no clip, or the two differ in length.
    """
    if not decoded_a:
        raise ValueError("an agreement over no clips")
    return sum(tuple(a) == tuple(b) for a, b in zip(decoded_a, decoded_b, strict=True)) / len(decoded_a)


def _arrays(errors: Sequence[int], words: Sequence[int]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    if len(errors) != len(words):
        raise ValueError(f"errors of {len(errors)} clips do not go with words of {len(words)}")
    of_clip = np.asarray(words, dtype=np.float64)
    if (of_clip < 1).any():
        raise ValueError("a clip has no reference words: its error rate is undefined")
    return np.asarray(errors, dtype=np.float64), of_clip


def _draw_rates(
    numerator: NDArray[np.float64], words: NDArray[np.float64], resamples: int, seed: int
) -> NDArray[np.float64]:
    clips = len(words)
    random = np.random.default_rng([seed, clips])
    rates = []
    block = max(1, CELLS // clips)
    for start in range(0, resamples, block):
        drawn = random.integers(0, clips, size=(min(block, resamples - start), clips))
        rates.append(numerator[drawn].sum(axis=1) / words[drawn].sum(axis=1))
    return np.concatenate(rates)


def _unseen(words: NDArray[np.float64], confidence: float) -> float:
    """The rate that one error in each clip that may be wrong unseen would make."""
    share = 1.0 - ((1.0 - confidence) / 2.0) ** (1.0 / len(words))
    return float(share * len(words) / words.sum())
