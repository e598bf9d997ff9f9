"""Clips of different length in one batch, so that each gives what it gives alone, with little work wasted.

Shapes: B clips, T frames, C channels, H, W. A clip is extended by its last frame to a multiple of the temporal stride,
so that its length is known at every level. Whatever lies between clips (``Gaps``) is kept at zero wherever a temporal
kernel looks: exactly the zero padding that the clip sees alone. Gaps stay out of batch normalisation.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from slrbench.models.normalisation import SynchronisedBatchNorm


class Gaps(NamedTuple):
    """Positions that belong to no clip: the row and the position along the time axis of each, both (N,)."""

    rows: Tensor
    steps: Tensor

    @classmethod
    def around(cls, occupied: Tensor) -> "Gaps":
        """The positions where a boolean (rows, T) is false."""
        return cls(*torch.nonzero(~occupied, as_tuple=True))

    @classmethod
    def after(cls, lengths: Sequence[int], total: int, device: torch.device) -> "Gaps":
        """The gaps of clips in rows of their own: everything after each clip's length, up to ``total``."""
        ends = torch.tensor(lengths, device=device)
        return cls.around(torch.arange(total, device=device) < ends[:, None])


def round_up(length: int, multiple: int) -> int:
    """The smallest multiple of ``multiple`` that is not below ``length``."""
    return -(-length // multiple) * multiple


class Placement(NamedTuple):
    """Where a clip lies on a tape, in frames; ``length`` is a multiple of the temporal stride."""

    row: int
    start: int
    length: int


@dataclass(frozen=True, kw_only=True)
class Tape:
    """Clips one behind the other in a few rows of about the same length, ``stride`` empty frames between two clips.

    A temporal network costs what its input is long: padding short clips to the longest costs more than this.
    """

    placements: tuple[Placement, ...]
    rows: int
    length: int
    stride: int

    @classmethod
    def of(cls, lengths: Sequence[int], stride: int, rows: int = 2) -> "Tape":
        """Lay clips of these lengths out, longest first, each in the row that is shortest so far.

        Args:
            lengths: frames of each clip, 1 and above.
            stride: temporal stride of the network; one gap of this length is at least one position at every level,
                and at least the 3 frames that a kernel of 7 looks ahead.
            rows: two by default, for torch's small convolutions of a single row leave oneDNN for a slow kernel.
        """
        ends = [0] * min(rows, len(lengths))
        placements: list[Placement | None] = [None] * len(lengths)
        for index in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
            row = ends.index(min(ends))
            start = ends[row] + stride if ends[row] else 0
            placement = Placement(row, start, round_up(lengths[index], stride))
            placements[index] = placement
            ends[row] = start + placement.length
        placed = tuple(placement for placement in placements if placement is not None)
        return cls(placements=placed, rows=len(ends), length=max(ends), stride=stride)

    def gaps(self, stride: int, device: torch.device) -> Gaps:
        """The gaps at the level that has one position per ``stride`` frames."""
        occupied = torch.zeros(self.rows, self.length // stride, dtype=torch.bool)
        for row, start, length in self.placements:
            occupied[row, start // stride : (start + length) // stride] = True
        return Gaps.around(occupied.to(device))

    def write(self, video: Tensor, lengths: Sequence[int]) -> Tensor:
        """Lay a padded video (B, C, T, H, W) out as (rows, C, length, H, W); its padding is not read."""
        shape = (self.rows, video.shape[1], self.length, *video.shape[3:])
        tape = torch.empty(shape, dtype=video.dtype, device=video.device, memory_format=torch.channels_last_3d).zero_()
        for clip, frames, (row, start, length) in zip(video, lengths, self.placements, strict=True):
            tape[row, :, start : start + frames] = clip[:, :frames]
            tape[row, :, start + frames : start + length] = clip[:, frames - 1 : frames]
        return tape

    def read(self, features: Tensor) -> Tensor:
        """Take features (rows, C, length / stride) apart into (B, C, longest / stride), zero after each clip."""
        clips = [
            features[row, :, start // self.stride : (start + length) // self.stride].T
            for row, start, length in self.placements
        ]
        return nn.utils.rnn.pad_sequence(clips, batch_first=True).transpose(1, 2)


def extend_each(x: Tensor, lengths: Sequence[int], multiple: int) -> Tensor:
    """Extend every clip of (B, C, T, ...) by its own last position to its own multiple; zero after that.

    Returns:
        (B, C, round_up(max(lengths), multiple), ...); what lay after a clip's length is not read.
    """
    longest = round_up(max(lengths), multiple)
    rows = []
    for clip, length in zip(x, lengths, strict=True):
        extended = round_up(length, multiple)
        index = torch.arange(extended, device=x.device).clamp_max_(length - 1)
        pad = (0, 0) * (clip.dim() - 2) + (0, longest - extended)
        rows.append(functional.pad(clip.index_select(1, index), pad))
    return torch.stack(rows)


def norm_relu(norm: nn.Module, x: Tensor, gaps: Gaps | None) -> Tensor:
    """Batch normalisation and ReLU; gaps come out as zero and stay out of the statistics.

    Args:
        norm: an ``nn.BatchNorm1d`` or ``nn.BatchNorm3d`` with affine parameters and running statistics.
        x: (B, C, T, ...), a temporary of the caller: its gaps are overwritten.
        gaps: None where every position belongs to a clip.
    """
    if gaps is None:
        return torch.relu_(norm(x))
    if isinstance(norm, SynchronisedBatchNorm):
        keep = x.new_ones(x.shape[0], 1, *x.shape[2:3], *([1] * (x.dim() - 3)))
        _fill(keep, gaps, keep.new_zeros(1))
        return torch.relu_(norm.over(x, keep, len(gaps.rows)))
    assert isinstance(norm, nn.modules.batchnorm._BatchNorm)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    if not norm.training:
        y: Tensor = norm(x)
        _fill(y, gaps, y.new_zeros(1))
        return torch.relu_(y)
    y, mean, variance = _MaskedNormRelu.apply(x, norm.weight, norm.bias, gaps, norm.eps)
    assert norm.num_batches_tracked is not None
    with torch.no_grad():
        norm.num_batches_tracked.add_(1)
        weight = norm.momentum if norm.momentum is not None else 1.0 / float(norm.num_batches_tracked)
        norm.running_mean.lerp_(mean, weight)
        norm.running_var.lerp_(variance, weight)
    return y


def zero_gaps(x: Tensor, gaps: Gaps | None) -> Tensor:
    """(B, C, T, ...) with zero in the gaps."""
    if gaps is None:
        return x
    keep = torch.ones(x.shape[0], 1, x.shape[2], dtype=x.dtype, device=x.device)
    _fill(keep, gaps, keep.new_zeros(1))
    return x * keep.reshape(keep.shape + (1,) * (x.dim() - 3))


def _fill(x: Tensor, gaps: Gaps, value: Tensor) -> None:
    """Overwrite the gaps of (B, C, T, ...) with one value for each channel, (C,), or one for all, (1,)."""
    x.transpose(1, 2)[gaps.rows, gaps.steps] = value.to(x.dtype).reshape(-1, *([1] * (x.dim() - 3)))


class _MaskedNormRelu(torch.autograd.Function):
    """Batch statistics of the valid positions at nearly the price of the library's own batch normalisation.

    The library's kernel runs over all N positions with the gaps filled so that they change nothing. Filled with the
    mean of the n valid positions they leave the mean as it is and shrink the variance by r = n / N, so eps is scaled
    by r and the weight by sqrt(r): (x - mean) / sqrt(var + eps) = sqrt(r) (x - mean) / sqrt(r var + r eps).
    In the gradient, filling the gaps with the mean gradient of the valid positions does the same.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, gaps: Gaps, eps: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the output, and the mean and the unbiased variance of the valid positions."""
        axes = (0, *range(2, x.dim()))
        per_step = x[0, 0, 0].numel()
        total = x.shape[0] * x.shape[2] * per_step
        valid = total - per_step * len(gaps.rows)
        ratio = valid / total
        zero = weight.new_zeros(1)
        _fill(x, gaps, zero)
        _fill(x, gaps, x.sum(axes, dtype=weight.dtype) / valid)
        mean, variance = torch.zeros_like(weight), torch.zeros_like(weight)
        scaled = weight * ratio**0.5
        # Momentum 1 makes the running statistics those of this batch.
        y, saved_mean, saved_invstd = torch.native_batch_norm(x, scaled, bias, mean, variance, True, 1.0, eps * ratio)
        y.clamp_min_(0.0)
        _fill(y, gaps, zero)
        ctx.save_for_backward(x, y, scaled, saved_mean, saved_invstd)
        ctx.gaps, ctx.eps, ctx.axes, ctx.valid, ctx.ratio = gaps, eps * ratio, axes, valid, ratio
        variance *= (total - 1) / max(valid - 1, 1)
        ctx.mark_non_differentiable(mean, variance)
        return y, mean, variance

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        """Gradients of x, weight and bias."""
        x, y, scaled, saved_mean, saved_invstd = ctx.saved_tensors
        gradient = torch.ops.aten.threshold_backward(gradients[0], y, 0)
        total = gradient.sum(ctx.axes, dtype=scaled.dtype)
        _fill(gradient, ctx.gaps, total / ctx.valid)
        dx, dscaled, _ = torch.ops.aten.native_batch_norm_backward(
            gradient, x, scaled, None, None, saved_mean, saved_invstd, True, ctx.eps, [True, True, False]
        )
        return dx, dscaled * ctx.ratio**0.5, total, None, None
