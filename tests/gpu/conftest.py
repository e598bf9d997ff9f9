"""Tests that need an NVIDIA GPU; ``python tests/gpu/run.py`` runs them and the benchmark, and writes a report.

Collecting imports no runtime: torch, TensorRT, pycuda and ONNX Runtime are loaded in fixtures and tests only.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from exporters.tensorrt_library import compute_capability_here, gpu_is_visible
from tests.gpu.on_device import PRECISIONS

if TYPE_CHECKING:
    from exporters.tensorrt_library import Library
    from slrbench.workflows.export import ExportResult

HERE = Path(__file__).parent
NO_GPU = "needs an NVIDIA GPU, and no CUDA device is visible"
OLD_GPU = "needs a GPU of compute capability 8.0 or later"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip everything here without a GPU; with one, what its libraries warn of is shown and fails nothing.

    Tests that ask for the fixture ``tensorrt`` are marked as such, so that they can be left out.
    """
    for item in items:
        if not item.path.is_relative_to(HERE):
            continue
        if "tensorrt" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.tensorrt)
        item.add_marker(pytest.mark.filterwarnings("default"))
        if not gpu_is_visible():
            item.add_marker(pytest.mark.skip(reason=NO_GPU))


@pytest.fixture(scope="session")
def ampere() -> None:
    """TF32 and bf16 arithmetic began with compute capability 8.0."""
    capability = compute_capability_here()
    if capability is None or int(capability.partition(".")[0]) < 8:
        pytest.skip(OLD_GPU)


@pytest.fixture(scope="session")
def tensorrt() -> "Library":
    """TensorRT itself; where it is missing the tests fail rather than pass unseen."""
    from exporters.tensorrt_library import find_library

    return find_library("tensorrt")


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of a tiny teacher and a tiny student, both verified; do not change them."""
    from slrbench.training.checkpoint import load_checkpoint, update_card
    from slrbench.training.verification import verify_model
    from tests.exporters.tiny_checkpoints import make_checkpoints

    folders = make_checkpoints(tmp_path_factory.mktemp("models"))
    for folder in folders.values():
        model, card = load_checkpoint(folder)
        checks = verify_model(model.eval(), glosses=card.glosses, frame_size=card.frame_size)
        update_card(folder, card.model_copy(update={"verification": checks}))
    return folders


@pytest.fixture(scope="session")
def engines(
    tensorrt: "Library", checkpoints: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, "ExportResult"]:
    """Every precision of both networks for the GPU at hand, and their ONNX files; do not change them."""
    import shutil

    from exporters.engine_options import EngineOptions
    from slrbench.workflows.export import export_model

    options = EngineOptions(builder="tensorrt", timing_cache=tmp_path_factory.mktemp("cache") / "timing.cache")
    results = {}
    for name, folder in checkpoints.items():
        copied = tmp_path_factory.mktemp("engines") / folder.name
        shutil.copytree(folder, copied)
        precisions = PRECISIONS if _has_tf32() else ("fp32", "fp16", "int8")
        results[name] = export_model(copied, formats=("onnx", "trt"), precisions=precisions, engine=options)
    return results


@pytest.fixture(scope="session")
def student(checkpoints: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the tiny student with its ONNX files, fp32 and fp16; do not change it."""
    import shutil

    from slrbench.workflows.export import export_model

    copied = shutil.copytree(checkpoints["student"], tmp_path_factory.mktemp("student") / "tiny-student")
    export_model(copied, formats=("onnx",), precisions=("fp32", "fp16")).raise_for_failures()
    return copied


@pytest.fixture(scope="session")
def student_engine(engines: dict[str, "ExportResult"]) -> Path:
    """The tiny student's fp32 engine."""
    found = [e.artifact for e in engines["student"].entries if e.artifact.format == "trt"]
    return engines["student"].manifest_path.parent / next(a.path for a in found if a.precision == "fp32")


@pytest.fixture(scope="session")
def build(tensorrt: "Library") -> Callable[..., dict[str, Any]]:
    """Build an engine of an ONNX file: ``build(graph, path, frame_size=(8, 8), precision="fp32", **options)``."""
    from exporters.engine_options import EngineOptions, Range
    from exporters.to_tensorrt import engine_from_onnx

    usual = EngineOptions(builder="tensorrt", batch=Range(min=1, opt=2, max=4), frames=Range(min=1, opt=16, max=64))

    def made(
        graph: Path, path: Path, *, frame_size: tuple[int, int] = (8, 8), precision: Any = "fp32", **options: Any
    ) -> dict[str, Any]:
        return engine_from_onnx(
            graph,
            path,
            library=tensorrt,
            precision=precision,
            frame_size=frame_size,
            options=replace(usual, **options),
        )

    return made


@pytest.fixture(scope="session")
def recurrent_graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny network with an LSTM as a graph that takes frames of 8 x 8 pixels."""
    from exporters.input_adapter import example_video
    from exporters.to_onnx import onnx_from_module
    from tests.exporters.tiny_network import TinyNetwork

    path = tmp_path_factory.mktemp("recurrent") / "model.onnx"
    onnx_from_module(TinyNetwork().eval(), path, example_video=example_video("float32", height=8, width=8), metadata={})
    return path


@pytest.fixture(scope="session")
def wide_graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Convolutions of so many channels that tensor cores pay, and no loop; frames of 32 x 32 pixels."""
    from exporters.input_adapter import example_video
    from exporters.to_onnx import onnx_from_module
    from tests.gpu.wide_network import WideNetwork

    path = tmp_path_factory.mktemp("wide") / "model.onnx"
    onnx_from_module(
        WideNetwork().eval(), path, example_video=example_video("float32", height=32, width=32), metadata={}
    )
    return path


def _has_tf32() -> bool:
    capability = compute_capability_here()
    return capability is not None and int(capability.partition(".")[0]) >= 8
