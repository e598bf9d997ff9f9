"""Every runner on real files: the four verbs, what was asked for and what was done, and files that cannot be opened."""

import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray

from slrbench.data.batching import normalise
from slrbench.errors import BadInputError, RunFailedError
from slrbench.runners.inputs import artifact_sha256
from slrbench.runners.open import open_runner
from slrbench.runners.protocol import Runner
from slrbench.runners.torch_module import ModuleRunner

BACKENDS = ("torch", "torchscript", "onnx", "openvino")
ARTIFACTS = BACKENDS[1:]
Noise = Callable[[int, int], NDArray[np.uint8]]


def infer(runner: Runner, video: NDArray[Any]) -> NDArray[np.float32]:
    pending = runner.run(runner.stage(video))
    runner.synchronize()
    return runner.fetch(pending)


@pytest.fixture(scope="module")
def reference(files: Any) -> Runner:
    return open_runner("torch", files.path("torch"), threads=1)


@pytest.mark.parametrize("input_kind", ["float32", "uint8"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_all_backends_give_the_same_log_probabilities(
    files: Any, noise: Noise, reference: Runner, backend: str, input_kind: str
) -> None:
    runner = open_runner(backend, files.path(backend, input_kind), threads=1, input_kind=input_kind)
    for batch, frames in ((1, 5), (3, 16)):
        raw = noise(batch, frames)
        found = infer(runner, raw if input_kind == "uint8" else normalise(raw))
        assert found.shape == ((frames + 3) // 4, batch, 5)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, infer(reference, normalise(raw)), atol=1e-4)
    runner.close()


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_result_outlives_the_next_call(files: Any, noise: Noise, backend: str) -> None:
    runner = open_runner(backend, files.path(backend), threads=1)
    video = normalise(noise(1, 8))
    first = infer(runner, video)
    kept = first.copy()
    infer(runner, -video)
    np.testing.assert_array_equal(first, kept)


@pytest.mark.parametrize("backend", BACKENDS)
def test_closing_twice_is_fine_and_running_afterwards_is_an_error(files: Any, noise: Noise, backend: str) -> None:
    runner = open_runner(backend, files.path(backend), threads=1)
    staged = runner.stage(normalise(noise(1, 4)))
    runner.close()
    runner.close()
    with pytest.raises(RunFailedError, match="closed"):
        runner.run(staged)


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_was_asked_for_is_what_the_runtime_does(files: Any, backend: str) -> None:
    # In this process OpenMP may spin: only workers are started with its environment.
    for threads in (1, 2):
        runner = open_runner(backend, files.path(backend), threads=threads)
        asked = {name: value for name, value in runner.requested.items() if name != "omp_spin_count"}
        assert {"device", "threads", "precision", "input_kind"} <= asked.keys()
        inter_op = "inter_op_threads"  # torch takes it once per process, before its first parallel work
        compared = asked.keys() - ({inter_op} if backend in ("torch", "torchscript") else set())
        assert {name: runner.actual[name] for name in compared} == {name: asked[name] for name in compared}
        assert runner.actual["threads"] == threads
        assert runner.actual["version"]


def test_onnx_runs_on_the_cpu_provider_and_does_not_spin(files: Any) -> None:
    runner = open_runner("onnx", files.path("onnx"), threads=2)
    assert runner.actual["providers"] == ["CPUExecutionProvider"]
    assert runner.actual["spinning"] is False
    assert runner.actual["execution_mode"] == "ORT_SEQUENTIAL"


def test_another_provider_than_asked_for_is_an_error(files: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime.InferenceSession, "get_providers", lambda self: ["CUDAExecutionProvider"])
    with pytest.raises(RunFailedError, match=r"chose \['CUDAExecutionProvider'\] where CPUExecutionProvider"):
        open_runner("onnx", files.path("onnx"), threads=1)


def test_openvino_computes_in_fp32_even_where_the_cpu_has_bf16(files: Any) -> None:
    runner = open_runner("openvino", files.path("openvino"), threads=1)
    assert runner.actual["precision"] == "fp32"
    assert runner.actual["streams"] == 1
    assert runner.actual["performance_hint"] == "LATENCY"


@pytest.mark.parametrize(
    ("video", "words"),
    [
        (np.zeros((1, 3, 4, 32, 32), np.float64), "dtype float64, expected float32"),
        (np.zeros((1, 4, 32, 32, 3), np.uint8), "dtype uint8, expected float32"),
        (np.zeros((3, 4, 32, 32), np.float32), r"shape \(3, 4, 32, 32\)"),
        (np.zeros((1, 4, 3, 32, 32), np.float32), r"shape \(1, 4, 3, 32, 32\)"),
        (np.zeros((1, 3, 0, 32, 32), np.float32), r"shape \(1, 3, 0, 32, 32\)"),
        ([[0.0]], "is a list"),
    ],
)
@pytest.mark.parametrize("backend", BACKENDS)
def test_an_input_of_the_wrong_shape_or_type_is_refused(files: Any, backend: str, video: Any, words: str) -> None:
    with pytest.raises(BadInputError, match=words):
        open_runner(backend, files.path(backend), threads=1).stage(video)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_view_that_is_not_contiguous_or_not_writable_is_taken(files: Any, noise: Noise, backend: str) -> None:
    runner = open_runner(backend, files.path(backend), threads=1)
    video = normalise(noise(2, 8))
    reversed_ = video[:, :, ::-1]
    reversed_.flags.writeable = False
    np.testing.assert_array_equal(infer(runner, reversed_), infer(runner, reversed_.copy()))


@pytest.mark.parametrize("backend", ["onnx", "openvino"])
def test_an_artifact_of_the_other_input_is_refused(files: Any, backend: str) -> None:
    with pytest.raises(BadInputError, match="for float32 input"):
        open_runner(backend, files.path(backend, "uint8"), threads=1)


@pytest.mark.parametrize("backend", ARTIFACTS)
def test_a_cut_off_file_is_told_so(files: Any, tmp_path: Path, backend: str) -> None:
    source = files.path(backend)
    for file in (source, source.with_suffix(".bin")):
        if file.exists():
            shutil.copy(file, tmp_path)
    damaged = tmp_path / source.name
    damaged.write_bytes(damaged.read_bytes()[: damaged.stat().st_size // 2])
    with pytest.raises(BadInputError, match=r"is not an? .* (file|IR)") as caught:
        open_runner(backend, damaged, threads=1)
    assert caught.value.hint


@pytest.mark.parametrize("backend", ARTIFACTS)
def test_missing_files_and_folders_and_other_files_are_told_apart(files: Any, tmp_path: Path, backend: str) -> None:
    suffix = files.path(backend).suffix
    with pytest.raises(BadInputError, match="there is no file"):
        open_runner(backend, tmp_path / f"none{suffix}", threads=1)
    with pytest.raises(BadInputError, match="is a folder"):
        open_runner(backend, tmp_path, threads=1)
    other = tmp_path / "other.txt"
    other.touch()
    with pytest.raises(BadInputError, match=f"is not a {suffix} file"):
        open_runner(backend, other, threads=1)


def test_openvino_without_its_weights_is_told_so(files: Any, tmp_path: Path) -> None:
    shutil.copy(files.path("openvino"), tmp_path)
    with pytest.raises(BadInputError, match="lacks its weights"):
        open_runner("openvino", tmp_path / files.path("openvino").name, threads=1)


@pytest.mark.parametrize("backend", ARTIFACTS)
def test_another_file_than_the_one_that_was_checked_is_refused(files: Any, tmp_path: Path, backend: str) -> None:
    path = files.path(backend)
    expected = artifact_sha256(path)
    open_runner(backend, path, threads=1, expected_sha256=expected).close()
    for file in (path, path.with_suffix(".bin")):
        if file.exists():
            shutil.copy(file, tmp_path)
    altered = (tmp_path / path.name).with_suffix(".bin") if backend == "openvino" else tmp_path / path.name
    content = bytearray(altered.read_bytes())
    content[len(content) // 2] ^= 1
    altered.write_bytes(content)
    with pytest.raises(BadInputError, match="is not the file whose parity was checked"):
        open_runner(backend, tmp_path / path.name, threads=1, expected_sha256=expected)


def test_a_checkpoint_with_one_altered_byte_is_refused(files: Any, tmp_path: Path) -> None:
    for name in ("checkpoint.json", "checkpoint.safetensors"):
        shutil.copy(files.folder / name, tmp_path)
    weights = tmp_path / "checkpoint.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(BadInputError, match="is not the file that was checked"):
        open_runner("torch", tmp_path, threads=1)


@pytest.mark.parametrize(
    ("prepare", "words"),
    [
        (lambda folder: shutil.rmtree(folder), "there is no checkpoint"),
        (lambda folder: (folder / "checkpoint.json").unlink(), "holds no checkpoint.json"),
        (lambda folder: (folder / "checkpoint.safetensors").unlink(), "holds no checkpoint.safetensors"),
        (lambda folder: (folder / "checkpoint.json").write_text("{"), "is not a checkpoint card"),
        (lambda folder: (folder / "checkpoint.json").write_text('{"spec": {}}'), "is not a checkpoint card"),
    ],
)
def test_what_is_wrong_with_a_checkpoint_is_said(
    files: Any, tmp_path: Path, prepare: Callable[[Path], Any], words: str
) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    for name in ("checkpoint.json", "checkpoint.safetensors"):
        shutil.copy(files.folder / name, folder)
    prepare(folder)
    with pytest.raises(BadInputError, match=words):
        open_runner("torch", folder, threads=1)


def graph_with_inputs(path: Path, *shapes: list[int]) -> Path:
    """The sum of its inputs, as a real ONNX file."""
    inputs = [
        onnx.helper.make_tensor_value_info(f"in{i}", onnx.TensorProto.FLOAT, shape) for i, shape in enumerate(shapes)
    ]
    output = onnx.helper.make_tensor_value_info("out", onnx.TensorProto.FLOAT, shapes[0])
    node = onnx.helper.make_node("Sum", [value.name for value in inputs], ["out"])
    graph = onnx.helper.make_graph([node], "sum", inputs, [output])
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def test_a_graph_with_a_frozen_time_axis_fails_in_words(tmp_path: Path) -> None:
    path = graph_with_inputs(tmp_path / "frozen.onnx", [1, 3, 8, 4, 4])
    runner = open_runner("onnx", path, threads=1)
    assert infer(runner, np.ones((1, 3, 8, 4, 4), np.float32)).shape == (1, 3, 8, 4, 4)
    with pytest.raises(RunFailedError, match=r"failed on input \(1, 3, 9, 4, 4\)") as caught:
        infer(runner, np.ones((1, 3, 9, 4, 4), np.float32))
    assert "frozen" in str(caught.value.hint)


def test_a_graph_with_a_second_input_is_refused(tmp_path: Path) -> None:
    shape = [1, 3, 8, 4, 4]
    with pytest.raises(BadInputError, match=r"takes 2 inputs \(in0, in1\)"):
        open_runner("onnx", graph_with_inputs(tmp_path / "two.onnx", shape, shape), threads=1)


def test_threads_and_input_kind_are_checked(files: Any) -> None:
    with pytest.raises(BadInputError, match="threads is 0"):
        open_runner("onnx", files.path("onnx"), threads=0)
    with pytest.raises(BadInputError, match="unknown input 'int8'"):
        open_runner("onnx", files.path("onnx"), threads=1, input_kind="int8")


@pytest.mark.parametrize("backend", ["onnx", "openvino", "torchscript"])
def test_opening_an_artifact_imports_no_other_runtime(files: Any, repository: Path, backend: str) -> None:
    code = (
        "import sys; from pathlib import Path; from slrbench.runners.open import open_runner; "
        f"open_runner({backend!r}, Path({str(files.path(backend))!r}), threads=1); "
        "print([name for name in ('torch', 'torchvision', 'onnx', 'onnxruntime', 'openvino') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=repository, capture_output=True, text=True, check=True
    ).stdout
    assert done.strip() == str([{"onnx": "onnxruntime", "openvino": "openvino", "torchscript": "torch"}[backend]])


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="signals with handlers are POSIX")
@pytest.mark.parametrize("end", ["del first, second", "end = Thread(target=both.clear); end.start(); end.join()"])
def test_a_process_takes_signals_after_its_openvino_runners_went(files: Any, repository: Path, end: str) -> None:
    path = str(files.path("openvino"))
    code = (
        "import faulthandler, os, signal; from pathlib import Path; from threading import Thread; "
        "from slrbench.runners.open import open_runner; faulthandler.enable(); "
        f"both = [open_runner('openvino', Path({path!r}), threads=1) for _ in range(2)]; "
        f"{'first, second = both; both.clear(); ' if 'del' in end else ''}{end}; "
        "signal.signal(signal.SIGUSR1, lambda *_: print('taken')); os.kill(os.getpid(), signal.SIGUSR1)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=repository, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "taken\n")


def sound(video: torch.Tensor) -> torch.Tensor:
    return video.mean((3, 4)).permute(2, 0, 1).log_softmax(-1)


@pytest.mark.parametrize(
    ("module", "words"),
    [
        (
            lambda video: sound(video).reshape(16, 1, 3),
            r"torch failed on input \(1, 3, 8, 4, 4\): shape '\[16, 1, 3\]'",
        ),
        (lambda video: sound(video).sum(dim=7), "torch failed on input .*Dimension out of range"),
        (lambda video: (sound(video), None), r"gives a tuple, expected one tensor of log-probabilities \(T', B, C\)"),
        (lambda video: sound(video).to_sparse(), "the output of torch cannot be read"),
    ],
)
def test_a_module_that_does_not_give_one_array_fails_in_words(noise: Noise, module: Any, words: str) -> None:
    runner = ModuleRunner("torch", module, threads=1, input_kind="float32", normalise_here=False)
    with pytest.raises(RunFailedError, match=words) as raised:
        infer(runner, np.ascontiguousarray(normalise(noise(1, 8))[..., :4, :4]))
    assert raised.value.hint


def test_bfloat16_is_read_as_the_same_values(noise: Noise) -> None:
    video = np.ascontiguousarray(normalise(noise(1, 8)))
    runner = ModuleRunner(
        "torch", lambda video: sound(video).bfloat16(), threads=1, input_kind="float32", normalise_here=False
    )
    found = infer(runner, video)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, sound(torch.from_numpy(video)).bfloat16().double().numpy())
