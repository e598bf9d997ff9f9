"""Sessions of ONNX Runtime on the provider that was asked for, and no other. Imports no torch.

ONNX Runtime itself goes on with another provider where one cannot be had, after a line on stderr at most; here that is
an error, with the reason that the provider's own library gives. Shapes: B clips, T frames, H height, W width.
"""

import contextlib
import ctypes
import io
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnxruntime as ort

from exporters.cuda_driver import device_index
from exporters.engine_options import EngineOptions
from slrbench.errors import BadInputError, RunFailedError, UnavailableError

CPU, CUDA, TENSORRT = "CPUExecutionProvider", "CUDAExecutionProvider", "TensorrtExecutionProvider"
SPINNING = "session.intra_op.allow_spinning"
_RECORD_NODES = "session.record_ep_graph_assignment_info"
_LIBRARIES = {CUDA: "onnxruntime_providers_cuda", TENSORRT: "onnxruntime_providers_tensorrt"}
_WHAT = {CUDA: "onnx on CUDA", TENSORRT: "onnx through TensorRT"}
HOW_TO_GET = {
    CUDA: "pip install 'onnxruntime-gpu[cuda,cudnn]', beside an NVIDIA driver for that CUDA",
    TENSORRT: "pip install 'tensorrt-cu13<11' in an environment without TensorRT 11: this provider is linked to "
    "TensorRT 10",
}


def wanted_provider(device: str, variant: str) -> str:
    """The provider of a device and a variant."""
    if device == "cpu":
        return CPU
    return TENSORRT if variant == "tensorrt" else CUDA


def provider_chain(wanted: str) -> list[str]:
    """What a session is asked for: nodes that a provider does not take go to the next."""
    return [TENSORRT, CUDA, CPU][[TENSORRT, CUDA, CPU].index(wanted) :]


def cuda_options(index: int, precision: str) -> dict[str, str]:
    """The CUDA provider's options: TF32 by precision; cuDNN's whole search, as ONNX Runtime has it by default.

    It searches at every call whose shape is another than the last one's, seen before or not: 0.5 to 0.7 s on an H200
    (DECISIONS 62). Timed calls are all of one shape.
    """
    return {
        "device_id": str(index),
        "use_tf32": "1" if precision == "tf32" else "0",
        "cudnn_conv_algo_search": "EXHAUSTIVE",
    }


def tensorrt_options(index: int, precision: str, name: str, shapes: tuple[tuple[int, ...], ...]) -> dict[str, str]:
    """The TensorRT provider's options, with one profile: ``shapes`` are the input's smallest, usual and largest.

    Without a profile an engine would be built anew, within a timed call, whenever T leaves what was seen before.
    """
    words = [f"{name}:{'x'.join(map(str, shape))}" for shape in shapes]
    options = {
        "device_id": str(index),
        **dict(zip(("trt_profile_min_shapes", "trt_profile_opt_shapes", "trt_profile_max_shapes"), words, strict=True)),
    }
    if precision in ("fp16", "bf16", "int8"):  # TensorRT 10's flags: without one its builder refuses such tensors
        options[f"trt_{precision}_enable"] = "True"
    return options


def profile_shapes(shape: list[Any], input_kind: str, *, most: tuple[int, int] = (1, 1)) -> tuple[tuple[int, ...], ...]:
    """Smallest, usual and largest shape of an input whose graph has ``shape``: the ranges that engines have, too.

    The largest is stretched where it lacks ``most``, a batch and a number of frames.
    """
    channels_last = input_kind == "uint8"
    height, width = shape[2:4] if channels_last else shape[3:5]
    if not isinstance(height, int) or not isinstance(width, int):
        raise BadInputError(
            f"the graph's input has shape {shape}, expected a fixed height and width for the TensorRT provider",
            hint="export the model again",
        )
    usual = EngineOptions()
    options = replace(
        usual,
        batch=replace(usual.batch, max=max(usual.batch.max, most[0])),
        frames=replace(usual.frames, max=max(usual.frames.max, most[1])),
    )
    return options.shapes((height, width), channels_last=channels_last)


def open_session(
    path: Path,
    *,
    threads: int,
    device: str,
    input_kind: str,
    precision: str,
    variant: str,
    most: tuple[int, int] = (1, 1),
    profile_to: Path | None = None,
) -> ort.InferenceSession:
    """A session on the provider that was asked for; on the CPU it writes a trace to ``profile_to`` and a time behind.

    ``most`` is a batch and a number of frames that TensorRT's profile must have, beside those that it has anyway.

    Raises:
        BadInputError: the file is damaged.
        UnavailableError: the provider cannot be had here.
        RunFailedError: ONNX Runtime chose another provider than the CPU's.
    """
    wanted = wanted_provider(device, variant)
    ort.set_default_logger_severity(4)  # fatal only: errors come as exceptions, and a missing GPU is no news here
    if wanted == CPU:
        options_here = _session_options(threads)
        if profile_to is not None:
            options_here.enable_profiling = True
            options_here.profile_file_prefix = str(profile_to)
        session = _load(path, options_here, [CPU], {})
        if session.get_providers()[:1] != [CPU]:
            raise RunFailedError(
                f"ONNX Runtime chose {session.get_providers()} where {CPU} was asked for",
                hint="python -m slrbench doctor shows what is installed",
            )
        return session
    if wanted not in ort.get_available_providers():
        raise _unavailable(wanted, device, f"the installed package has {', '.join(ort.get_available_providers())} only")
    providers, options = provider_chain(wanted), {CUDA: cuda_options(device_index(device), precision)}
    if wanted == TENSORRT:
        found = _load(path, _session_options(threads, optimise=False), [CPU], {}).get_inputs()[0]
        shapes = profile_shapes(found.shape, input_kind, most=most)
        options[TENSORRT] = tensorrt_options(device_index(device), precision, found.name, shapes)
        if precision != "tf32":
            # This provider has no option for TF32, and TensorRT's own default is on. It lasts as long as the process:
            # NVIDIA's libraries read it once.
            os.environ["NVIDIA_TF32_OVERRIDE"] = "0"
    said = preload_libraries()
    session_options = _session_options(threads)
    session_options.add_session_config_entry(_RECORD_NODES, "1")
    try:
        session = _load(path, session_options, providers, options)
    except RuntimeError as error:
        raise _unavailable(wanted, device, library_fault(wanted) or first_line(error)) from error
    if session.get_providers()[:1] != [wanted]:
        reason = library_fault(wanted) or said or f"ONNX Runtime chose {session.get_providers()[0]}"
        raise _unavailable(wanted, device, reason)
    nodes = nodes_by_provider(session)
    if nodes is not None and not nodes.get(wanted):
        raise _unavailable(wanted, device, "it takes none of the graph's nodes")
    return session


def nodes_by_provider(session: ort.InferenceSession) -> dict[str, int] | None:
    """How many of the graph's nodes each provider computes; None where the session has not recorded it."""
    counted: Counter[str] = Counter()
    try:
        for part in session.get_provider_graph_assignment_info():
            counted[part.ep_name] += len(part.get_nodes())
    except Exception:  # ONNX Runtime's errors share no base class
        return None
    return dict(counted)


def preload_libraries() -> str:
    """Load CUDA and cuDNN from NVIDIA's packages, and say what was not found; it goes to stdout otherwise."""
    with contextlib.redirect_stdout(io.StringIO()) as said:
        ort.preload_dlls()
    lines = said.getvalue().strip().splitlines()
    return lines[0].strip() if lines else ""


def library_fault(provider: str) -> str | None:
    """Why the provider's own library does not load, as the system's loader says; None where it does."""
    folder = Path(ort.__file__).parent / "capi"
    found = sorted(folder.glob(f"*{_LIBRARIES[provider]}*"))
    if not found:
        return f"this package of ONNX Runtime holds no {_LIBRARIES[provider]}"
    with contextlib.suppress(OSError):  # the others need it; ONNX Runtime loads it before them, too
        for shared in sorted(folder.glob("*onnxruntime_providers_shared*")):
            ctypes.CDLL(str(shared), mode=ctypes.RTLD_GLOBAL)
    try:
        ctypes.CDLL(str(found[0]))
    except OSError as error:
        return str(error)
    return None


def _load(
    path: Path, options: ort.SessionOptions, providers: list[str], provider_options: Mapping[str, Mapping[str, str]]
) -> ort.InferenceSession:
    """A session that raises where a provider cannot be made, instead of going on without it.

    Raises:
        BadInputError: the file is damaged.
        RuntimeError: a GPU's provider cannot be made.
    """
    with_options = [(name, dict(provider_options.get(name, {}))) for name in providers]
    try:
        with _quiet():
            return ort.InferenceSession(str(path), options, providers=with_options, enable_fallback=0)
    except Exception as error:  # ONNX Runtime's errors share no base class
        if providers != [CPU] and (isinstance(error, RuntimeError) or type(error).__name__ == "EPFail"):
            raise RuntimeError(first_line(error)) from error
        raise BadInputError(
            f"{path} is not an ONNX file that ONNX Runtime {ort.__version__} can load: {first_line(error)}",
            hint="it is damaged or cut off: export the model again",
        ) from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """What ONNX Runtime prints is no part of a command's output."""
    with contextlib.redirect_stdout(io.StringIO()):
        yield


def _session_options(threads: int, *, optimise: bool = True) -> ort.SessionOptions:
    levels = ort.GraphOptimizationLevel
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = levels.ORT_ENABLE_ALL if optimise else levels.ORT_DISABLE_ALL
    options.add_session_config_entry(SPINNING, "0")  # threads that spin between calls disturb the other candidates
    return options


def _unavailable(provider: str, device: str, reason: str) -> UnavailableError:
    return UnavailableError(
        f"{_WHAT[provider]} cannot run on {device}: {provider} is not to be had: {reason}", hint=HOW_TO_GET[provider]
    )


def first_line(error: Exception) -> str:
    """What ONNX Runtime says, in a line."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
