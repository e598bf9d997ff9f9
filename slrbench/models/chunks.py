"""Long videos in evaluation: a backbone gets a part of the frames at a time, so that memory is bounded.

A backbone that works on each frame by itself gets other frames each time. One whose outputs see some frames before
and after their own gets those, too, and what is wrong at the cut is thrown away: the outputs are the same either way.

Shapes: B clips, T frames, H, W; F features per frame. Video is (B, 3, T, H, W).
"""

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from slrbench.models.capture import is_capturing

CPU_PIXELS = 32 * 224 * 224
"""Pixels of a chunk on a CPU: 32 frames at 224. A clip of 64 frames at 48 pixels, the demo's, is a tenth of that."""

DEVICE_PIXELS = 256 * 224 * 224
"""On a GPU, which small chunks would leave idle."""

CONTEXT_PIXELS = 256 * 224 * 224
"""Pixels of a chunk with the frames that it sees before and after its own, of which small chunks would compute most."""


def frames_per_chunk(height: int, width: int, device: torch.device) -> int:
    """Frames that go through a backbone together which works on each by itself, at least 1."""
    return max(1, (CPU_PIXELS if device.type == "cpu" else DEVICE_PIXELS) // (height * width))


def may_chunk(module: nn.Module) -> bool:
    """Whether frames may go through ``module`` in several calls: in evaluation, without gradients, outside of exports.

    In training, batch normalisation looks at all frames together, and gradients keep all activations anyway. A graph
    that is exported or compiled must not depend on a number of chunks.
    """
    capturing = is_capturing() or torch.compiler.is_compiling()
    return not module.training and not torch.is_grad_enabled() and not capturing


def pieces(lengths: Sequence[int], most: int) -> list[tuple[int, int, int]]:
    """Clip, first frame and one past the last of pieces of at most ``most`` frames, about equally long in a clip."""
    found = []
    for clip, length in enumerate(lengths):
        count = -(-length // most)
        ends = [length * i // count for i in range(count + 1)]
        found += [(clip, start, end) for start, end in pairwise(ends)]
    return found


def per_frame_in_chunks(
    compute: Callable[[Tensor], Tensor], video: Tensor, lengths: Sequence[int], most: int
) -> Tensor:
    """Features of every valid frame, (sum of lengths, F), clip after clip.

    Args:
        compute: from frames (N, 3, H, W) to (N, F), each frame by itself.
        video: (B, 3, T, H, W).
        lengths: valid frames of each clip.
        most: frames of one call at most.
    """
    return torch.cat([compute(video[clip, :, a:b].transpose(0, 1)) for clip, a, b in pieces(lengths, most)])


def steps_in_chunks(
    compute: Callable[[Tensor], Tensor], video: Tensor, *, stride: int, context: int, most: int
) -> Tensor:
    """Features (1, F, T / stride) of one clip (1, 3, T, H, W), T a multiple of ``stride``.

    Args:
        compute: from (1, 3, t, H, W) to (1, F, t / stride), for every t that is a multiple of ``stride``.
        video: the clip.
        stride: frames of a step.
        context: frames before and after a step that it may depend on, a multiple of ``stride``.
        most: frames of one call at most, raised to what leaves as many of its own as it has context.
    """
    frames = video.shape[2]
    if frames <= most:
        return compute(video)
    own = max(most - 2 * context, 2 * context) // stride * stride
    found = []
    for start in range(0, frames, own):
        end = min(start + own, frames)
        first, last = max(0, start - context), min(frames, end + context)
        steps = compute(video[:, :, first:last])
        found.append(steps[:, :, (start - first) // stride : (end - first) // stride])
    return torch.cat(found, dim=2)
