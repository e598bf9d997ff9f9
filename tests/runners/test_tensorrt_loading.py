"""Engines that cannot be loaded say why.

On CUDA in host memory; the last part asks the real TensorRT-RTX library, on a machine with no GPU.
"""

import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from exporters.engine_options import EngineOptions, Range
from exporters.tensorrt_library import load_library
from exporters.to_tensorrt import engine_from_onnx
from slrbench.errors import BadInputError, RunFailedError, SlrbenchError, UnavailableError
from slrbench.runners.availability import cuda_device_count
from slrbench.runners.tensorrt_ import TensorRtRunner
from slrbench.runners.tensorrt_engine import library_for
from tests.runners.host_cuda import HostCuda, check
from tests.runners.host_engine import host_library
from tests.runners.trt_session import open_on_host, plan

needs_no_gpu = pytest.mark.skipif(cuda_device_count() > 0, reason="says what a machine without a GPU says")

# --- engines that cannot be loaded ------------------------------------------------------------------------------------


def test_too_little_memory_for_a_context_says_how_much_is_needed(engine: Path) -> None:
    host = HostCuda()
    with pytest.raises(RunFailedError, match=r"which needs 5\.0 MB of device memory: OutOfMemory") as caught:
        open_on_host(engine, host, adjust=lambda trt: setattr(trt, "contexts_left", 0))
    assert "smaller --batch or --frames" in str(caught.value.hint)
    check(host)


def test_a_library_that_cannot_start_is_unavailable(engine: Path) -> None:
    host = HostCuda(fail_on="trt.Runtime")
    with pytest.raises(UnavailableError, match="cannot start here: Runtime was told to fail"):
        open_on_host(engine, host)
    check(host)


LOAD_ERRORS = [
    # What the libraries say, the kind of error it is for us, and our words.
    (
        "(cudaError 35: CUDA driver version is insufficient for CUDA runtime version)",
        UnavailableError,
        "no CUDA driver",
    ),
    ("Error Code 1: Cuda Runtime (out of memory)", RunFailedError, "out of memory"),
    ("Error Code 2: OutOfMemory (Requested size was 8 bytes.)", RunFailedError, "OutOfMemory"),
    (
        "The engine plan file is not compatible with this version of TensorRT, expecting library version 11.4.0 got "
        "10.16.1, please rebuild.",
        BadInputError,
        "was built by another version",
    ),
    (
        "The engine plan file is generated on an incompatible device, expecting compute 9.0 got compute 8.6, please "
        "rebuild.",
        BadInputError,
        "was built for another GPU",
    ),
    ("The engine cannot run on this GPU, which has compute capability 9.0", BadInputError, "was built for another GPU"),
    (
        "API Usage Error (The engine cannot run on this GPU, which has compute capability 9.0. Supported compute "
        "capabilities: 8.0. TensorRT-RTX does not support this compute capability, so the engine cannot be rebuilt for "
        "it.",
        BadInputError,
        "cannot run on this GPU",
    ),
    (
        "Serialization assertion header.magicTag == kEXPECTED_MAGIC_TAG failed.",
        BadInputError,
        "or was built by another",
    ),
    ("Serialization assertion plan.header.size == blobSize failed.", BadInputError, "is damaged or cut off"),
    ("something never heard of", BadInputError, "is damaged, or was built by another version or for another GPU"),
]


@pytest.mark.parametrize(("logged", "kind", "words"), LOAD_ERRORS)
def test_an_engine_that_cannot_be_loaded_says_why(
    engine: Path, monkeypatch: pytest.MonkeyPatch, logged: str, kind: type[SlrbenchError], words: str
) -> None:
    host = HostCuda()
    library = host_library(host, rtx=".rtx" in engine.name)

    def refuse(name: str) -> bool:
        if name != "deserialize_cuda_engine":
            return False
        library.messages.errors += [logged, "Error Code 4: Internal Error (what came of it)"]
        return True

    monkeypatch.setattr(library.trt, "step", refuse)
    with pytest.raises(kind, match=words) as caught:
        TensorRtRunner(engine, threads=1, input_kind="float32", cuda=host, engine_api=library)
    assert type(caught.value) is kind
    assert caught.value.hint
    # Where the library knows no engine for this GPU, building it again would help nobody.
    hopeless = "does not support this compute capability" in logged
    assert ("'.[gpu]'" in caught.value.hint) is hopeless
    assert not (hopeless and "builds one that runs here" in caught.value.hint)
    assert "what came of it" not in caught.value.message
    check(host)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"inputs": {"frames": "FLOAT"}}, r"takes \['frames'\] and gives \['log_probs'\], expected \['video'\]"),
        ({"inputs": {"video": "FLOAT", "lengths": "FLOAT"}}, r"takes \['video', 'lengths'\]"),
        ({"outputs": {"logits": "FLOAT"}}, r"gives \['logits'\]"),
        ({"inputs": {"video": "UINT8"}}, "takes uint8, expected float32 for float32 input"),
        ({"outputs": {"log_probs": "HALF"}}, "gives half, expected log-probabilities in float32"),
    ],
)
def test_an_engine_with_other_tensors_is_refused(
    tiny_onnx: Any, tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    host = HostCuda()
    with pytest.raises(BadInputError, match=words) as caught:
        open_on_host(plan(tmp_path / "model.engine", tiny_onnx["float32"], **changes), host)
    assert caught.value.hint
    check(host)


def test_files_that_are_no_engines_are_told_apart(engine: Path, tmp_path: Path) -> None:
    host = HostCuda()
    with pytest.raises(BadInputError, match="there is no file"):
        open_on_host(tmp_path / "none.engine", host)
    other = tmp_path / "model.onnx"
    other.touch()
    with pytest.raises(BadInputError, match=r"is not a \.engine file"):
        open_on_host(other, host)
    with pytest.raises(BadInputError, match="is not the file whose parity was checked"):
        open_on_host(engine, host, expected_sha256="0" * 64)
    assert host.calls == []  # no GPU is touched for them
    engine.write_bytes(b"not an engine")
    with pytest.raises(BadInputError, match="is damaged, or was built by another library or version"):
        open_on_host(engine, host)
    check(host)


# --- the real library, without a GPU ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real_engine(tiny_onnx: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A real TensorRT-RTX engine of the tiny network."""
    path = tmp_path_factory.mktemp("rtx") / "model.sm89.rtx.engine"
    options = EngineOptions(batch=Range(min=1, opt=1, max=2), frames=Range(min=1, opt=8, max=16))
    library = load_library("tensorrt-rtx")
    engine_from_onnx(tiny_onnx["float32"], path, library=library, precision="fp32", frame_size=(8, 8), options=options)
    return path


@needs_no_gpu
def test_a_real_engine_without_a_gpu_is_unavailable_and_the_process_lives(real_engine: Path, repository: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from slrbench.errors import UnavailableError\n"
        "from slrbench.runners.tensorrt_ import TensorRtRunner\n"
        "try: TensorRtRunner(Path(sys.argv[1]), threads=1, input_kind='float32')\n"
        "except UnavailableError as error: print(error.message, '|', error.hint)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(real_engine)], cwd=repository, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "pycuda" in done.stdout or "CUDA" in done.stdout
    assert done.stdout.partition("|")[2].strip() not in ("", "None")
    assert done.stderr == ""


@needs_no_gpu
def test_the_real_library_says_that_there_is_no_driver(real_engine: Path) -> None:
    host = HostCuda()
    with pytest.raises(UnavailableError, match=r"tensorrt-rtx .* cannot load .* here: no CUDA driver") as caught:
        TensorRtRunner(real_engine, threads=1, input_kind="float32", cuda=host, engine_api=library_for(real_engine))
    assert "nvidia-smi" in str(caught.value.hint)
    check(host)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda plan: b"nonsense" * 100, "is damaged, or was built by another library or version"),
        (lambda plan: plan[: len(plan) // 2], "is damaged or cut off"),
        (lambda plan: b"", "is damaged or cut off"),
    ],
)
def test_the_real_library_tells_a_damaged_engine(
    real_engine: Path, tmp_path: Path, damage: Callable[[bytes], bytes], words: str
) -> None:
    path = tmp_path / real_engine.name
    path.write_bytes(damage(real_engine.read_bytes()))
    host = HostCuda()
    with pytest.raises(BadInputError, match=words):
        TensorRtRunner(path, threads=1, input_kind="float32", cuda=host, engine_api=library_for(path))
    check(host)


@pytest.mark.skipif(find_spec("tensorrt") is not None and find_spec("tensorrt").origin is not None, reason="is here")
def test_an_engine_of_a_library_that_is_not_installed_says_how_to_get_it(engine: Path) -> None:
    path = engine.rename(engine.parent / "model.sm90.engine")
    with pytest.raises(
        UnavailableError, match=r"tensorrt cannot run model\.sm90\.engine: it is not installed"
    ) as caught:
        TensorRtRunner(path, threads=1, input_kind="float32", cuda=HostCuda())
    assert "pip install -e '.[gpu]'" in str(caught.value.hint)
