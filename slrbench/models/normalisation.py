"""Batch normalisation for networks that are trained by several processes, or from weights that others trained.

Both kinds take the place of torch's own layers in a network that is built: parameters, buffers and their names stay.
``torch.nn.SyncBatchNorm`` needs a GPU and knows no gaps between clips; the one here runs on every device.

Shapes: B clips or frames, C channels, T positions in time.
"""

from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


class _Replacement(nn.modules.batchnorm._BatchNorm):
    """A batch normalisation over any number of axes that takes over another one's parameters and buffers."""

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() < 2:
            raise ValueError(f"expected (B, C, ...), got {tuple(input.shape)}")

    @classmethod
    def of(cls, norm: nn.modules.batchnorm._BatchNorm) -> Self:
        """The same layer as another class; tensors are shared, not copied."""
        new = cls(norm.num_features, norm.eps, norm.momentum)
        new.weight, new.bias = norm.weight, norm.bias
        new.running_mean, new.running_var = norm.running_mean, norm.running_var
        new.num_batches_tracked = norm.num_batches_tracked
        new.train(norm.training)
        return new


class FrozenBatchNorm(_Replacement):
    """Normalises by the statistics that it was given, in training too."""

    def train(self, mode: bool = True) -> Self:
        """Stay in evaluation mode."""
        return super().train(False)


class SynchronisedBatchNorm(_Replacement):
    """Takes its statistics over the clips of all processes, so that several see what one with all the clips would."""

    shared: bool = True
    """Whether the processes share statistics; each takes its own otherwise."""
    present: bool = True
    """Whether the input counts; a process that has no clip left takes part without one."""

    def forward(self, input: Tensor) -> Tensor:
        """(B, C, ...) to the same."""
        return self.over(input, None, 0)

    def over(self, x: Tensor, keep: Tensor | None, gaps: int) -> Tensor:
        """Normalise (B, C, T, ...) over the positions where ``keep`` (B, 1, T, 1, ...) is 1; zero elsewhere.

        ``gaps`` is how many of the B x T positions are left out.
        """
        if not self.training:
            y: Tensor = super().forward(x)
            return y if keep is None else y * keep
        per_position = x[0, 0, 0].numel() if x.dim() > 2 else 1
        count = x.numel() // x.shape[1] - gaps * per_position
        if not self.present:
            keep, count = x.new_zeros((1,) * x.dim()), 0
        y, mean, variance = _Synchronised.apply(x, self.weight, self.bias, keep, count, self.eps, self.shared)
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        with torch.no_grad():
            self.num_batches_tracked.add_(1)
            weight = self.momentum if self.momentum is not None else 1.0 / float(self.num_batches_tracked)
            self.running_mean.lerp_(mean, weight)
            self.running_var.lerp_(variance, weight)
        return y


def replace_batch_norm(module: nn.Module, kind: type[FrozenBatchNorm] | type[SynchronisedBatchNorm]) -> None:
    """Make every batch normalisation inside ``module`` one of ``kind``, but for those that are replaced already."""
    for name, child in list(module.named_modules()):
        if isinstance(child, nn.modules.batchnorm._BatchNorm) and not isinstance(child, _Replacement):
            module.set_submodule(name, kind.of(child))


class _Synchronised(torch.autograd.Function):
    """Normalisation by the mean and the variance of all processes, and its gradient.

    With n positions in all, x^ = (x - mean) / sqrt(var + eps) and d the gradient of y = w x^ + b:
    dx = w / sqrt(var + eps) (d - sum(d) / n - x^ sum(d x^) / n), both sums over all processes. Means and squared
    deviations of the processes are joined as by Chan, Golub and LeVeque (1979), which cancels nothing.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, keep: Tensor | None, count: int, eps: float, shared: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the output, and the mean and the unbiased variance of all positions that count."""
        axes = (0, *range(2, x.dim()))
        values = x.to(weight.dtype)
        kept = values if keep is None else values * keep
        mean = kept.sum(axes) / max(count, 1)
        deviation = values - _spread(mean, x)
        squares = (deviation.square() if keep is None else deviation.square() * keep).sum(axes)
        mean, squares, total = _joined(mean, squares, count, shared)
        scale = torch.rsqrt(squares / total + eps)
        normalised = (values - _spread(mean, x)) * _spread(scale, x)
        y = normalised * _spread(weight, x) + _spread(bias, x)
        if keep is not None:
            y *= keep
        ctx.save_for_backward(normalised.to(x.dtype), weight, scale, *([keep] if keep is not None else []))
        ctx.axes, ctx.total, ctx.shared = axes, total, shared
        variance = squares / (total - 1).clamp_min(1)
        ctx.mark_non_differentiable(mean, variance)
        return y.to(x.dtype), mean, variance

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None, None, None]:
        """Gradients of x, and this process's part of those of weight and bias."""
        normalised, weight, scale, *rest = ctx.saved_tensors
        keep = rest[0] if rest else None
        gradient = gradients[0].to(weight.dtype)
        if keep is not None:
            gradient = gradient * keep
        own = torch.stack([gradient.sum(ctx.axes), (gradient * normalised).sum(ctx.axes)])
        sums = own
        if ctx.shared and _several():
            sums = own.clone()
            torch.distributed.all_reduce(sums)
        sums = sums / ctx.total
        dx = gradient - _spread(sums[0], gradient) - normalised * _spread(sums[1], gradient)
        dx *= _spread(weight * scale, gradient)
        if keep is not None:
            dx *= keep
        return dx.to(gradients[0].dtype), own[1], own[0], None, None, None, None


def _several() -> bool:
    return torch.distributed.is_available() and torch.distributed.is_initialized()


def _spread(values: Tensor, x: Tensor) -> Tensor:
    """(C,) as (1, C, 1, ...), to go with ``x``."""
    return values.reshape(1, -1, *([1] * (x.dim() - 2)))


def _joined(mean: Tensor, squares: Tensor, count: int, shared: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Mean, sum of squared deviations and count over all processes."""
    own = torch.cat([mean, squares, mean.new_tensor([count])])
    if shared and _several():
        rows = [torch.empty_like(own) for _ in range(torch.distributed.get_world_size())]
        torch.distributed.all_gather(rows, own)
    else:
        rows = [own]
    table = torch.stack(rows)
    means, deviations, counts = table[:, : len(mean)], table[:, len(mean) : -1], table[:, -1:]
    total = counts.sum().clamp_min(1)
    joined = (counts * means).sum(0) / total
    return joined, (deviations + counts * (means - joined).square()).sum(0), total
