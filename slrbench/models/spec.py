"""What a network is, without building it: the dimensions that a checkpoint stores and that rebuild the module.

Loads no torch, so that command lines, manifests and benchmark workers may read it.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

BLANK = 0
"""Class index of the CTC blank, everywhere."""


class ModelSpec(BaseModel):
    """Dimensions of one network.

    Fields that belong to the other architecture keep their defaults and are ignored.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    architecture: Literal["teacher", "student"]
    num_classes: int = Field(ge=2, description="C, classes with the blank at index 0")
    lstm_hidden: int = Field(default=512, ge=1, description="hidden units per direction")
    lstm_layers: int = Field(default=2, ge=1)
    dropout: float = Field(default=0.3, ge=0.0, lt=1.0)
    batch_norm_momentum: float = Field(default=0.1, gt=0.0, le=1.0, description="of every batch normalisation")
    # teacher: Inflated 3-D Inception-v1
    width: float = Field(default=1.0, gt=0.0, description="channel multiplier of the I3D backbone")
    temporal_stride: Literal[4, 8] = 4
    # student: MobileNetV3 per frame, temporal convolutions
    variant: Literal["small", "large"] = "small"
    width_mult: float = Field(default=1.0, gt=0.0, description="channel multiplier of MobileNetV3")
    spatial_stride: Literal[8, 16, 32] = Field(
        default=32,
        description="pixels per cell of the last feature map; below the original 32 the first strides after the stem "
        "are left out, which small frames need",
    )
    conv_channels: int = Field(default=512, ge=1, description="channels of the temporal convolutions")

    @property
    def stride(self) -> int:
        """Frames of one output step: T' = ceil(T/stride). The student's is always 4."""
        return self.temporal_stride if self.architecture == "teacher" else 4
