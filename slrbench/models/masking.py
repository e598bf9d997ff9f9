"""Clips of different length in one batch: extending, masking, and batch normalisation that sees valid frames only.

Shapes: B clips, T frames, C channels, H, W. A clip that is extended by its last frame to a multiple of the temporal
stride has ``steps`` valid positions at each level; everything after them is zero, which is exactly the zero padding
that the clip would see alone.
"""

import warnings
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence


def is_capturing() -> bool:
    """Whether the network is being traced, scripted or exported, so that the time axis must stay symbolic."""
    return torch.jit.is_tracing() or torch.compiler.is_exporting()


def channels_last(x: Tensor) -> Tensor:
    """The same images or videos in the memory format in which convolutions are fastest on a CPU (2x and more here)."""
    if torch.onnx.is_in_onnx_export() or torch.compiler.is_exporting():
        return x  # the exported formats have no memory formats
    return x.contiguous(memory_format=torch.channels_last if x.dim() == 4 else torch.channels_last_3d)


def static_size(x: Tensor, dim: int) -> int:
    """The size of an axis that is constant in every export (channels, height, width), as a Python int."""
    if not torch.jit.is_tracing():
        return x.shape[dim]
    with warnings.catch_warnings():
        # The tracer warns that the size becomes a constant. That is what is wanted: H and W are fixed in an artifact.
        warnings.simplefilter("ignore", torch.jit.TracerWarning)
        return int(x.shape[dim])


def round_up(length: int, multiple: int) -> int:
    """The smallest multiple of ``multiple`` that is not below ``length``."""
    return -(-length // multiple) * multiple


def extend(x: Tensor, multiple: int) -> Tensor:
    """Repeat the last position of (B, C, T, ...) until the time axis is a multiple of ``multiple``.

    Traceable with a symbolic length: the axis is extended by the most that can be needed and then cut.
    """
    length = x.shape[2]
    if not is_capturing() and length % multiple == 0:
        return x
    repeated = x[:, :, -1:].expand(-1, -1, multiple - 1, *([-1] * (x.dim() - 3)))
    return torch.cat([x, repeated], dim=2)[:, :, : (length + multiple - 1) // multiple * multiple]


def extend_each(x: Tensor, lengths: Sequence[int], multiple: int) -> Tensor:
    """Extend every clip by its own last frame to its own multiple of ``multiple``; zero after that.

    Args:
        x: (B, C, T, ...), anything after each clip's length is ignored.
        lengths: valid length of each clip, 1..T.
        multiple: temporal stride of the network.

    Returns:
        (B, C, round_up(max(lengths), multiple), ...)
    """
    rows = [extend(x[i : i + 1, :, :length], multiple) for i, length in enumerate(lengths)]
    longest = max(row.shape[2] for row in rows)
    pad = (0,) * (2 * (x.dim() - 3))
    return torch.cat([functional.pad(row, (*pad, 0, longest - row.shape[2])) for row in rows])


def zero_after(x: Tensor, steps: Sequence[int]) -> Tensor:
    """Zero the positions of (B, C, T, ...) after each clip's valid ``steps``."""
    positions = torch.arange(x.shape[2], device=x.device)
    mask = positions[None, :] < torch.tensor(steps, device=x.device)[:, None]
    return x * mask.reshape(x.shape[0], 1, -1, *([1] * (x.dim() - 3)))


def masked_batch_norm(norm: nn.Module, x: Tensor, steps: Sequence[int]) -> Tensor:
    """Batch normalisation whose statistics see valid positions only; the others come out as zero.

    Args:
        norm: an ``nn.BatchNorm1d`` or ``nn.BatchNorm3d``.
        x: (B, C, T, ...).
        steps: valid positions of each clip along T.
    """
    assert isinstance(norm, nn.modules.batchnorm._BatchNorm)
    # Channels last, every valid position of the batch is one row: the library's own kernel computes the statistics.
    last = x.movedim(1, -1)
    rows = [clip[:count].flatten(0, -2) for clip, count in zip(last, steps, strict=True)]
    training = norm.training
    if training and norm.num_batches_tracked is not None:
        norm.num_batches_tracked.add_(1)
    normalised = functional.batch_norm(
        torch.cat(rows),
        norm.running_mean,
        norm.running_var,
        norm.weight,
        norm.bias,
        training,
        norm.momentum if norm.momentum is not None else 0.0,
        norm.eps,
    )
    padded = pad_sequence(list(normalised.split([len(row) for row in rows])), batch_first=True)
    per_step = last[0, 0].numel() // last.shape[-1]
    padded = functional.pad(padded, (0, 0, 0, last.shape[1] * per_step - padded.shape[1]))
    return padded.reshape(last.shape).movedim(-1, 1)
