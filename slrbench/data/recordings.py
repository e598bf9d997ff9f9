"""Recordings of real signers: the fingerspelled alphabets of the ``spoken-to-signed`` package, as landmarks.

The package (MIT) ships one MediaPipe Holistic recording per letter and sign language. This module reads them,
brings them to one frame rate, one unit and one dominant hand, and cuts out the part in which the letter is held.

Units: shoulder widths, origin between the shoulders, x to the viewer's right, y down. The recordings' depth is constant
and therefore left out.
"""

import csv
import hashlib
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files
from importlib.resources.abc import Traversable

import numpy as np
from numpy.typing import NDArray

from slrbench.errors import BadInputError, RunFailedError

FRAMES_PER_SECOND = 25.0
HAND_POINTS = 21
PALM = (0, 5, 9, 13, 17)
"""Wrist and knuckles: the landmarks of a MediaPipe hand that move with the palm."""

_BODY_POINTS = (11, 12, 13, 14)  # MediaPipe Pose: left and right shoulder, left and right elbow
_STILL_SPEED = 0.04  # shoulder widths per frame at 25 fps, below which a hand counts as held
_SHORTEST = 6  # frames; a shorter rest is widened, so that there is something to vary
_TRAVEL_SPEED = 0.08  # above which a hand travels


@dataclass(frozen=True, kw_only=True)
class LetterRecording:
    """The held part of one recorded letter; the dominant hand is hand 0.

    ``hands`` is ``(frames, 2, 21, 2)``, ``hand_present`` ``(2,)``, ``body`` ``(frames, 4, 2)`` with the
    dominant shoulder, the other shoulder, the dominant elbow and the other elbow.
    """

    language: str
    letter: str
    sha256: str
    hands: NDArray[np.float32]
    hand_present: tuple[bool, bool]
    body: NDArray[np.float32]
    moves: bool


@dataclass(frozen=True)
class _Row:
    language: str
    letter: str
    path: str


def _lexicon() -> Traversable:
    return files("spoken_to_signed") / "assets" / "fingerspelling_lexicon"


@lru_cache(maxsize=1)
def _rows() -> tuple[_Row, ...]:
    text = (_lexicon() / "index.csv").read_text(encoding="utf-8")
    rows = csv.DictReader(text.splitlines())
    return tuple(_Row(r["signed_language"], r["words"].upper(), r["path"]) for r in rows)


def languages() -> tuple[str, ...]:
    """ISO 639-3 codes of the sign languages that have recordings."""
    return tuple(sorted({row.language for row in _rows()}))


def letters_of(language: str) -> tuple[str, ...]:
    """Letters recorded for a language, upper case, in the lexicon's order.

    Raises:
        BadInputError: no recording of that language exists.
    """
    found = tuple(row.letter for row in _rows() if row.language == language)
    if not found:
        raise BadInputError(
            f"no recordings of sign language {language!r}", hint=f"choose among {', '.join(languages())}"
        )
    return found


@cache
def recording_sha256(language: str, letter: str) -> str:
    """SHA-256 of the recording's file: two languages with the same hash share one signer's recording."""
    return hashlib.sha256(_read(language, letter)).hexdigest()


def _read(language: str, letter: str) -> bytes:
    for row in _rows():
        if (row.language, row.letter) == (language, letter):
            return (_lexicon() / row.path).read_bytes()
    raise BadInputError(
        f"letter {letter!r} is not in the alphabet of {language!r}",
        hint=f"its letters are {' '.join(letters_of(language))}",
    )


@cache
def load_letter(language: str, letter: str) -> LetterRecording:
    """Read, normalise and trim one recording.

    Raises:
        BadInputError: the language or the letter was not recorded.
        RunFailedError: the file holds no usable hand.
    """
    from pose_format import Pose  # the package takes a while to import, and lists of languages do not need it

    content = _read(language, letter)
    pose = Pose.read(content)
    points = np.ma.filled(pose.body.data[:, 0], 0.0).astype(np.float64)
    confidence = np.asarray(pose.body.confidence[:, 0])
    offsets: dict[str, int] = {}
    total = 0
    for component in pose.header.components:
        offsets[component.name] = total
        total += len(component.points)

    rates = float(pose.body.fps) / FRAMES_PER_SECOND
    body, body_ok = points[:, : offsets["FACE_LANDMARKS"]], confidence[:, : offsets["FACE_LANDMARKS"]]
    right, right_ok = _hand(points, confidence, offsets["RIGHT_HAND_LANDMARKS"])
    left, left_ok = _hand(points, confidence, offsets["LEFT_HAND_LANDMARKS"])
    if max(right_ok.mean(), left_ok.mean()) < 0.3 or body_ok[:, list(_BODY_POINTS)].mean() < 0.5:
        raise RunFailedError(f"the recording of {letter!r} in {language!r} shows no usable hand")

    shoulders = body[:, [11, 12], :2]
    origin = shoulders.mean(axis=(0, 1))
    unit = float(np.linalg.norm(shoulders[:, 0] - shoulders[:, 1], axis=1).mean())
    hands = (np.stack([right, left], axis=1) - origin) / unit
    frame = (body[:, list(_BODY_POINTS), :2] - origin) / unit
    present = np.stack([right_ok, left_ok], axis=1)
    # Body points come as (left, right); the dominant side goes first. The picture of a left-hander is mirrored,
    # so that one network sees one handedness, as fingerspelling keeps its meaning under mirroring.
    if left_ok.mean() > right_ok.mean() + 0.3:
        hands, present = hands[:, ::-1].copy(), present[:, ::-1]
        hands[..., 0] *= -1
        frame = frame * np.array([-1.0, 1.0])
    else:
        frame = frame[:, [1, 0, 3, 2]]

    keep = present[:, 0] > 0
    hands, frame, present = _resample(hands[keep], rates), _resample(frame[keep], rates), present[keep]
    start, stop, moves = _held_part(hands[:, 0])
    return LetterRecording(
        language=language,
        letter=letter,
        sha256=hashlib.sha256(content).hexdigest(),
        hands=hands[start:stop].astype(np.float32),
        hand_present=(True, bool(present[:, 1].mean() > 0.5)),
        body=frame[start:stop].astype(np.float32),
        moves=moves,
    )


def _hand(
    points: NDArray[np.float64], confidence: NDArray[np.floating], offset: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    hand = points[:, offset : offset + HAND_POINTS, :2]
    seen = (confidence[:, offset : offset + HAND_POINTS].mean(axis=1) > 0.5).astype(np.float64)
    return hand, seen


def _resample(values: NDArray[np.float64], ratio: float) -> NDArray[np.float64]:
    """Every ``ratio``-th frame along axis 0, linearly interpolated."""
    count = len(values)
    if abs(ratio - 1.0) < 1e-3 or count < 2:
        return values
    at = np.arange(0.0, count - 1 + 1e-9, ratio)
    low = np.minimum(at.astype(int), count - 2)
    weight = (at - low).reshape(-1, *([1] * (values.ndim - 1)))
    mixed: NDArray[np.float64] = values[low] * (1 - weight) + values[low + 1] * weight
    return mixed


def _held_part(hand: NDArray[np.float64]) -> tuple[int, int, bool]:
    """First frame, one past the last frame, and whether the letter is a movement.

    The letter lies between the moment when the arriving hand first comes to rest and the moment when it last
    was at rest. Where the hand travels fast in between, the travel is the letter (J, Z).
    """
    speed = np.linalg.norm(np.diff(hand.mean(axis=1), axis=0), axis=-1)
    still = np.flatnonzero(speed < _STILL_SPEED)
    if len(still) == 0:
        margin = len(hand) // 6
        return margin, len(hand) - margin, True
    first, last = int(still[0]), int(still[-1])
    if last - first < _SHORTEST:
        middle = (first + last) // 2
        first, last = max(0, middle - _SHORTEST // 2), min(len(speed) - 1, middle + _SHORTEST // 2)
    return first, last + 2, bool((speed[first : last + 1] > _TRAVEL_SPEED).any())
