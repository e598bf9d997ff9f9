"""Real words to spell, in disjoint lists for training, development and test.

The words are those of the ``wonderwords`` package (MIT): English nouns, verbs and adjectives.
"""

import hashlib
from collections.abc import Iterable
from functools import lru_cache
from importlib.resources import files

SHORTEST, LONGEST = 3, 8
"""Lengths of the words that are spelled, letters."""

_LISTS = ("nounlist.txt", "verblist.txt", "adjectivelist.txt")
_DEV_SHARE, _TEST_SHARE = 0.10, 0.20
_LARGEST_DEV, _LARGEST_TEST = 200, 400


@lru_cache(maxsize=1)
def _all_words() -> tuple[str, ...]:
    assets = files("wonderwords") / "assets"
    unwanted = {w.strip().upper() for w in (assets / "profanitylist.txt").read_text(encoding="utf-8").splitlines()}
    words: set[str] = set()
    for name in _LISTS:
        for line in (assets / name).read_text(encoding="utf-8").splitlines():
            word = line.strip().upper()
            if word.isascii() and word.isalpha() and SHORTEST <= len(word) <= LONGEST and word not in unwanted:
                words.add(word)
    return tuple(sorted(words))


def split_words(letters: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Words that the letters can spell, as disjoint lists ``train``, ``dev`` and ``test``.

    The order of the words' SHA-256 decides, whatever the platform. Where the shares end depends on how many words the
    letters spell: a test word of one set of letters may be a training word of another.
    """
    available = set(letters)
    words = [word for word in _all_words() if set(word) <= available]
    words.sort(key=lambda word: hashlib.sha256(word.encode()).hexdigest())
    test = min(_LARGEST_TEST, round(len(words) * _TEST_SHARE))
    dev = min(_LARGEST_DEV, round(len(words) * _DEV_SHARE))
    return {"test": tuple(words[:test]), "dev": tuple(words[test : test + dev]), "train": tuple(words[test + dev :])}
