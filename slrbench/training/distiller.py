"""The teacher's part of a training step: what it says of a batch, and what the student pays for differing.

Shapes: B clips, T frames, T' output steps, C classes with blank 0, F features.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from slrbench.data.batching import Batch
from slrbench.errors import BadInputError
from slrbench.models.ctc_head import CtcOutput, Recogniser
from slrbench.models.spec import BLANK
from slrbench.training.config import DistillationConfig
from slrbench.training.distillation import (
    distillation_loss,
    guide_loss,
    hint_loss,
    masked_mean,
    sequence_loss,
    valid_steps,
)
from slrbench.training.teacher_cache import TeacherCache
from slrbench.training.teacher_outputs import TeacherOutputs, clip_outputs, joined, nbest_of


class Distiller:
    """Joins a frozen teacher, the adapter of the hints, and the terms of ``DistillationConfig``.

    The adapter is trained with the student, belongs to the resumable state, and is thrown away with this object.
    """

    def __init__(
        self,
        teacher: Recogniser,
        student: Recogniser,
        config: DistillationConfig,
        *,
        device: torch.device,
        seed: int,
        cache: TeacherCache | None = None,
    ) -> None:
        """Freeze the teacher and move it to ``device``; draw the adapter from ``seed``, moving no other random number.

        Raises:
            BadInputError: teacher and student have different output strides or classes.
        """
        if (teacher.stride, teacher.spec.num_classes) != (student.stride, student.spec.num_classes):
            raise BadInputError(
                f"teacher (stride {teacher.stride}, {teacher.spec.num_classes} classes) and student "
                f"(stride {student.stride}, {student.spec.num_classes} classes) do not give the same output",
                hint="train the teacher with temporal_stride=4 on the same corpus",
            )
        self.config = config
        self.cache = cache
        self.teacher = teacher.eval().requires_grad_(False).to(device)
        self.adapter: nn.Linear | None = None
        if config.hint_weight > 0:
            self.adapter = nn.utils.skip_init(nn.Linear, _features(student), _features(teacher))
            nn.init.xavier_uniform_(self.adapter.weight, generator=torch.Generator().manual_seed(seed))
            nn.init.zeros_(self.adapter.bias)
            self.adapter.to(device)

    @property
    def beside(self) -> list[nn.Module]:
        """What is trained beside the student: the adapter, where there is one."""
        return [self.adapter] if self.adapter is not None else []

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs; empty without hints."""
        return self.adapter.state_dict() if self.adapter is not None else {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue with the adapter of ``state_dict``."""
        if self.adapter is not None:
            self.adapter.load_state_dict(state)

    @property
    def ctc_weight(self) -> float:
        """Weight of CTC on the glosses: 1 - alpha."""
        return 1 - self.config.alpha

    @torch.no_grad()
    def teach(self, batch: Batch, video: Tensor, lengths: Tensor) -> TeacherOutputs:
        """The teacher's outputs for a batch, from the cache where there is one.

        Args:
            batch: the clips, as they were collated.
            video: the same, normalised, (B, 3, T, H, W), on the device.
            lengths: valid frames of each clip (B,).

        Raises:
            BadInputError: a cached clip shows other frames now.
            OSError: the cache cannot be written.
        """
        if self.cache is None or not batch.clip_ids:
            output = self.teacher.forward_training(video, lengths)
            hypotheses = None
            if self.config.sequence_weight > 0:
                hypotheses = nbest_of(output.log_probs, output.lengths, self.config)
            return TeacherOutputs(log_probs=output.log_probs, features=output.features, hypotheses=hypotheses)
        clips = []
        for row, (clip_id, frames) in enumerate(zip(batch.clip_ids, lengths.tolist(), strict=True)):
            alone = video[row : row + 1, :, :frames]
            clips.append(
                self.cache.get(
                    clip_id,
                    batch.video[row, :frames],
                    lambda alone=alone: clip_outputs(self.teacher, alone, self.config),  # type: ignore[misc]
                )
            )
        return joined(clips, video.device)

    def terms(self, output: CtcOutput, taught: TeacherOutputs) -> dict[str, Tensor]:
        """Every term with a weight above 0, without its weight."""
        config, lengths = self.config, output.lengths
        found = {}
        if config.alpha > 0:
            found["frames"] = distillation_loss(output.log_probs, taught.log_probs, lengths, config)
        if config.sequence_weight > 0:
            assert taught.hypotheses is not None
            found["sequence"] = sequence_loss(output.log_probs, lengths, taught.hypotheses)
        if self.adapter is not None:
            assert taught.features is not None
            adapted = self.adapter(output.features.float())
            found["hint"] = hint_loss(adapted, taught.features, lengths, config.hint)
        if config.guide_weight > 0:
            found["guide"] = guide_loss(output.log_probs, taught.log_probs, lengths)
        return found

    def loss(self, terms: Mapping[str, Tensor]) -> Tensor | float:
        """The weighted sum of ``terms``, to be added to the CTC losses."""
        config = self.config
        weights = {
            "frames": config.alpha,
            "sequence": config.sequence_weight,
            "hint": config.hint_weight,
            "guide": config.guide_weight,
        }
        return sum(weights[name] * term for name, term in terms.items())

    def average_gradients(self) -> None:
        """Average the adapter's gradients over the processes of a distributed run, before an optimiser step."""
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            for parameter in [p for module in self.beside for p in module.parameters()]:
                if parameter.grad is not None:
                    torch.distributed.all_reduce(parameter.grad)
                    parameter.grad /= torch.distributed.get_world_size()


def blank_share(log_probs: Tensor, lengths: Tensor) -> Tensor:
    """Share of valid steps whose best class is the blank."""
    blanks = (log_probs.argmax(dim=-1) == BLANK).float()
    return masked_mean(blanks, valid_steps(lengths, len(log_probs), log_probs.device))


def _features(model: Recogniser) -> int:
    """F of the features that the heads of a network look at."""
    return model.head.auxiliary.in_features
