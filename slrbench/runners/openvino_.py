"""The openvino runner: an OpenVINO IR (``.xml`` with its ``.bin``) on the CPU plugin. Imports no torch.

Shapes: B clips, T frames, T' output steps, C classes.
"""

from collections.abc import Sequence
from copy import copy
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from slrbench.errors import BadInputError, RunFailedError
from slrbench.runners.inputs import artifact_files, check_artifact_file, check_input_kind, check_video
from slrbench.runners.options import check_options

_CORE = ov.Core()
"""The process's one core, which is never let go of.

With its core the CPU plugin goes, and puts back the alternate signal stack that it found. Where two plugins go in the
order in which they came, or one goes in another thread, the process is left with a stack that is no longer mapped, and
the next signal with a handler kills it (OpenVINO 2026.4).
"""

_PRECISIONS = {"f32": "fp32", "bf16": "bf16", "f16": "fp16"}
_ELEMENT_TYPES = {"float32": "f32", "uint8": "u8"}


class OpenVinoRunner:
    """One infer request of a compiled model: one stream of the stated number of threads, computing in fp32."""

    backend = "openvino"

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
        count: bool = False,
    ) -> None:
        """Open and compile the file; with ``count`` every node's time is counted.

        Raises:
            BadInputError: a file is missing or damaged, is not the one of ``expected_sha256``, or takes another input;
                or precision or variant are not OpenVINO's here.
        """
        check_options(self.backend, device, precision, variant)
        check_input_kind(input_kind)
        check_artifact_file(path, ".xml", expected_sha256=expected_sha256)
        artifact_files(path)  # OpenVINO's own words for a missing .bin name neither file
        compiled = _compile(path, threads, input_kind, count=count)
        self._input_kind = input_kind
        self._path = path
        self._request: Any = compiled.create_infer_request()
        self.requested: dict[str, Any] = {
            "device": device, "threads": threads, "precision": precision, "input_kind": input_kind, "streams": 1,
            "performance_hint": "LATENCY", "cpu_pinning": False,
        }  # fmt: skip
        self.actual: dict[str, Any] = {
            "device": ",".join(compiled.get_property("EXECUTION_DEVICES")).lower(),
            "threads": int(compiled.get_property("INFERENCE_NUM_THREADS")),
            "precision": _precision(compiled),
            "input_kind": input_kind,
            "streams": int(compiled.get_property("NUM_STREAMS")),
            "performance_hint": _word(compiled.get_property("PERFORMANCE_HINT")),
            "cpu_pinning": bool(compiled.get_property("ENABLE_CPU_PINNING")),
            "version": ov.__version__,
        }

    def stage(self, video: NDArray[Any]) -> ov.Tensor:
        """The video as a tensor that shares its memory."""
        return ov.Tensor(check_video(video, self._input_kind), shared_memory=True)

    def run(self, staged: ov.Tensor) -> ov.Tensor:
        """Run the request; complete on return.

        Raises:
            RunFailedError: the runner is closed, or the network refused the input.
        """
        if self._request is None:
            raise RunFailedError("the runner is closed")
        try:
            self._request.set_input_tensor(staged)
            # The call without a thread hand-over, as benchmark_app's sync mode makes it. Outputs stay where they are:
            # copying them is fetch's work.
            self._request.infer(None, share_outputs=True)
        except RuntimeError as error:
            raise RunFailedError(
                f"OpenVINO failed on input {tuple(staged.shape)}: {_last_line(error)}",
                hint="a graph whose batch or time axis was frozen fails like this: export the model again",
            ) from error
        tensor: ov.Tensor = self._request.get_output_tensor(0)
        return tensor

    def synchronize(self) -> None:
        """Nothing to wait for: ``run`` is synchronous."""

    def fetch(self, pending: ov.Tensor) -> NDArray[np.float32]:
        """The log-probabilities ``(T', B, C)``, copied out of the request's own memory."""
        result: NDArray[np.float32] = np.array(pending.data)
        return result

    def counters(self) -> list[tuple[str, str, str, float]]:
        """Name, type, implementation and seconds of each node that ran in the last call, where they were counted."""
        return [
            (node.node_name, node.node_type, node.exec_type, node.real_time.total_seconds())
            for node in self._request.get_profiling_info()
            if node.status == ov.ProfilingInfo.Status.EXECUTED
        ]

    def device_seconds(self) -> float | None:
        """None: the host's clock is all there is on a CPU."""
        return None

    def device_memory(self) -> dict[str, int]:
        """Empty: there is no device memory on a CPU."""
        return {}

    def parallel(self, requests: int) -> Sequence["OpenVinoRunner"]:
        """Handles of a model that is compiled anew with one stream for each request; the streams share the threads."""
        compiled = _compile(self._path, self.requested["threads"], self._input_kind, streams=requests)
        handles = [copy(self) for _ in range(requests)]
        for handle in handles:
            handle._request = compiled.create_infer_request()
        return handles

    def close(self) -> None:
        """Let go of the request and the compiled model."""
        self._request = None


def _compile(path: Path, threads: int, input_kind: str, *, streams: int = 1, count: bool = False) -> Any:
    try:
        model = _CORE.read_model(path)
    except RuntimeError as error:
        raise BadInputError(
            f"{path} is not an OpenVINO IR that OpenVINO {ov.__version__} can read: {_last_line(error)}",
            hint="it is damaged or cut off: export the model again",
        ) from error
    if len(model.inputs) != 1:
        raise BadInputError(f"{path} takes {len(model.inputs)} inputs, expected the video only")
    found = model.input(0).element_type.get_type_name()
    if found != _ELEMENT_TYPES[input_kind]:
        raise BadInputError(
            f"{path} takes {found}, expected {_ELEMENT_TYPES[input_kind]} for {input_kind} input",
            hint="--input says which flavour of artifact is meant",
        )
    return _CORE.compile_model(
        model,
        "CPU",
        {
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": streams,
            "PERFORMANCE_HINT": "LATENCY",
            # Without it the plugin computes in bf16 where the CPU can, and reports nothing.
            "INFERENCE_PRECISION_HINT": "f32",
            # The other runtimes leave their threads to the scheduler; pinned ones suffer where a core is shared.
            "ENABLE_CPU_PINNING": False,
            "PERF_COUNT": count,
        },
    )


def _precision(compiled: Any) -> str:
    name = str(compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name())
    return _PRECISIONS.get(name, name)


def _word(value: Any) -> str:
    return str(getattr(value, "name", value)).removeprefix("PerformanceMode.")


def _last_line(error: Exception) -> str:
    """OpenVINO's messages start with source files; what went wrong stands last."""
    return (str(error).strip().splitlines() or [type(error).__name__])[-1]
