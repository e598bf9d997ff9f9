"""Costs against published figures and against counting by hand."""

import pytest
import torch
from torch import nn

from slrbench.models.cost import count_macs, count_module_macs, count_parameters
from slrbench.models.i3d import I3dBackbone
from slrbench.models.mobilenetv3 import mobilenetv3_features
from slrbench.models.registry import build_model
from slrbench.models.spec import ModelSpec


@pytest.mark.parametrize(("temporal_stride", "gmac"), [(8, 111.15), (4, 113.01)])
def test_i3d_costs_what_is_published(temporal_stride: int, gmac: float) -> None:
    with torch.device("meta"):
        backbone = I3dBackbone(1.0, temporal_stride, 0.1)
        assert count_module_macs(backbone, torch.empty(1, 3, 64, 224, 224)) / 1e9 == pytest.approx(gmac, abs=0.005)


def test_mobilenetv3_small_costs_what_is_published() -> None:
    with torch.device("meta"):
        features = mobilenetv3_features(ModelSpec(architecture="student", num_classes=2))
        assert count_module_macs(features, torch.empty(1, 3, 224, 224)) / 1e9 == pytest.approx(0.0549, abs=0.0001)


@pytest.mark.parametrize(
    ("layer", "shape", "macs"),
    [
        (nn.Linear(5, 7), (2, 3, 5), 2 * 3 * 7 * 5),
        (nn.Conv1d(4, 6, 5, padding=2), (2, 4, 9), 2 * 6 * 9 * 4 * 5),
        (nn.Conv2d(4, 8, (3, 1), stride=2, groups=2), (1, 4, 7, 8), 8 * 3 * 4 * 2 * 3),
        (nn.Conv3d(2, 3, 2), (2, 2, 3, 4, 5), 2 * 3 * (2 * 3 * 4) * 2 * 8),
        (nn.LSTM(5, 3), (7, 2, 5), 7 * 2 * 4 * 3 * (5 + 3)),
        # The second layer's inputs are both directions of the first.
        (nn.LSTM(5, 3, 2, bidirectional=True), (7, 2, 5), 7 * 2 * 2 * 4 * 3 * ((5 + 3) + (6 + 3))),
        (nn.Sequential(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1), nn.ReLU()), (1, 1, 2, 2), 4),
    ],
)
def test_layers_by_hand(layer: nn.Module, shape: tuple[int, ...], macs: int) -> None:
    assert count_module_macs(layer, torch.zeros(shape)) == macs


def test_a_whole_student_is_the_sum_of_its_parts() -> None:
    spec = ModelSpec(architecture="student", num_classes=11, conv_channels=32, lstm_hidden=16)
    with torch.device("meta"):
        per_frame = count_module_macs(mobilenetv3_features(spec), torch.empty(1, 3, 64, 64))
    # 10 frames are extended to 12 for the temporal convolutions (at 12 and 6 steps), which leave 3 steps.
    temporal = 12 * 32 * 576 * 5 + 6 * 32 * 32 * 5
    lstm = 3 * 2 * 4 * 16 * ((32 + 16) + (32 + 16))
    classifier = 3 * 11 * 32
    expected = 2 * (10 * per_frame + temporal + lstm + classifier)
    assert count_macs(spec, batch=2, frames=10, height=64, width=64) == expected


def test_a_teachers_head_counts() -> None:
    spec = ModelSpec(architecture="teacher", num_classes=11, width=0.25, lstm_hidden=16)
    with torch.device("meta"):
        backbone = I3dBackbone(0.25, 4, 0.1)
        expected = count_module_macs(backbone, torch.empty(1, 3, 12, 48, 48))
    expected += 3 * (2 * 4 * 16 * ((backbone.out_channels + 16) + (32 + 16)) + 11 * 32)
    assert count_macs(spec, batch=1, frames=10, height=48, width=48) == expected


def test_real_tensors_cost_what_meta_tensors_cost() -> None:
    """On a CPU some convolutions run as matrix products."""
    spec = ModelSpec(architecture="student", num_classes=3, width_mult=0.25, conv_channels=8, lstm_hidden=4)
    video = torch.zeros(1, 3, 4, 32, 32)
    assert count_module_macs(build_model(spec).eval(), video) == count_macs(
        spec, batch=1, frames=4, height=32, width=32
    )


def test_parameters_are_the_trainable_ones() -> None:
    layer = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2, bias=False))
    layer[2].requires_grad_(False)
    assert count_parameters(layer) == 3 * 4 + 4 + 4 + 4
