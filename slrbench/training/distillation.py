"""What a student may learn from a teacher with the same output steps: frames, sequences, features, spikes.

Pure functions, each averaged over what counts (valid steps, spikes, clips), so that padding and the size of a batch
change nothing. ``slrbench.training.distiller`` adds them up.

Shapes: B clips, T' output steps, C classes with blank 0, F features. Log-probabilities are (T', B, C).
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from slrbench.decoding import Hypothesis
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


def sequence_loss(student: Tensor, lengths: Tensor, hypotheses: Sequence[Sequence[Hypothesis]]) -> Tensor:
    """CTC on the teacher's n best sequences: sum over them of q(y) * (-log p_student(y)) / |y|, averaged over clips.

    q are the teacher's probabilities of the sequences, normalised over the n of a clip (sequence-level distillation:
    Kim and Rush, arXiv 1606.07947; with n best and CTC: Takashima et al., ICASSP 2018). It knows nothing of when the
    teacher's spikes come. An empty sequence is left out: a clip in which the teacher reads nothing teaches nothing, and
    neither does one without a valid step.

    Args:
        student: log-probabilities (T', B, C), with gradient.
        lengths: valid output steps of each clip (B,).
        hypotheses: of each clip.

    Raises:
        ValueError: there are not B lists of hypotheses.
    """
    if len(hypotheses) != student.shape[1]:
        raise ValueError(f"hypotheses of {len(hypotheses)} clips do not go with {student.shape[1]} clips")
    device = student.device
    rows = [
        (clip, found)
        for clip, (several, steps) in enumerate(zip(hypotheses, lengths.tolist(), strict=True))
        for found in several
        if found.labels and steps > 0
    ]
    taught = torch.zeros(len(hypotheses), dtype=torch.bool)
    per_clip = student.new_zeros(len(hypotheses), dtype=torch.float32)
    if rows:
        clips = torch.tensor([clip for clip, _ in rows])
        taught[clips] = True
        scores = torch.full((len(hypotheses), len(rows)), -torch.inf)
        scores[clips, torch.arange(len(rows))] = torch.tensor([found.log_prob for _, found in rows])
        shares = torch.softmax(scores[taught], dim=-1).sum(dim=0)  # each column belongs to one clip
        counts = torch.tensor([len(found.labels) for _, found in rows])
        labels = torch.tensor([label for _, found in rows for label in found.labels])
        with torch.backends.cudnn.flags(enabled=False):  # for the reasons in ``ctc_loss``
            losses = functional.ctc_loss(
                student.float()[:, clips.to(device)], labels, lengths.cpu()[clips], counts, blank=BLANK,
                reduction="none", zero_infinity=True,
            )  # fmt: skip
        weighted = losses * (shares / counts).to(losses)
        per_clip = per_clip.index_add(0, clips.to(device), weighted)
    return masked_mean(per_clip, taught.to(device))


def hint_loss(adapted: Tensor, teacher: Tensor, lengths: Tensor, kind: str) -> Tensor:
    """Distance of the student's features, through an adapter, to the teacher's, averaged over valid steps.

    ``"cosine"``: 1 - cos(A s, t); ``"mse"``: |A s - t|^2 / F. Hints with an adapter that is thrown away after training:
    FitNets (Romero et al., arXiv 1412.6550).

    Args:
        adapted: the student's features after the adapter (T', B, F), with gradient.
        teacher: (T', B, F).
        lengths: valid output steps of each clip (B,).
        kind: ``cosine`` or ``mse``.

    Raises:
        ValueError: the shapes differ, or an unknown kind.
    """
    if adapted.shape != teacher.shape:
        raise ValueError(f"adapted {tuple(adapted.shape)} and teacher {tuple(teacher.shape)} differ in shape")
    if kind == "cosine":
        distance = 1 - functional.cosine_similarity(adapted.float(), teacher.float(), dim=-1)
    elif kind == "mse":
        distance = (adapted.float() - teacher.float()).square().mean(dim=-1)
    else:
        raise ValueError(f"unknown distance {kind!r}: cosine or mse")
    return masked_mean(distance, valid_steps(lengths, len(adapted), adapted.device))


def guide_loss(student: Tensor, teacher: Tensor, lengths: Tensor) -> Tensor:
    """1 - p_student(k_t), averaged over the teacher's spikes: steps t whose best class k_t is not the blank.

    Guided CTC (Kurata and Audhkhasi, arXiv 1904.08311): the student's posterior is raised where the teacher spikes and
    nowhere lowered, so that CTC decides the rest. There it is a sum of posteriors to be maximised; the gradient differs
    by the number of spikes. 0 only where the student is certain at every spike.

    Args:
        student: log-probabilities (T', B, C), with gradient.
        teacher: log-probabilities (T', B, C).
        lengths: valid output steps of each clip (B,).

    Raises:
        ValueError: the shapes differ.
    """
    if student.shape != teacher.shape:
        raise ValueError(f"student {tuple(student.shape)} and teacher {tuple(teacher.shape)} differ in shape")
    best = teacher.argmax(dim=-1)
    spikes = (best != BLANK) & valid_steps(lengths, len(student), student.device)
    certainty = student.float().gather(-1, best[..., None]).squeeze(-1).exp()
    return masked_mean(1 - certainty, spikes)
