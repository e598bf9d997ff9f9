"""Tiny real networks, exported once for all tests."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from exporters.parity import ParityInput
from slrbench.workflows.export import ExportResult, export_model
from tests.exporters.tiny_checkpoints import make_checkpoints
from tests.exporters.tiny_network import TinyNetwork


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of a teacher and a student with random weights and batch statistics of real clips."""
    return make_checkpoints(tmp_path_factory.mktemp("models"))


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
