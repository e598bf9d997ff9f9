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
    with torch.backends.cudnn.flags(enabled=False):
        return functional.ctc_loss(
            log_probs.float(), labels, lengths, label_lengths, blank=BLANK, reduction="mean", zero_infinity=True
        )


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


@torch.no_grad()
def refresh_batch_norm(model: Recogniser, batches: Iterator[Batch], device: torch.device) -> None:
    """Take the running statistics anew, as plain averages over ``batches``, with the weights as they are.

    Moving averages lag behind weights that still change: evaluation then runs another network than training did.
    """
    norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    was_training = model.training
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # cumulative average
    model.train()
    for module in model.modules():
        if isinstance(module, nn.Dropout | nn.LSTM):
            module.eval()
    for count, batch in enumerate(batches):
        for norm in norms:
            norm.momentum = 1.0 / (count + 1)
        video, lengths, _, _ = to_device(batch, device)
        model(video, lengths)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    model.train(was_training)
