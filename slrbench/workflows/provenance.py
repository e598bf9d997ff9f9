"""Where a checkpoint comes from: what determines its weights, and which code and machine made it."""

import importlib.metadata
import platform
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ValidationError

import slrbench
from exporters.artifact import sha256_file
from slrbench.data.corpus import Corpus
from slrbench.training.card import CheckpointCard
from slrbench.training.config import DistillationConfig, OptimisationConfig, Role, RunConfig

_PACKAGES = ("torch", "torchvision", "numpy", "spoken-to-signed", "opencv-python-headless", "accelerate")


def training_identity(
    role: Role, config: RunConfig, corpus: Corpus, *, start: str | None, teacher: CheckpointCard | None
) -> dict[str, Any]:
    """What determines the weights beside the network's dimensions; a card with the same holds the same training.

    ``start`` is what ``initial_weights`` says.
    """
    return {
        "preset": config.preset,
        "seed": config.seed,
        "optimisation": config.optimisation(role).model_dump(),
        "mixed_precision": config.mixed_precision,
        "data_fingerprint": corpus.fingerprint(),
        "init": start,
        "distillation": config.distillation.model_dump() if teacher else None,
        "teacher_sha256": teacher.weights_sha256 if teacher else None,
    }


def same_training(known: Mapping[str, Any], identity: Mapping[str, Any]) -> bool:
    """Whether a card's ``trained_with`` says the same as ``training_identity``.

    Cards of older versions lack fields that have come since; such a field had its default's meaning then.
    """
    sections: dict[str, type[BaseModel]] = {"optimisation": OptimisationConfig, "distillation": DistillationConfig}

    def filled(key: str, value: Any) -> Any:
        if key not in sections or not isinstance(value, Mapping):
            return value
        try:
            return sections[key].model_validate(value).model_dump()
        except ValidationError:
            return value

    return all(filled(key, known.get(key)) == value for key, value in identity.items())


def initial_weights(init: Path | None, *, imagenet: bool) -> str | None:
    """The hash of the file that a network starts from, ``imagenet``, or None for random weights.

    Raises:
        OSError: the file cannot be read.
    """
    if init is not None:
        return f"{init.name} sha256 {sha256_file(init)}"
    return "imagenet" if imagenet else None


def start_of(step: int, device: str, processes: int = 1) -> dict[str, Any]:
    """One start of a training, for the card: an interrupted one has several."""
    return {
        "from_step": step,
        "code": code_revision(),
        "device": device,
        "threads": torch.get_num_threads(),
        "processes": processes,
        "machine": platform.machine(),
    }


def code_revision() -> str:
    """The git revision of this code, ``+ changes`` where files differ from it; the version where there is no git."""
    root = Path(slrbench.__file__).parents[1]
    top = _git(root, "rev-parse", "--show-toplevel")
    # An installed package may lie inside somebody's repository, which says nothing about it.
    if top is None or Path(top) != root.resolve():
        return f"slrbench {slrbench.__version__}"
    revision = _git(root, "rev-parse", "HEAD")
    if revision is None:
        return f"slrbench {slrbench.__version__}"
    changed = _git(root, "status", "--porcelain", "--", "slrbench", "exporters")
    return f"{revision} + uncommitted changes" if changed else revision


def versions() -> dict[str, str]:
    """Versions of the packages that training depends on."""
    return {name: importlib.metadata.version(name) for name in _PACKAGES}


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=False)
    except (FileNotFoundError, NotADirectoryError):
        return None  # git is not installed, or the package is a zip file
    return done.stdout.strip() if done.returncode == 0 else None
