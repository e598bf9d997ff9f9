"""Which letters of other alphabets have the handshape of the same letter in a training alphabet."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from slrbench.data.recordings import PALM, languages, letters_of, load_letter, recording_sha256
from slrbench.errors import RunFailedError

SAME_SHAPE = 0.35
"""Largest distance between two handshapes that count as shared, in palm lengths; chosen by looking at pairs."""

_FEWEST = 3  # letters; an alphabet that shares fewer says little


@dataclass(frozen=True, kw_only=True)
class SignerAlphabet:
    """An alphabet that was not trained on, and its letters whose shape is shared."""

    language: str
    letters: tuple[str, ...]


@cache
def _shape(language: str, letter: str) -> NDArray[np.float64]:
    """Dominant hand in the middle of the hold, ``(21, 2)``, centred on the palm, in palm lengths."""
    hands = load_letter(language, letter).hands
    hand = hands[len(hands) // 2, 0].astype(np.float64)
    hand = hand - hand[list(PALM)].mean(axis=0)
    size = np.sqrt((hand[list(PALM)] ** 2).sum(axis=1).mean()) * 2
    shape: NDArray[np.float64] = hand / size
    return shape


def _distance(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    return float(np.sqrt(((a - b) ** 2).sum(axis=1).mean()))


def shared_alphabets(trained: Sequence[str], letters: Sequence[str]) -> tuple[SignerAlphabet, ...]:
    """Alphabets never trained on, each with its letters of shared shape.

    A letter is shared where its handshape lies within ``SAME_SHAPE`` of the same letter of a training alphabet and
    no other letter of that alphabet lies nearer. Letters that move and letters of two hands are left out. Where a
    lexicon lists one recording under two languages, it counts as trained.
    """
    seen = {recording_sha256(language, letter) for language in trained for letter in letters}
    found = []
    for language in languages():
        if language in trained:
            continue
        shared = []
        for letter in letters:
            if letter not in letters_of(language) or recording_sha256(language, letter) in seen:
                continue
            if _is_shared(language, letter, trained, letters):
                shared.append(letter)
        if len(shared) >= _FEWEST:
            found.append(SignerAlphabet(language=language, letters=tuple(shared)))
    return tuple(found)


def _is_shared(language: str, letter: str, trained: Sequence[str], letters: Sequence[str]) -> bool:
    try:
        recording = load_letter(language, letter)
    except RunFailedError:
        return False  # the recording shows no usable hand
    if recording.moves or recording.hand_present[1]:
        return False
    shape = _shape(language, letter)
    for other in trained:
        if load_letter(other, letter).moves:
            continue
        distances = {x: _distance(shape, _shape(other, x)) for x in letters}
        if distances[letter] <= SAME_SHAPE and min(distances, key=distances.__getitem__) == letter:
            return True
    return False
