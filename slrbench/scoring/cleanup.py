"""What the corpora's own evaluation scripts do to glosses before they count errors; see ``slrbench.scoring``.

The rules about neighbouring words are the scripts' regular expressions in effect, with all that they miss: figures are
comparable only where everyone misses the same.
"""

import re
from collections.abc import Callable, Sequence
from itertools import groupby

Words = tuple[str, ...]

_PREFIXES = ("loc-", "cl-", "qu-", "poss-", "lh-")  # where, classifier, what is asked, possessive, left hand
_SPELLINGS = {"S0NNE": "SONNE", "HABEN2": "HABEN"}
_NOT_SCORED = ("__EMOTION__", "__PU__", "__LEFTHAND__")


def as_they_are(glosses: Sequence[str]) -> Words:
    """No clean-up."""
    return tuple(glosses)


def merge_neighbours(words: Sequence[str]) -> Words:
    """Adjacent equal words as one."""
    return tuple(word for word, _ in groupby(words))


def phoenix2014(glosses: Sequence[str]) -> Words:
    """Word by word, as the corpus's script does it to a file with one word on each line."""
    cleaned = (_without_suffixes(_without_marks(word)) for word in glosses if "__EPENTHESIS__" not in word)
    return tuple(filter(None, cleaned))


def phoenix2014_sentence(glosses: Sequence[str]) -> Words:
    """The same on a sentence, where the rules about neighbours apply."""
    sentence = _each_word(_without_marks, " ".join(glosses).replace("__EPENTHESIS__", ""))
    joined = _join_letters(sentence.replace("WIE AUSSEHEN", "WIE-AUSSEHEN"))
    return _merge_repeats(_each_word(_without_suffixes, joined))


def phoenix2014t(glosses: Sequence[str]) -> Words:
    """PHOENIX-2014T's rules, on a sentence."""
    sentence = _each_word(_phoenix2014t_word, " ".join(glosses))
    return _merge_repeats(_join_letters(sentence.replace("WIE AUSSEHEN", "WIE-AUSSEHEN")))


def _each_word(rule: Callable[[str], str], sentence: str) -> str:
    """A word that is dropped leaves its spaces behind: the words around it are no neighbours yet."""
    return " ".join(rule(word) for word in sentence.strip().split(" "))


def _without_marks(word: str) -> str:
    """Marks go wherever in a word they are."""
    for prefix in _PREFIXES:
        word = word.replace(prefix, "")
    for wrong, right in _SPELLINGS.items():
        word = word.replace(wrong, right)
    for mark in _NOT_SCORED:
        word = word.replace(mark, "")
    return word + "-BILDSCHIRM" if word.endswith("ZEIGEN") else word


def _without_suffixes(word: str) -> str:
    return re.sub("([A-Z]{2})RAUM", r"\1", word).replace("-PLUSPLUS", "")


def _phoenix2014t_word(word: str) -> str:
    for mark in ("__LEFTHAND__", "__EPENTHESIS__", "__EMOTION__"):
        word = word.replace(mark, "")
    word = re.sub(r"\b__[^_]*__\b", "", word)
    for prefix in ("loc-", "cl-"):
        word = re.sub(rf"\b{prefix}(.*)\b", r"\1", word)
    word = re.sub(r"\b(.*)-PLUSPLUS\b", r"\1", word)
    return re.sub(r"\b([A-Z]+)RAUM\b", r"\1", word)


def _joining(
    left: str, right: str, *, before: str = "[ +]", after: str = "[ +]", keep: bool = True
) -> Callable[[str], str]:
    """Puts a plus between two neighbours; without ``keep``, what stands before them becomes a space."""
    lead = f"({before})" if keep else f"{before}()"
    pattern = re.compile(rf"{lead}({left}) ({right})({after})")
    front = r"\1" if keep else " "
    return lambda sentence: pattern.sub(front + r"\2+\3\4", sentence)


_LETTER = "[A-Z]"
_JOINS = (
    _joining(_LETTER, _LETTER, before="^"),
    _joining(_LETTER, _LETTER, after=" ", keep=False),  # A+B C D comes apart here: A B+C D
    *3 * (_joining(_LETTER, _LETTER),),  # each pass sees every other pair
    _joining("SCH", _LETTER),
    _joining("NN", _LETTER),
    _joining(_LETTER, "NN"),
    _joining(_LETTER, _LETTER, after="$"),
)


def _join_letters(sentence: str) -> str:
    """Letters that are spelled one by one are one word, with plus signs: ``A B C`` is ``A+B+C``."""
    for join in _JOINS:
        sentence = join(sentence)
    return sentence


def _merge_repeats(sentence: str) -> Words:
    """Equal neighbours as one; beside a plus sign the part of a word counts, too."""
    sentence = " ".join(sentence.split())
    for _ in range(4):
        sentence = re.sub(r"(?<![\w-])([A-Z]+) \1(?![\w-])", r"\1", sentence)
    return merge_neighbours(sentence.split())
