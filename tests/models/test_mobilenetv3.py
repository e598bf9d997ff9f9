import pytest
import torch
from torch import Tensor, nn
from torchvision.models import mobilenet_v3_large, mobilenet_v3_small

from slrbench.models.mobilenetv3 import Student, TemporalConvolutions, mobilenetv3_features
from slrbench.models.registry import build_model
from slrbench.models.spec import ModelSpec
from tests.models.same_padding_reference import joint_batch_norm


def student_spec(**fields: object) -> ModelSpec:
    return ModelSpec.model_validate({"architecture": "student", "num_classes": 5, **fields})


@pytest.mark.parametrize(("variant", "build"), [("small", mobilenet_v3_small), ("large", mobilenet_v3_large)])
def test_features_are_torchvisions(variant: str, build: type[nn.Module]) -> None:
    with torch.device("meta"):
        ours = mobilenetv3_features(student_spec(variant=variant)).state_dict()
        theirs = build().get_submodule("features").state_dict()
    assert {name: value.shape for name, value in ours.items()} == {name: value.shape for name, value in theirs.items()}


@pytest.mark.parametrize(("variant", "spatial_stride"), [("small", 8), ("small", 16), ("small", 32), ("large", 16)])
def test_spatial_stride_is_what_the_spec_says(variant: str, spatial_stride: int) -> None:
    with torch.device("meta"):
        features = mobilenetv3_features(student_spec(variant=variant, spatial_stride=spatial_stride))
        cells = features(torch.empty(1, 3, 64, 96)).shape[2:]
    assert cells == (64 // spatial_stride, 96 // spatial_stride)


def test_every_batch_normalisation_follows_the_spec() -> None:
    model = build_model(student_spec(width_mult=0.25, batch_norm_momentum=0.3))
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)]
    assert {norm.momentum for norm in norms} == {0.3}


def test_a_clip_alone_gives_each_frame_to_the_same_network() -> None:
    """Frames are mixed by the temporal convolutions only."""
    model = build_model(student_spec(width_mult=0.25, conv_channels=8, lstm_hidden=4)).eval()
    assert isinstance(model, Student)
    video = torch.randn(2, 3, 4, 32, 32)
    with torch.no_grad():
        whole = model.encode(video, None)
        frames = torch.stack([model.features(video[:, :, t]).mean(dim=(2, 3)) for t in range(4)], dim=2)
        torch.testing.assert_close(whole, model.temporal(frames).permute(2, 0, 1), atol=1e-6, rtol=1e-5)


def temporal_reference(layers: TemporalConvolutions, clips: list[Tensor]) -> list[Tensor]:
    """Each clip alone, joined by batch normalisation only."""
    for conv, norm in ((layers.conv1, layers.norm1), (layers.conv2, layers.norm2)):
        normalised = joint_batch_norm(norm, [conv(clip) for clip in clips])
        clips = [nn.functional.max_pool1d(torch.relu(clip), 2) for clip in normalised]
    return clips


def test_temporal_convolutions_train_as_if_batch_normalisation_alone_joined_the_clips() -> None:
    torch.manual_seed(0)
    lengths = [12, 4, 8]
    ours, theirs = TemporalConvolutions(5, 6, 0.1).double(), TemporalConvolutions(5, 6, 0.1).double()
    theirs.load_state_dict(ours.state_dict())
    x = torch.zeros(3, 5, 12, dtype=torch.double)
    for row, length in zip(x, lengths, strict=True):
        row[:, :length] = torch.randn(5, length)
    output = ours(x, lengths)
    expected = temporal_reference(theirs, [x[b : b + 1, :, :length] for b, length in enumerate(lengths)])
    for b, clip in enumerate(expected):
        torch.testing.assert_close(output[b : b + 1, :, : clip.shape[2]], clip)
        assert not output[b, :, clip.shape[2] :].any()
    output.square().sum().backward()
    torch.stack([clip.square().sum() for clip in expected]).sum().backward()
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad)
    for a, b in zip(ours.buffers(), theirs.buffers(), strict=True):
        torch.testing.assert_close(a, b)
