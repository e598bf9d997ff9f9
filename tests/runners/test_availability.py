"""Which backends can run here, in words; the refusals and what they advise."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from slrbench.errors import BadInputError, ExitCode, UnavailableError
from slrbench.runners import availability as module
from slrbench.runners.availability import BACKENDS, availability, check_device, describe, require, try_import
from slrbench.runners.open import open_runner

needs_no_gpu = pytest.mark.skipif(module.cuda_device_count() > 0, reason="says what a machine without a GPU says")


@pytest.mark.parametrize("backend", ["torch", "torchscript", "onnx", "openvino"])
def test_cpu_backends_are_available_with_their_version(backend: str) -> None:
    found = availability(backend)
    assert found.available
    assert found.why_not is None
    assert found.version
    assert describe(backend)


@needs_no_gpu
def test_trt_without_a_gpu_says_what_runs_instead() -> None:
    with pytest.raises(UnavailableError) as caught:
        open_runner("trt", Path("model.engine"), threads=1)
    assert caught.value.message == "backend 'trt' cannot run here: no CUDA device is visible"
    assert str(caught.value.hint).startswith("python -m slrbench bench --backend onnx,openvino ")
    assert caught.value.exit_code == ExitCode.UNAVAILABLE


@needs_no_gpu
@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
def test_a_cuda_device_where_there_is_none_is_unavailable(device: str) -> None:
    with pytest.raises(UnavailableError, match=f"on device '{device}': no CUDA device is visible") as caught:
        require("onnx", device)
    assert "--backend onnx --device cpu" in str(caught.value.hint)


def test_an_unknown_backend_is_bad_input_with_a_suggestion() -> None:
    with pytest.raises(BadInputError, match="unknown backend 'onx', expected one of torch, torchscript") as caught:
        availability("onx")
    assert caught.value.hint == "did you mean 'onnx'?"


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda:x", "CPU", ""])
def test_an_unknown_device_is_bad_input(device: str) -> None:
    with pytest.raises(BadInputError, match="expected cpu, cuda or cuda:N"):
        check_device(device)


def test_a_backend_that_is_not_installed_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(module, "find_spec", lambda name: None if name == "openvino" else real(name))
    found = availability("openvino")
    assert not found.available
    assert found.how_to_get == "pip install openvino"
    with pytest.raises(UnavailableError, match="the package openvino is not installed") as caught:
        require("openvino")
    assert "--backend onnx " in str(caught.value.hint)


def test_a_package_that_does_not_load_is_found_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "brokenruntime.py").write_text("raise ImportError('libfoo.so.1: cannot open shared object file')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setitem(module._RUNTIMES, "onnx", module._Runtime("brokenruntime", ("onnxruntime",), "broken"))
    assert try_import("onnx") == "ImportError: libfoo.so.1: cannot open shared object file"
    monkeypatch.setattr(module, "find_spec", lambda name: object())
    found = module.tried_availability("onnx")
    assert not found.available
    assert "libfoo.so.1" in str(found.why_not)


def test_listing_backends_imports_no_runtime(repository: Path) -> None:
    code = (
        "import sys; from slrbench.runners.availability import BACKENDS, availability; "
        "[availability(backend) for backend in BACKENDS]; "
        "print([name for name in ('torch', 'onnxruntime', 'openvino', 'numpy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=repository, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert len(BACKENDS) == 5
