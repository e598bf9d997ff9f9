"""The signature that every artifact has: one input ``video``, one output ``log_probs``. Needs torch.

Shapes: B clips, T frames, T' output steps, C classes, H, W. An artifact takes one of two inputs,

- ``float32``: video ``(B, 3, T, H, W)``, normalised to [-1, 1];
- ``uint8``: raw frames ``(B, T, H, W, 3)``, RGB, normalised inside the graph by ``x / 127.5 - 1``;

and gives log-probabilities ``(T', B, C)``, float32. B, T and T' are dynamic; H and W are those of the training data.
"""

import torch
from torch import Tensor, nn

from exporters.artifact import ExporterError, InputKind, TensorSpec
from exporters.input_names import EXAMPLE_SHAPE, INPUT_NAME, OUTPUT_NAME

__all__ = ["BATCH_AXIS", "EXAMPLE_SHAPE", "TIME_AXIS", "InputAdapter", "example_video", "tensor_specs"]

BATCH_AXIS = 0
TIME_AXIS: dict[InputKind, int] = {"float32": 2, "uint8": 1}


class InputAdapter(nn.Module):
    """A network as it is exported: video in, log-probabilities out, nothing else."""

    def __init__(self, network: nn.Module, input_kind: InputKind, *, cast_first: bool = False) -> None:
        """Wrap ``network``, which maps float32 ``(B, 3, T, H, W)`` to ``(T', B, C)``.

        ``cast_first`` casts raw frames before they are transposed: TensorRT can do nothing else with a uint8 tensor,
        while a CPU moves a quarter of the bytes where the transposition comes first. The values are the same.

        Raises:
            ExporterError: the network is in training mode, or the input kind is unknown.
        """
        super().__init__()
        if any(module.training for module in network.modules()):
            raise ExporterError(
                "the network is in training mode: dropout and batch statistics would go into the file",
                hint="call eval() on it before the export",
            )
        if input_kind not in TIME_AXIS:
            raise ExporterError(f"unknown input kind {input_kind!r}, expected one of {', '.join(TIME_AXIS)}")
        self.network = network
        self.input_kind = input_kind
        self.cast_first = cast_first
        self.eval()

    def forward(self, video: Tensor) -> Tensor:
        """Log-probabilities ``(T', B, C)`` of a video of the adapter's input kind."""
        if self.input_kind == "uint8" and self.cast_first:
            video = video.to(torch.float32).permute(0, 4, 1, 2, 3).contiguous() / 127.5 - 1.0
        elif self.input_kind == "uint8":
            # Contiguous, so that the network's first convolution reads the layout it was trained with.
            video = video.permute(0, 4, 1, 2, 3).to(torch.float32).contiguous() / 127.5 - 1.0
        log_probs: Tensor = self.network(video)
        return log_probs


def example_video(
    input_kind: InputKind, *, height: int, width: int, shape: tuple[int, int] = EXAMPLE_SHAPE, seed: int = 0
) -> Tensor:
    """Noise of the shape that ``input_kind`` takes, the same for the same seed; ``shape`` is B and T."""
    generator = torch.Generator().manual_seed(seed)
    batch, frames = shape
    raw = torch.randint(0, 256, (batch, frames, height, width, 3), generator=generator, dtype=torch.uint8)
    return raw if input_kind == "uint8" else raw.permute(0, 4, 1, 2, 3).float().contiguous() / 127.5 - 1.0


def tensor_specs(
    input_kind: InputKind, *, height: int, width: int, num_classes: int
) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """Inputs and outputs of an artifact, as its manifest lists them."""
    shape: tuple[int | str, ...] = (
        ("batch", "time", height, width, 3) if input_kind == "uint8" else ("batch", 3, "time", height, width)
    )
    return (
        (TensorSpec(name=INPUT_NAME, dtype=input_kind, shape=shape),),
        (TensorSpec(name=OUTPUT_NAME, dtype="float32", shape=("steps", "batch", num_classes)),),
    )
