"""Corpora and clips. ``open_corpus`` is the way in; importing this package loads nothing heavy."""

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from slrbench.data.options import BUILT_IN, KINDS, parse_spec
from slrbench.errors import UnavailableError

if TYPE_CHECKING:
    from slrbench.data.corpus import Corpus

__all__ = ["KINDS", "open_corpus", "parse_spec"]

_PACKAGES = {
    "cv2": "opencv-python-headless",
    "pose_format": "pose-format",
    "spoken_to_signed": "spoken-to-signed",
    "wonderwords": "wonderwords",
}
"""Modules that make the clips of the built-in corpus, and the packages that bring them."""


def open_corpus(spec: str, *, cache: Path | None = None) -> "Corpus":
    """Open the corpus that ``--data`` names.

    For example ``fingerspelling:language=ase,letters=10,size=48``, or
    ``phoenix2014:/data/phoenix2014-release,size=112``.

    Args:
        spec: kind, path and options.
        cache: folder of decoded and resized frames; the built-in corpus needs none.

    Raises:
        BadInputError: an unknown kind or option, a value out of range, or files that are not such a corpus.
        UnavailableError: the packages that the clips are made with are not installed.
    """
    kind, options = parse_spec(spec)
    if kind != BUILT_IN:
        from slrbench.data.indexed import IndexedCorpus

        return IndexedCorpus.from_options(kind, options, cache=cache)
    missing = [package for module, package in _PACKAGES.items() if find_spec(module) is None]
    if missing:
        raise UnavailableError(
            f"{spec} cannot be opened here: {', '.join(missing)} {'is' if len(missing) == 1 else 'are'} not installed",
            hint=f"pip install {' '.join(missing)}; or pack the model with test clips where it was trained",
        )
    from slrbench.data.fingerspelling import FingerspellingCorpus

    return FingerspellingCorpus.from_options(options)
