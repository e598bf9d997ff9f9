"""What is trained how fast: the learning rate of a step, weight decay, a backbone that learns slower or not at all."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from slrbench.models.ctc_head import Recogniser
from slrbench.models.normalisation import FrozenBatchNorm, SynchronisedBatchNorm, replace_batch_norm
from slrbench.training.config import OptimisationConfig


def learning_rate_at(step: int, config: OptimisationConfig) -> float:
    """Linear warm-up, then cosine to zero at the last step."""
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    share = (step - config.warmup_steps) / max(1, config.steps - config.warmup_steps)
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * share))


def prepare_network(model: Recogniser, config: OptimisationConfig, *, processes: int) -> None:
    """Freeze what stays as it is, and let batch normalisation see the clips of all processes.

    Changes the network before anything holds its parameters; names and values stay.
    """
    backbone = model.backbone_module
    if config.backbone_learning_rate == 0:
        backbone.requires_grad_(False)
    if config.backbone_learning_rate == 0 or config.backbone_batch_norm == "frozen":
        replace_batch_norm(backbone, FrozenBatchNorm)
    if processes > 1:
        replace_batch_norm(model, SynchronisedBatchNorm)
        for norm in synchronised(model):
            norm.shared = config.synchronise_batch_norm
    model.recompute = config.gradient_checkpointing


def synchronised(model: nn.Module) -> list[SynchronisedBatchNorm]:
    """The layers of a network that look at the clips of all processes."""
    return [module for module in model.modules() if isinstance(module, SynchronisedBatchNorm)]


def release(model: nn.Module) -> None:
    """Undo what training did to the network: every parameter is trainable, and nothing waits for other processes.

    What follows is done by one process alone, and the checks of a checkpoint train a step of the whole network.
    """
    model.requires_grad_(True)
    for norm in synchronised(model):
        norm.shared = False


def optimiser_of(model: Recogniser, config: OptimisationConfig, beside: Sequence[nn.Module] = ()) -> torch.optim.AdamW:
    """AdamW over the network, and over modules ``beside`` it that are trained with it and thrown away."""
    backbone = {id(p) for p in model.backbone_module.parameters()}
    trained = [p for module in (model, *beside) for p in module.parameters() if p.requires_grad]
    parts = (
        ([p for p in trained if id(p) not in backbone], 1.0),
        ([p for p in trained if id(p) in backbone], config.backbone_learning_rate),
    )
    groups = [
        group
        for parameters, factor in parts
        for group in _groups(parameters, config.weight_decay, factor)
        if parameters
    ]
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=(0.9, 0.98))


def set_learning_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Give every group the rate of this step, times its own factor."""
    for group in optimiser.param_groups:
        group["lr"] = rate * group["factor"]


def _groups(parameters: Sequence[nn.Parameter], weight_decay: float, factor: float) -> list[dict[str, Any]]:
    """Weight decay on matrices and kernels only: shrinking biases and normalisation gains helps nothing."""
    decayed = [p for p in parameters if p.ndim > 1]
    plain = [p for p in parameters if p.ndim <= 1]
    return [
        {"params": decayed, "weight_decay": weight_decay, "factor": factor},
        {"params": plain, "weight_decay": 0.0, "factor": factor},
    ]
