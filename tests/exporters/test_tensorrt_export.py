"""Engines, built by the real TensorRT-RTX, which needs no GPU to build: types, manifests, and what fails in words."""

import json
import re
import shutil
import signal
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from torch import nn

from exporters.artifact import ExporterError, read_manifest
from exporters.comparison import ParityInput
from exporters.engine_options import EngineOptions, Range
from exporters.parity import check_parity
from exporters.parity_cases import read_parity_cases
from exporters.tensorrt_library import Library, LibraryUnavailableError, find_library, gpu_is_visible, load_library
from exporters.to_onnx import onnx_from_module
from exporters.to_tensorrt import compute_capabilities_of, engine_from_onnx
from slrbench.cli.app import main
from slrbench.errors import BadInputError, UnavailableError
from slrbench.workflows.export import ExportResult, export_model
from slrbench.workflows.judging import cases_for
from tests.exporters.test_exported_files import EXAMPLE
from tests.exporters.tiny_network import TinyNetwork

OPTIONS = EngineOptions(
    builder="tensorrt-rtx",
    batch=Range(min=1, opt=2, max=4),
    frames=Range(min=1, opt=16, max=64),
    compute_capabilities=("8.6", "8.9"),
)
TYPES = {"fp32": "FLOAT", "tf32": "FLOAT", "fp16": "HALF", "bf16": "BF16"}


@pytest.fixture(scope="module")
def rtx() -> Library:
    return find_library("tensorrt-rtx")


@pytest.fixture(scope="module")
def engines(checkpoints: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, ExportResult]:
    """Every precision of both networks; do not change these files."""
    results = {}
    for name, folder in checkpoints.items():
        copied = tmp_path_factory.mktemp("engines") / folder.name
        shutil.copytree(folder, copied)
        results[name] = export_model(
            copied, formats=("trt",), precisions=("fp32", "tf32", "fp16", "bf16", "int8"), engine=OPTIONS
        )
    return results


@pytest.fixture(scope="module")
def graph(tiny: TinyNetwork, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("graph") / "tiny.onnx"
    onnx_from_module(tiny, path, example_video=EXAMPLE, metadata={})
    return path


def build(library: Library, graph: Path, path: Path, **changes: Any) -> dict[str, Any]:
    settings = {"library": library, "precision": "fp32", "frame_size": (8, 8), "options": OPTIONS, **changes}
    return engine_from_onnx(graph, path, **settings)


@pytest.mark.parametrize("network", ["teacher", "student"])
def test_every_precision_becomes_an_engine_of_its_own_types(engines: dict[str, ExportResult], network: str) -> None:
    result = engines[network]
    assert not result.failed
    assert [e.artifact.precision for e in result.entries] == ["fp32", "tf32", "fp16", "bf16", "int8"]
    for entry in result.entries:
        artifact, built = entry.artifact, entry.artifact.built_with
        assert artifact.path == f"model.{artifact.precision}.sm86-sm89.rtx.engine"
        assert artifact.target == "rtx.sm86-sm89"
        assert (result.manifest_path.parent / artifact.path).stat().st_size == artifact.size_bytes
        layers = built["layers_by_type"]
        assert layers["SOFTMAX"] == {"FLOAT": 1}
        assert built["tf32"] == (artifact.precision == "tf32") == ("TF32" in built["flags"])
        if artifact.precision == "int8":
            # The parser puts a reshape between the pair and a convolution over time alone, which then counts as FLOAT.
            assert layers["CONVOLUTION"]["INT8"] > 4 * layers["CONVOLUTION"].get("FLOAT", 0)
            assert set(layers["MATRIX_MULTIPLY"]) == {"FLOAT"}
        else:
            assert set(layers["CONVOLUTION"]) == set(layers["MATRIX_MULTIPLY"]) == {TYPES[artifact.precision]}
        assert built["profile"] == {"batch": [1, 2, 4], "frames": [1, 16, 64]}
        assert built["builder"] == "tensorrt-rtx"
        assert built["compute_capabilities"] == ["8.6", "8.9"]
        assert built["builder_version"] in built["runs_on"]


@pytest.mark.skipif(gpu_is_visible(), reason="says what holds without a GPU")
@pytest.mark.parametrize("network", ["teacher", "student"])
def test_without_a_gpu_the_engine_is_not_run_and_its_graph_is_judged(
    engines: dict[str, ExportResult], network: str
) -> None:
    result = engines[network]
    for entry in result.entries:
        assert entry.parity is None
        assert entry.parity_word == "not run"
        assert entry.not_run_because == "needs an RTX GPU"
        assert entry.network_parity is not None
        graph = entry.artifact.built_with["onnx"]["sha256"]
        # No runtime here computes a bf16 graph: torch ran the module, and no file's hash stands for that.
        assert entry.network_parity.artifact_sha256 == ("" if entry.artifact.precision == "bf16" else graph)
        assert entry.graph_was_run == (entry.artifact.precision != "bf16")
        assert ("graph was not run" in entry.network_parity.backend) == (entry.artifact.precision == "bf16")
        assert entry.network_parity.passed or entry.artifact.precision == "int8"  # a tiny network may not bear it
    assert result.not_run == result.entries
    manifest = read_manifest(result.manifest_path.parent)
    assert manifest is not None
    assert tuple(e for e in manifest.entries if e.artifact.format == "trt") == result.entries


def test_a_bf16_module_that_fails_is_not_called_a_graph(engines: dict[str, ExportResult]) -> None:
    result = engines["student"]
    entry = next(e for e in result.entries if e.artifact.precision == "bf16")
    assert entry.network_parity is not None
    failed = entry.network_parity.model_copy(update={"passed": False, "reasons": ("max error 3",)})
    for sha256, whose in (("", "torch module"), ("0" * 64, "graph")):
        parity = failed.model_copy(update={"artifact_sha256": sha256})
        changed = entry.model_copy(update={"parity": None, "network_parity": parity})
        error = replace(result, entries=(changed,)).error
        assert error is not None
        assert f"parity of its {whose} failed: max error 3" in str(error.hint)


def test_parity_cases_lie_beside_the_engines(engines: dict[str, ExportResult]) -> None:
    result = engines["student"]
    cases = read_parity_cases(result.manifest_path.parent / "parity.npz")
    assert cases.built_from_sha256 == result.entries[0].artifact.built_from_sha256
    assert len({item.shape for item in cases.inputs}) > 6
    for item in cases.inputs:
        assert cases(item.video).shape[1] == item.shape[0]


def test_several_builds_report_their_spread_and_keep_one(checkpoints: dict[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(checkpoints["student"], folder)
    result = export_model(
        folder, formats=("trt",), engine=EngineOptions(builder="tensorrt-rtx", builds=2, compute_capabilities=("8.9",))
    )
    (entry,) = result.entries
    builds = entry.artifact.built_with["builds"]
    assert builds["count"] == len(builds["size_bytes"]) == len(builds["engine_build_s"]) == 2
    assert builds["sha256"][builds["kept"]] == entry.artifact.sha256
    assert entry.artifact.size_bytes == builds["size_bytes"][builds["kept"]]
    assert sorted(path.name for path in folder.glob("*.engine")) == ["model.fp32.sm89.rtx.engine"]


def test_an_engine_that_takes_raw_frames(checkpoints: dict[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(checkpoints["student"], folder)
    result = export_model(folder, formats=("trt",), input_kinds=("uint8",), precisions=("fp16",), engine=OPTIONS)
    (entry,) = result.entries
    assert entry.artifact.path == "model.uint8.fp16.sm86-sm89.rtx.engine"
    assert entry.artifact.inputs[0].dtype == "uint8"
    assert entry.network_parity is not None
    assert entry.network_parity.passed


def test_a_label_that_the_graph_does_not_have_is_refused(rtx: Library, graph: Path, tmp_path: Path) -> None:
    with pytest.raises(ExporterError, match=r"in FLOAT .* where fp16 means HALF"):
        build(rtx, graph, tmp_path / "a.rtx.engine", precision="fp16")
    with pytest.raises(ExporterError, match="0 of 1 convolutions take int8"):
        build(rtx, graph, tmp_path / "a.rtx.engine", precision="int8")
    assert not list(tmp_path.iterdir())


def test_softmax_in_half_precision_is_refused(rtx: Library, tmp_path: Path) -> None:
    class HalfSoftmax(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(192, 4).half()

        def forward(self, video: torch.Tensor) -> torch.Tensor:
            rows = video.half().permute(2, 0, 1, 3, 4).flatten(2)
            return torch.log_softmax(self.layer(rows), dim=-1).float()

    path = tmp_path / "half.onnx"
    onnx_from_module(HalfSoftmax().eval(), path, example_video=EXAMPLE, metadata={})
    with pytest.raises(ExporterError, match="softmax is computed in HALF"):
        build(rtx, path, tmp_path / "a.rtx.engine", precision="fp16")


def test_an_operator_that_the_parser_lacks_is_named_with_its_node(rtx: Library, tmp_path: Path) -> None:
    node = helper.make_node("Det", ["video"], ["log_probs"], name="/head/Det")
    shapes = [("video", ["batch", 3, "time", 8, 8]), ("log_probs", ["batch", 3, "time"])]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes]
    model = helper.make_model(
        helper.make_graph([node], "g", values[:1], values[1:]), opset_imports=[helper.make_opsetid("", 17)]
    )
    onnx.save(model, tmp_path / "det.onnx")
    with pytest.raises(ExporterError, match=r"cannot take the graph: node '/head/Det' \(Det\): ") as caught:
        build(rtx, tmp_path / "det.onnx", tmp_path / "a.rtx.engine")
    assert "\n" not in caught.value.message


def test_a_damaged_graph_is_an_error_in_words(rtx: Library, graph: Path, tmp_path: Path) -> None:
    (tmp_path / "cut.onnx").write_bytes(graph.read_bytes()[:1000])
    with pytest.raises(ExporterError, match="cannot take the graph: "):
        build(rtx, tmp_path / "cut.onnx", tmp_path / "a.rtx.engine")


def test_progress_is_told_and_ends_complete(rtx: Library, graph: Path, tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    build(rtx, graph, tmp_path / "a.rtx.engine", progress=lambda *step: told.append(step))
    outer = [(done, total) for phase, done, total in told if phase == "Building engine"]
    assert outer[0][0] == 0
    assert outer == sorted(outer)
    assert all(0 <= done <= total for _, done, total in told)


def test_ctrl_c_stops_a_build_and_leaves_nothing_behind(rtx: Library, graph: Path, tmp_path: Path) -> None:
    told = []

    def interrupt(phase: str, done: int, total: int) -> None:
        if not told:
            assert threading.current_thread() is not threading.main_thread()
            signal.raise_signal(signal.SIGINT)
        told.append(phase)

    def build_until_interrupted() -> None:
        for _ in range(20):  # a tiny network may be done before the main thread has noticed
            build(rtx, graph, tmp_path / "a.rtx.engine", progress=interrupt)
            told.clear()

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            build_until_interrupted()
    finally:
        signal.signal(signal.SIGINT, before)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_an_exception_in_progress_ends_the_build_and_is_not_lost(rtx: Library, graph: Path, tmp_path: Path) -> None:
    def fail(phase: str, done: int, total: int) -> None:
        raise RuntimeError("the screen is gone")

    with pytest.raises(RuntimeError, match="the screen is gone"):
        build(rtx, graph, tmp_path / "a.rtx.engine", progress=fail)
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(gpu_is_visible(), reason="says what holds without a GPU")
@pytest.mark.parametrize("builder", ["auto", "tensorrt-rtx"])
@pytest.mark.parametrize("option", [["--hardware-compatibility", "ampere_plus"], ["--version-compatible"]])
def test_what_tensorrt_rtx_cannot_do_is_exit_code_2_before_the_checkpoint_is_read(
    checkpoints: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    builder: str,
    option: list[str],
) -> None:
    monkeypatch.setattr("slrbench.workflows.export.load_checkpoint", lambda path: pytest.fail("work began"))
    arguments = ["export", str(checkpoints["student"]), "--formats", "trt", "--builder", builder, *option]
    assert main(arguments) == 2
    err = capsys.readouterr().err
    assert f"error: {' '.join(option)} is TensorRT's" in err
    assert ("which --builder auto takes here" in err) == (builder == "auto")


@pytest.mark.parametrize(("capability", "refused"), [("7.5", True), ("8.0", False), ("12.0", False)])
def test_compatibility_with_ampere_needs_a_gpu_of_that_age(
    rtx: Library, monkeypatch: pytest.MonkeyPatch, capability: str, refused: bool
) -> None:
    monkeypatch.setattr("exporters.to_tensorrt.compute_capability_here", lambda *_: capability)
    tensorrt = replace(rtx, name="tensorrt")
    options = EngineOptions(builder="tensorrt", hardware_compatibility="ampere_plus")
    if not refused:
        assert compute_capabilities_of(tensorrt, options) == (capability,)
        return
    with pytest.raises(ExporterError, match=r"needs a GPU of compute capability 8\.0 or later, the one here has 7\.5"):
        compute_capabilities_of(tensorrt, options)


@pytest.mark.skipif(gpu_is_visible(), reason="says what holds without a GPU")
def test_tensorrt_itself_is_not_available_without_a_gpu(checkpoints: dict[str, Path]) -> None:
    with pytest.raises(LibraryUnavailableError):
        find_library("tensorrt")
    assert find_library("auto").name == "tensorrt-rtx"
    with pytest.raises(UnavailableError, match="no engine can be built here: tensorrt: "):
        export_model(checkpoints["student"], formats=("trt",), engine=EngineOptions(builder="tensorrt"))


@pytest.mark.skipif(gpu_is_visible(), reason="says what holds without a GPU")
def test_without_a_gpu_the_bindings_of_tensorrt_are_not_even_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tensorrt.py").write_text("raise OSError('the bindings of two libraries in one process')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "tensorrt", raising=False)
    load_library.cache_clear()
    try:
        assert find_library("auto").name == "tensorrt-rtx"
        with pytest.raises(LibraryUnavailableError, match="two libraries in one process"):
            find_library("tensorrt")
    finally:
        load_library.cache_clear()


def test_a_library_that_is_not_installed_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exporters.tensorrt_library.MODULES", {"tensorrt-rtx": ("no_such_library",)})
    load_library.cache_clear()
    try:
        with pytest.raises(LibraryUnavailableError, match="not installed") as caught:
            find_library("tensorrt-rtx")
        assert ".[trt-rtx]" in str(caught.value.hint)
    finally:
        load_library.cache_clear()


def test_a_precision_that_a_format_has_not_is_refused(checkpoints: dict[str, Path]) -> None:
    with pytest.raises(BadInputError, match="openvino has no precision fp16"):
        export_model(checkpoints["student"], formats=("openvino",), precisions=("fp16",))


def test_the_command_says_what_is_not_verified(
    checkpoints: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(checkpoints["student"], folder)
    arguments = ["export", str(folder), "--formats", "trt", "--precision", "fp16", "--compute-capability", "86"]
    arguments += ["--timing-cache", str(tmp_path / "cache")]
    assert main([*arguments, "--builder", "tensorrt-rtx", "--json"]) == 0
    captured = capsys.readouterr()
    assert f"warning: tiny-student: --timing-cache {tmp_path / 'cache'} is ignored: TensorRT-RTX" in captured.err
    (model,) = json.loads(captured.out)["models"]
    (artifact,) = model["artifacts"]
    assert (artifact["format"], artifact["precision"], artifact["target"]) == ("trt", "fp16", "rtx.sm86")
    if not gpu_is_visible():
        assert artifact["parity"] == "not run"
        assert "parity not run: needs an RTX GPU; the graph it was built from passed" in captured.err
        assert f"next: python -m slrbench pack {folder}    (verify" in captured.err


@pytest.mark.skipif(gpu_is_visible(), reason="says what holds without a GPU")
def test_what_is_known_of_an_engine_that_was_not_run_is_said_in_the_words_of_its_precision(
    checkpoints: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "a model"
    shutil.copytree(checkpoints["student"], folder)
    main(["export", str(folder), "--formats", "trt", "--precision", "tf32,bf16,int8"])
    captured = capsys.readouterr()
    err = captured.err
    assert f"next: python -m slrbench pack '{folder}'    (verify" in err
    assert "is ignored" not in err
    said = {word: next(x for x in err.splitlines() if f"/model.{word}." in x) for word in ("tf32", "bf16", "int8")}
    assert re.search(
        r"its graph, an fp32 one, passed on onnx \(max error \S+\), nothing was computed in TF32$", said["tf32"]
    )
    assert re.search(
        r"the torch module was compared and passed \(max error \S+\), the ONNX graph was not run$", said["bf16"]
    )
    assert "max error" not in said["int8"]
    assert re.search(r"\d of 6 clips read the same, WER \S+%, the checkpoint's \S+%, on \d+ clips of dev", said["int8"])


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--frames", "9:1", "--frames '9:1' is not in order, expected min:opt:max"),
        ("--batch", "1:1:10000", "--frames up to 256 of 32x32 pixels is an input of"),
        ("--compute-capability", "90", "--compute-capability '90' is none that TensorRT-RTX can build for"),
        ("--workspace-mb", "-5", "--workspace-mb is -5, expected at least 1"),
        ("--tolerance", "1", "--tolerance is 1, expected 0 to 0.0001"),
        ("--precision", "fp8", "unknown precision 'fp8'"),
        ("--builder", "trtexec", "unknown builder 'trtexec'"),
    ],
)
def test_wrong_options_are_exit_code_2(
    checkpoints: dict[str, Path], capsys: pytest.CaptureFixture[str], option: str, value: str, words: str
) -> None:
    assert main(["export", str(checkpoints["student"]), "--formats", "trt", option, value]) == 2
    assert words in capsys.readouterr().err


def test_an_engine_with_a_narrow_profile_is_judged_on_shapes_that_it_takes(
    checkpoints: dict[str, Path], tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(checkpoints["student"], folder)
    narrow = EngineOptions(
        builder="tensorrt-rtx",
        batch=Range(min=2, opt=2, max=4),
        frames=Range(min=24, opt=24, max=40),
        compute_capabilities=("8.9",),
    )
    (entry,) = export_model(folder, formats=("trt",), engine=narrow).entries
    cases = read_parity_cases(folder / "parity.npz")
    within, asked = cases_for(cases.inputs, entry.artifact.built_with)
    assert {(2, 24), (4, 40)} <= {item.shape for item in within}
    assert all(2 <= item.shape[0] <= 4 and 24 <= item.shape[1] <= 40 for item in within)
    assert asked["minimum_shapes"] == len({item.shape for item in within})
    expected = {item.video.shape: cases(item.video) for item in within}

    def candidate(video: np.ndarray) -> np.ndarray:
        return expected[video.shape]  # KeyError where a row is run alone, as this engine would refuse it

    verdict = check_parity(cases, candidate, within, artifact_sha256="0" * 64, backend="itself", **asked)
    assert verdict.passed, verdict.reasons


def test_an_engine_of_single_clips_is_judged_without_rows() -> None:
    inputs = [ParityInput(name="x", video=np.zeros((1, 8, 4, 4, 3), np.uint8), source="clips")]
    within, asked = cases_for(
        [*inputs, ParityInput(name="y", video=np.zeros((2, 8, 4, 4, 3), np.uint8), source="noise")],
        {"profile": {"batch": [1, 1, 1], "frames": [8, 8, 8]}},
    )
    assert within == tuple(inputs)

    def uniform(video: np.ndarray) -> np.ndarray:
        return np.full((2, len(video), 4), np.log(0.25))

    verdict = check_parity(uniform, uniform, within, artifact_sha256="0" * 64, backend="itself", **asked)
    assert verdict.passed
    assert [found.name for found in verdict.invariances] == ["the same input twice gives the same output"]
