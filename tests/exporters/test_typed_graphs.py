"""Half-precision and int8 graphs: their types, their scheme, and the gates that judge them."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto
from torch import nn

from exporters.artifact import ExporterError, InvarianceResult, ParityVerdict, WerDifference
from exporters.comparison import ParityInput, compare
from exporters.gates import PRECISIONS, gates_for
from exporters.quantize import check_symmetric, quantize_onnx
from exporters.to_onnx import onnx_from_module
from exporters.typed_network import HardSwish, TypedNetwork
from slrbench.workflows.export import export_model
from slrbench.workflows.typed_graphs import with_wer_difference
from tests.exporters.test_exported_files import EXAMPLE
from tests.exporters.tiny_network import TinyNetwork


@pytest.fixture(scope="module")
def quantised(tiny: TinyNetwork, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("quantised")
    onnx_from_module(tiny, folder / "fp32.onnx", example_video=EXAMPLE, metadata={})
    clips = [np.random.default_rng(i).uniform(-1, 1, (1, 3, 12, 8, 8)).astype(np.float32) for i in range(3)]
    built = quantize_onnx(folder / "fp32.onnx", folder / "int8.onnx", calibration=clips)
    assert built["calibration_clips"] == 3
    assert built["quantised_convolutions"] == 1
    return folder / "int8.onnx"


def test_hard_swish_is_torchs() -> None:
    x = torch.linspace(-5, 5, 1001)
    torch.testing.assert_close(HardSwish()(x), nn.functional.hardswish(x))


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_a_typed_network_is_a_copy_that_gives_float32(tiny: TinyNetwork, precision: str) -> None:
    typed = TypedNetwork(tiny, precision)  # type: ignore[arg-type]
    assert {p.dtype for p in tiny.parameters()} == {torch.float32}
    assert {p.dtype for p in typed.parameters()} == {typed.dtype}
    with torch.no_grad():
        found, expected = typed(EXAMPLE), tiny(EXAMPLE)
    assert found.dtype == torch.float32
    assert float(found.logsumexp(dim=-1).abs().max()) < 1e-5  # normalised in fp32, not in half precision
    assert 0 < float((found - expected).abs().max()) < 0.2


def test_fp16_and_int8_onnx_files_are_artifacts_with_verdicts(checkpoints: dict[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(checkpoints["teacher"], folder)
    result = export_model(folder, formats=("onnx",), precisions=("fp32", "fp16", "int8"))
    fp32, fp16, int8 = result.entries
    assert [e.artifact.path for e in result.entries] == ["model.onnx", "model.fp16.onnx", "model.int8.onnx"]
    assert fp16.artifact.size_bytes < 0.6 * fp32.artifact.size_bytes
    weights = [i for i in onnx.load(folder / "model.fp16.onnx").graph.initializer if len(i.dims) > 1]
    assert {i.data_type for i in weights} == {TensorProto.FLOAT16}
    assert fp16.parity is not None
    assert fp16.parity.passed
    assert (fp16.parity.gates, fp32.parity and fp32.parity.gates) == ("fp16", "fp32")
    assert int8.parity is not None
    assert int8.parity.wer is not None
    assert int8.parity.wer.reference > 0
    assert int8.parity.wer.allowed == 0.01


def test_int8_is_symmetric_per_channel_and_leaves_lstm_and_classifier_alone(quantised: Path) -> None:
    model = onnx.load(quantised)
    assert check_symmetric(model) == {"quantised_convolutions": 1}
    made_by = {output: node.op_type for node in model.graph.node for output in node.output}
    for node in model.graph.node:
        if node.op_type in ("LSTM", "MatMul", "Gemm"):
            assert "DequantizeLinear" not in [made_by.get(name) for name in node.input]


def _zero_point(model: onnx.ModelProto) -> None:
    node = next(node for node in model.graph.node if node.op_type == "QuantizeLinear")
    for initializer in model.graph.initializer:
        if initializer.name == node.input[2]:
            shifted = onnx.numpy_helper.to_array(initializer) + np.int8(3)
            initializer.CopyFrom(onnx.numpy_helper.from_array(shifted.astype(np.int8), initializer.name))


def _no_pair(model: onnx.ModelProto) -> None:
    node = next(node for node in model.graph.node if node.op_type == "Conv")
    node.input[0] = "video"


def _one_scale(model: onnx.ModelProto) -> None:
    made_by = {output: node for node in model.graph.node for output in node.output}
    conv = next(node for node in model.graph.node if node.op_type == "Conv")
    scale = made_by[conv.input[1]].input[1]
    for initializer in model.graph.initializer:
        if initializer.name == scale:
            initializer.CopyFrom(onnx.numpy_helper.from_array(np.float32(0.1), scale))


def _no_convolution(model: onnx.ModelProto) -> None:
    kept = [node for node in model.graph.node if node.op_type != "Conv"]
    del model.graph.node[:]
    model.graph.node.extend(kept)


def _lstm(model: onnx.ModelProto) -> None:
    pair = next(node for node in model.graph.node if node.op_type == "DequantizeLinear")
    next(node for node in model.graph.node if node.op_type == "LSTM").input[0] = pair.output[0]


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (_zero_point, "is not 0"),
        (_no_pair, "lacks Q/DQ pairs"),
        (_one_scale, "one scale for all channels"),
        (_no_convolution, "no convolution was quantised"),
        (_lstm, "the LSTM .* was quantised"),
    ],
)
def test_another_scheme_is_refused(quantised: Path, damage: Callable[[onnx.ModelProto], None], words: str) -> None:
    model = onnx.load(quantised)
    damage(model)
    with pytest.raises(ExporterError, match=words):
        check_symmetric(model)


def test_int8_without_clips_is_refused(quantised: Path, tmp_path: Path) -> None:
    with pytest.raises(ExporterError, match="needs clips to calibrate on"):
        quantize_onnx(quantised.with_name("fp32.onnx"), tmp_path / "int8.onnx", calibration=[])


def test_what_cannot_be_quantised_is_an_error_in_words(tmp_path: Path) -> None:
    (tmp_path / "bad.onnx").write_bytes(b"no graph")
    clips = [np.zeros((1, 3, 4, 8, 8), dtype=np.float32)]
    with pytest.raises(ExporterError, match="cannot be quantised to int8"):
        quantize_onnx(tmp_path / "bad.onnx", tmp_path / "int8.onnx", calibration=clips)
    assert [path.name for path in tmp_path.iterdir()] == ["bad.onnx"]


def log_probs(seed: int, shape: tuple[int, int, int] = (40, 2, 5)) -> np.ndarray:
    logits = np.random.default_rng(seed).normal(size=shape) * 4
    return logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))


def item(source: str) -> ParityInput:
    return ParityInput(name="x", video=np.zeros((2, 3, 40, 1, 1), np.float32), source=source)  # type: ignore[arg-type]


def test_gates_grow_from_fp32_to_bf16_and_every_precision_has_some() -> None:
    tolerances = [gates_for(precision).atol for precision in ("fp32", "tf32", "fp16", "bf16")]
    assert tolerances == sorted(tolerances)
    assert tolerances[:2] == [1e-4, 5e-3]
    assert set(PRECISIONS) == {"fp32", "tf32", "fp16", "bf16", "int8"}
    with pytest.raises(ExporterError, match="unknown precision 'fp8'"):
        gates_for("fp8")


def test_an_error_that_fp16_may_have_fails_fp32() -> None:
    expected = log_probs(0)
    shifted = expected + np.random.default_rng(1).normal(size=expected.shape) * 2e-3
    found = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    assert compare(expected, found, item("clips"), gates_for("fp16")).passed
    assert not compare(expected, found, item("clips"), gates_for("fp32")).passed


def test_fp16_that_is_quietly_wrong_fails_fp16() -> None:
    expected, other = log_probs(0), log_probs(1)
    assert not compare(expected, other, item("clips"), gates_for("fp16")).passed


def test_int8_is_judged_by_what_it_reads_of_real_clips() -> None:
    expected = log_probs(0)
    sharper = expected * 1.5
    sharper -= np.log(np.exp(sharper).sum(axis=-1, keepdims=True))
    assert np.abs(sharper - expected).max() > 1  # far outside of any tolerance, and reads the same
    assert compare(expected, sharper, item("clips"), gates_for("int8")).passed
    assert not compare(expected, log_probs(1), item("clips"), gates_for("int8")).passed
    assert compare(expected, log_probs(1), item("noise"), gates_for("int8")).passed
    assert not compare(expected, expected * 1.5, item("noise"), gates_for("int8")).passed  # does not normalise


@pytest.mark.parametrize(("candidate", "passed"), [(0.10, True), (0.109, True), (0.12, False)])
def test_int8_fails_where_it_reads_worse_than_allowed(candidate: float, passed: bool) -> None:
    verdict = ParityVerdict(
        artifact_sha256="0" * 64, reference="r", backend="onnx", tolerance_atol=0.0, tolerance_rtol=0.0, cases=(),
        invariances=(InvarianceResult(name="i", max_abs_error=0.0, tolerance=0.0, passed=True),),
        needed_atol=0.0, passed=True,
    )  # fmt: skip
    wer = WerDifference(split="dev", clips=100, reference=0.10, candidate=candidate, allowed=0.01)
    judged = with_wer_difference(verdict, wer)
    assert judged.passed is passed
    assert judged.wer == wer
    assert passed or "WER on 100 clips of dev is 12.00%, the reference's 10.00%" in judged.reasons[0]
