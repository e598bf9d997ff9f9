"""Where small labels go, so that they cover neither each other nor what they name."""

_ROUND = ((0.7, -0.7), (1.0, 0.0), (0.0, -1.0), (0.7, 0.7), (-0.7, -0.7), (-1.0, 0.0), (0.0, 1.0), (-0.7, 0.7))
"""Directions from a mark to its label, the best first."""

_Box = tuple[float, float, float, float]  # left, top, right, bottom


class Taken:
    """Boxes of a picture that are covered already."""

    def __init__(self, width: float, height: float) -> None:
        """An empty picture of this size (pixels)."""
        self._width, self._height = width, height
        self._boxes: list[_Box] = []

    def add(self, x: float, y: float, width: float, height: float) -> None:
        """Take the box around ``x``, ``y``."""
        self._boxes.append(_box(x, y, width, height))

    def near(self, x: float, y: float, radius: float, width: float, height: float) -> tuple[float, float]:
        """Take the best free place for a label around a disc, and return its middle; the least covered if none is."""
        tried = [
            (x + dx * (radius + away + width / 2), y + dy * (radius + away + height / 2))
            for away in (2.0, 12.0, 24.0)
            for dx, dy in _ROUND
        ]
        best = min(tried, key=lambda at: (self._covered(_box(at[0], at[1], width, height)), tried.index(at)))
        self.add(*best, width, height)
        return best

    def _covered(self, box: _Box) -> float:
        left, top, right, bottom = box
        if left < 0 or top < 0 or right > self._width or bottom > self._height:
            return float("inf")
        return sum(
            max(0.0, min(right, r) - max(left, o)) * max(0.0, min(bottom, b) - max(top, t))
            for o, t, r, b in self._boxes
        )


def _box(x: float, y: float, width: float, height: float) -> _Box:
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2
