"""I3D written down a second time, slowly: TensorFlow's dynamic 'same' padding, one clip after the other.

Only the weights are shared with slrbench. Clips are processed alone; batch normalisation alone joins them.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from slrbench.models.i3d import I3dBackbone, InceptionModule, Unit3D

Clips = list[Tensor]  # (1, C, T, H, W) each, T of their own


def same_pad(x: Tensor, kernel: Sequence[int], stride: Sequence[int]) -> Tensor:
    """``compute_pad`` of piergiaj/pytorch-i3d: zeros, the larger half behind."""
    pads: list[int] = []
    for size, k, s in zip(x.shape[2:], kernel, stride, strict=True):
        total = max(k - s, 0) if size % s == 0 else max(k - size % s, 0)
        pads = [total // 2, total - total // 2, *pads]
    return functional.pad(x, pads)


def unit(layer: Unit3D, clips: Clips) -> Clips:
    conv = layer.conv3d
    outputs = [
        functional.conv3d(same_pad(x, conv.kernel_size, conv.stride), conv.weight, stride=conv.stride) for x in clips
    ]
    return [functional.relu(x) for x in joint_batch_norm(layer.bn, outputs)]


def joint_batch_norm(norm: nn.Module, clips: Clips) -> Clips:
    """The library's batch normalisation over all positions of all clips."""
    flat = torch.cat([x.flatten(2) for x in clips], dim=2)
    pieces = norm(flat[..., None, None] if isinstance(norm, nn.BatchNorm3d) else flat)
    sizes = [x.flatten(2).shape[2] for x in clips]
    return [y.reshape(x.shape) for y, x in zip(pieces.flatten(2).split(sizes, dim=2), clips, strict=True)]


def pool(kernel: Sequence[int], stride: Sequence[int], clips: Clips) -> Clips:
    return [functional.max_pool3d(same_pad(x, kernel, stride), kernel, stride) for x in clips]


def mixed(block: InceptionModule, clips: Clips) -> Clips:
    branches = [
        unit(block.b0, clips),
        unit(block.b1b, unit(block.b1a, clips)),
        unit(block.b2b, unit(block.b2a, clips)),
        unit(block.b3b, pool((3, 3, 3), (1, 1, 1), clips)),
    ]
    return [torch.cat(parts, dim=1) for parts in zip(*branches, strict=True)]


def features(backbone: I3dBackbone, clips: Clips) -> Clips:
    """(1, out_channels, T', H', W') of each clip."""
    last_stride = (backbone.temporal_stride // 4, 2, 2)
    layers: list[Callable[[Clips], Clips]] = [
        lambda x: unit(backbone.Conv3d_1a_7x7, x),
        lambda x: pool((1, 3, 3), (1, 2, 2), x),
        lambda x: unit(backbone.Conv3d_2b_1x1, x),
        lambda x: unit(backbone.Conv3d_2c_3x3, x),
        lambda x: pool((1, 3, 3), (1, 2, 2), x),
        *_blocks(backbone, "3b", "3c"),
        lambda x: pool((3, 3, 3), (2, 2, 2), x),
        *_blocks(backbone, "4b", "4c", "4d", "4e", "4f"),
        lambda x: pool((2, 2, 2), last_stride, x),
        *_blocks(backbone, "5b", "5c"),
    ]
    for layer in layers:
        clips = layer(clips)
    return clips


def _blocks(backbone: I3dBackbone, *names: str) -> list[Callable[[Clips], Clips]]:
    blocks = [backbone.get_submodule(f"Mixed_{name}") for name in names]
    return [lambda x, block=block: mixed(block, x) for block in blocks]
