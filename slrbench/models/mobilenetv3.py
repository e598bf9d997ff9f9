"""The student: torchvision's MobileNetV3 per frame, temporal convolutions, then the CTC head.

Howard et al., "Searching for MobileNetV3" (arXiv 1905.02244); the temporal convolutions K5-P2-K5-P2 are those of VAC
(Min et al., arXiv 2104.02330) with padding, so that T' = ceil(T / 4) exactly.

Shapes: B clips, T frames, T' = ceil(T / 4) output steps, C classes with blank 0, H, W; F features per frame. Video is
(B, 3, T, H, W), log-probabilities are (T', B, C).
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models import mobilenetv3 as torchvision_mobilenetv3

from slrbench.models.capture import PointwiseConv2d, channels_last, extend
from slrbench.models.chunks import frames_per_chunk, may_chunk, per_frame_in_chunks
from slrbench.models.ctc_head import CtcHead, Recogniser
from slrbench.models.masking import Gaps, extend_each, norm_relu, round_up
from slrbench.models.spec import ModelSpec

STRIDE = 4


def mobilenetv3_features(spec: ModelSpec) -> nn.Sequential:
    """The convolutional part of torchvision's MobileNetV3, its names kept."""
    settings, last_channel = torchvision_mobilenetv3._mobilenet_v3_conf(
        f"mobilenet_v3_{spec.variant}", width_mult=spec.width_mult
    )
    strided = [block for block in settings if block.stride == 2]
    for block in strided[: {32: 0, 16: 1, 8: 2}[spec.spatial_stride]]:
        block.stride = 1
    features = torchvision_mobilenetv3.MobileNetV3(settings, last_channel).features
    assert isinstance(features, nn.Sequential)
    for name, module in list(features.named_modules()):
        if isinstance(module, nn.BatchNorm2d):
            # torchvision's 0.01 leaves the running statistics far behind after a short training.
            module.momentum = spec.batch_norm_momentum
        elif isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1):
            pointwise = PointwiseConv2d(module.in_channels, module.out_channels, bias=module.bias is not None)
            pointwise.weight, pointwise.bias = module.weight, module.bias
            features.set_submodule(name, pointwise)
    return features


class TemporalConvolutions(nn.Module):
    """Convolution over 5 steps, batch normalisation, ReLU, pool by 2; twice."""

    def __init__(self, features: int, channels: int, momentum: float) -> None:
        """``features`` inputs and ``channels`` outputs per step."""
        super().__init__()
        self.conv1 = nn.Conv1d(features, channels, 5, padding=2, bias=False)
        self.norm1 = nn.BatchNorm1d(channels, momentum=momentum)
        self.conv2 = nn.Conv1d(channels, channels, 5, padding=2, bias=False)
        self.norm2 = nn.BatchNorm1d(channels, momentum=momentum)
        for conv in (self.conv1, self.conv2):
            nn.init.kaiming_normal_(conv.weight, mode="fan_in", nonlinearity="relu")

    def forward(self, x: Tensor, frames: Sequence[int] | None = None) -> Tensor:
        """(B, F, T) to (B, channels, T / 4); T and each clip's ``frames`` are multiples of 4."""
        gaps = half_gaps = None
        if frames is not None:
            gaps = Gaps.after(frames, x.shape[2], x.device)
            half_gaps = Gaps.after([count // 2 for count in frames], x.shape[2] // 2, x.device)
        x = functional.max_pool1d(norm_relu(self.norm1, self.conv1(x), gaps), 2)
        return functional.max_pool1d(norm_relu(self.norm2, self.conv2(x), half_gaps), 2)


class Student(Recogniser):
    """MobileNetV3 per frame, spatial mean, temporal convolutions, BiLSTM, classifier."""

    def __init__(self, spec: ModelSpec) -> None:
        """Build the network of a spec whose architecture is ``student``."""
        super().__init__(spec)
        self.features = mobilenetv3_features(spec)
        last = self.features.get_submodule(f"{len(self.features) - 1}.0")
        assert isinstance(last, nn.Conv2d)
        self.temporal = TemporalConvolutions(last.out_channels, spec.conv_channels, spec.batch_norm_momentum)
        self.head = CtcHead(spec.conv_channels, spec)

    @property
    def stride(self) -> int:
        """Frames per output step."""
        return STRIDE

    @property
    def backbone_module(self) -> nn.Module:
        """MobileNetV3, without what looks at time."""
        return self.features

    def encode(self, video: Tensor, lengths: Sequence[int] | None) -> Tensor:
        """Features after the temporal convolutions, (T', B, conv_channels)."""
        if lengths is None:
            batch, frames = video.shape[0], video.shape[2]
            per_frame = self._all_frames(video, None)
            sequence = per_frame.reshape(batch, frames, -1).transpose(1, 2)
            features: Tensor = self.temporal(extend(sequence, STRIDE))
            return features.permute(2, 0, 1)
        clips = self._all_frames(video, lengths).split(list(lengths))
        sequence = nn.utils.rnn.pad_sequence(list(clips), batch_first=True).transpose(1, 2)
        extended = [round_up(count, STRIDE) for count in lengths]
        features = self.temporal(extend_each(sequence, lengths, STRIDE), extended if len(set(extended)) > 1 else None)
        return features.permute(2, 0, 1)

    def _all_frames(self, video: Tensor, lengths: Sequence[int] | None) -> Tensor:
        """Features of every valid frame, clip after clip, (N, F); those of long videos in chunks, in evaluation."""
        if may_chunk(self):
            counts = lengths if lengths is not None else [video.shape[2]] * video.shape[0]
            most = frames_per_chunk(video.shape[3], video.shape[4], video.device)
            if sum(counts) > most:
                return per_frame_in_chunks(self._frame_features, video, counts, most)
        if lengths is None:
            return self._frame_features(video.transpose(1, 2).flatten(0, 1))
        return self._frame_features(
            torch.cat([clip[:, :count].transpose(0, 1) for clip, count in zip(video, lengths, strict=True)])
        )

    def _frame_features(self, frames: Tensor) -> Tensor:
        """(N, 3, H, W) to (N, F), the spatial mean."""
        features = channels_last(frames)
        for part in self.features if self.recompute else (self.features,):
            features = self.run_block(part, features)
        return features.mean(dim=(2, 3))
