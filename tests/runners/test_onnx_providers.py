"""ONNX Runtime's providers: bound calls on the CPU, and the real package's refusals where there is no GPU."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from exporters.cuda_driver import cuda_device_count
from slrbench.data.batching import normalise
from slrbench.errors import BadInputError, RunFailedError, UnavailableError
from slrbench.runners import onnx_providers as providers
from slrbench.runners.onnx_providers import (
    CPU,
    CUDA,
    TENSORRT,
    cuda_options,
    open_session,
    profile_shapes,
    provider_chain,
    tensorrt_options,
)
from slrbench.runners.onnxruntime_ import BoundCalls, HostCalls, OnnxRunner
from slrbench.runners.open import open_runner

needs_no_gpu = pytest.mark.skipif(cuda_device_count() > 0, reason="says what a machine without a GPU says")
needs_gpu_package = pytest.mark.skipif(
    CUDA not in onnxruntime.get_available_providers(), reason="this ONNX Runtime has no CUDA provider"
)


def session_of(path: Path, device: str = "cpu", variant: str = "") -> Any:
    return open_session(path, threads=1, device=device, input_kind="float32", precision="fp32", variant=variant)


def labelled(source: Path, folder: Path, precision: str) -> Path:
    """The same graph, with another precision in its metadata."""
    path = folder / f"{precision}.onnx"
    shutil.copy(source, path)
    graph = onnx.load(path)
    properties = {each.key: each.value for each in graph.metadata_props} | {"precision": precision}
    del graph.metadata_props[:]
    onnx.helper.set_model_props(graph, properties)
    onnx.save(graph, path)
    return path


def test_bound_calls_give_what_plain_calls_give_and_results_outlive_the_next_call(files: Any, noise: Any) -> None:
    session = session_of(files.path("onnx"))
    names = session.get_inputs()[0].name, session.get_outputs()[0].name
    bound, plain = BoundCalls(session, *names, "cpu", 0), HostCalls(session, *names)
    bound.synchronize()  # nothing was run yet: nothing to wait for
    kept = []
    for batch, frames in ((1, 5), (3, 16), (1, 5)):
        video = normalise(noise(batch, frames)) * (1 if not kept else -1)
        first = bound.run(bound.stage(video))
        bound.synchronize()
        expected = plain.fetch(plain.run(plain.stage(video)))
        np.testing.assert_array_equal(bound.fetch(first), expected)
        kept.append((first.numpy(), expected.copy()))
    for found, expected in kept:
        np.testing.assert_array_equal(found, expected)


@needs_no_gpu
@needs_gpu_package
@pytest.mark.parametrize("variant", ["", "tensorrt"])
def test_the_real_package_without_a_gpu_refuses_in_words_instead_of_going_on(
    files: Any, variant: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "0")  # set by the session, and taken back after the test
    with pytest.raises(UnavailableError, match=r"cannot run on cuda: \w+ is not to be had: lib\S+: cannot") as caught:
        session_of(files.path("onnx"), "cuda", variant)
    assert ("TensorRT 10" in str(caught.value.hint)) == bool(variant)
    assert capfd.readouterr().out == ""


@needs_gpu_package
def test_a_provider_that_takes_no_node_is_refused(files: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime.InferenceSession, "get_providers", lambda self: [CUDA, CPU])
    with pytest.raises(UnavailableError, match="takes none of the graph's nodes"):
        session_of(files.path("onnx"), "cuda")


def test_a_package_without_the_provider_is_told(files: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CPU])
    with pytest.raises(UnavailableError, match="the installed package has CPUExecutionProvider only"):
        session_of(files.path("onnx"), "cuda")


def test_tf32_is_off_unless_it_is_asked_for() -> None:
    for precision in ("fp32", "fp16", "bf16", "int8"):
        assert cuda_options(1, precision)["use_tf32"] == "0"
    assert cuda_options(1, "tf32")["use_tf32"] == "1"
    assert cuda_options(1, "tf32")["device_id"] == "1"


def test_tensorrt_gets_one_profile_for_all_batches_and_frames() -> None:
    shapes = profile_shapes(["batch", 3, "time", 112, 96], "float32")
    options = tensorrt_options(0, "fp16", "video", shapes)
    assert options["trt_profile_min_shapes"] == "video:1x3x1x112x96"
    assert options["trt_profile_opt_shapes"] == "video:1x3x64x112x96"
    assert options["trt_profile_max_shapes"] == "video:8x3x256x112x96"
    assert options["trt_fp16_enable"] == "True"
    assert not any(name.endswith("_enable") for name in tensorrt_options(0, "fp32", "video", shapes))
    assert profile_shapes(["batch", 3, "time", 112, 96], "float32", most=(2, 300))[2] == (8, 3, 300, 112, 96)
    assert profile_shapes(["batch", 3, "time", 112, 96], "float32", most=(16, 1))[2] == (16, 3, 256, 112, 96)
    assert profile_shapes(["batch", "time", 112, 96, 3], "uint8")[0] == (1, 1, 112, 96, 3)
    with pytest.raises(BadInputError, match="expected a fixed height and width"):
        profile_shapes(["batch", 3, "time", "height", 96], "float32")


def test_every_provider_option_is_known_to_the_real_library() -> None:
    folder = Path(onnxruntime.__file__).parent / "capi"
    shapes = profile_shapes(["batch", 3, "time", 8, 8], "float32")
    tensorrt = {name for p in ("fp16", "bf16", "int8") for name in tensorrt_options(0, p, "video", shapes)}
    for library, names in (("cuda", set(cuda_options(0, "fp32"))), ("tensorrt", tensorrt)):
        found = sorted(folder.glob(f"*onnxruntime_providers_{library}*"))
        if not found:
            pytest.skip("this ONNX Runtime has no GPU providers")
        content = found[0].read_bytes()
        assert [name for name in names if name.encode() not in content] == []


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_a_graph_of_other_types_says_what_it_computes_in(files: Any, tmp_path: Path, precision: str) -> None:
    path = labelled(files.path("onnx"), tmp_path, precision)
    runner = open_runner("onnx", path, threads=1, precision=precision)
    assert runner.requested["precision"] == runner.actual["precision"] == precision
    assert open_runner("onnx", path, threads=1).actual["precision"] == precision  # the file's word, not the caller's


def test_a_file_of_another_precision_than_asked_for_is_refused(files: Any, tmp_path: Path) -> None:
    path = labelled(files.path("onnx"), tmp_path, "fp32")
    with pytest.raises(BadInputError, match="computes in fp32, expected fp16"):
        open_runner("onnx", path, threads=1, precision="fp16")


def test_precision_on_a_gpu_is_read_back_from_the_provider(
    files: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A CPU session stands in for the GPU's: what is shown is which figure is believed."""
    session = session_of(files.path("onnx"))
    monkeypatch.setattr("slrbench.runners.onnxruntime_.open_session", lambda *_, **__: session)
    for use_tf32, precision in (("0", "fp32"), ("1", "tf32")):
        monkeypatch.setattr(type(session), "get_provider_options", lambda self, v=use_tf32: {CUDA: {"use_tf32": v}})
        runner = OnnxRunner(files.path("onnx"), threads=1, device="cuda", input_kind="float32")
        assert runner.actual["precision"] == precision
        assert runner.requested["precision"] == "fp32"
        assert runner.actual["provider_options"] == {"use_tf32": use_tf32}
        monkeypatch.setattr(type(session), "get_providers", lambda self: [CUDA, CPU])
        runner = OnnxRunner(files.path("onnx"), threads=1, device="cuda", input_kind="float32")
        assert runner.requested["providers"] == runner.actual["providers"] == [CUDA, CPU]


def test_a_session_is_asked_for_the_providers_that_nodes_may_fall_back_to() -> None:
    assert provider_chain(CPU) == [CPU]
    assert provider_chain(CUDA) == [CUDA, CPU]
    assert provider_chain(TENSORRT) == [TENSORRT, CUDA, CPU]


@pytest.mark.parametrize("input_kind", ["float32", "uint8"])
def test_a_video_beyond_the_profile_of_tensorrt_makes_a_session_that_has_it(
    files: Any, noise: Any, monkeypatch: pytest.MonkeyPatch, input_kind: str
) -> None:
    """CPU sessions stand in for the GPU's: what is shown is which profile is asked for, and when."""
    path = files.path("onnx", input_kind)
    session = open_session(path, threads=1, device="cpu", input_kind=input_kind, precision="fp32", variant="")
    asked: list[Any] = []

    def open_one(*_: Any, most: Any = None, **__: Any) -> Any:
        asked.append(most)
        return session

    monkeypatch.setattr(f"{OnnxRunner.__module__}.open_session", open_one)
    monkeypatch.setattr(
        f"{OnnxRunner.__module__}.BoundCalls", lambda session, given, out, *_: HostCalls(session, given, out)
    )
    for variant, expected in (("tensorrt", [None, (8, 300), (9, 300)]), ("", [None])):
        asked.clear()
        monkeypatch.setattr(type(session), "get_provider_options", lambda self: {CUDA: {}, TENSORRT: {"n": len(asked)}})
        runner = OnnxRunner(path, threads=1, device="cuda", input_kind=input_kind, variant=variant)
        for shape in ((1, 5), (8, 3), (1, 300), (2, 260), (9, 2), (9, 1)):
            video = noise(*shape)
            output = runner.fetch(runner.run(runner.stage(video if input_kind == "uint8" else normalise(video))))
            assert output.shape[1] == shape[0]
        assert asked == expected
        assert runner.actual["provider_options"] == ({"n": 3} if variant else {})


def test_after_a_profile_that_cannot_be_had_the_runner_is_closed(
    files: Any, noise: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = session_of(files.path("onnx"))

    def open_one(*_: Any, most: Any = None, **__: Any) -> Any:
        if most is not None:
            raise UnavailableError("out of memory")
        return session

    monkeypatch.setattr(f"{OnnxRunner.__module__}.open_session", open_one)
    monkeypatch.setattr(type(session), "get_provider_options", lambda self: {TENSORRT: {}})
    runner = OnnxRunner(files.path("onnx"), threads=1, device="cuda", input_kind="float32", variant="tensorrt")
    with pytest.raises(UnavailableError, match="out of memory"):
        runner.stage(normalise(noise(9, 2)))
    with pytest.raises(RunFailedError, match="closed"):
        runner.stage(normalise(noise(1, 2)))


def test_a_library_that_loads_has_no_fault(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(providers.ort, "__file__", str(tmp_path / "__init__.py"))
    assert "holds no onnxruntime_providers_cuda" in str(providers.library_fault(CUDA))
