"""Recognition while the frames arrive: a window slides over them, and what lies well inside of it is settled.

The networks look to both sides, so what they say at the edge of a window may change with more frames. Every ``stride``
frames the last ``window`` frames are run. Spikes that are at least ``lookahead`` frames from the newest frame are
committed, the ones after them are tentative. What is committed never changes.

A spike may lie a step earlier in one window and a step later in the next, on the two sides of where one window's
commitment ends. So the spikes of a window that lie close to that line are matched, one to one, with those committed
just before it: a spike that has a partner is the same one, a spike without is committed late.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from slrbench.errors import BadInputError
from slrbench.recognise.network import Network
from slrbench.recognise.results import Recognition, Segment
from slrbench.recognise.spikes import Spike

WINDOW = 64
"""Frames that are run at a time where nothing else is asked for."""

STRIDE = 16
"""Frames between two runs where nothing else is asked for."""

SEAM = 1
"""Output steps by which a spike may move from one window to the next and still be the same.

Equal glosses are two steps apart at least, with a blank between them: more could not be told from a second one.
"""

REACH = 8
"""Output steps before the line from which spikes of two windows are matched."""


@dataclass(frozen=True, kw_only=True)
class Update:
    """What is new after some frames; times are seconds from the first frame."""

    at_s: float
    """Time of the newest frame's end."""
    committed: tuple[Segment, ...]
    """Settled since the last update."""
    tentative: tuple[Segment, ...]
    """What stands after everything that is settled, by the newest window; may change."""


class OnlineRecogniser:
    """Takes frames as they come; one video."""

    def __init__(
        self, network: Network, *, window: int = WINDOW, stride: int = STRIDE, lookahead: int | None = None
    ) -> None:
        """Begin with no frame.

        Args:
            network: what is run.
            window: frames that are run at a time; a multiple of the network's stride.
            stride: frames between two runs, at most ``window``; a multiple of the network's stride.
            lookahead: frames after a spike that must have been seen before it is settled; half of what the window has
                beside the stride where it is not given, so that a spike has as much on both sides.

        Raises:
            BadInputError: a length does not fit the others.
        """
        step = network.stride
        for name, value in (("window", window), ("stride", stride)):
            if value < step or value % step:
                raise BadInputError(
                    f"{name} is {value} frames, expected a multiple of {step}: the frames of one output step",
                    hint=f"--{name} {max(step, round(value / step) * step)}",
                )
        most = window - stride
        if most < 0:
            raise BadInputError(
                f"stride is {stride} frames, expected at most the window, {window}", hint=f"--stride {window // 4}"
            )
        ahead = most // 2 if lookahead is None else lookahead
        if not 0 <= ahead <= most:
            raise BadInputError(
                f"lookahead is {ahead} frames, expected 0 to {most}: the window less the stride",
                hint=f"--lookahead {most // 2}",
            )
        self._network = network
        self._window, self._stride = window, stride
        self._ahead = -(-ahead // step)  # output steps
        self._waiting: deque[NDArray[np.uint8]] = deque(maxlen=window)
        self._count = 0
        self._settled_to = 0  # output steps before this one are settled
        self._committed: list[Spike] = []
        self._ran_at = 0
        self._ended = False

    @property
    def committed(self) -> tuple[Segment, ...]:
        """Everything settled so far."""
        return self._segments(self._committed)

    def push(self, frames: Iterable[NDArray[np.uint8]]) -> list[Update]:
        """Take the next frames, ``(H, W, 3)`` of any size; an update for each time that the network ran.

        Raises:
            BadInputError: one is no frame, or the video has ended.
            RunFailedError: the network does not run.
        """
        return self.push_seen(self._network.view.of(frame) for frame in frames)

    def push_seen(self, frames: Iterable[NDArray[np.uint8]]) -> list[Update]:
        """As :meth:`push`, of frames that went through the network's view already."""
        if self._ended:
            raise BadInputError("the video has ended: no frame comes after finish()", hint="begin another one")
        updates = []
        for frame in frames:
            self._waiting.append(frame)
            self._count += 1
            # At the first full window, too: a later one may begin behind glosses that nothing has settled yet.
            if self._count % self._stride == 0 or self._count == self._window:
                updates.append(self._run(last=False))
        return updates

    def finish(self) -> Update:
        """There are no more frames: settle the rest.

        Raises:
            BadInputError: no frame came.
            RunFailedError: the network does not run.
        """
        if self._count == 0:
            raise BadInputError("there are no frames to recognise", hint="give a video of at least one frame")
        self._ended = True
        return self._run(last=True)

    def recognition(self) -> Recognition:
        """Everything settled so far, as of a whole video."""
        whole = self._network.recognition(self._committed, self._count)
        return whole.model_copy(update={"window": self._window})

    def _run(self, *, last: bool) -> Update:
        step = self._network.stride
        # The window begins where an output step does, so that steps of all windows lie on one grid.
        begin = -(-max(0, self._count - self._window) // step) * step
        recent = list(self._waiting)[len(self._waiting) - (self._count - begin) :]
        spikes = [spike.moved(begin // step) for spike in self._network.spikes(np.stack(recent))]
        settle_to = self._settled_to
        if last:
            settle_to = begin // step + len(recent) + 1  # beyond every spike
        elif self._count >= self._window:
            settle_to = max(settle_to, self._count // step - self._ahead)
        open_ = self._without_committed(spikes)
        new = [spike for spike in open_ if spike.first < settle_to]
        self._committed += new
        self._settled_to = settle_to
        return Update(
            at_s=self._count / self._network.frames_per_second,
            committed=self._segments(new),
            tentative=self._segments([spike for spike in open_ if spike.first >= settle_to]),
        )

    def _without_committed(self, spikes: Sequence[Spike]) -> list[Spike]:
        """The spikes that are not settled: those after the line, and those close to it which have no partner."""
        earliest = self._settled_to - SEAM
        # Partners are sought from further back, so that of two equal glosses each finds its own.
        partners = [spike for spike in self._committed if spike.last >= earliest - REACH]
        settled = list(partners)
        open_ = []
        for spike in spikes:
            if spike.last < earliest - REACH:
                continue
            same = _nearest(spike, partners)
            if same is not None:
                partners = partners[same + 1 :]
            elif spike.first >= self._settled_to or (
                # Late: the window before had it beyond its line, this one has it before, where nothing else stands.
                spike.last >= earliest and all(p.last < spike.first for p in settled)
            ):
                open_.append(spike)
        return open_

    def _segments(self, spikes: Iterable[Spike]) -> tuple[Segment, ...]:
        duration_s = self._count / self._network.frames_per_second
        return tuple(self._network.segment(spike, duration_s) for spike in spikes)


def _nearest(spike: Spike, partners: Sequence[Spike]) -> int | None:
    """Index of the partner that is the same spike in another window; None where none is."""
    alike = [
        (_gap(partner, spike), abs(partner.first - spike.first), index)
        for index, partner in enumerate(partners)
        if partner.label == spike.label and _gap(partner, spike) <= SEAM
    ]
    return min(alike)[2] if alike else None


def _gap(one: Spike, other: Spike) -> int:
    """Steps from the one to the other; 0 where they overlap."""
    return max(0, other.first - one.last, one.first - other.last)
