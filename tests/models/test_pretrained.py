import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torchvision.models import mobilenet_v3_small

from slrbench.errors import BadInputError, UnavailableError
from slrbench.models.mobilenetv3 import Student, mobilenetv3_features
from slrbench.models.pretrained import fold_imagenet_normalisation
from slrbench.models.registry import build_model, load_weights
from slrbench.models.spec import ModelSpec

TEACHER = ModelSpec(architecture="teacher", num_classes=4, width=0.125, lstm_hidden=4)
STUDENT = ModelSpec(architecture="student", num_classes=4, width_mult=0.25, conv_channels=8, lstm_hidden=4)
State = dict[str, Tensor]


@pytest.fixture
def kinetics() -> State:
    """What the public checkpoints hold: the backbone without counters, and a classifier of 400."""
    state = build_model(TEACHER).get_submodule("backbone").state_dict()
    kept = {name: torch.randn(value.shape) for name, value in state.items() if not name.endswith("num_batches_tracked")}
    return kept | {"logits.conv3d.weight": torch.zeros(400, 128, 1, 1, 1), "logits.conv3d.bias": torch.zeros(400)}


def test_a_kinetics_checkpoint_fills_the_backbone_and_nothing_else(tmp_path: Path, kinetics: State) -> None:
    torch.save(kinetics, tmp_path / "rgb.pt")
    torch.manual_seed(0)
    model = build_model(TEACHER, init=tmp_path / "rgb.pt")
    torch.manual_seed(0)
    fresh = build_model(TEACHER)
    backbone = model.get_submodule("backbone").state_dict()
    given = {name: value for name, value in kinetics.items() if not name.startswith("logits.")}
    assert len(given) == 57 * 5
    for name, value in given.items():
        assert torch.equal(backbone[name], value), name
    for a, b in zip(model.get_submodule("head").parameters(), fresh.get_submodule("head").parameters(), strict=True):
        assert torch.equal(a, b)


def without_a_key(state: State) -> State:
    return {name: value for name, value in state.items() if name != "Mixed_4c.b1b.conv3d.weight"}


def with_another_name(state: State) -> State:
    return {name.replace("Conv3d_1a_7x7", "conv3d_1a"): value for name, value in state.items()}


def with_another_shape(state: State) -> State:
    return state | {"Mixed_5c.b0.bn.bias": torch.zeros(3)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without_a_key, "misses Mixed_4c.b1b.conv3d.weight"),
        (with_another_name, "misses Conv3d_1a_7x7.conv3d.weight, .* and has unknown conv3d_1a.conv3d.weight"),
        (with_another_shape, r"Mixed_5c.b0.bn.bias \(3,\) instead of \(48,\)"),
        (lambda _: {}, "misses Conv3d_1a_7x7.conv3d.weight, .* and 277 more"),
        (lambda state: {"state_dict": state}, "something else than names and tensors"),
        (lambda _: [1, 2], "something else than names and tensors"),
    ],
)
def test_what_does_not_fit_is_named(
    tmp_path: Path, kinetics: State, change: Callable[[State], object], message: str
) -> None:
    torch.save(change(kinetics), tmp_path / "rgb.pt")
    with pytest.raises(BadInputError, match=message) as raised:
        build_model(TEACHER, init=tmp_path / "rgb.pt")
    assert "rgb.pt" in raised.value.message
    assert raised.value.hint


class Unwanted:
    """Unpickling this would run code."""

    def __reduce__(self) -> tuple[Callable[..., None], tuple[str]]:
        return (Path.touch, (Path("touched"),))  # type: ignore[return-value]


def test_files_that_are_no_weights_are_refused(tmp_path: Path, kinetics: State) -> None:
    torch.save(kinetics, tmp_path / "whole.pt")
    (tmp_path / "truncated.pt").write_bytes((tmp_path / "whole.pt").read_bytes()[:5000])
    (tmp_path / "text.pt").write_text("hello")
    (tmp_path / "empty.pt").touch()
    (tmp_path / "stop.pt").write_bytes(b".")  # takes the result from an empty stack
    (tmp_path / "cut.pt").write_bytes(b"\x80\x02}q\x00X")  # ends within the length of a string
    torch.save({"a": Unwanted()}, tmp_path / "code.pt")
    for name in ("truncated.pt", "text.pt", "empty.pt", "stop.pt", "cut.pt", "code.pt"):
        with pytest.raises(BadInputError, match=rf"{name} cannot be read as PyTorch weights"):
            build_model(TEACHER, init=tmp_path / name)
    with pytest.raises(BadInputError, match="there is no file"):
        build_model(TEACHER, init=tmp_path / "missing.pt")
    with pytest.raises(BadInputError, match="cannot be read"):
        build_model(TEACHER, init=tmp_path)
    assert not Path("touched").exists()


def test_a_file_fills_the_students_convolutions_as_a_download_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    theirs = mobilenet_v3_small()
    cache = tmp_path / "hub" / "checkpoints"
    cache.mkdir(parents=True)
    for path in (tmp_path / "any.pth", cache / "mobilenet_v3_small-047dcff4.pth"):
        torch.save(theirs.state_dict(), path)
    whole = STUDENT.model_copy(update={"width_mult": 1.0})
    from_file, downloaded = build_model(whole, init=tmp_path / "any.pth"), build_model(whole, imagenet=True)
    for a, b in zip(
        from_file.backbone_module.state_dict().values(), downloaded.backbone_module.state_dict().values(), strict=True
    ):
        assert torch.equal(a, b)
    assert not torch.equal(from_file.backbone_module.state_dict()["0.0.weight"], theirs.features[0][0].weight)
    with pytest.raises(BadInputError, match=r"other shapes than the network's: 0.0.weight \(16, 3, 3, 3\) instead"):
        build_model(STUDENT, init=tmp_path / "any.pth")
    with pytest.raises(BadInputError, match="two sets of weights"):
        build_model(whole, init=tmp_path / "any.pth", imagenet=True)


def test_weights_of_the_other_network_are_refused(tmp_path: Path, kinetics: State) -> None:
    torch.save(kinetics, tmp_path / "rgb.pt")
    with pytest.raises(BadInputError, match="is not a state dict of mobilenet_v3_small: it misses"):
        build_model(STUDENT, init=tmp_path / "rgb.pt")
    with pytest.raises(BadInputError, match="ImageNet weights are the student's"):
        build_model(TEACHER, imagenet=True)
    with pytest.raises(BadInputError, match=re.escape("width_mult 1 only, not for 0.25")):
        build_model(STUDENT, imagenet=True)


def test_imagenet_weights_come_from_torchs_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    torch.manual_seed(0)
    theirs = mobilenet_v3_small()
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    torch.save(theirs.state_dict(), tmp_path / "hub" / "checkpoints" / "mobilenet_v3_small-047dcff4.pth")
    model = build_model(STUDENT.model_copy(update={"width_mult": 1.0}), imagenet=True)
    assert isinstance(model, Student)
    ours, cached = model.features.state_dict(), theirs.features.state_dict()
    changed = {name for name in cached if not torch.equal(ours[name], cached[name])}
    assert changed == {"0.0.weight", "0.1.running_mean"}


def test_imagenet_weights_that_cannot_be_had_are_unavailable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # the port that discards; nobody listens
    with pytest.raises(UnavailableError, match="cannot be downloaded from https://") as raised:
        build_model(STUDENT.model_copy(update={"width_mult": 1.0}), imagenet=True)
    assert raised.value.hint


def test_the_stem_sees_imagenets_normalisation_in_video_of_our_range() -> None:
    torch.manual_seed(0)
    spec = STUDENT.model_copy(update={"width_mult": 1.0})
    theirs, ours = mobilenetv3_features(spec).eval(), mobilenetv3_features(spec).eval()
    ours.load_state_dict(theirs.state_dict())
    fold_imagenet_normalisation(ours)
    image = torch.rand(1, 3, 16, 16)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    with torch.no_grad():
        expected = theirs[0]((image - mean[:, None, None]) / std[:, None, None])
        found = ours[0](image * 2 - 1)
        unchanged = theirs[0](image * 2 - 1)
    inside = (slice(None), slice(None), slice(1, None), slice(1, None))  # the border pads with another colour
    torch.testing.assert_close(found[inside], expected[inside], atol=1e-5, rtol=1e-5)
    assert (unchanged[inside] - expected[inside]).abs().max() > 0.1


@pytest.mark.parametrize("spec", [TEACHER, STUDENT])
def test_weights_are_read_back(tmp_path: Path, spec: ModelSpec) -> None:
    model = build_model(spec).eval()
    save_file(model.state_dict(), tmp_path / "w.safetensors")
    again = load_weights(spec, tmp_path / "w.safetensors")
    assert not again.training
    video = torch.randn(1, 3, 4, 32, 32)
    with torch.no_grad():
        assert torch.equal(again(video), model(video))


def test_weights_of_another_network_or_none_are_bad_input(tmp_path: Path) -> None:
    save_file(build_model(STUDENT).state_dict(), tmp_path / "w.safetensors")
    with pytest.raises(BadInputError, match="does not hold the weights of this teacher"):
        load_weights(TEACHER, tmp_path / "w.safetensors")
    (tmp_path / "bad.safetensors").write_bytes(b"nonsense")
    for name in ("bad.safetensors", "missing.safetensors"):
        with pytest.raises(BadInputError, match="cannot be read as safetensors"):
            load_weights(TEACHER, tmp_path / name)
