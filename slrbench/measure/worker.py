"""A worker: one artifact, in a process that imports nothing but its runtime, driven by its parent over pipes.

``python -m slrbench.measure.worker`` reads one JSON object per line from stdin and answers one per line on what was its
stdout; between two commands it blocks. What libraries print goes to stderr. It ends when stdin does.

Commands (``op``): ``open`` (import, load, first call: the cold start), ``inputs``, ``warm_up``, ``round``, ``extras``
(what is measured once in the life of a process, after its last round), ``infer``.
An answer is ``{"ok": ...}``, or ``{"error": {"kind", "message", "hint"}}`` after which the worker still listens.
"""

import hashlib
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
from slrbench.measure.contention import ContentionWatch
from slrbench.measure.energy import EnergyMeter, energy_meter, energy_of_pass
from slrbench.measure.kept_outputs import KeptOutputs, OwnOutputs, repeated_ratios, write_outputs
from slrbench.measure.memory import peak_rss_bytes, rss_bytes, steady_rss_bytes
from slrbench.measure.parallel import parallel_passes
from slrbench.measure.sampling import SamplingRule, take_samples, throughput_pass, timed_call, warm_up
from slrbench.measure.system_counters import SystemCounters
from slrbench.runners.inputs import check_artifact_file
from slrbench.runners.open import import_backend, open_runner
from slrbench.runners.protocol import Runner

RUNTIMES = ("torch", "torchvision", "onnx", "onnxruntime", "openvino", "tensorrt", "tensorrt_rtx_bindings", "pycuda")
"""Modules of which a worker says which it has imported."""

SETTLING_CALLS = 2
"""Untimed calls before a round, where other candidates ran since the last call: the caches hold their data."""

IN_MEMORY_BYTES = 256 << 20
"""Inputs up to so many bytes are read; a larger file is mapped, and the workers that use it share its pages."""

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
        self._inputs_loaded = {"inputs": 0, "different": 0}
        self._own = OwnOutputs(0)
        self._device = "cpu"
        self._threads = 1
        self._meter: EnergyMeter | None = None
        self._counters: SystemCounters | None = None

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
        self._device, self._threads = "cuda" if backend == "trt" and device == "cpu" else device, threads
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
        """Load the inputs that the timed calls rotate over, ``(N, ...)``; how many there are, and how many differ."""
        mapped = Path(path).stat().st_size > IN_MEMORY_BYTES
        # "c": pages are shared until somebody writes, and the arrays count as writable, which runtimes ask for.
        self._inputs = list(np.asarray(np.load(path, mmap_mode="c" if mapped else None)))
        self._own = OwnOutputs(len(self._inputs))
        different = len({hashlib.blake2b(video.data).digest() for video in self._inputs})
        self._inputs_loaded = {"inputs": len(self._inputs), "different": different}
        return self._inputs_loaded

    def warm_up(self, *, rule: dict[str, Any]) -> dict[str, Any]:
        """Call until it has settled; the outputs are what those of timed calls are compared with."""
        return asdict(warm_up(self.runner, self._inputs, perf_counter_ns, SamplingRule(**rule), keep=self._own))

    def round(self, *, rule: dict[str, Any], settle: bool, seed: int = 0, outputs: str | None = None) -> dict[str, Any]:
        """One round: untimed calls where it should ``settle`` first, latency samples, throughput.

        Outputs of some calls, chosen by ``seed``, go to the file ``outputs``, where one is given.
        """
        sampling = SamplingRule(**rule)
        for video in self._inputs[: SETTLING_CALLS if settle else 0]:
            timed_call(self.runner, video, perf_counter_ns)
        if self._counters is None or self._meter is None:
            self._counters, self._meter = SystemCounters(), energy_meter(self._device)
        watch = ContentionWatch(
            self._counters, perf_counter_ns, threads=self._threads, cores=os.cpu_count() or self._threads
        )
        kept = KeptOutputs(seed)
        samples = take_samples(self.runner, self._inputs, perf_counter_ns, sampling, watch=watch, keep=kept)
        marks, sources = watch.marks(), watch.sources()
        self._meter.begin()
        calls, elapsed = throughput_pass(self.runner, self._inputs, perf_counter_ns, sampling)
        energy = energy_of_pass(self._meter, self._meter.joules(), calls, elapsed)
        steady = steady_rss_bytes(self._inputs)
        if outputs is not None:
            self._own.complete(self.runner, self._inputs, [call % len(self._inputs) for call in kept.calls])
            write_outputs(Path(outputs), kept, self._own)
        return asdict(samples) | {
            "inputs": self._inputs_loaded,
            "throughput_calls": calls,
            "throughput_s": elapsed,
            "device_memory_bytes": self.runner.device_memory(),
            "marks": marks,
            "contention_sources": sources,
            "energy": energy,
            "steady_rss_bytes": steady,
            "outputs": outputs,
        }

    def extras(self, *, rule: dict[str, Any]) -> dict[str, Any]:
        """What is measured once: several requests in flight, and one clip over and over.

        After the last round, since further sessions of a runtime take memory.
        """
        sampling = SamplingRule(**rule)
        time_s = sampling.throughput_time_s
        if time_s <= 0:
            return {"parallel": [], "parallel_note": "", "repeated_ratios": []}
        ratios = repeated_ratios(self.runner, self._inputs, perf_counter_ns, most_time_s=time_s)
        threads = self._threads if self._device == "cpu" else 1
        passes, why = parallel_passes(self.runner, self._inputs, perf_counter_ns, threads=threads, time_s=time_s)
        return {"parallel": [asdict(one) for one in passes], "parallel_note": why, "repeated_ratios": ratios}

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
        "extras": worker.extras,
        "infer": worker.infer,
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
