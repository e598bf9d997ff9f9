"""What makes the networks fast on a CPU, and what keeps them traceable.

Traceable means: a symbolic time axis, constant H and W, plain convolutions and no memory formats in exported
graphs.
Shapes: B clips or frames, T frames, C channels, H, W.
"""

import warnings

import torch
from torch import Tensor, nn
from torch.jit._trace import TracerWarning, is_tracing
from torch.nn import functional


def is_capturing() -> bool:
    """Whether the network is being traced or exported, so that the time axis must stay symbolic."""
    return is_tracing() or torch.compiler.is_exporting()


def has_no_memory_formats() -> bool:
    """Whether the network is being exported to ONNX or by torch.export, whose graphs know no memory formats."""
    return torch.onnx.is_in_onnx_export() or torch.compiler.is_exporting()


def static_size(x: Tensor, dim: int) -> int:
    """The size of an axis that is constant in every export (channels, height, width), as a Python int."""
    if not is_tracing():
        return x.shape[dim]
    with warnings.catch_warnings():
        # The tracer warns that the size becomes a constant. That is what is wanted: H and W are fixed in an artifact.
        warnings.simplefilter("ignore", TracerWarning)
        return int(x.shape[dim])


def channels_last(x: Tensor) -> Tensor:
    """The same images or videos in the memory format in which convolutions are fastest on a CPU (2x and more here)."""
    if has_no_memory_formats() or x.device.type != "cpu":
        return x
    return x.contiguous(memory_format=torch.channels_last if x.dim() == 4 else torch.channels_last_3d)


def _pointwise(x: Tensor, conv: nn.Conv2d | nn.Conv3d) -> Tensor:
    """A convolution of kernel 1 as a matrix product over channels-last rows."""
    return functional.linear(x.movedim(1, -1), conv.weight.flatten(1), conv.bias).movedim(-1, 1)


def _runs_as_matrix_product(x: Tensor) -> bool:
    """On a CPU, but for ONNX and torch.export, whose graphs keep real convolutions.

    A matrix product is as fast as oneDNN's convolution, has nothing to compile for every new shape of a batch (which
    takes a third of a training step of the student), and avoids the slow kernel that torch takes where it holds a
    convolution of kernel 1 to be small (one thread and fewer than 16 clips, or a single clip). TorchScript has it too,
    so that a trace computes bit by bit what the network computes.
    """
    return x.device.type == "cpu" and not has_no_memory_formats()


class PointwiseConv2d(nn.Conv2d):
    """``nn.Conv2d`` of kernel 1, stride 1, as a matrix product on a CPU."""

    def __init__(self, inputs: int, outputs: int, *, bias: bool) -> None:
        """Initialised as ``nn.Conv2d`` is."""
        super().__init__(inputs, outputs, 1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, outputs, H, W)."""
        return _pointwise(x, self) if _runs_as_matrix_product(x) else super().forward(x)


class PointwiseConv3d(nn.Conv3d):
    """``nn.Conv3d`` of kernel 1, stride 1, without bias, as a matrix product on a CPU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        """Initialised as ``nn.Conv3d`` is."""
        super().__init__(inputs, outputs, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, T, H, W) to (B, outputs, T, H, W)."""
        return _pointwise(x, self) if _runs_as_matrix_product(x) else super().forward(x)


def extend(x: Tensor, multiple: int) -> Tensor:
    """Repeat the last position of (B, C, T, ...) until the time axis is a multiple of ``multiple``.

    Traceable with a symbolic length: the axis is extended by the most that can be needed and then cut.
    """
    length = x.shape[2]
    if not is_capturing() and length % multiple == 0:
        return x
    repeated = x[:, :, -1:].expand(-1, -1, multiple - 1, *([-1] * (x.dim() - 3)))
    return torch.cat([x, repeated], dim=2)[:, :, : (length + multiple - 1) // multiple * multiple]
