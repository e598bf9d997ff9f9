"""The onnx runner: an ``.onnx`` file on ONNX Runtime's CPU provider. Imports no torch.

Shapes: B clips, T frames, T' output steps, C classes.
"""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from slrbench.errors import BadInputError, RunFailedError
from slrbench.runners.inputs import check_artifact_file, check_input_kind, check_video

_PROVIDER = "CPUExecutionProvider"
_SPINNING = "session.intra_op.allow_spinning"
_ELEMENT_TYPES = {"float32": "tensor(float)", "uint8": "tensor(uint8)"}


class OnnxRunner:
    """An ONNX Runtime session: one thread pool of the stated size, operators one after another, no spinning."""

    backend = "onnx"

    def __init__(self, path: Path, *, threads: int, input_kind: str, expected_sha256: str | None = None) -> None:
        """Open the file.

        Raises:
            BadInputError: the file is missing or damaged, is not of ``expected_sha256``, or takes another input.
            RunFailedError: ONNX Runtime chose another provider than the CPU's.
        """
        check_input_kind(input_kind)
        check_artifact_file(path, ".onnx", expected_sha256=expected_sha256)
        session = _open_session(path, threads)
        self._input_name = _only_input(session, path, input_kind)
        self._input_kind = input_kind
        self._output_names = [output.name for output in session.get_outputs()][:1]
        self._session: ort.InferenceSession | None = session
        self.requested: dict[str, Any] = {
            "device": "cpu", "threads": threads, "inter_op_threads": 1, "precision": "fp32", "input_kind": input_kind,
            "providers": [_PROVIDER], "spinning": False,
        }  # fmt: skip
        options = session.get_session_options()
        self.actual: dict[str, Any] = {
            "device": "cpu",
            "threads": options.intra_op_num_threads,
            "inter_op_threads": options.inter_op_num_threads,
            "precision": "fp32",  # ONNX Runtime's CPU kernels compute in the graph's own types
            "input_kind": input_kind,
            "providers": session.get_providers(),
            "spinning": options.get_session_config_entry(_SPINNING) != "0",
            "execution_mode": options.execution_mode.name,
            "graph_optimization_level": options.graph_optimization_level.name,
            "version": ort.__version__,
        }

    def stage(self, video: NDArray[Any]) -> ort.OrtValue:
        """The video as a value on the CPU that shares its memory."""
        return ort.OrtValue.ortvalue_from_numpy(check_video(video, self._input_kind))

    def run(self, staged: ort.OrtValue) -> list[ort.OrtValue]:
        """Run the graph; complete on return.

        Raises:
            RunFailedError: the runner is closed, or the graph refused the input.
        """
        if self._session is None:
            raise RunFailedError("the runner is closed")
        try:
            outputs: list[ort.OrtValue] = self._session.run_with_ort_values(
                self._output_names, {self._input_name: staged}
            )
        except Exception as error:  # ONNX Runtime's errors share no base class
            raise RunFailedError(
                f"ONNX Runtime failed on input {tuple(staged.shape())}: {_first_line(error)}",
                hint="a graph whose batch or time axis was frozen fails like this: export the model again",
            ) from error
        return outputs

    def synchronize(self) -> None:
        """Nothing to wait for: the CPU provider runs synchronously."""

    def fetch(self, pending: list[ort.OrtValue]) -> NDArray[np.float32]:
        """The log-probabilities ``(T', B, C)``."""
        result: NDArray[np.float32] = pending[0].numpy()
        return result

    def device_seconds(self) -> float | None:
        """None: the host's clock is all there is on a CPU."""
        return None

    def device_memory(self) -> dict[str, int]:
        """Empty: there is no device memory on a CPU."""
        return {}

    def close(self) -> None:
        """Let go of the session."""
        self._session = None


def _open_session(path: Path, threads: int) -> ort.InferenceSession:
    ort.set_default_logger_severity(4)  # fatal only: errors come as exceptions, and a missing GPU is no news here
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.add_session_config_entry(_SPINNING, "0")  # threads that spin between calls disturb the other candidates
    try:
        session = ort.InferenceSession(str(path), options, providers=[_PROVIDER])
    except Exception as error:  # ONNX Runtime's errors share no base class
        raise BadInputError(
            f"{path} is not an ONNX file that ONNX Runtime {ort.__version__} can load: {_first_line(error)}",
            hint="it is damaged or cut off: export the model again",
        ) from error
    if session.get_providers()[:1] != [_PROVIDER]:
        raise RunFailedError(
            f"ONNX Runtime chose {session.get_providers()} where {_PROVIDER} was asked for",
            hint="python -m slrbench doctor shows what is installed",
        )
    return session


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


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
