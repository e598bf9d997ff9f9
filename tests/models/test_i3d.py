import copy
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from slrbench.models.i3d import MIXED, I3dBackbone, scale_channels
from slrbench.models.registry import build_model
from slrbench.models.spec import ModelSpec
from tests.models import same_padding_reference as reference

# Parameters and output (T, H, W) at 3 x 64 x 224 x 224 of every end point of the original (temporal stride 8), as in
# the table of Carreira and Zisserman's network in its public PyTorch port.
END_POINTS = {
    "Conv3d_1a_7x7": (65_984, (64, 32, 112, 112)),
    "Conv3d_2b_1x1": (4_224, (64, 32, 56, 56)),
    "Conv3d_2c_3x3": (332_160, (192, 32, 56, 56)),
    "Mixed_3b": (386_272, (256, 32, 28, 28)),
    "Mixed_3c": (837_888, (480, 32, 28, 28)),
    "Mixed_4b": (737_760, (512, 16, 14, 14)),
    "Mixed_4c": (904_464, (512, 16, 14, 14)),
    "Mixed_4d": (1_103_664, (512, 16, 14, 14)),
    "Mixed_4e": (1_356_672, (528, 16, 14, 14)),
    "Mixed_4f": (1_799_168, (832, 16, 14, 14)),
    "Mixed_5b": (1_974_272, (832, 8, 7, 7)),
    "Mixed_5c": (2_784_736, (1024, 8, 7, 7)),
}


def tiny_backbone(temporal_stride: int) -> I3dBackbone:
    torch.manual_seed(3)
    backbone = I3dBackbone(0.125, temporal_stride, 0.1)
    with torch.no_grad():
        backbone(torch.randn(2, 3, 16, 32, 32))
    return backbone.eval()


def test_end_points_have_the_published_parameters_and_shapes() -> None:
    with torch.device("meta"):
        backbone = I3dBackbone(1.0, 8, 0.1).eval()
        shapes: dict[str, tuple[int, ...]] = {}
        for name in END_POINTS:
            backbone.get_submodule(name).register_forward_hook(
                lambda _, __, output, name=name: shapes.__setitem__(name, tuple(output.shape[1:]))
            )
        backbone(torch.empty(1, 3, 64, 224, 224))
    parameters = {name: sum(p.numel() for p in backbone.get_submodule(name).parameters()) for name in END_POINTS}
    assert {name: (parameters[name], shapes[name]) for name in END_POINTS} == END_POINTS
    assert sum(p.numel() for p in backbone.parameters()) == 12_287_264


def test_temporal_stride_4_keeps_the_time_axis_in_the_last_pool() -> None:
    with torch.device("meta"):
        assert I3dBackbone(1.0, 4, 0.1)(torch.empty(1, 3, 64, 224, 224)).shape == (1, 1024, 16, 7, 7)


def test_state_dict_names_are_the_public_ones() -> None:
    units = ["Conv3d_1a_7x7", "Conv3d_2b_1x1", "Conv3d_2c_3x3"]
    units += [f"{block}.{branch}" for block in MIXED for branch in ("b0", "b1a", "b1b", "b2a", "b2b", "b3b")]
    tensors = ["conv3d.weight", *(f"bn.{name}" for name in ("weight", "bias", "running_mean", "running_var"))]
    expected = {f"{unit}.{tensor}" for unit in units for tensor in [*tensors, "bn.num_batches_tracked"]}
    assert set(tiny_backbone(4).state_dict()) == expected


@pytest.mark.parametrize("temporal_stride", [4, 8])
@pytest.mark.parametrize("size", [(8, 32, 32), (16, 48, 33), (8, 45, 50), (24, 31, 64)])
def test_constant_pads_equal_dynamic_same_padding(temporal_stride: int, size: tuple[int, int, int]) -> None:
    backbone = tiny_backbone(temporal_stride)
    video = torch.randn(2, 3, *size)
    with torch.no_grad():
        ours = backbone(video)
        theirs = torch.cat([reference.features(backbone, [clip[None]])[0] for clip in video])
    assert ours.shape == theirs.shape
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


def test_the_reference_sees_a_pad_on_the_wrong_side() -> None:
    """The comparison above can fail: with the stem's larger half in front, it does."""
    backbone = tiny_backbone(4)
    video = torch.randn(1, 3, 8, 32, 32)
    moved = torch.cat([video[:, :, :1] * 0, video[:, :, :-1]], dim=2)
    with torch.no_grad():
        assert (backbone(moved) - reference.features(backbone, [video])[0]).abs().max() > 1e-2


@pytest.mark.parametrize(("temporal_stride", "frames"), [(4, 1), (4, 5), (4, 7), (8, 3), (8, 12)])
def test_a_clip_is_extended_by_its_last_frame(temporal_stride: int, frames: int) -> None:
    torch.manual_seed(0)
    spec = ModelSpec(
        architecture="teacher", num_classes=4, width=0.125, temporal_stride=temporal_stride, lstm_hidden=4, dropout=0
    )
    model = build_model(spec)
    video = torch.randn(2, 3, frames, 32, 32)
    repeated = torch.cat([video, video[:, :, -1:].expand(-1, -1, -frames % temporal_stride, -1, -1)], dim=2)
    with torch.no_grad():
        model(torch.randn(2, 3, 8, 32, 32))
        model.eval()
        assert torch.equal(model(video), model(repeated))


@pytest.mark.parametrize(
    ("channels", "width", "expected"), [(64, 1, 64), (208, 1, 208), (64, 0.25, 16), (16, 0.25, 8), (144, 0.25, 40)]
)
def test_channels_scale_to_multiples_of_8(channels: int, width: float, expected: int) -> None:
    assert scale_channels(channels, width) == expected


def test_every_batch_normalisation_follows_the_spec() -> None:
    spec = ModelSpec(architecture="teacher", num_classes=4, width=0.125, batch_norm_momentum=0.3)
    norms = [m for m in build_model(spec).modules() if isinstance(m, nn.BatchNorm3d)]
    assert {(norm.momentum, norm.eps) for norm in norms} == {(0.3, 1e-3)}
    assert len(norms) == 57


def test_clips_of_different_length_train_as_if_batch_normalisation_alone_joined_them() -> None:
    """Outputs, running statistics and gradients of a tape equal those of clips that never touch each other."""
    lengths = [12, 4, 20, 8]
    spec = ModelSpec(architecture="teacher", num_classes=4, width=0.125, lstm_hidden=4, dropout=0)
    torch.manual_seed(5)
    model = build_model(spec).double()
    backbone = model.get_submodule("backbone")
    assert isinstance(backbone, I3dBackbone)
    expected_backbone = copy.deepcopy(backbone)
    clips = [torch.randn(1, 3, length, 32, 32, dtype=torch.double) for length in lengths]
    padded = torch.full((len(lengths), 3, max(lengths), 32, 32), torch.nan, dtype=torch.double)
    for row, clip in zip(padded, clips, strict=True):
        row[:, : clip.shape[2]] = clip[0]
    weights = torch.randn(max(lengths) // 4, len(lengths), backbone.out_channels, dtype=torch.double)

    ours = model.encode(padded, lengths)
    (ours * weights).sum().backward()
    theirs = [output.mean(dim=(3, 4))[0].T for output in reference.features(expected_backbone, clips)]
    sum((output * weights[: len(output), b]).sum() for b, output in enumerate(theirs)).backward()

    for b, output in enumerate(theirs):
        torch.testing.assert_close(ours[: len(output), b], output)
        assert not ours[len(output) :, b].any()
    for (name, mine), other in zip(backbone.named_parameters(), expected_backbone.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, other.grad, msg=lambda text, name=name: f"gradient of {name}: {text}")
    for (name, mine), other in zip(backbone.named_buffers(), expected_backbone.buffers(), strict=True):
        torch.testing.assert_close(mine, other, msg=lambda text, name=name: f"{name}: {text}")


def test_a_teacher_is_built_without_torchvision(repository: Path) -> None:
    code = (
        "import sys; from slrbench.models.registry import build_model; from slrbench.models.spec import ModelSpec; "
        "build_model(ModelSpec(architecture='teacher', num_classes=3, width=0.125, lstm_hidden=4)); "
        "print([name for name in ('torch', 'torchvision') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=repository, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['torch']"
