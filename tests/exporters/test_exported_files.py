"""The exporters on a small real network, and what parity says of files that are wrong."""

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx
import openvino
import pytest
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from exporters import to_onnx, to_openvino, to_torchscript
from exporters.artifact import ExporterError, ParityVerdict
from exporters.input_adapter import InputAdapter, example_video
from exporters.parity import ROWS_ALONE, ParityInput, check_parity
from exporters.to_torchscript import expected_warnings
from tests.exporters.tiny_network import FileInfer, TinyNetwork, torch_infer

METADATA = {"vocabulary": '["A", "É <\\"&"]', "stride": "4"}
EXAMPLE = example_video("float32", height=8, width=8)
Inputs = Sequence[ParityInput]


def verdict_of(reference: nn.Module, candidate: FileInfer, inputs: Inputs) -> ParityVerdict:
    return check_parity(
        torch_infer(reference), candidate, inputs, artifact_sha256="", backend=candidate.backend, export_shape=(2, 16)
    )


@pytest.fixture(scope="module")
def onnx_file(tiny: TinyNetwork, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tiny") / "model.onnx"
    to_onnx.onnx_from_module(tiny, path, example_video=EXAMPLE, metadata=METADATA)
    return path


@pytest.fixture
def damage(onnx_file: Path, tmp_path: Path) -> Callable[[Callable[[onnx.ModelProto], None]], Path]:
    """A copy of the ONNX file, changed."""

    def change(edit: Callable[[onnx.ModelProto], None]) -> Path:
        model = onnx.load(onnx_file)
        edit(model)
        onnx.save(model, tmp_path / "model.onnx")
        return tmp_path / "model.onnx"

    return change


def test_onnx_is_one_checked_file_with_lstm_nodes(
    tiny: TinyNetwork, tiny_inputs: Inputs, onnx_file: Path, tmp_path: Path
) -> None:
    built_with = to_onnx.onnx_from_module(
        tiny, tmp_path / "again.onnx", example_video=EXAMPLE, metadata=METADATA, exporter="torchscript"
    )
    model = onnx.load(onnx_file)
    onnx.checker.check_model(model, full_check=True)
    assert list(tmp_path.iterdir()) == [tmp_path / "again.onnx"]
    assert (built_with["exporter"], built_with["opset"], built_with["lstm_nodes"]) == ("torchscript", 17, 2)
    assert (built_with["torch"], built_with["onnx"]) == (torch.__version__, onnx.__version__)
    assert model.opset_import[0].version == 17
    assert [node.op_type for node in model.graph.node].count("LSTM") == 2
    assert not any(node.doc_string or node.metadata_props for node in model.graph.node)
    video, log_probs = model.graph.input[0], model.graph.output[0]
    shapes = [[d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim] for value in (video, log_probs)]
    assert (video.name, log_probs.name) == ("video", "log_probs")
    assert shapes == [["batch", 3, "time", 8, 8], ["steps", "batch", 7]]
    assert to_onnx.read_metadata(onnx_file) == METADATA
    verdict = verdict_of(tiny, FileInfer("onnx", onnx_file), tiny_inputs)
    assert verdict.passed, verdict.reasons


@pytest.mark.slow
def test_dynamo_with_its_patch_keeps_time_dynamic(tiny: TinyNetwork, tiny_inputs: Inputs, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    built_with = to_onnx.onnx_from_module(
        tiny, path, example_video=EXAMPLE, metadata=METADATA, exporter="dynamo"
    )  # fmt: skip
    assert (built_with["exporter"], built_with["opset"], built_with["lstm_nodes"]) == ("dynamo", 20, 2)
    assert "onnxscript" in built_with
    assert list(tmp_path.iterdir()) == [path]
    model = onnx.load(path)
    assert [d.dim_param for d in model.graph.output[0].type.tensor_type.shape.dim] == ["steps", "batch", ""]
    assert str(Path(__file__).parent).encode() not in path.read_bytes()
    verdict = verdict_of(tiny, FileInfer("onnx", path), tiny_inputs)
    assert verdict.passed, verdict.reasons


@pytest.mark.parametrize("freeze", [True, False])
def test_torchscript_round_trip(tiny: TinyNetwork, tiny_inputs: Inputs, tmp_path: Path, freeze: bool) -> None:
    path = tmp_path / "model.torchscript"
    built_with = to_torchscript.torchscript_from_module(
        tiny, path, example_video=EXAMPLE, metadata=METADATA, freeze=freeze
    )
    assert built_with["frozen"] == freeze
    assert to_torchscript.read_metadata(path) == METADATA
    verdict = verdict_of(tiny, FileInfer("torchscript", path), tiny_inputs)
    assert verdict.passed, verdict.reasons


def test_openvino_round_trip(tiny: TinyNetwork, tiny_inputs: Inputs, onnx_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.openvino.xml"
    built_with = to_openvino.openvino_from_onnx(onnx_file, path, metadata=METADATA)
    assert built_with["compress_to_fp16"] is False
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model.openvino.bin", "model.openvino.xml"]
    assert to_openvino.read_metadata(path) == METADATA
    verdict = verdict_of(tiny, FileInfer("openvino", path), tiny_inputs)
    assert verdict.passed, verdict.reasons


def test_openvino_weights_in_fp16_are_caught(
    tiny: TinyNetwork, tiny_inputs: Inputs, onnx_file: Path, tmp_path: Path
) -> None:
    path = tmp_path / "model.openvino.xml"
    openvino.save_model(openvino.Core().read_model(onnx_file), path)  # compresses by default
    verdict = verdict_of(tiny, FileInfer("openvino", path), tiny_inputs)
    assert not verdict.passed
    assert verdict.max_abs_error is not None
    assert verdict.max_abs_error > 1e-4


def test_a_time_axis_that_was_declared_static_is_caught(tiny: TinyNetwork, tiny_inputs: Inputs, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    with to_onnx._expected_onnx_warnings():
        torch.onnx.export(
            tiny, (EXAMPLE,), str(path), dynamo=False, opset_version=17, input_names=["video"],
            dynamic_axes={"video": {0: "batch"}},
        )  # fmt: skip
    verdict = verdict_of(tiny, FileInfer("onnx", path), tiny_inputs)
    assert [case.passed for case in verdict.cases] == [item.shape[1] == 16 for item in tiny_inputs]
    assert "raised RunFailedError" in verdict.reasons[0]
    assert verdict.needed_atol is None


class FrozenSteps(TinyNetwork):
    """Computes its number of steps in Python, which a trace makes a constant."""

    def forward(self, video: Tensor) -> Tensor:
        batch, steps = video.shape[0], int(-(-video.shape[2] // 4))
        features = self.features(video).reshape(steps, batch, 8)
        return self.logits(features).log_softmax(-1)


class FrozenSlice(FrozenSteps):
    """The same, where it shows in the output's shape and not in an error."""

    def forward(self, video: Tensor) -> Tensor:
        features = self.features(video)
        features = torch.cat([features, features[:1]])[: int(features.shape[0])]
        return self.logits(features).log_softmax(-1)


@pytest.mark.parametrize("network", [FrozenSteps, FrozenSlice])
@pytest.mark.parametrize("backend", ["onnx", "torchscript"])
def test_a_time_axis_that_the_trace_froze_is_caught(
    network: type[TinyNetwork], backend: str, tiny: TinyNetwork, tiny_inputs: Inputs, tmp_path: Path
) -> None:
    path = tmp_path / f"model.{backend}"
    export = to_onnx.onnx_from_module if backend == "onnx" else to_torchscript.torchscript_from_module
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", torch.jit._trace.TracerWarning)  # the tracer says that it freezes the size
        export(network().eval(), path, example_video=EXAMPLE, metadata=METADATA)
    verdict = verdict_of(tiny, FileInfer(backend, path), tiny_inputs)
    assert not verdict.passed
    assert {item.shape[1] for item, case in zip(tiny_inputs, verdict.cases, strict=True) if case.passed} <= {16}
    assert "4 output steps for 30 frames" in verdict.cases[-1].why or "raised" in verdict.cases[-1].why
    assert "\n" not in " ".join(verdict.reasons)
    if network is FrozenSlice:
        assert "as a time axis gives that was frozen by the export" in verdict.cases[-1].why


def test_one_changed_weight_is_caught(
    tiny: TinyNetwork, tiny_inputs: Inputs, damage: Callable[[Callable[[onnx.ModelProto], None]], Path]
) -> None:
    def change_weight(model: onnx.ModelProto) -> None:
        largest = max(model.graph.initializer, key=lambda weight: int(np.prod(weight.dims)))
        values = numpy_helper.to_array(largest).copy()
        values.flat[values.size // 2] += 0.5
        largest.CopyFrom(numpy_helper.from_array(values, largest.name))

    verdict = verdict_of(tiny, FileInfer("onnx", damage(change_weight)), tiny_inputs)
    assert not verdict.passed
    assert "atol needed" in " ".join(verdict.reasons)


def test_a_missing_log_softmax_is_named(
    tiny: TinyNetwork, tiny_inputs: Inputs, damage: Callable[[Callable[[onnx.ModelProto], None]], Path]
) -> None:
    def remove_log_softmax(model: onnx.ModelProto) -> None:
        node = next(node for node in model.graph.node if node.op_type == "LogSoftmax")
        before = next(other for other in model.graph.node if node.input[0] in other.output)
        before.output[0] = node.output[0]
        model.graph.node.remove(node)

    verdict = verdict_of(tiny, FileInfer("onnx", damage(remove_log_softmax)), tiny_inputs)
    assert not verdict.passed
    assert all("outputs are logits: log_softmax is missing" in case.why for case in verdict.cases)


class BatchMixing(TinyNetwork):
    """Normalises over the batch, as batch normalisation left in training mode does."""

    def forward(self, video: Tensor) -> Tensor:
        features = self.features(video)
        return self.logits(features - features.mean(1, keepdim=True)).log_softmax(-1)


def test_rows_that_mix_are_caught_although_the_reference_mixes_too(tiny_inputs: Inputs, tmp_path: Path) -> None:
    network = BatchMixing().eval()
    path = tmp_path / "model.onnx"
    to_onnx.onnx_from_module(network, path, example_video=EXAMPLE, metadata=METADATA)
    verdict = verdict_of(network, FileInfer("onnx", path), tiny_inputs)
    assert all(case.passed for case in verdict.cases)
    assert not verdict.passed
    assert verdict.reasons[0].startswith(ROWS_ALONE)


def test_uint8_frames_are_normalised_in_the_graph(tiny: TinyNetwork, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    frames = example_video("uint8", height=8, width=8, shape=(3, 9), seed=1)
    to_onnx.onnx_from_module(
        tiny, path, example_video=example_video("uint8", height=8, width=8), input_kind="uint8", metadata=METADATA
    )
    video = frames.permute(0, 4, 1, 2, 3).float() / 127.5 - 1
    assert (float(video.min()), float(video.max())) == (-1.0, 1.0)
    found = FileInfer("onnx", path, "uint8")(frames.numpy())
    assert np.abs(found - torch_infer(tiny)(video.numpy())).max() < 1e-5


class CeilPools(nn.Module):
    """Max pools whose ``ceil_mode`` makes room that the input does not have."""

    def forward(self, video: Tensor) -> Tensor:
        x = nn.functional.max_pool3d(video, (3, 3, 3), (2, 2, 2), (0, 1, 1), ceil_mode=True)
        x = nn.functional.max_pool3d(x, (2, 2, 2), (1, 2, 2), (1, 0, 0), ceil_mode=True)[:, :, 1:]
        return x.mean((3, 4)).permute(2, 0, 1).log_softmax(-1)


def test_pools_with_ceil_mode_are_right_in_openvino_too(tmp_path: Path) -> None:
    network = CeilPools().eval()
    example = example_video("float32", height=7, width=10, shape=(2, 6))
    to_onnx.onnx_from_module(network, tmp_path / "model.onnx", example_video=example, metadata=METADATA)
    to_openvino.openvino_from_onnx(tmp_path / "model.onnx", tmp_path / "model.xml", metadata=METADATA)
    for frames in (2, 3, 4, 5, 8, 11):
        video = example_video("float32", height=7, width=10, shape=(2, frames), seed=frames).numpy()
        expected = torch_infer(network)(video)
        for backend, name in (("onnx", "model.onnx"), ("openvino", "model.xml")):
            found = FileInfer(backend, tmp_path / name)(video)
            assert found.shape == expected.shape, (backend, frames)
            np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_pool_whose_last_window_would_lie_in_the_padding_keeps_ceil_mode() -> None:
    node = onnx.helper.make_node(
        "MaxPool", ["x"], ["y"], kernel_shape=[2], strides=[2], pads=[0, 1], ceil_mode=1
    )  # fmt: skip
    graph = onnx.helper.make_graph([node], "g", [], [])
    model = onnx.helper.make_model(graph)
    assert to_onnx.make_pool_pads_explicit(model) == 0
    assert any(a.name == "ceil_mode" for a in model.graph.node[0].attribute)


def test_a_network_in_training_mode_is_refused(tmp_path: Path) -> None:
    network = TinyNetwork().train()
    with pytest.raises(ExporterError, match="training mode"):
        to_torchscript.torchscript_from_module(
            network, tmp_path / "model.torchscript", example_video=EXAMPLE, metadata=METADATA
        )
    assert list(tmp_path.iterdir()) == []


def test_an_lstm_that_was_taken_apart_is_refused(tmp_path: Path) -> None:
    class Unrolled(TinyNetwork):
        def __init__(self) -> None:
            super().__init__()
            self.cell = nn.LSTMCell(8, 12)

        def logits(self, features: Tensor) -> Tensor:
            state = self.cell(features[0])
            outputs = []
            for step in features[:4]:  # iterating over a tensor unrolls the loop
                state = self.cell(step, state)
                outputs.append(self.classifier(state[0]))
            return torch.stack(outputs)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", torch.jit._trace.TracerWarning)  # the tracer says that it unrolls the loop
        with pytest.raises(ExporterError, match="0 LSTM nodes where the network has 2 LSTM layers"):
            to_onnx.onnx_from_module(
                Unrolled().eval(), tmp_path / "model.onnx", example_video=EXAMPLE, metadata=METADATA
            )
    assert list(tmp_path.iterdir()) == []


def test_a_network_that_cannot_be_captured_is_an_error_in_words(tmp_path: Path) -> None:
    class Failing(nn.Module):
        def forward(self, video: Tensor) -> Tensor:
            raise ValueError("no weights for this input")

    for export, name in (
        (to_torchscript.torchscript_from_module, "model.torchscript"),
        (to_onnx.onnx_from_module, "model.onnx"),
    ):
        with pytest.raises(ExporterError, match="no weights for this input"):
            export(Failing().eval(), tmp_path / name, example_video=EXAMPLE, metadata=METADATA)
    assert list(tmp_path.iterdir()) == []


def test_weights_outside_the_file_are_refused(onnx_file: Path, tmp_path: Path) -> None:
    model = onnx.load(onnx_file)
    onnx.save(model, tmp_path / "model.onnx", save_as_external_data=True, location="model.data", size_threshold=0)
    with pytest.raises(ExporterError, match="outside the file"):
        to_onnx.check_graph(tmp_path / "model.onnx")


def test_dynamo_without_torchs_private_patch_is_an_error_in_words(
    tiny: TinyNetwork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torch.export import _patches

    monkeypatch.delattr(_patches, "register_lstm_while_loop_decomposition")
    with pytest.raises(ExporterError, match="freezes the time axis") as caught:
        to_onnx.onnx_from_module(
            tiny, tmp_path / "model.onnx", example_video=EXAMPLE, metadata=METADATA, exporter="dynamo"
        )
    assert caught.value.hint == "--exporter torchscript"


def test_an_onnx_file_that_openvino_cannot_read_is_an_error_in_words(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"no graph")
    with pytest.raises(ExporterError, match="OpenVINO cannot convert"):
        to_openvino.openvino_from_onnx(tmp_path / "model.onnx", tmp_path / "model.xml", metadata={})
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]


def test_an_unknown_input_kind_is_refused(tiny: TinyNetwork) -> None:
    with pytest.raises(ExporterError, match="unknown input kind 'float16'"):
        InputAdapter(tiny, "float16")  # type: ignore[arg-type]


def test_other_warnings_are_heard() -> None:
    with expected_warnings(), pytest.warns(FutureWarning, match="something else"):
        warnings.warn("something else", FutureWarning, stacklevel=1)
