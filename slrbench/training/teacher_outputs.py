"""What a teacher says of clips: log-probabilities, features, and its n best sequences.

Shapes: B clips, T frames, T' output steps, C classes with blank 0, F features.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from slrbench.decoding import Hypothesis, beam_search
from slrbench.models.ctc_head import Recogniser
from slrbench.training.config import DistillationConfig


@dataclass(frozen=True, kw_only=True)
class TeacherOutputs:
    """Of the clips of a batch."""

    log_probs: Tensor  # (T', B, C)
    features: Tensor | None  # (T', B, F), where hints are asked for
    hypotheses: tuple[tuple[Hypothesis, ...], ...] | None  # of each clip, where they are asked for


@dataclass(frozen=True, kw_only=True)
class ClipOutputs:
    """Of one clip alone, on the CPU."""

    log_probs: NDArray[np.float32]  # (T', C)
    features: NDArray[np.float32] | None  # (T', F)
    hypotheses: tuple[Hypothesis, ...] | None


def nbest_of(log_probs: Tensor, lengths: Tensor, config: DistillationConfig) -> tuple[tuple[Hypothesis, ...], ...]:
    """The n best sequences of each clip by prefix beam search, at most ``config.sequence_nbest``, best first.

    Args:
        log_probs: the teacher's (T', B, C).
        lengths: valid output steps of each clip (B,).
        config: n and the width of the beam.
    """
    values = log_probs.float().cpu().numpy()
    return tuple(
        beam_search(values[:steps, clip], beam=config.sequence_beam, nbest=config.sequence_nbest)
        for clip, steps in enumerate(lengths.tolist())
    )


def clip_outputs(teacher: Recogniser, video: Tensor, config: DistillationConfig) -> ClipOutputs:
    """What the teacher says of one clip, a video (1, 3, T, H, W); nothing that ``config`` does not need."""
    output = teacher.forward_training(video)
    hypotheses = nbest_of(output.log_probs, output.lengths, config)[0] if config.sequence_weight > 0 else None
    return ClipOutputs(
        log_probs=output.log_probs[:, 0].float().cpu().numpy(),
        features=output.features[:, 0].float().cpu().numpy() if config.hint_weight > 0 else None,
        hypotheses=hypotheses,
    )


def joined(clips: Sequence[ClipOutputs], device: torch.device) -> TeacherOutputs:
    """Clips side by side, zero after each one's own steps."""

    def padded(arrays: Sequence[NDArray[np.float32]]) -> Tensor:
        return torch.nn.utils.rnn.pad_sequence([torch.from_numpy(array) for array in arrays]).to(device)

    features = [clip.features for clip in clips if clip.features is not None]
    hypotheses = [clip.hypotheses for clip in clips if clip.hypotheses is not None]
    return TeacherOutputs(
        log_probs=padded([clip.log_probs for clip in clips]),
        features=padded(features) if features else None,
        hypotheses=tuple(hypotheses) if hypotheses else None,
    )
