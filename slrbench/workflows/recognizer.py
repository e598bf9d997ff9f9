"""A checkpoint or an artifact, opened to recognise videos. Loads no torch for artifacts that need none.

Shapes: T frames, H height, W width, T' output steps, C classes.
"""

import math
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from slrbench.decoding.decoder import Decoder, parse_decoder
from slrbench.errors import BadInputError
from slrbench.recognise.network import Network
from slrbench.recognise.online import STRIDE, WINDOW, OnlineRecogniser
from slrbench.recognise.results import Recognition
from slrbench.recognise.view import Fit, view_of
from slrbench.runners.protocol import Runner
from slrbench.workflows.archive import folder_of_pack, is_archive
from slrbench.workflows.targets import Target, find_target, infer_through, open_target

WHOLE_BYTES = 1 << 30
"""A video is recognised whole while it takes no more than this as the network's float32 input."""

LONG_WINDOW = 512
"""Frames at a time of a video that is longer; each is seen with at least a quarter of that on both sides."""


class Recognizer:
    """Glosses of videos.

    As ``Recognizer.load("trained_models/student-full/model.onnx")(frames).glosses``, with frames uint8
    ``(T, H, W, 3)`` of any size.
    """

    def __init__(self, network: Network, runner: Runner, target: Target) -> None:
        """Take over an opened runner; :meth:`load` is the way in."""
        self._network = network
        self._runner = runner
        self.target = target
        self.longest = max(LONG_WINDOW, WHOLE_BYTES // (12 * network.view.size[0] * network.view.size[1]))
        """Most frames that are run at once."""

    @classmethod
    def load(
        cls,
        path: str | Path,
        *,
        backend: str | None = None,
        device: str | None = None,
        threads: int | None = None,
        fit: Fit = "squash",
        decoder: str = "greedy",
    ) -> "Recognizer":
        """Open a model.

        Args:
            path: a checkpoint's folder or file, an artifact with its card beside it, or an archive that pack wrote.
            backend: which file of a folder is meant, ``torch`` (the checkpoint) where it is not given.
            device: ``cpu``, ``cuda`` or ``cuda:N``; the GPU for engines and the CPU for all else where it is not given.
            threads: threads of the runtime; one per physical core where it is not given.
            fit: what to do with frames of another aspect ratio than the network's: ``squash`` them as a whole, as
                evaluation does, or ``crop`` them around their centre.
            decoder: ``greedy``, or ``beam:N`` for prefix beam search.

        Raises:
            BadInputError: the file is missing, damaged or altered, or has no card that names its glosses; or the
                decoder is not known.
            UnavailableError: the runtime or the device is not available here.
        """
        beam = parse_decoder(decoder)
        given = Path(path)
        if is_archive(given):
            given = folder_of_pack(given)[0]
        target = find_target(given, backend)
        card = target.card
        if card is None:
            raise BadInputError(
                f"{given} has no card beside it, so what its classes mean is not known",
                hint="copy checkpoint.json from the model's folder to where the file is",
            )
        runner = open_target(target, device=device, threads=threads)
        network = Network(
            infer=infer_through(runner),
            glosses=card.glosses,
            view=view_of(card.data, card.frame_size, fit=fit),
            frames_per_second=card.frames_per_second,
            stride=card.spec.stride,
            input_kind=target.input_kind,
            decoder=Decoder(beam=beam),
        )
        return cls(network, runner, target)

    def __enter__(self) -> Self:
        """The recogniser itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Release the runtime."""
        self.close()

    def close(self) -> None:
        """Release the runtime; a second call does nothing."""
        self._runner.close()

    @property
    def network(self) -> Network:
        """Glosses, frame rate, frame size, and log-probabilities."""
        return self._network

    @property
    def frames_per_second(self) -> float:
        """The rate at which the network wants its frames, Hz."""
        return self._network.frames_per_second

    def __call__(self, frames: Iterable[NDArray[np.uint8]], *, frames_per_second: float | None = None) -> Recognition:
        """Recognise one video.

        A video of more than :attr:`longest` frames is recognised in windows of ``LONG_WINDOW``; the result says so.

        Args:
            frames: RGB, uint8, ``(T, H, W, 3)`` or one ``(H, W, 3)`` after another, of any size.
            frames_per_second: of these frames, Hz, where it is another than the network's.

        Raises:
            BadInputError: there are no frames, they are no such frames, or the rate is not above 0.
            RunFailedError: the network does not run on them.
        """
        if frames_per_second is not None and frames_per_second != self.frames_per_second:
            frames = _at_rate(frames, frames_per_second, self.frames_per_second)
        view = self._network.view
        coming = iter(frames)
        start = [view.of(frame) for frame in islice(coming, self.longest)]
        beyond = next(coming, None)
        if beyond is None:
            if not start:
                raise BadInputError("there are no frames to recognise", hint="give a video of at least one frame")
            return self._network.recognise_seen(np.stack(start))
        windows = self.online(window=LONG_WINDOW, stride=LONG_WINDOW // 2)
        windows.push_seen(start)
        del start
        windows.push([beyond])
        windows.push(coming)
        windows.finish()
        return windows.recognition()

    def online(self, *, window: int = WINDOW, stride: int = STRIDE, lookahead: int | None = None) -> OnlineRecogniser:
        """Recognise one video while its frames arrive; see :class:`slrbench.recognise.online.OnlineRecogniser`.

        Raises:
            BadInputError: a length does not fit the others.
        """
        return OnlineRecogniser(self._network, window=window, stride=stride, lookahead=lookahead)


def _at_rate(frames: Iterable[NDArray[np.uint8]], given: float, wanted: float) -> Iterable[NDArray[np.uint8]]:
    """The frames at times k / wanted, each the nearest of those at k / given."""
    if not given > 0:
        raise BadInputError(f"frames_per_second is {given}, expected more than 0", hint="frames_per_second=25")
    return _resampled(frames, given, wanted)


def _resampled(frames: Iterable[NDArray[np.uint8]], given: float, wanted: float) -> Iterable[NDArray[np.uint8]]:
    sent = 0
    for index, frame in enumerate(frames):
        while math.ceil(sent * given / wanted - 0.5) <= index:  # of two that are equally near, the earlier
            yield frame
            sent += 1
