"""Frame-wise distillation between two CTC networks with the same output steps.

Shapes: B clips, T' output steps, C classes with blank 0. Log-probabilities are (T', B, C).
"""

import torch
from torch import Tensor
from torch.nn import functional

from slrbench.models.spec import BLANK
from slrbench.training.config import DistillationConfig


def valid_steps(lengths: Tensor, steps: int, device: torch.device) -> Tensor:
    """Boolean mask ``(T', B)``: step t of clip b lies within the clip."""
    return torch.arange(steps, device=device)[:, None] < lengths.to(device)[None, :]


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of ``values`` where ``mask`` holds; 0 where it holds nowhere.

    In a distributed run the mean is over what counts in all processes, scaled so that the average of the processes'
    gradients is the gradient of that mean: every process must call it, as often and in the same order.
    """
    count = mask.sum().to(values.dtype)
    share = 1
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.all_reduce(count)
        share = torch.distributed.get_world_size()
    return torch.where(mask, values, values.new_zeros(())).sum() / count.clamp(min=1) * share


def distillation_loss(student: Tensor, teacher: Tensor, lengths: Tensor, config: DistillationConfig) -> Tensor:
    """tau^2 KL(teacher || student) at temperature tau, summed over classes, averaged over the chosen valid steps.

    Softening log-probabilities equals softening logits: softmax(log p / tau) = softmax(z / tau). The factor tau^2 keeps
    the gradient's size (Hinton et al., arXiv 1503.02531). ``frames="symmetric"`` takes the teacher's non-blank steps
    and their neighbours (Hilmes et al., arXiv 2506.01503); ``"no-blank"`` drops the blank column and renormalises.

    Args:
        student: log-probabilities (T', B, C), with gradient.
        teacher: log-probabilities (T', B, C).
        lengths: valid output steps of each clip (B,).
        config: temperature and choice of steps.

    Raises:
        ValueError: the shapes differ.
    """
    if student.shape != teacher.shape:
        raise ValueError(f"student {tuple(student.shape)} and teacher {tuple(teacher.shape)} differ in shape")
    mask = valid_steps(lengths, student.shape[0], student.device)
    if config.frames == "symmetric":
        spikes = (teacher.argmax(dim=-1) != BLANK) & mask
        near = spikes.clone()
        near[1:] |= spikes[:-1]
        near[:-1] |= spikes[1:]
        mask = mask & near
    if config.frames == "no-blank":
        student, teacher = student[..., BLANK + 1 :], teacher[..., BLANK + 1 :]
    tau = config.temperature
    student_soft = functional.log_softmax(student.float() / tau, dim=-1)
    teacher_soft = functional.log_softmax(teacher.float() / tau, dim=-1)
    divergence = functional.kl_div(student_soft, teacher_soft, reduction="none", log_target=True).sum(dim=-1)
    return tau**2 * masked_mean(divergence, mask)
