"""Tiny real networks, exported once for all tests."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from exporters.parity import ParityInput
from slrbench.data import open_corpus
from slrbench.data.batching import normalise
from slrbench.models.registry import build_model
from slrbench.models.spec import ModelSpec
from slrbench.training.card import CheckpointCard
from slrbench.training.checkpoint import save_checkpoint
from slrbench.workflows.export import ExportResult, export_model
from tests.exporters.tiny_network import TinyNetwork

CORPUS = "fingerspelling:language=ase,letters=8,size=32"
SPECS: dict[str, dict[str, Any]] = {
    "teacher": {"width": 0.125},
    "student": {"width_mult": 0.25, "conv_channels": 32},
}


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of a teacher and a student with random weights and batch statistics of real clips.

    Without the statistics a random MobileNetV3 gives the same outputs for every input, and everything equals it.
    """
    corpus = open_corpus(CORPUS)
    split = corpus.split("dev")
    length = min(len(split[index].frames) for index in range(3))
    video = torch.from_numpy(normalise(np.stack([split[index].frames[:length] for index in range(3)])))
    folders = {}
    for name, dimensions in SPECS.items():
        torch.manual_seed(0)
        spec = ModelSpec(architecture=name, num_classes=corpus.vocabulary.num_classes, lstm_hidden=16, **dimensions)
        model = build_model(spec).train()
        with torch.no_grad():
            for _ in range(8):
                model(video)
            for parameter in model.head.parameters():
                parameter.mul_(2.0)  # margins of a trained network rather than of a random one
        card = CheckpointCard(
            model_id=f"tiny-{name}",
            spec=spec,
            glosses=corpus.vocabulary.glosses,
            data=corpus.spec,
            data_fingerprint=corpus.fingerprint(),
            frames_per_second=corpus.frames_per_second,
            frame_size=corpus.frame_size,
            parameters=sum(p.numel() for p in model.parameters()),
        )
        folders[name] = tmp_path_factory.mktemp("models") / card.model_id
        save_checkpoint(folders[name], model.eval(), card)
    return folders


@pytest.fixture(scope="session")
def exported(checkpoints: dict[str, Path]) -> dict[str, ExportResult]:
    """Every format and input of both networks; do not change these files."""
    return {name: export_model(folder, input_kinds=("float32", "uint8")) for name, folder in checkpoints.items()}


@pytest.fixture(scope="session")
def tiny() -> TinyNetwork:
    return TinyNetwork().eval()


TINY_SHAPES = ((1, 1), (2, 3), (1, 6), (3, 9), (2, 16), (4, 8), (1, 23), (2, 30))


@pytest.fixture(scope="session")
def tiny_inputs() -> tuple[ParityInput, ...]:
    generator = np.random.default_rng(0)
    return tuple(
        ParityInput(
            name=f"noise {batch}x{frames}",
            video=generator.uniform(-1, 1, (batch, 3, frames, 8, 8)).astype(np.float32),
            source="noise",
        )
        for batch, frames in TINY_SHAPES
    )
