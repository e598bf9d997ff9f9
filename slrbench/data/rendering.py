"""From landmarks to RGB video: the hand's skeleton with coloured fingers, arm and shoulders faint behind it.

Shapes: T frames, S the side of the square frame, pixels.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from slrbench.data.spelling import HAND_AT, Movement

VERSION = 1
"""Version of the drawing; a change that alters any pixel raises it."""

VIEW = 0.9
"""Side of the picture in shoulder widths."""

_FINGERS = ((1, 2, 3, 4), (5, 6, 7, 8), (9, 10, 11, 12), (13, 14, 15, 16), (17, 18, 19, 20))
_PALM_OUTLINE = (0, 1, 5, 9, 13, 17, 0)
_FINGER_COLOURS = ((255, 96, 80), (255, 214, 64), (72, 224, 96), (64, 200, 255), (204, 120, 255))  # RGB
_PALM_COLOUR = (236, 236, 236)
_FRACTION_BITS = 4  # cv2 draws with sixteenths of a pixel


@dataclass(frozen=True, kw_only=True)
class Camera:
    """How one clip is seen: turn in radians, zoom, shift in shoulder widths, background brightness 0..255."""

    turn: float = 0.0
    zoom: float = 1.0
    shift: tuple[float, float] = (0.0, 0.0)
    background: int = 24


def random_camera(rng: np.random.Generator) -> Camera:
    """A camera that differs a little from clip to clip."""
    return Camera(
        turn=float(rng.uniform(-0.12, 0.12)),
        zoom=float(rng.uniform(0.92, 1.1)),
        shift=(float(rng.uniform(-0.06, 0.06)), float(rng.uniform(-0.06, 0.06))),
        background=int(rng.integers(8, 48)),
    )


def render(movement: Movement, size: int, camera: Camera) -> NDArray[np.uint8]:
    """Draw every frame; returns ``(T, S, S, 3)`` RGB."""
    count = len(movement.hands)
    # The palm sits a little below the centre: fingers reach up.
    centre = HAND_AT + np.array([0.0, -0.1]) + np.array(camera.shift)
    cos, sin = np.cos(camera.turn), np.sin(camera.turn)
    scale = size / VIEW * camera.zoom
    matrix = np.array([[cos, -sin], [sin, cos]]) * scale
    unit = 1 << _FRACTION_BITS

    def to_pixels(points: NDArray[np.float64]) -> NDArray[np.int32]:
        pixels = (points - centre) @ matrix.T + (size - 1) / 2
        fixed: NDArray[np.int32] = np.clip(np.rint(pixels * unit), -(1 << 18), 1 << 18).astype(np.int32)
        return fixed

    hands = to_pixels(movement.hands)
    wrists = hands[:, :, 0]
    body = to_pixels(movement.body)
    video: NDArray[np.uint8] = np.empty((count, size, size, 3), dtype=np.uint8)
    video[:] = camera.background
    thin = max(1, round(size / 48))
    thick = max(1, round(size / 32))
    for t in range(count):
        _draw_body(video[t], body[t], wrists[t], movement.hand_weight[t], thick, camera.background)
        for hand in (1, 0):  # the dominant hand is in front
            weight = movement.hand_weight[t, hand]
            if weight > 0.02:
                _draw_hand(video[t], hands[t, hand], weight, thin, camera.background)
    return video


def _mix(colour: tuple[int, int, int], weight: float, background: int) -> tuple[int, int, int]:
    r, g, b = (round(background + (c - background) * weight) for c in colour)
    return r, g, b


def _line(frame: NDArray[np.uint8], points: NDArray[np.int32], colour: tuple[int, int, int], thickness: int) -> None:
    cv2.polylines(frame, [points], False, colour, thickness, cv2.LINE_AA, _FRACTION_BITS)


def _draw_body(
    frame: NDArray[np.uint8],
    body: NDArray[np.int32],
    wrists: NDArray[np.int32],
    weight: NDArray[np.float64],
    thickness: int,
    background: int,
) -> None:
    faint = _mix((150, 150, 170), 0.35, background)
    _line(frame, body[[0, 1]], faint, thickness)
    for hand in range(2):
        arm = [body[hand], body[2 + hand]]
        if weight[hand] > 0.5:
            arm.append(wrists[hand])
        _line(frame, np.stack(arm), faint, thickness)


def _draw_hand(
    frame: NDArray[np.uint8],
    points: NDArray[np.int32],
    weight: float,
    thickness: int,
    background: int,
) -> None:
    _line(frame, points[list(_PALM_OUTLINE)], _mix(_PALM_COLOUR, 0.75 * weight, background), thickness)
    for finger in reversed(range(5)):  # the thumb last, as it lies in front of the palm that faces the viewer
        _line(frame, points[list(_FINGERS[finger])], _mix(_FINGER_COLOURS[finger], weight, background), thickness)
