"""A worker: one artifact, in a process that imports nothing but its runtime, driven by its parent over pipes.

``python -m slrbench.measure.worker`` reads one JSON object per line from stdin and answers one per line on what was its
stdout; between two commands it blocks. What libraries print goes to stderr. It ends when stdin does.

Commands (``op``): ``open`` (import, load, first call: the cold start), ``inputs``, ``warm_up``, ``turn`` (some of a
round's samples), ``round`` (its end), ``extras`` (what is measured once in the life of a process, after its last
round), ``infer``; and ``profile``, ``gemm_peak`` and ``copy_peak``, which need no ``open``.
An answer is ``{"ok": ...}``, or ``{"error": {"kind", "message", "hint"}}`` after which the worker still listens.
"""

import gc
import hashlib
import json
import os
import queue
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from slrbench.errors import SlrbenchError
from slrbench.measure.clock import perf_counter_ns, seconds
from slrbench.measure.contention import ContentionWatch
from slrbench.measure.energy import EnergyMeter, energy_meter, energy_of_pass
from slrbench.measure.kept_outputs import KeptOutputs, OwnOutputs, repeated_ratios, write_outputs
from slrbench.measure.load_worker import load_operations
from slrbench.measure.memory import peak_rss_bytes, rss_bytes, steady_rss_bytes
from slrbench.measure.parallel import parallel_passes
from slrbench.measure.sampling import SamplingRule, throughput_pass, timed_call, warm_up
from slrbench.measure.system_counters import SystemCounters
from slrbench.measure.turns import RoundSoFar
from slrbench.runners.inputs import check_artifact_file
from slrbench.runners.open import import_backend, open_runner
from slrbench.runners.protocol import Runner

RUNTIMES = ("torch", "torchvision", "onnx", "onnxruntime", "openvino", "tensorrt", "tensorrt_rtx_bindings", "pycuda")
"""Modules of which a worker says which it has imported."""

IN_MEMORY_BYTES = 256 << 20
"""Inputs up to so many bytes are read; a larger file is mapped, and the workers that use it share its pages."""

_SUFFIXES = {
    "torch": ".safetensors",
    "torchscript": ".torchscript",
    "onnx": ".onnx",
    "openvino": ".xml",
    "trt": ".engine",
}


class Commands:
    """The lines of stdin. Where it ends in the middle of a command, the parent is gone, and so is the process, at once.

    A thread blocks on the pipe, for a command may run for minutes: until its end an orphan would disturb whatever is
    measured next, the same benchmark resumed above all.
    """

    def __init__(self) -> None:
        """Begin to read."""
        self._lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        # Two counts, each written by one thread: the next command may be read before the last one is marked as done.
        self._read_so_far = 0
        self._answered = 0
        threading.Thread(target=self._read, daemon=True).start()

    def __iter__(self) -> Iterator[bytes]:
        """Until stdin ends."""
        while (line := self._lines.get()) is not None:
            yield line

    def answered(self) -> None:
        """The last command is done."""
        self._answered += 1

    def _read(self) -> None:
        with open(0, "rb", closefd=False) as lines:
            for line in lines:
                self._read_so_far += 1
                self._lines.put(line)
        if self._read_so_far > self._answered:
            os._exit(1)
        self._lines.put(None)


class _Worker:
    """The state of the process: the runner and its inputs."""

    def __init__(self) -> None:
        self._runner: Runner | None = None
        self._inputs: list[NDArray[Any]] = []
        self._inputs_loaded = {"inputs": 0, "different": 0}
        self._own = OwnOutputs(0)
        self._device = "cpu"
        self._threads = 1
        self._input_kind = "float32"
        self._meter: EnergyMeter | None = None
        self._counters: SystemCounters | None = None
        self._so_far: RoundSoFar | None = None

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
        self._input_kind = input_kind
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
        found = warm_up(self.runner, self._inputs, perf_counter_ns, SamplingRule(**rule), keep=self._own)
        # What a runtime has loaded stays. Left out of collections, those before each turn take no time: with torch, one
        # takes 0.2 s, as much as the turn itself.
        gc.collect()
        gc.freeze()
        return asdict(found)

    def turn(
        self, *, rule: dict[str, Any], settle: bool, seed: int = 0, number: int = 0, turns: int = 1
    ) -> dict[str, Any]:
        """Some of a round's samples: untimed calls where it should ``settle`` first, then timed ones.

        ``rule`` is the whole round's, of whose ``turns`` this is one; ``number`` is the turn that its samples are of.
        The outputs of some calls, chosen by ``seed``, are kept until the round ends.
        """
        if self._so_far is None:
            self._so_far = RoundSoFar(KeptOutputs(seed))
        before = len(self._so_far.compute_s)
        self._so_far.take_turn(
            self.runner,
            self._inputs,
            perf_counter_ns,
            SamplingRule(**rule),
            self._new_watch,
            number=number,
            turns=turns,
            settle=settle,
        )
        return {"calls": len(self._so_far.compute_s) - before}

    def _new_watch(self) -> ContentionWatch:
        if self._counters is None:
            self._counters = SystemCounters()
        cores = os.cpu_count() or self._threads
        return ContentionWatch(self._counters, perf_counter_ns, threads=self._threads, cores=cores)

    def round(self, *, rule: dict[str, Any], settle: bool, seed: int = 0, outputs: str | None = None) -> dict[str, Any]:
        """The end of a round: the samples of its turns, of which one is taken here where there was none; throughput.

        Outputs of some calls, chosen by ``seed``, go to the file ``outputs``, where one is given.
        """
        sampling = SamplingRule(**rule)
        if self._so_far is None:
            self.turn(rule=rule, settle=settle, seed=seed)
        assert self._so_far is not None
        taken, self._so_far = self._so_far, None
        kept = taken.kept
        if self._meter is None:
            self._meter = energy_meter(self._device)
        self._meter.begin()
        calls, elapsed = throughput_pass(self.runner, self._inputs, perf_counter_ns, sampling)
        energy = energy_of_pass(self._meter, self._meter.joules(), calls, elapsed)
        steady = steady_rss_bytes(self._inputs)
        if outputs is not None:
            self._own.complete(self.runner, self._inputs, [call % len(self._inputs) for call in kept.calls])
            write_outputs(Path(outputs), kept, self._own)
        return taken.answer() | {
            "inputs": self._inputs_loaded,
            "throughput_calls": calls,
            "throughput_s": elapsed,
            "device_memory_bytes": self.runner.device_memory(),
            "energy": energy,
            "steady_rss_bytes": steady,
            "outputs": outputs,
        }

    def extras(self, *, rule: dict[str, Any], video: dict[str, Any] | None = None) -> dict[str, Any]:
        """What is measured once: several requests in flight, one clip over and over, a video from bytes to glosses.

        After the last round, since further sessions of a runtime and a video decoder take memory.
        """
        sampling = SamplingRule(**rule)
        found = self._parallel_and_repeated(sampling)
        return found if video is None else found | {"pixels": self._pixels(sampling, video)}

    def _pixels(self, sampling: SamplingRule, video: dict[str, Any]) -> dict[str, Any]:
        from slrbench.measure.pixels import VideoInput, pixel_passes  # what it needs is no memory of the rounds

        try:
            return pixel_passes(
                self.runner, VideoInput.of(video), perf_counter_ns, sampling, input_kind=self._input_kind
            )
        except SlrbenchError as error:  # the rest of what was measured stays
            return {"failed": error.message}
        except ModuleNotFoundError as error:
            return {"failed": f"the package {error.name} is not installed here"}

    def _parallel_and_repeated(self, sampling: SamplingRule) -> dict[str, Any]:
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


def _later(module: str, name: str) -> Callable[..., dict[str, Any]]:
    """A command whose module is imported when it is asked for: what it needs is no memory of the candidates."""

    def run(**arguments: Any) -> dict[str, Any]:
        found: dict[str, Any] = getattr(import_module(f"slrbench.measure.{module}"), name)(**arguments)
        return found

    return run


def _answer(worker: _Worker, command: dict[str, Any]) -> dict[str, Any]:
    operations: dict[str, Callable[..., dict[str, Any]]] = {
        "open": worker.open,
        "inputs": worker.inputs,
        "warm_up": worker.warm_up,
        "turn": worker.turn,
        "round": worker.round,
        "extras": worker.extras,
        "infer": worker.infer,
        "profile": _later("profile_worker", "profile_operators"),
        "gemm_peak": _later("peak_worker", "gemm_peak"),
        "copy_peak": _later("peak_worker", "copy_peak"),
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
    commands = Commands()
    for line in commands:
        answers.write(json.dumps(_answer(worker, json.loads(line))) + "\n")
        answers.flush()
        commands.answered()


if __name__ == "__main__":
    main()
