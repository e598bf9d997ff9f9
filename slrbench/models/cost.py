"""What a network costs: parameters, and multiply-accumulates of one forward pass, the LSTM's among them.

Shapes: B clips, T frames, T' output steps, H, W.

Counted are convolutions, linear layers and LSTMs, one multiply-accumulate (MAC) for each product that is summed.
Normalisation, activations and pooling are left out, as is usual; they are under 1 % of these networks.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn

from slrbench.models.registry import build_model
from slrbench.models.spec import ModelSpec


def count_parameters(model: nn.Module) -> int:
    """Trainable values."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def count_macs(spec: ModelSpec, *, batch: int, frames: int, height: int, width: int) -> int:
    """Multiply-accumulates of one call on ``(batch, 3, frames, height, width)``, from shapes alone (no weights)."""
    return count_cost(spec, batch=batch, frames=frames, height=height, width=width)[0]


def count_traffic(spec: ModelSpec, *, batch: int, frames: int, height: int, width: int) -> int:
    """Bytes that one call in fp32 moves at least: every weight once, and each layer's input and output.

    A layer is a module without modules in it. Activations and normalisation are left out, since every runtime but eager
    torch computes them with the layer before. What stays in a cache is counted all the same, so this is what the call
    would move on a machine without one.
    """
    return count_cost(spec, batch=batch, frames=frames, height=height, width=width)[1]


def count_cost(spec: ModelSpec, *, batch: int, frames: int, height: int, width: int) -> tuple[int, int]:
    """:func:`count_macs` and :func:`count_traffic` of one call, in one pass over meta tensors."""
    with torch.device("meta"):
        model = build_model(spec).eval()
        video = torch.empty(batch, 3, frames, height, width)
    moved = 4 * count_parameters(model)

    def hook(layer: nn.Module, arguments: tuple[Any, ...], output: Any) -> None:
        nonlocal moved
        result = output[0] if isinstance(output, tuple) else output
        moved += 4 * (arguments[0].numel() + result.numel())

    handles = [m.register_forward_hook(hook) for m in model.modules() if isinstance(m, _MOVING)]
    try:
        macs = count_module_macs(model, video)
    finally:
        for handle in handles:
            handle.remove()
    return macs, moved


def count_module_macs(module: nn.Module, *inputs: Tensor) -> int:
    """Multiply-accumulates of ``module(*inputs)``, counted by hooks while it runs; meta tensors do."""
    total = 0

    def hook(layer: nn.Module, arguments: tuple[Any, ...], output: Any) -> None:
        nonlocal total
        total += _layer_macs(layer, arguments[0], output)

    handles = [m.register_forward_hook(hook) for m in module.modules() if isinstance(m, _COUNTED)]
    try:
        with torch.no_grad():
            module(*inputs)
    finally:
        for handle in handles:
            handle.remove()
    return total


_COUNTED = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear, nn.LSTM)
_MOVING = (
    *_COUNTED,
    nn.MaxPool1d,
    nn.MaxPool2d,
    nn.MaxPool3d,
    nn.AvgPool3d,
    nn.AdaptiveAvgPool2d,
    nn.AdaptiveAvgPool3d,
)


def _layer_macs(layer: nn.Module, value: Tensor, output: Any) -> int:
    if isinstance(layer, nn.LSTM):
        steps = math.prod(value.shape[:-1])
        directions = 2 if layer.bidirectional else 1
        # Four gates, each of the input and of the previous hidden state.
        per_layer = [
            4
            * layer.hidden_size
            * ((layer.input_size if i == 0 else directions * layer.hidden_size) + layer.hidden_size)
            for i in range(layer.num_layers)
        ]
        return steps * directions * sum(per_layer)
    assert isinstance(output, Tensor)
    if isinstance(layer, nn.Linear):
        return output.numel() * layer.in_features
    assert isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Conv3d)
    return output.numel() * layer.in_channels // layer.groups * math.prod(layer.kernel_size)
