"""From letters to a continuous movement: recordings, varied, held for a while and joined by transitions.

Landmarks only; ``rendering`` draws them. Lengths are in shoulder widths, times in frames of 25 fps.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from slrbench.data.recordings import HAND_POINTS, PALM, LetterRecording, load_letter

VERSION = 1
"""Version of the movement; a change that alters any clip raises it."""

HAND_AT = np.array([-0.62, -0.05])
"""Where the palm of the dominant hand is brought to, relative to the middle of the shoulders."""

_SLOWEST, _FASTEST = 0.8, 1.35  # factors on durations
_HOLD = (3.2, 6.4)  # frames at tempo 1
_MOTION = (8.0, 12.0)  # frames of a letter that is itself a movement
_TRANSITION = (2.2, 4.6)
_REPEAT = (4.0, 6.0)  # the return movement between two equal letters
_ARRIVAL, _DEPARTURE = (3.0, 5.0), (2.0, 4.0)


@dataclass(frozen=True, kw_only=True)
class Movement:
    """A spelled word as landmarks.

    ``hands`` ``(T, 2, 21, 2)``, ``hand_weight`` ``(T, 2)`` in 0..1 (how visible), ``body`` ``(T, 4, 2)``;
    ``boundaries`` holds the first frame and one past the last frame in which each letter is held.
    """

    hands: NDArray[np.float64]
    hand_weight: NDArray[np.float64]
    body: NDArray[np.float64]
    boundaries: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class _Held:
    hands: NDArray[np.float64]  # (n, 2, 21, 2)
    weight: NDArray[np.float64]  # (2,)
    body: NDArray[np.float64]  # (n, 4, 2)


def spell(letters: Sequence[str], language: str, rng: np.random.Generator) -> Movement:
    """A continuous movement that spells ``letters`` in a language's alphabet.

    Every letter's hand is brought to one place: where a single recording happened to be held says nothing
    about the letter, and a network would learn it instead of the hand's shape. Handshape, orientation and the
    letter's own motion stay as recorded, then are varied.

    Raises:
        BadInputError: a letter that was not recorded.
        ValueError: no letters.
    """
    if not letters:
        raise ValueError("nothing to spell: letters is empty")
    tempo = rng.uniform(_SLOWEST, _FASTEST)
    held = [_vary(load_letter(language, letter), tempo, rng) for letter in letters]
    hands: list[NDArray[np.float64]] = []
    weights: list[NDArray[np.float64]] = []
    bodies: list[NDArray[np.float64]] = []
    boundaries: list[tuple[int, int]] = []
    count = 0

    def append(part: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]) -> None:
        nonlocal count
        hands.append(part[0])
        weights.append(part[1])
        bodies.append(part[2])
        count += len(part[0])

    append(_arrive(held[0], _frames(_ARRIVAL, tempo, rng), rng))
    for i, part in enumerate(held):
        boundaries.append((count, count + len(part.hands)))
        append((part.hands, np.repeat(part.weight[None], len(part.hands), axis=0), part.body))
        if i + 1 < len(held):
            repeat = letters[i] == letters[i + 1]
            frames = _frames(_REPEAT if repeat else _TRANSITION, tempo, rng)
            append(_join(part, held[i + 1], max(frames, 3 if repeat else 2), repeat, rng))
    departure = _arrive(held[-1], _frames(_DEPARTURE, tempo, rng), rng, last=True)
    append((departure[0][::-1], departure[1][::-1], departure[2][::-1]))
    return Movement(
        hands=np.concatenate(hands) + _tremor(count, rng),
        hand_weight=np.concatenate(weights),
        body=np.concatenate(bodies),
        boundaries=tuple(boundaries),
    )


def _frames(span: tuple[float, float], tempo: float, rng: np.random.Generator) -> int:
    return max(1, round(rng.uniform(*span) * tempo))


def _vary(recording: LetterRecording, tempo: float, rng: np.random.Generator) -> _Held:
    """The recording at another tempo, and turned, scaled, moved and distorted a little."""
    available = len(recording.hands)
    if recording.moves:
        frames = _frames(_MOTION, tempo, rng)
        at = np.linspace(0, available - 1, frames)
    else:
        frames = max(3, _frames(_HOLD, tempo, rng))
        length = min(available - 1.0, (frames - 1) * rng.uniform(0.6, 1.4))
        first = rng.uniform(0, available - 1 - length)
        at = first + np.linspace(0, length, frames)
    hands = _at(recording.hands.astype(np.float64), at)
    body = _at(recording.body.astype(np.float64), at)

    centre = hands[:, 0, PALM].mean(axis=(0, 1))
    hands = (hands - centre) @ _distortion(rng).T
    hands += rng.normal(0.0, 0.007, size=(1, 2, HAND_POINTS, 2))  # this signer's, this time's handshape
    place = HAND_AT + rng.uniform(-0.05, 0.05, size=2)
    hands += place
    body = body.copy()
    body[:, 2:] += (place - centre) * 0.5  # the elbow follows the hand half way
    return _Held(hands, np.array([float(p) for p in recording.hand_present]), body)


def _at(values: NDArray[np.float64], at: NDArray[np.float64]) -> NDArray[np.float64]:
    low = np.clip(at.astype(int), 0, max(0, len(values) - 2))
    high = np.minimum(low + 1, len(values) - 1)
    weight = (at - low).reshape(-1, *([1] * (values.ndim - 1)))
    mixed: NDArray[np.float64] = values[low] * (1 - weight) + values[high] * weight
    return mixed


def _distortion(rng: np.random.Generator) -> NDArray[np.float64]:
    """A turn in the picture plane, and the scaling and shear that a small turn out of it would give."""
    roll, shear = rng.uniform(-0.16, 0.16), rng.uniform(-0.08, 0.08)
    scale = np.diag(rng.uniform(0.94, 1.06) * rng.uniform(0.94, 1.04, size=2))
    turn = np.array([[np.cos(roll), -np.sin(roll)], [np.sin(roll), np.cos(roll)]])
    matrix: NDArray[np.float64] = turn @ np.array([[1.0, shear], [0.0, 1.0]]) @ scale
    return matrix


def _minimum_jerk(frames: int) -> NDArray[np.float64]:
    """Share of the way after each of ``frames`` frames strictly between two poses (Flash and Hogan 1985)."""
    t = np.arange(1, frames + 1) / (frames + 1)
    share: NDArray[np.float64] = 10 * t**3 - 15 * t**4 + 6 * t**5
    return share


def _relaxed(hands: NDArray[np.float64], amount: NDArray[np.float64]) -> NDArray[np.float64]:
    """Hands with every finger drawn towards the palm's centre by ``amount`` (per frame), as between letters."""
    centre = hands[:, :, PALM, :].mean(axis=2, keepdims=True)
    factor = 1 - amount[:, None, None, None]
    relaxed: NDArray[np.float64] = centre + (hands - centre) * factor
    return relaxed


def _join(
    before: _Held, after: _Held, frames: int, repeat: bool, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """The hand's way from one letter to the next; between equal letters it moves away and comes back."""
    share = _minimum_jerk(frames)
    bump = np.sin(np.pi * np.arange(1, frames + 1) / (frames + 1))
    angle = rng.uniform(-0.5, 0.5)
    if repeat:
        reach = rng.uniform(0.14, 0.24)
        direction = np.array([-np.cos(angle), np.sin(angle)])  # outwards, as signers slide a doubled letter
        relax = 0.25 * bump
    else:
        reach = rng.uniform(-0.05, 0.05)
        direction = np.array([np.sin(angle), np.cos(angle)])
        relax = 0.12 * bump
    s = share[:, None, None, None]
    hands = before.hands[-1:] * (1 - s) + after.hands[:1] * s
    # A hand that only one of the two letters uses stays with that letter's pose and fades.
    for hand in range(2):
        if before.weight[hand] != after.weight[hand]:
            hands[:, hand] = (before.hands[-1] if before.weight[hand] else after.hands[0])[hand]
    hands = _relaxed(hands, relax) + (reach * bump)[:, None, None, None] * direction
    weight = before.weight * (1 - share[:, None]) + after.weight * share[:, None]
    b = share[:, None, None]
    return hands, weight, before.body[-1:] * (1 - b) + after.body[:1] * b


def _arrive(
    held: _Held, frames: int, rng: np.random.Generator, last: bool = False
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """The hand comes up from rest to the first letter (reversed: goes down from the last one)."""
    pose = held.hands[-1:] if last else held.hands[:1]
    body = held.body[-1:] if last else held.body[:1]
    share = _minimum_jerk(frames)
    drop = np.array([rng.uniform(-0.08, 0.08), rng.uniform(0.35, 0.5)])
    away = (1 - share)[:, None, None, None]
    hands = _relaxed(np.repeat(pose, frames, axis=0), 0.35 * (1 - share)) + away * drop
    weight = np.repeat(held.weight[None], frames, axis=0)
    return hands, weight, np.repeat(body, frames, axis=0)


def _tremor(frames: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Landmark noise, smooth in time: white noise through a moving average of three frames."""
    white = rng.normal(0.0, 0.008, size=(frames + 2, 2, HAND_POINTS, 2))
    smooth: NDArray[np.float64] = (white[:-2] + white[1:-1] + white[2:]) / np.sqrt(3.0)
    return smooth
