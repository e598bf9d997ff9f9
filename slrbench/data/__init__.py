"""Corpora and clips. ``open_corpus`` is the way in; importing this package loads nothing heavy."""

from typing import TYPE_CHECKING

from slrbench.data.options import KINDS, parse_spec

if TYPE_CHECKING:
    from slrbench.data.corpus import Corpus

__all__ = ["KINDS", "open_corpus", "parse_spec"]


def open_corpus(spec: str) -> "Corpus":
    """Open the corpus that ``--data`` names, for example ``fingerspelling:language=ase,letters=10,size=48``.

    Raises:
        BadInputError: an unknown kind or option, or a value out of range.
    """
    _, options = parse_spec(spec)
    from slrbench.data.fingerspelling import FingerspellingCorpus

    return FingerspellingCorpus.from_options(options)
