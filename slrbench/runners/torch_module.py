"""What the torch and torchscript runners share: threads, and running a module on the CPU.

Shapes: B clips, T frames, H height, W width, T' output steps, C classes.
"""

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from slrbench.errors import RunFailedError
from slrbench.runners.inputs import check_video

_HINTS = {
    "torch": "python -m slrbench verify says what is wrong with the checkpoint",
    "torchscript": "a trace whose batch, time or pixel axis was frozen fails like this: export the model again",
}


def set_threads(threads: int) -> None:
    """Let torch use ``threads`` threads inside an operator and one across operators.

    The second can only be set before torch's first parallel work in a process: workers do; where it is too late, what
    torch then says stands in ``actual``.
    """
    torch.set_num_threads(threads)
    if torch.get_num_interop_threads() != 1:
        try:
            torch.set_num_interop_threads(1)
        except RuntimeError:
            return


class ModuleRunner:
    """A torch module, eager or scripted, on the CPU."""

    def __init__(
        self,
        backend: str,
        module: Callable[[torch.Tensor], torch.Tensor],
        *,
        threads: int,
        input_kind: str,
        normalise_here: bool,
    ) -> None:
        """Keep the loaded module; ``normalise_here`` where uint8 frames are not normalised by the module itself."""
        self.backend = backend
        self.requested: dict[str, Any] = {
            "device": "cpu", "threads": threads, "inter_op_threads": 1, "precision": "fp32", "input_kind": input_kind,
            "omp_spin_count": "3000",
        }  # fmt: skip
        self.actual: dict[str, Any] = {
            "device": "cpu",
            "threads": torch.get_num_threads(),
            "inter_op_threads": torch.get_num_interop_threads(),
            "precision": _precision(module),
            "input_kind": input_kind,
            # OpenMP reads it when torch is loaded; workers set it.
            "omp_spin_count": os.environ.get("GOMP_SPINCOUNT", "default"),
            "version": torch.__version__,
            "float32_matmul_precision": torch.get_float32_matmul_precision(),
            "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        }
        self._module: Callable[[torch.Tensor], torch.Tensor] | None = module
        self._input_kind = input_kind
        self._normalise_here = normalise_here and input_kind == "uint8"

    def stage(self, video: NDArray[Any]) -> torch.Tensor:
        """The video as a tensor that shares its memory."""
        return torch.from_numpy(check_video(video, self._input_kind))

    def run(self, staged: torch.Tensor) -> torch.Tensor:
        """Run the module; complete on return.

        Raises:
            RunFailedError: the runner is closed, the module refused the input, or what it gave is not one tensor.
        """
        if self._module is None:
            raise RunFailedError("the runner is closed")
        shape = tuple(staged.shape)
        try:
            with torch.inference_mode():
                if self._normalise_here:  # x/127.5-1, as the uint8 artifacts do inside their graph
                    staged = staged.permute(0, 4, 1, 2, 3).to(torch.float32).contiguous() / 127.5 - 1.0
                outputs: object = self._module(staged)
        except Exception as error:  # a module may raise anything: RuntimeError, IndexError, torch.jit.Error, ...
            raise RunFailedError(
                f"{self.backend} failed on input {shape}: {_reason(error)}", hint=_HINTS[self.backend]
            ) from error
        if not isinstance(outputs, torch.Tensor):
            raise RunFailedError(
                f"the module gives a {type(outputs).__name__}, expected one tensor of log-probabilities (T', B, C)",
                hint="return the log-probabilities alone from forward, and export the model again",
            )
        return outputs

    def synchronize(self) -> None:
        """Nothing to wait for: torch runs synchronously on the CPU."""

    def fetch(self, pending: torch.Tensor) -> NDArray[np.float32]:
        """The log-probabilities ``(T', B, C)``; bfloat16, which NumPy lacks, as the float32 of the same value.

        Raises:
            RunFailedError: the tensor cannot become an array: it is sparse, quantised or on a device.
        """
        try:
            result: NDArray[np.float32] = (pending.float() if pending.dtype == torch.bfloat16 else pending).numpy()
        except (RuntimeError, TypeError) as error:
            raise RunFailedError(
                f"the output of {self.backend} cannot be read: {_reason(error)}",
                hint="expected is one dense float32 tensor (T', B, C) on the CPU",
            ) from error
        return result

    def device_seconds(self) -> float | None:
        """None: the host's clock is all there is on a CPU."""
        return None

    def device_memory(self) -> dict[str, int]:
        """Empty: there is no device memory on a CPU."""
        return {}

    def close(self) -> None:
        """Let go of the module."""
        self._module = None


def _reason(error: Exception) -> str:
    """What went wrong, in a line: TorchScript puts it below its traceback, everything else on top."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[-1].removeprefix("RuntimeError: ") if "TorchScript" in str(error) else lines[0]


def _precision(module: object) -> str:
    """``fp32`` where every floating-point parameter is; the dtypes otherwise. A frozen module has none left."""
    parameters = getattr(module, "parameters", None)
    dtypes = {p.dtype for p in parameters() if p.is_floating_point()} if parameters is not None else set()
    if dtypes <= {torch.float32}:
        return "fp32"
    return ",".join(sorted(str(dtype).removeprefix("torch.") for dtype in dtypes))
