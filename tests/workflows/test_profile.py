"""profile on real files and runtimes: operators, the network's modules, and what is refused."""

import json
from pathlib import Path

import pytest

from slrbench.cli.app import main
from slrbench.errors import BadInputError, ExitCode, NegativeVerdictError, UnavailableError
from slrbench.records import OperatorTime, Profile
from slrbench.reporting.profile_tables import ELSEWHERE, by_module, profile_text
from slrbench.runners.profile_tensorrt import kind_of, layer_profiler
from slrbench.runners.profiling import module_of, open_profiler
from slrbench.workflows.profile import ProfileOptions, profile_path

OPTIONS = ProfileOptions(threads=1, frames=8, calls=2)


@pytest.mark.parametrize(
    ("name", "runtime", "lstm"),
    [
        (".", "torch.profiler", "lstm"),
        ("model.onnx", "ONNX Runtime", "LSTM"),
        ("model.uint8.onnx", "ONNX Runtime", "LSTM"),
        ("model.openvino.xml", "OpenVINO", "LSTMSequence"),
    ],
)
def test_every_runtimes_operators_are_grouped_by_the_networks_modules(
    exported: Path, name: str, runtime: str, lstm: str
) -> None:
    profile = profile_path(exported / name, OPTIONS)
    assert runtime in profile.profiler
    modules = {operator.module for operator in profile.operators}
    assert {"temporal.conv1", "temporal.conv2", "head.lstm"} <= modules
    assert sum(module.startswith("features.") for module in modules) > 12
    assert lstm in {operator.kind for operator in profile.operators if operator.module == "head.lstm"}
    convolutions = [o for o in profile.operators if "conv" in o.kind.lower() and o.module.startswith("temporal")]
    assert len(convolutions) == 2
    total = sum(operator.seconds for operator in profile.operators)
    assert 0.0 < total < 3 * profile.profiled_s
    assert profile.plain_s > 0.0
    assert profile.input_kind == ("uint8" if "uint8" in name else "float32")


def test_a_file_without_manifest_is_profiled_at_the_size_that_is_given(exported: Path, tmp_path: Path) -> None:
    alone = tmp_path / "other.onnx"
    alone.write_bytes((exported / "model.onnx").read_bytes())
    profile = profile_path(alone, ProfileOptions(threads=1, frames=4, size=32, calls=1))
    assert (profile.model, profile.height, profile.frames) == ("other.onnx", 32, 4)


def test_another_file_than_the_manifests_is_not_profiled(model: Path) -> None:
    path = model / "model.onnx"
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(NegativeVerdictError, match="not the file that its manifest describes"):
        profile_path(path, OPTIONS)


def test_what_cannot_be_asked_for_is_refused(exported: Path) -> None:
    with pytest.raises(BadInputError, match="takes float32, not uint8"):
        profile_path(exported / "model.onnx", ProfileOptions(input_kind="uint8"))
    with pytest.raises(UnavailableError, match="times launches there"):
        open_profiler("onnx", exported / "model.onnx", device="cuda", threads=1, input_kind="float32", precision="fp32")


def test_the_command_prints_tables_and_writes_the_picture(
    exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["profile", str(exported / "model.onnx"), "--frames", "8", "--calls", "2", "--threads", "1"]
    assert main([*command, "--output", str(tmp_path / "out"), "--top", "3"]) == ExitCode.OK
    table = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    assert any("head.lstm" in line for line in table)
    assert max(map(len, table)) <= 100
    stored = Profile.model_validate_json((tmp_path / "out" / "profile.json").read_text(encoding="utf-8"))
    assert stored.backend == "onnx"
    assert (tmp_path / "out" / "profile.png").read_bytes().startswith(b"\x89PNG")
    assert main([*command, "--json"]) == ExitCode.OK
    assert json.loads(capsys.readouterr().out)["calls"] == 2


def test_a_missing_file_is_said_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profile", "nothing.onnx"]) == ExitCode.BAD_INPUT
    assert "there is no file nothing.onnx" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("node", "kind", "module"),
    [
        ("/network/features/features.5/block/block.1/block.1.0/Conv", "Conv", "features.5.block.1.0"),
        ("/network/features/features.0/features.0.0/Conv_output_0_nchwc", "Conv", "features.0.0"),
        ("/network/head/lstm/LSTM_1", "LSTM", "head.lstm"),
        ("/network/head/classifier/MatMul", "MatMul", "head.classifier"),
        ("/network/temporal/conv1/Conv/WithoutBiases", "Convolution", "temporal.conv1"),
        # A change of layout between two nodes is for the second one.
        ("Reshape_abcd_acdb_/network/features/features.0/features.0.0/Conv/WithoutBiases", "Reorder", "features.0.0"),
        ("LSTMSequence_28724", "LSTMSequence", "head.lstm"),
        ("/network/Transpose", "Transpose", ""),
        ("ReorderInput_token_53", "ReorderInput", ""),
    ],
)
def test_a_nodes_name_tells_its_module(node: str, kind: str, module: str) -> None:
    assert module_of(node, kind) == module


def operator(module: str, kind: str, seconds: float) -> OperatorTime:
    return OperatorTime(name=f"{module}/{kind}", kind=kind, module=module, seconds=seconds)


def test_groups_hold_every_operator_once_and_stay_in_the_networks_order() -> None:
    operators = [operator("", "Cast", 1.0), operator("a.b.c", "Conv", 2.0), operator("a.b.d", "Mul", 3.0)]
    operators += [operator("a.e", "Conv", 4.0)]
    groups = by_module(operators, depth=2)
    assert [(g.module, g.seconds, g.operators) for g in groups] == [
        ("a.b", 5.0, 2),
        ("a.e", 4.0, 1),
        (ELSEWHERE, 1.0, 1),
    ]
    assert groups[0].kinds == (("Mul", 3.0), ("Conv", 2.0))
    assert sum(g.seconds for g in by_module(operators, depth=9)) == sum(o.seconds for o in operators)
    with pytest.raises(ValueError, match="depth is 0"):
        by_module(operators, depth=0)


def test_a_graph_without_modules_says_so() -> None:
    fields = {"device": "cpu", "threads": 1, "batch": 1, "frames": 8, "height": 32, "width": 32, "calls": 1}
    profile = Profile.model_validate(
        fields | {"backend": "torchscript", "input_kind": "float32", "artifact_sha256": "0", "model": "m"}
        | {"plain_s": 1.0, "profiled_s": 1.1, "profiler": "p", "operators": [operator("", "conv", 1.0)]}
    )  # fmt: skip
    assert "keeps no names of modules" in profile_text(profile, depth=2, top=1)


class _Profilers:
    """The part of TensorRT's module that a profiler needs."""

    class IProfiler:
        def __init__(self) -> None:
            self.initialised = True


def test_tensorrts_layers_add_up_by_name() -> None:
    layers = layer_profiler(type("Library", (), {"trt": _Profilers})())  # type: ignore[arg-type]
    assert layers.initialised
    for milliseconds in (2.0, 3.0):
        layers.report_layer_time("/network/temporal/conv1/Conv + /network/temporal/Relu_2", milliseconds)
    assert layers.seconds == {"/network/temporal/conv1/Conv + /network/temporal/Relu_2": pytest.approx(0.005)}
    assert kind_of("/network/temporal/conv1/Conv_3 + /network/temporal/Relu_2") == "Conv"
