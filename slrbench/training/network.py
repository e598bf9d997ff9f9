"""What training, checks and scoring all do with a network: feed it, take its CTC loss, evaluate it, refresh it.

Shapes: B clips, T frames, T' output steps, C classes with blank 0.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from slrbench.data.batching import Batch
from slrbench.models.ctc_head import Recogniser
from slrbench.models.normalisation import FrozenBatchNorm, SynchronisedBatchNorm
from slrbench.models.spec import BLANK


def to_device(batch: Batch, device: torch.device) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Normalised video (B, 3, T, H, W), lengths, labels and label lengths; only the video leaves the CPU."""
    frames = torch.from_numpy(batch.video).to(device)
    video = frames.permute(0, 4, 1, 2, 3).float().div_(127.5).sub_(1.0)
    return video, torch.from_numpy(batch.lengths), torch.from_numpy(batch.labels), torch.from_numpy(batch.label_lengths)


def ctc_loss(log_probs: Tensor, lengths: Tensor, labels: Tensor, label_lengths: Tensor) -> Tensor:
    """CTC loss in fp32: of each clip per gloss, averaged over clips (the 'mean' of ``torch.nn.CTCLoss``).

    cuDNN's kernel is kept out: it took logits for log-probabilities and ignored ``zero_infinity``
    (pytorch/pytorch#176910). Clips that cannot be aligned were dropped before.
    """
    return clip_losses(log_probs, lengths, labels, label_lengths).mean()


def clip_losses(log_probs: Tensor, lengths: Tensor, labels: Tensor, label_lengths: Tensor) -> Tensor:
    """The CTC loss of each clip per gloss (B,), in fp32, as in ``ctc_loss``."""
    with torch.backends.cudnn.flags(enabled=False):
        losses = functional.ctc_loss(
            log_probs.float(), labels, lengths, label_lengths, blank=BLANK, reduction="none", zero_infinity=True
        )
    return losses / label_lengths.to(losses.device).clamp_min(1)


def infer_with(model: Recogniser, device: torch.device) -> Callable[[NDArray[Any]], NDArray[np.float32]]:
    """The network as a function of NumPy arrays, in evaluation mode without gradients."""

    def infer(video: NDArray[Any]) -> NDArray[np.float32]:
        with torch.inference_mode():
            result: NDArray[np.float32] = model(torch.from_numpy(video).to(device)).float().cpu().numpy()
            return result

    return infer


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Evaluation mode inside, the mode before afterwards."""
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)


@contextmanager
def taking_part(model: Recogniser, *, without_clips: bool) -> Iterator[None]:
    """Inside, what the network is fed does not count where a process has no clips and goes along for the others."""
    norms = [module for module in model.modules() if isinstance(module, SynchronisedBatchNorm)]
    for norm in norms:
        norm.present = not without_clips
    try:
        yield
    finally:
        for norm in norms:
            norm.present = True


def stand_in(model: Recogniser, frame_size: tuple[int, int]) -> Batch:
    """A grey clip for a process that has none, while the others need it in their sums."""
    return Batch(
        video=np.full((1, 4 * model.stride, *frame_size, 3), 128, dtype=np.uint8),
        lengths=np.array([4 * model.stride]),
        labels=np.array([BLANK + 1]),
        label_lengths=np.array([1]),
    )


@torch.no_grad()
def refresh_batch_norm(
    model: Recogniser,
    batches: Iterator[Batch | None],
    device: torch.device,
    *,
    frame_size: tuple[int, int] = (32, 32),
) -> None:
    """Take the running statistics anew, as plain averages over ``batches``, with the weights as they are.

    Moving averages lag behind weights that still change: evaluation then runs another network than training did.
    Frozen layers keep theirs. With several processes, each gives its share of a batch, None where it has no clips of
    it; statistics are always those of all.
    """
    norms = [
        m
        for m in model.modules()
        if isinstance(m, nn.modules.batchnorm._BatchNorm) and not isinstance(m, FrozenBatchNorm)
    ]
    momenta = [norm.momentum for norm in norms]
    shared = [norm.shared if isinstance(norm, SynchronisedBatchNorm) else True for norm in norms]
    was_training = model.training
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # cumulative average
        if isinstance(norm, SynchronisedBatchNorm):
            norm.shared = True
    model.train()
    for module in model.modules():
        if isinstance(module, nn.Dropout | nn.LSTM):
            module.eval()
    for count, batch in enumerate(batches):
        for norm in norms:
            norm.momentum = 1.0 / (count + 1)
        video, lengths, _, _ = to_device(batch or stand_in(model, frame_size), device)
        with taking_part(model, without_clips=batch is None):
            model(video, lengths)
    for norm, momentum, is_shared in zip(norms, momenta, shared, strict=True):
        norm.momentum = momentum
        if isinstance(norm, SynchronisedBatchNorm):
            norm.shared = is_shared
    model.train(was_training)
