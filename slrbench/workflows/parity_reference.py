"""What artifacts are compared with: inputs from the checkpoint's corpus and of noise, and the network's own outputs.

Shapes: B clips, T frames, T' output steps, C classes, H, W. Inputs are raw frames, uint8 ``(B, T, H, W, 3)``. The
network gets them normalised by NumPy; a uint8 artifact will get them as they are, so that the normalisation inside its
graph is compared too.
"""

from collections.abc import Sequence
from itertools import count, islice
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from exporters.input_adapter import EXAMPLE_SHAPE
from exporters.parity import ParityInput
from slrbench.ctc import check_log_probs, output_length
from slrbench.data.batching import normalise
from slrbench.data.corpus import Split, readable_clips
from slrbench.errors import BadInputError, NegativeVerdictError
from slrbench.models.ctc_head import Recogniser
from slrbench.training.card import CheckpointCard

# (B, T): T below, at and above the stride, multiples of it and not, and the export's own shape for comparison.
NOISE_SHAPES = ((1, 1), (2, 2), (1, 3), (3, 5), (2, 7), (4, 9), (1, 50), EXAMPLE_SHAPE)
# B, and the most frames: clips are cut to the shortest of their batch.
CLIP_SHAPES = ((1, 63), (2, 30), (3, 17))


class Reference:
    """The fp32 network on the CPU in evaluation mode, run once on every input for all artifacts."""

    def __init__(
        self, model: Recogniser, card: CheckpointCard, split: Split, *, more_shapes: Sequence[tuple[int, int]] = ()
    ) -> None:
        """Make the inputs and run the network on them; ``more_shapes`` are (B, T) beside the usual ones.

        Raises:
            BadInputError: ``split`` cannot be used, see :func:`parity_inputs`.
            NegativeVerdictError: the network does not give log-probabilities; there is nothing to compare with.
        """
        self.name = f"torch {torch.__version__} eager, fp32, cpu"
        self.inputs = parity_inputs(split, card.frame_size, more_shapes=more_shapes)
        self._outputs = {id(item.video): _infer(model, item.video) for item in self.inputs}
        self._require_log_probs(card)

    def __call__(self, frames: NDArray[Any]) -> NDArray[np.float32]:
        """The network's output for the very array that is the video of one of ``inputs``."""
        return self._outputs[id(frames)]

    def _require_log_probs(self, card: CheckpointCard) -> None:
        outputs = [(self(item.video), item.shape) for item in self.inputs]
        if card.probe is not None:  # what the module gave when it was saved; it may have had no log_softmax
            outputs.append((card.probe.outputs(), (1, card.probe.frames)))
        for log_probs, (batch, frames) in outputs:
            expected = (output_length(frames, card.spec.stride), batch, card.spec.num_classes)
            for check in check_log_probs(log_probs, expected_shape=expected):
                if not check.passed:
                    raise NegativeVerdictError(
                        f"{card.model_id} is not exported: the check {check.name!r} fails ({check.figure})"
                        + (f": {check.hint}" if check.hint else ""),
                        hint="python -m slrbench verify says more",
                    )


def parity_inputs(
    split: Split, frame_size: tuple[int, int], *, seed: int = 0, more_shapes: Sequence[tuple[int, int]] = ()
) -> tuple[ParityInput, ...]:
    """Real clips from the beginning of ``split``, and noise from ``seed``, at ten (B, T) and at the export's own.

    For ``more_shapes``, clips are laid end to end until they are long enough.

    Raises:
        BadInputError: the split has too few clips, or frames of another size than ``frame_size`` (height, width).
    """
    height, width = frame_size
    largest = max(batch for batch, _ in CLIP_SHAPES)
    wanted = sum(batch for batch, _ in CLIP_SHAPES)
    found = [clip.frames for _, clip in islice(readable_clips(split, range(len(split))), wanted)]
    if len(found) < largest:
        raise BadInputError(
            f"the split {split.name!r} has {len(found)} clips, parity needs at least {largest}",
            hint="python -m slrbench data SPEC counts the clips of each split",
        )
    frames = [found[index % len(found)] for index in range(wanted)]
    if any(clip.shape[1:3] != frame_size for clip in frames):
        raise BadInputError(f"clips have frames of {frames[0].shape[1:3]} pixels, the network takes {frame_size}")
    inputs = []
    for batch, most in CLIP_SHAPES:
        clips, frames = frames[:batch], frames[batch:]
        length = min(most, *(len(clip) for clip in clips))
        video = np.stack([clip[:length] for clip in clips])
        inputs.append(ParityInput(name=f"clips {batch}x{length}", video=video, source="clips"))
    for batch, length in more_shapes:
        video = np.stack([_laid_end_to_end(split, first, length) for first in range(batch)])
        inputs.append(ParityInput(name=f"clips end to end {batch}x{length}", video=video, source="clips"))
    generator = np.random.default_rng(seed)
    for batch, length in NOISE_SHAPES:
        video = generator.integers(0, 256, (batch, length, height, width, 3), dtype=np.uint8)
        inputs.append(ParityInput(name=f"noise {batch}x{length}", video=video, source="noise"))
    return tuple(inputs)


def _laid_end_to_end(split: Split, first: int, length: int) -> NDArray[np.uint8]:
    """``length`` frames of the clips from ``first`` on."""
    parts: list[NDArray[np.uint8]] = []
    for _, clip in readable_clips(split, (index % len(split) for index in count(first))):
        parts.append(clip.frames)
        if sum(len(part) for part in parts) >= length:
            break
    return np.concatenate(parts)[:length]


def shapes_of_profile(batch: Sequence[int], frames: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """(B, T) that a narrow profile of (min, opt, max) is judged on; none where it takes every usual case."""
    usual = [*CLIP_SHAPES, *NOISE_SHAPES]
    if all(batch[0] <= b <= batch[-1] for b, _ in usual) and all(frames[0] <= t <= frames[-1] for _, t in usual):
        return ()
    return tuple(dict.fromkeys(zip(batch, frames, strict=True)))


def _infer(model: Recogniser, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
    with torch.inference_mode():
        log_probs: NDArray[np.float32] = model(torch.from_numpy(normalise(frames))).numpy()
    return log_probs
