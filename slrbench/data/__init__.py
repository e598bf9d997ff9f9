"""Corpora and clips. ``open_corpus`` is the way in; importing this package loads nothing heavy."""

from importlib.util import find_spec
from typing import TYPE_CHECKING

from slrbench.data.options import KINDS, parse_spec
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


def open_corpus(spec: str) -> "Corpus":
    """Open the corpus that ``--data`` names, for example ``fingerspelling:language=ase,letters=10,size=48``.

    Raises:
        BadInputError: an unknown kind or option, or a value out of range.
        UnavailableError: the packages that the clips are made with are not installed.
    """
    _, options = parse_spec(spec)
    missing = [package for module, package in _PACKAGES.items() if find_spec(module) is None]
    if missing:
        raise UnavailableError(
            f"{spec} cannot be opened here: {', '.join(missing)} {'is' if len(missing) == 1 else 'are'} not installed",
            hint=f"pip install {' '.join(missing)}; or pack the model with test clips where it was trained",
        )
    from slrbench.data.fingerspelling import FingerspellingCorpus

    return FingerspellingCorpus.from_options(options)
