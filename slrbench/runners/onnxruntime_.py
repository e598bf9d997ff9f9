"""The onnx runner: an ``.onnx`` file on ONNX Runtime's CPU, CUDA or TensorRT provider. Imports no torch.

Shapes: B clips, T frames, T' output steps, C classes.
"""

import os
from collections.abc import Sequence
from copy import copy
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from exporters.cuda_driver import device_index
from exporters.engine_options import EngineOptions
from slrbench.errors import BadInputError, RunFailedError, UnavailableError
from slrbench.runners.inputs import check_artifact_file, check_input_kind, check_video
from slrbench.runners.onnx_providers import (
    CUDA,
    SPINNING,
    TENSORRT,
    first_line,
    nodes_by_provider,
    open_session,
    provider_chain,
    wanted_provider,
)
from slrbench.runners.options import check_options

Staged = Any
"""What stays where the session computes: an array on the CPU, an ``ort.OrtValue`` on a GPU."""

_ELEMENT_TYPES = {"float32": "tensor(float)", "uint8": "tensor(uint8)"}


class HostCalls:
    """Calls with values in the host's memory; complete on return."""

    def __init__(self, session: ort.InferenceSession, input_name: str, output_name: str) -> None:
        """Of this session."""
        self._session = session
        self._input, self._output = input_name, output_name

    def stage(self, video: NDArray[Any]) -> NDArray[Any]:
        """The video itself.

        Not as an OrtValue, though that shares its memory, too: a call with those takes longer than one with arrays
        (1.4 %, 0.7 to 2.1, of 17 ms; ONNX Runtime 1.31, calls of both kinds on one session in random order).
        """
        return video

    def run(self, staged: NDArray[Any]) -> NDArray[Any]:
        """The first output."""
        output: NDArray[Any] = self._session.run([self._output], {self._input: staged})[0]
        return output

    def synchronize(self) -> None:
        """Nothing to wait for."""

    def fetch(self, pending: NDArray[Any]) -> NDArray[Any]:
        """The output itself."""
        return pending


class BoundCalls:
    """Calls with values in a device's memory, bound to the session: without it each call would copy both ways."""

    def __init__(
        self, session: ort.InferenceSession, input_name: str, output_name: str, device_type: str, index: int
    ) -> None:
        """Of this session; ``device_type`` is ONNX Runtime's word: ``cuda``, or ``cpu``."""
        self._session = session
        self._input, self._output = input_name, output_name
        self._device = device_type, index
        self._binding: ort.IOBinding | None = None

    def stage(self, video: NDArray[Any]) -> ort.OrtValue:
        """The video copied to the device; complete on return."""
        return ort.OrtValue.ortvalue_from_numpy(video, *self._device)

    def run(self, staged: ort.OrtValue) -> ort.OrtValue:
        """The first output, allocated by ONNX Runtime on the device; a binding of its own keeps it past the next call.

        ONNX Runtime waits for its stream before it returns.
        """
        binding = self._session.io_binding()
        binding.bind_ortvalue_input(self._input, staged)
        binding.bind_output(self._output, *self._device)
        self._session.run_with_iobinding(binding)
        self._binding = binding
        return binding.get_outputs()[0]

    def synchronize(self) -> None:
        """Wait for the outputs of the last call."""
        if self._binding is not None:
            self._binding.synchronize_outputs()

    def fetch(self, pending: ort.OrtValue) -> NDArray[Any]:
        """The output, copied to the host."""
        output: NDArray[Any] = pending.numpy()
        return output


class OnnxRunner:
    """An ONNX Runtime session: one thread pool of the stated size, operators one after another, no spinning."""

    backend = "onnx"

    def __init__(
        self,
        path: Path,
        *,
        threads: int,
        device: str = "cpu",
        input_kind: str,
        precision: str = "fp32",
        variant: str = "",
        expected_sha256: str | None = None,
        profile_to: Path | None = None,
    ) -> None:
        """Open the file; on a GPU ``variant`` is empty for the CUDA provider, ``tensorrt`` for TensorRT's.

        With ``profile_to`` ONNX Runtime writes a trace to a file of that beginning.
        The graph's own types say what is computed; ``precision`` says what they are, and whether TF32 is on.

        Raises:
            BadInputError: the file is missing or damaged, is not of ``expected_sha256``, takes another input or
                computes in another precision; or precision or variant are not of this device.
            UnavailableError: the provider that was asked for cannot be had.
            RunFailedError: ONNX Runtime chose another provider than the CPU's.
        """
        check_options("onnx", device, precision, variant)
        check_input_kind(input_kind)
        check_artifact_file(path, ".onnx", expected_sha256=expected_sha256)
        self._open_session = partial(
            open_session,
            path,
            threads=threads,
            device=device,
            input_kind=input_kind,
            precision=precision,
            variant=variant,
        )
        session = self._open_session(profile_to=profile_to)
        self._profiled = session if profile_to is not None else None
        names = _only_input(session, path, input_kind), session.get_outputs()[0].name
        self._input_kind, self._device, self._names = input_kind, device, names
        self._calls: HostCalls | BoundCalls | None = self._calls_of(session)
        self._path = path
        provider = wanted_provider(device, variant)
        usual = EngineOptions()
        self._most = (usual.batch.max, usual.frames.max) if provider == TENSORRT else None
        self.requested: dict[str, Any] = {
            "device": device, "threads": threads, "inter_op_threads": 1, "precision": precision,
            "input_kind": input_kind, "providers": provider_chain(provider), "spinning": False,
        }  # fmt: skip
        options = session.get_session_options()
        self.actual: dict[str, Any] = {
            "device": device,
            "threads": options.intra_op_num_threads,
            "inter_op_threads": options.inter_op_num_threads,
            "precision": _precision(session, provider, path, precision),
            "input_kind": input_kind,
            "providers": session.get_providers(),
            "spinning": options.get_session_config_entry(SPINNING) != "0",
            "execution_mode": options.execution_mode.name,
            "graph_optimization_level": options.graph_optimization_level.name,
            "version": ort.__version__,
            **({} if device == "cpu" else _on_gpu(session, provider)),
        }

    def stage(self, video: NDArray[Any]) -> Staged:
        """On the CPU the video itself, on a GPU a copy from pageable memory.

        A video that is beyond the profile of the TensorRT provider makes a new session, with a profile that has it.
        """
        video = check_video(video, self._input_kind)
        self._open()
        if self._most is not None:
            frames = video.shape[1 if self._input_kind == "uint8" else 2]
            self._stretch((max(self._most[0], video.shape[0]), max(self._most[1], frames)))
        return self._open().stage(video)

    def run(self, staged: Staged) -> Staged:
        """Run the graph.

        Raises:
            RunFailedError: the runner is closed, or the graph refused the input.
        """
        calls = self._open()
        try:
            return calls.run(staged)
        except Exception as error:  # ONNX Runtime's errors share no base class
            raise RunFailedError(
                f"ONNX Runtime failed on input {_shape_of(staged)}: {first_line(error)}",
                hint="a graph whose batch or time axis was frozen fails like this: export the model again",
            ) from error

    def synchronize(self) -> None:
        """Wait for the outputs of the last call; nothing on the CPU."""
        self._open().synchronize()

    def fetch(self, pending: Staged) -> NDArray[np.float32]:
        """The log-probabilities ``(T', B, C)``."""
        result: NDArray[np.float32] = self._open().fetch(pending)
        return result

    def device_seconds(self) -> float | None:
        """None: ONNX Runtime puts no events on its stream, and the host's clock is all there is on a CPU."""
        return None

    def device_memory(self) -> dict[str, int]:
        """Empty: ONNX Runtime does not say; what the process holds is in the GPU's state beside the measurement."""
        return {}

    def parallel(self, requests: int) -> Sequence["OnnxRunner"]:
        """Handles of one new session, which may be called from several threads at a time.

        A calling thread computes with the session's pool, so the pool is smaller by the further callers: callers and
        pool together are as many threads as this runner has.

        Raises:
            UnavailableError: on a GPU, where calls of one session wait for each other.
        """
        if self.requested["device"] != "cpu":
            raise UnavailableError(f"onnx offers one request at a time on {self.requested['device']}")
        session = open_session(
            self._path, threads=self.requested["threads"] - requests + 1, device="cpu", input_kind=self._input_kind,
            precision=self.requested["precision"], variant="",
        )  # fmt: skip
        handles = [copy(self) for _ in range(requests)]
        for handle in handles:
            handle._calls = HostCalls(session, *self._names)
        return handles

    def end_profile(self) -> Path:
        """The trace of everything since the session was made, where ``profile_to`` was given; once only."""
        return Path(self._profiled.end_profiling()) if self._profiled is not None else Path()

    def close(self) -> None:
        """Let go of the session."""
        self._calls = None
        self._profiled = None

    def _stretch(self, most: tuple[int, int]) -> None:
        """Let the TensorRT provider's profile have that batch and that many frames; nothing where it has them."""
        if most == self._most:
            return
        self._calls = None  # first: two engines at once may be more than the GPU holds
        session = self._open_session(most=most)
        self._calls, self._most = self._calls_of(session), most
        self.actual |= _on_gpu(session, TENSORRT)

    def _calls_of(self, session: ort.InferenceSession) -> HostCalls | BoundCalls:
        if self._device == "cpu":
            return HostCalls(session, *self._names)
        return BoundCalls(session, *self._names, "cuda", device_index(self._device))

    def _open(self) -> HostCalls | BoundCalls:
        if self._calls is None:
            raise RunFailedError("the runner is closed")
        return self._calls


def _shape_of(staged: Staged) -> tuple[int, ...]:
    return tuple(staged.shape if isinstance(staged, np.ndarray) else staged.shape())


def _precision(session: ort.InferenceSession, provider: str, path: Path, asked: str) -> str:
    """What is computed in: the graph's types, by its metadata, and TF32 as the provider says it is set.

    Raises:
        BadInputError: a precision other than fp32 was asked for and the graph says another one.
    """
    types_asked = "fp32" if asked == "tf32" else asked
    types: str = session.get_modelmeta().custom_metadata_map.get("precision", types_asked)
    if types != types_asked and asked != "fp32":
        raise BadInputError(
            f"{path} computes in {types}, expected {types_asked} for precision {asked!r}",
            hint="--precision says which artifact is meant",
        )
    if types != "fp32":
        return types
    if provider == CUDA:
        return "tf32" if session.get_provider_options()[CUDA].get("use_tf32") != "0" else "fp32"
    if provider == TENSORRT:
        return "fp32" if os.environ.get("NVIDIA_TF32_OVERRIDE") == "0" else "tf32"
    return types


def _on_gpu(session: ort.InferenceSession, provider: str) -> dict[str, Any]:
    return {
        "provider_options": dict(session.get_provider_options()[provider]),
        "nodes_by_provider": nodes_by_provider(session),
        "host_memory": "pageable",
    }


def _only_input(session: ort.InferenceSession, path: Path, input_kind: str) -> str:
    inputs = session.get_inputs()
    if len(inputs) != 1:
        names = ", ".join(each.name for each in inputs)
        raise BadInputError(f"{path} takes {len(inputs)} inputs ({names}), expected the video only")
    if inputs[0].type != _ELEMENT_TYPES[input_kind]:
        raise BadInputError(
            f"{path} takes {inputs[0].type}, expected {_ELEMENT_TYPES[input_kind]} for {input_kind} input",
            hint="--input says which flavour of artifact is meant",
        )
    name: str = inputs[0].name
    return name
