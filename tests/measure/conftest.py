"""A real ONNX file, tiny and quick to load: log_softmax over pixels that stand for classes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper

from slrbench.measure.rounds import MeasureSettings
from slrbench.measure.sampling import SamplingRule
from slrbench.records import Candidate
from slrbench.runners.inputs import artifact_sha256


@pytest.fixture(scope="session")
def onnx_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Maps ``(B, 3, T, H, W)`` to ``(T, B, W)``: the mean over channels and rows, normalised over columns."""
    path = tmp_path_factory.mktemp("graph") / "model.onnx"
    nodes = [
        helper.make_node("ReduceMean", ["video"], ["mean"], axes=[1, 3], keepdims=0),
        helper.make_node("LogSoftmax", ["mean"], ["normal"], axis=-1),
        helper.make_node("Transpose", ["normal"], ["log_probs"], perm=[1, 0, 2]),
    ]
    video = helper.make_tensor_value_info("video", TensorProto.FLOAT, ["batch", 3, "time", 8, 4])
    output = helper.make_tensor_value_info("log_probs", TensorProto.FLOAT, ["steps", "batch", 4])
    graph = helper.make_graph(nodes, "tiny", [video], [output])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


@pytest.fixture(scope="session")
def make_candidate(onnx_file: Path) -> Callable[..., Candidate]:
    """A candidate of that file, or of another."""

    def make(path: Path = onnx_file, **changes: Any) -> Candidate:
        values: dict[str, Any] = {
            "model": "tiny", "backend": "onnx", "format": "onnx", "threads": 1, "batch": 1, "frames": 4, "height": 8,
            "width": 4, "path": str(path), "artifact_sha256": artifact_sha256(path),
            "size_bytes": path.stat().st_size,
        }  # fmt: skip
        return Candidate.model_validate(values | changes)

    return make


@pytest.fixture(scope="session")
def brief() -> MeasureSettings:
    """Settings that take no time."""
    sampling = SamplingRule(min_calls=5, min_time_s=0.0, throughput_time_s=0.001, warmup_cap_s=0.2)
    return MeasureSettings(rounds=2, processes=1, turns=1, sampling=sampling, limit_s=60.0)
