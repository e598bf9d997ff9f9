"""A worker: one artifact, in a process that imports nothing but its runtime, driven by its parent over pipes.

``python -m slrbench.measure.worker`` reads one JSON object per line from stdin and answers one per line on what was its
stdout; between two commands it blocks. What libraries print goes to stderr. It ends when stdin does.

Commands (``op``): ``open`` (import, load, first call: the cold start), ``inputs``, ``warm_up``, ``round``, ``infer``.
An answer is ``{"ok": ...}``, or ``{"error": {"kind", "message", "hint"}}`` after which the worker still listens.
"""

import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from slrbench.errors import SlrbenchError
from slrbench.measure.clock import perf_counter_ns, seconds
from slrbench.measure.load_worker import load_operations
from slrbench.measure.memory import peak_rss_bytes, rss_bytes
from slrbench.measure.sampling import SamplingRule, take_samples, throughput_pass, timed_call, warm_up
from slrbench.runners.inputs import check_artifact_file
from slrbench.runners.open import import_backend, open_runner
from slrbench.runners.protocol import Runner

RUNTIMES = ("torch", "torchvision", "onnx", "onnxruntime", "openvino", "tensorrt", "tensorrt_rtx_bindings", "pycuda")
"""Modules of which a worker says which it has imported."""

SETTLING_CALLS = 2
"""Untimed calls before a round, where other candidates ran since the last call: the caches hold their data."""

_SUFFIXES = {
    "torch": ".safetensors",
    "torchscript": ".torchscript",
    "onnx": ".onnx",
    "openvino": ".xml",
    "trt": ".engine",
}


class _Worker:
    """The state of the process: the runner and its inputs."""

    def __init__(self) -> None:
        self._runner: Runner | None = None
        self._inputs: list[NDArray[Any]] = []

    @property
    def runner(self) -> Runner:
        if self._runner is None:
            raise RuntimeError("'open' comes first")
        return self._runner

    def open(
        self,
        *,
        backend: str,
        path: str,
        device: str,
        threads: int,
        input_kind: str,
        precision: str = "fp32",
        variant: str = "",
        sha256: str | None,
        first_input: str | None,
    ) -> dict[str, Any]:
        """Import the runtime, load the artifact, make the first call; each is timed."""
        # Hashing comes before the clock, whatever the backend: it is our check and no part of loading, and it brings
        # every file into the page cache.
        hashed = sha256 is not None and backend in _SUFFIXES
        if hashed:
            check_artifact_file(Path(path), _SUFFIXES[backend], expected_sha256=sha256)
        video = None if first_input is None else np.load(first_input)
        before = rss_bytes()
        begin = perf_counter_ns()
        import_backend(backend)
        imported = perf_counter_ns()
        self._runner = open_runner(
            backend,
            Path(path),
            device=device,
            threads=threads,
            input_kind=input_kind,
            precision=precision,
            variant=variant,
            already_hashed=hashed,
        )
        loaded = perf_counter_ns()
        parts = {"import": seconds(imported - begin), "load": seconds(loaded - imported)}
        if video is not None:
            parts["first_call"] = timed_call(self._runner, video, perf_counter_ns)[1]
            timed_call(self._runner, video, perf_counter_ns)  # allocators may still grow on the second call
        return {
            "requested": self._runner.requested,
            "actual": self._runner.actual,
            "cold_start_parts_s": parts,
            "peak_rss_bytes": peak_rss_bytes(),
            "rss_before_import_bytes": before,
            "runtimes_imported": [name for name in RUNTIMES if name in sys.modules],
            "pid": os.getpid(),
        }

    def inputs(self, *, path: str) -> dict[str, Any]:
        """Load the inputs that the timed calls rotate over, ``(N, ...)``."""
        self._inputs = list(np.load(path))
        return {"inputs": len(self._inputs)}

    def warm_up(self, *, rule: dict[str, Any]) -> dict[str, Any]:
        """Call until it has settled."""
        return asdict(warm_up(self.runner, self._inputs, perf_counter_ns, SamplingRule(**rule)))

    def round(self, *, rule: dict[str, Any], settle: bool) -> dict[str, Any]:
        """One round: untimed calls where it should ``settle`` first, latency samples, throughput."""
        sampling = SamplingRule(**rule)
        for video in self._inputs[: SETTLING_CALLS if settle else 0]:
            timed_call(self.runner, video, perf_counter_ns)
        samples = take_samples(self.runner, self._inputs, perf_counter_ns, sampling)
        calls, elapsed = throughput_pass(self.runner, self._inputs, perf_counter_ns, sampling)
        return asdict(samples) | {
            "throughput_calls": calls,
            "throughput_s": elapsed,
            "device_memory_bytes": self.runner.device_memory(),
        }

    def infer(self, *, source: str, target: str) -> dict[str, Any]:
        """Log-probabilities of one video, untimed: from one file of an array to another."""
        pending = self.runner.run(self.runner.stage(np.load(source)))
        self.runner.synchronize()
        np.save(target, self.runner.fetch(pending))
        return {}


def _answer(worker: _Worker, command: dict[str, Any]) -> dict[str, Any]:
    operations: dict[str, Callable[..., dict[str, Any]]] = {
        "open": worker.open,
        "inputs": worker.inputs,
        "warm_up": worker.warm_up,
        "round": worker.round,
        "infer": worker.infer,
        **load_operations(lambda: worker.runner, lambda: worker._inputs),
    }
    try:
        return {"ok": operations[command.pop("op")](**command)}
    except SlrbenchError as error:
        return {"error": {"kind": type(error).__name__, "message": error.message, "hint": error.hint}}
    except MemoryError:
        return {"error": {"kind": "RunFailedError", "message": "out of memory", "hint": "use a smaller batch"}}
    except Exception as error:  # whatever a runtime throws is a row with a reason, not the end of the others
        first = (str(error).strip().splitlines() or ["no message"])[0]
        return {"error": {"kind": "RunFailedError", "message": f"{type(error).__name__}: {first}", "hint": None}}


def main() -> None:
    """Serve until stdin ends."""
    # Libraries write to file descriptor 1 as they please: keep the pipe for answers, give them stderr.
    answers: TextIO = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    worker = _Worker()
    for line in sys.stdin:
        answers.write(json.dumps(_answer(worker, json.loads(line))) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
