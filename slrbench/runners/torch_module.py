"""What the torch and torchscript runners share: threads, and running a module on a CPU or a CUDA device.

Shapes: B clips, T frames, H height, W width, T' output steps, C classes.
"""

import os
import threading
from collections.abc import Callable, Sequence
from copy import copy
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from slrbench.errors import RunFailedError, UnavailableError
from slrbench.runners.inputs import check_video
from slrbench.runners.torch_places import CpuPlace, Place
from slrbench.runners.torch_precision import CompiledModule, autocast, computed_precision

_HINTS = {
    "torch": "python -m slrbench verify says what is wrong with the checkpoint",
    "torchscript": "a trace whose batch, time or pixel axis was frozen fails like this: export the model again",
}
_COMPILE_HINT = "torch.compile needs a C++ compiler on a CPU and Triton on a GPU; without a variant torch runs eagerly"


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
    """A torch module, eager, compiled or scripted."""

    def __init__(
        self,
        backend: str,
        module: Callable[[torch.Tensor], torch.Tensor],
        *,
        threads: int,
        input_kind: str,
        normalise_here: bool,
        place: Place | None = None,
        device: str = "cpu",
        precision: str = "fp32",
        variant: str = "",
    ) -> None:
        """Keep the loaded module, which is on ``place`` already (None: the CPU).

        ``normalise_here`` where uint8 frames are not normalised by the module itself.
        """
        self.backend = backend
        self.requested: dict[str, Any] = {
            "device": device, "threads": threads, "inter_op_threads": 1, "precision": precision,
            "input_kind": input_kind, "omp_spin_count": "3000", "variant": variant,
        }  # fmt: skip
        self._place = place if place is not None else CpuPlace()
        self._precision = precision
        self._actual: dict[str, Any] = {
            "threads": torch.get_num_threads(),
            "inter_op_threads": torch.get_num_interop_threads(),
            "input_kind": input_kind,
            # OpenMP reads it when torch is loaded; workers set it.
            "omp_spin_count": os.environ.get("GOMP_SPINCOUNT", "default"),
            "variant": variant,
            "version": torch.__version__,
            **_computes_in(module, self._place.device, precision),
            **self._place.describe(),
        }
        self._module: Callable[[torch.Tensor], torch.Tensor] | None = (
            CompiledModule(module, variant) if variant else module
        )
        self._input_kind = input_kind
        self._on_close: Callable[[], None] | None = None
        self._normalise_here = normalise_here and input_kind == "uint8"

    @property
    def actual(self) -> dict[str, Any]:
        """What torch does; of a compiled module, what the compiler has made of it so far."""
        compiled = self._module.describe() if isinstance(self._module, CompiledModule) else {}
        return self._actual | compiled

    def stage(self, video: NDArray[Any]) -> torch.Tensor:
        """The video as a tensor: on a CPU one that shares its memory, on a GPU a copy through pinned memory."""
        return self._place.stage(check_video(video, self._input_kind))

    def run(self, staged: torch.Tensor) -> torch.Tensor:
        """Run the module: complete on return on a CPU, enqueued on a GPU.

        Raises:
            RunFailedError: the runner is closed, the module refused the input, or what it gave is not one tensor.
        """
        if self._module is None:
            raise RunFailedError("the runner is closed")
        shape = tuple(staged.shape)
        try:
            with torch.inference_mode(), self._place.enqueue(), autocast(self._place.device, self._precision):
                if self._normalise_here:  # x/127.5-1, as the uint8 artifacts do inside their graph
                    staged = staged.permute(0, 4, 1, 2, 3).to(torch.float32).contiguous() / 127.5 - 1.0
                outputs: object = self._module(staged)
        except torch.OutOfMemoryError as error:
            raise RunFailedError(
                f"{self.backend} ran out of device memory on input {shape}", hint="use a smaller batch or fewer frames"
            ) from error
        except Exception as error:  # a module may raise anything: RuntimeError, IndexError, torch.jit.Error, ...
            raise RunFailedError(
                f"{self.backend} failed on input {shape}: {_reason(error)}", hint=self._hint()
            ) from error
        if not isinstance(outputs, torch.Tensor):
            raise RunFailedError(
                f"the module gives a {type(outputs).__name__}, expected one tensor of log-probabilities (T', B, C)",
                hint="return the log-probabilities alone from forward, and export the model again",
            )
        return outputs

    def synchronize(self) -> None:
        """Wait for what was enqueued; nothing on a CPU."""
        self._place.synchronize()

    def fetch(self, pending: torch.Tensor) -> NDArray[np.float32]:
        """The log-probabilities ``(T', B, C)``; bfloat16, which NumPy lacks, as the float32 of the same value.

        Raises:
            RunFailedError: the tensor cannot become an array: it is sparse or quantised.
        """
        try:
            result: NDArray[np.float32] = self._place.fetch(pending)
        except (RuntimeError, TypeError) as error:
            raise RunFailedError(
                f"the output of {self.backend} cannot be read: {_reason(error)}",
                hint="expected is one dense float32 tensor (T', B, C)",
            ) from error
        return result

    def device_seconds(self) -> float | None:
        """Between the events around the last ``run``; None on a CPU, where the host's clock is all there is."""
        return self._place.seconds()

    def device_memory(self) -> dict[str, int]:
        """``peak`` and ``reserved``, as torch's allocator counts them; empty on a CPU."""
        return self._place.memory()

    def parallel(self, requests: int) -> Sequence["ModuleRunner"]:
        """Handles of the same module, each with a team of ``threads // requests`` threads in the thread that calls it.

        Raises:
            UnavailableError: on a GPU, where all calls go through one stream; or compiled, since compiling is not for
                several threads.
        """
        if self._place.device.type != "cpu" or isinstance(self._module, CompiledModule) or self._module is None:
            how = "compiled" if isinstance(self._module, CompiledModule) else f"on {self._place.device}"
            raise UnavailableError(f"{self.backend} offers one request at a time {how}")
        handles = [copy(self) for _ in range(requests)]
        threads = self.requested["threads"]
        for handle in handles:
            handle._module = _Team(self._module, threads // requests)
            handle._on_close = lambda: torch.set_num_threads(threads)
        return handles

    def close(self) -> None:
        """Let go of the module."""
        self._module = None
        if self._on_close is not None:
            self._on_close()
            self._on_close = None

    def _hint(self) -> str:
        return _COMPILE_HINT if isinstance(self._module, CompiledModule) else _HINTS[self.backend]


class _Team:
    """A module that computes on so many threads, in whichever thread it is called: torch counts them per thread."""

    def __init__(self, module: Callable[[torch.Tensor], torch.Tensor], threads: int) -> None:
        self._module, self._threads = module, threads
        self._set_in = 0

    def __call__(self, video: torch.Tensor) -> torch.Tensor:
        if self._set_in != threading.get_ident():
            torch.get_num_threads()  # a thread's first question sets it to what the process has, and must come before
            torch.set_num_threads(self._threads)
            self._set_in = threading.get_ident()
        return self._module(video)


def _reason(error: Exception) -> str:
    """What went wrong, in a line: TorchScript puts it below its traceback, everything else on top."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[-1].removeprefix("RuntimeError: ") if "TorchScript" in str(error) else lines[0]


def _computes_in(module: object, device: torch.device, precision: str) -> dict[str, Any]:
    """``fp32`` on a CPU where every floating-point parameter is, else the dtypes; on a GPU by trial."""
    if device.type != "cpu":
        return computed_precision(device, precision)
    parameters = getattr(module, "parameters", None)  # a frozen module has none left
    dtypes = {p.dtype for p in parameters() if p.is_floating_point()} if parameters is not None else set()
    if dtypes <= {torch.float32}:
        return {"precision": "fp32"}
    return {"precision": ",".join(sorted(str(dtype).removeprefix("torch.") for dtype in dtypes))}
