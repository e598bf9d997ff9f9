"""A real network, tiny, as a checkpoint and as every artifact that can be made of it."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

from exporters.artifact import sha256_file
from exporters.input_adapter import example_video
from exporters.to_onnx import onnx_from_module
from exporters.to_openvino import openvino_from_onnx
from exporters.to_torchscript import torchscript_from_module
from slrbench.models.registry import build_model
from slrbench.models.spec import ModelSpec
from slrbench.runners.open import open_runner
from slrbench.runners.protocol import Runner
from tests.exporters.tiny_network import TinyNetwork
from tests.runners.host_cuda import HostCuda, check
from tests.runners.trt_session import ENGINES, plan

SIZE = 32
CLASSES = 5


@dataclass(frozen=True)
class Files:
    """Where the artifacts of the tiny network are."""

    folder: Path

    def path(self, backend: str, input_kind: str = "float32") -> Path:
        infix = "" if input_kind == "float32" else f".{input_kind}"
        names = {"torchscript": f"model{infix}.torchscript", "onnx": f"model{infix}.onnx"}
        names["openvino"] = f"model{infix}.openvino.xml"
        return self.folder / names[backend] if backend != "torch" else self.folder


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("tiny")
    spec = ModelSpec(
        architecture="student", num_classes=CLASSES, width_mult=0.35, conv_channels=8, lstm_hidden=8, lstm_layers=1
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = build_model(spec).eval()
    weights = folder / "checkpoint.safetensors"
    save_file({name: value.contiguous() for name, value in model.state_dict().items()}, weights)
    card = {"spec": spec.model_dump(mode="json"), "weights_sha256": sha256_file(weights)}
    (folder / "checkpoint.json").write_text(json.dumps(card))
    made = Files(folder)
    for kind in ("float32", "uint8"):
        video = example_video(kind, height=SIZE, width=SIZE)
        torchscript_from_module(
            model, made.path("torchscript", kind), example_video=video, input_kind=kind, metadata={}
        )
        onnx_from_module(model, made.path("onnx", kind), example_video=video, input_kind=kind, metadata={})
        openvino_from_onnx(made.path("onnx", kind), made.path("openvino", kind), metadata={})
    return made


@pytest.fixture(scope="session")
def tiny_onnx(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A network whose output depends on its input, as ONNX files for both inputs; frames of 8 x 8 pixels."""
    folder = tmp_path_factory.mktemp("tiny_onnx")
    network = TinyNetwork().eval()
    paths = {}
    for kind in ("float32", "uint8"):
        paths[kind] = folder / f"model.{kind}.onnx"
        video = example_video(kind, height=8, width=8)
        onnx_from_module(network, paths[kind], example_video=video, input_kind=kind, metadata={})
    return paths


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest, tiny_onnx: dict[str, Path], tmp_path: Path) -> Path:
    """An engine file of the tiny network for either library, as those on host memory read it."""
    return plan(tmp_path / request.param, tiny_onnx["float32"])


@pytest.fixture
def onnx(tiny_onnx: dict[str, Path]) -> Runner:
    """The same file on its own runner."""
    return open_runner("onnx", tiny_onnx["float32"], threads=1)


@pytest.fixture
def host() -> Iterator[HostCuda]:
    """Host memory in which no test leaves a fault; nothing leaks where the runner was closed."""
    made = HostCuda()
    yield made
    check(made)


@pytest.fixture
def noise() -> Callable[[int, int], NDArray[np.uint8]]:
    """Raw frames ``(B, T, H, W, 3)``."""

    def make(batch: int, frames: int) -> NDArray[np.uint8]:
        return np.random.default_rng(0).integers(0, 256, (batch, frames, SIZE, SIZE, 3), dtype=np.uint8)

    return make
