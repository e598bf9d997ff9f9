"""A network that is ready to recognise: from frames to log-probabilities, spikes and segments.

Shapes: T frames, T' output steps, C classes with the blank at index 0.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from slrbench.ctc import output_length
from slrbench.data.batching import normalise
from slrbench.decoding.decoder import Decoder
from slrbench.errors import BadInputError, RunFailedError
from slrbench.recognise.results import Recognition, Segment
from slrbench.recognise.spikes import Spike, aligned_spikes, spikes_of
from slrbench.recognise.view import View

GREEDY = Decoder()
"""The best class of each step."""


@dataclass(frozen=True, kw_only=True)
class Network:
    """How to run it, and what its outputs mean."""

    infer: Callable[[NDArray[Any]], NDArray[np.float32]]
    """From one clip, float32 ``(1, 3, T, H, W)`` or uint8 ``(1, T, H, W, 3)``, to log-probabilities ``(T', 1, C)``."""
    glosses: tuple[str, ...]
    """Class i + 1 is ``glosses[i]``."""
    view: View
    frames_per_second: float
    stride: int = 4
    """Frames of one output step."""
    input_kind: Literal["float32", "uint8"] = "float32"
    decoder: Decoder = GREEDY

    @property
    def step_s(self) -> float:
        """Seconds of one output step."""
        return self.stride / self.frames_per_second

    def log_probs(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Log-probabilities ``(T', C)`` of frames that went through the view.

        Raises:
            BadInputError: the network has another number of classes than there are glosses.
            RunFailedError: it does not run, or the output has another shape, or NaN in it.
        """
        video = frames[None] if self.input_kind == "uint8" else normalise(frames[None])
        output = self.infer(video)
        hint = "python -m slrbench verify says what is wrong with the file"
        steps, classes = output_length(len(frames), self.stride), len(self.glosses) + 1
        if output.ndim == 3 and output.shape[:2] == (steps, 1) and output.shape[2] != classes:
            raise BadInputError(f"the network has {output.shape[2]} classes, its card {classes}", hint=hint)
        if output.shape != (steps, 1, classes):
            raise RunFailedError(f"the output has shape {output.shape}, expected {(steps, 1, classes)}", hint=hint)
        if np.isnan(output).any():
            raise RunFailedError(f"{int(np.isnan(output).sum())} of {output.size} outputs are NaN", hint=hint)
        return output[:, 0]

    def recognise(self, frames: Iterable[NDArray[np.uint8]]) -> Recognition:
        """Recognise a whole video, uint8 ``(T, H, W, 3)`` of any size, at the network's frame rate.

        Raises:
            BadInputError: there are no frames, or they are of another type.
            RunFailedError: the network does not run on them.
        """
        return self.recognise_seen(self.view.of_all(frames))

    def recognise_seen(self, frames: NDArray[np.uint8]) -> Recognition:
        """As :meth:`recognise`, of frames that went through the view already."""
        return self.recognition(self.spikes(frames), len(frames))

    def spikes(self, frames: NDArray[np.uint8]) -> tuple[Spike, ...]:
        """What the network says in frames that went through the view, by the decoder.

        Raises:
            BadInputError: the network has another number of classes than there are glosses.
            RunFailedError: it does not run, or the output cannot be used.
        """
        log_probs = self.log_probs(frames)
        if self.decoder.beam is None:
            return spikes_of(log_probs)
        (labels,) = self.decoder(log_probs[:, None])
        return aligned_spikes(log_probs, labels)

    def recognition(self, spikes: Iterable[Spike], frames: int) -> Recognition:
        """The spikes of a video of so many frames, in seconds."""
        duration_s = frames / self.frames_per_second
        return Recognition(
            segments=tuple(self.segment(spike, duration_s) for spike in spikes), frames=frames, duration_s=duration_s
        )

    def segment(self, spike: Spike, duration_s: float) -> Segment:
        """One spike in seconds; the last step may reach beyond the end of the video, the segment does not."""
        return Segment(
            gloss=self.glosses[spike.label - 1],
            start_s=round(min(spike.first * self.step_s, duration_s), 6),
            end_s=round(min((spike.last + 1) * self.step_s, duration_s), 6),
            confidence=spike.confidence,
        )
