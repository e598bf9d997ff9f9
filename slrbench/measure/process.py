"""The parent's side of a worker: start it, ask it, notice that it died or hangs, end it.

The parent blocks on a queue that a blocked reader fills: nothing polls while a candidate is timed.
"""

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import slrbench
from slrbench.errors import BadInputError, RunFailedError, SlrbenchError, UnavailableError

_ERRORS: dict[str, type[SlrbenchError]] = {e.__name__: e for e in (BadInputError, UnavailableError, RunFailedError)}
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_SHORT_SPINNING = {"GOMP_SPINCOUNT": "3000"}
"""OpenMP's threads (torch's) otherwise spin while they wait. Where another program needs the core, 20 ms turned
into 300 to 4000 ms (quarter-width teacher, 2 threads on 2 cores, load average 5); waiting passively cost torch up
to half of its speed at batch 1. Some thousand turns are microseconds: between calls the threads sleep.
"""
_CLOSE_LIMIT_S = 10.0

_OUT_OF_MEMORY = (
    "bad_alloc", "bad allocation", "allocate memory", "Failed to allocate", "Unable to allocate", "out of memory",
    "OutOfMemory",
)  # fmt: skip
"""How runtimes say that memory ran out."""

_SMALLER = "use a smaller batch, fewer frames or a smaller size"


class WorkerKilledError(RunFailedError):
    """The worker was ended by a signal from outside: by the system, or by a person."""


class Worker:
    """A worker process. It is in a session of its own, so Ctrl-C reaches the parent alone, which then ends it."""

    def __init__(self, *, threads: int) -> None:
        """Start the process; its thread pools are given their size before any library is loaded."""
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        self._oom_kills = _oom_kills()
        environment = os.environ | dict.fromkeys(_THREAD_VARIABLES, str(threads)) | _SHORT_SPINNING
        package_parent = str(Path(slrbench.__file__).parent.parent)
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [package_parent, os.environ.get("PYTHONPATH")]))
        self._process = subprocess.Popen(
            # -P: a file in the current folder, such as onnx.py, must not stand in for a library.
            [sys.executable, "-P", "-m", "slrbench.measure.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            env=environment,
            start_new_session=True,
        )
        self._answers: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._end: RunFailedError | None = None
        """Why it cannot be asked any more."""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        """The worker itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the process."""
        self.close()

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it can be asked: False once it died, hung or was closed."""
        return self._end is None and self._process.poll() is None

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._answers.put(line)
        self._answers.put(None)

    def ask(self, op: str, *, limit_s: float, **arguments: Any) -> dict[str, Any]:
        """Send a command and wait for its answer, at most ``limit_s`` seconds.

        Raises:
            BadInputError: the worker was given a file that it cannot use.
            UnavailableError: the backend is not available here.
            RunFailedError: the worker failed, died, or did not answer in time (it is then ended); once it is gone,
                every further command is answered so, at once.
        """
        if self._end is not None:
            raise self._end
        assert self._process.stdin is not None
        with contextlib.suppress(OSError, ValueError):  # it is gone: the reader has put its end into the queue
            self._process.stdin.write(json.dumps({"op": op, **arguments}).encode() + b"\n")
            self._process.stdin.flush()
        try:
            line = self._answers.get(timeout=limit_s)
        except queue.Empty:
            self.close(at_once=True)
            self._end = RunFailedError(f"the worker hung: {op!r} gave no answer within {limit_s:g} s")
            raise self._end from None
        if line is None:
            self._end = self._how_it_died(op)
            raise self._end
        answer = json.loads(line)
        if "error" in answer:
            raise _error_of(answer["error"])
        result: dict[str, Any] = answer["ok"]
        return result

    def _how_it_died(self, op: str) -> RunFailedError:
        code = self._process.wait()
        self._stderr.seek(0)
        lines = self._stderr.read().decode(errors="replace").strip().splitlines()
        last = f": {lines[-1].strip()}" if lines else ""
        if code >= 0:
            return RunFailedError(f"the worker ended with code {code} in {op!r}{last}")
        name = signal.Signals(-code).name
        if name == "SIGKILL" and _oom_kills() > self._oom_kills:
            return RunFailedError(f"out of memory: the system killed the worker in {op!r}{last}", hint=_SMALLER)
        why = " (the system does this when memory runs out)" if name == "SIGKILL" else ""
        kind = WorkerKilledError if name in ("SIGKILL", "SIGTERM", "SIGINT", "SIGHUP") else RunFailedError
        return kind(f"the worker was killed by {name} in {op!r}{why}{last}", hint=_SMALLER if why else None)

    def close(self, *, at_once: bool = False) -> None:
        """End the process: kindly, by the end of its stdin, and by force where that does not help or ``at_once``."""
        if at_once:
            self._process.kill()
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # it died with something unread in the pipe
            self._process.stdin.close()
        try:
            self._process.wait(timeout=_CLOSE_LIMIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._stderr.close()


def _error_of(answer: dict[str, Any]) -> SlrbenchError:
    """The error that a worker answered; one for want of memory says so first, whatever the runtime's words."""
    message = answer["message"]
    if any(words in message for words in _OUT_OF_MEMORY):
        message = message if message.startswith("out of memory") else f"out of memory: {message}"
        return RunFailedError(message, hint=_SMALLER)
    return _ERRORS.get(answer["kind"], RunFailedError)(message, hint=answer["hint"])


def _oom_kills() -> int:
    """How often the system ended a process of this control group (version 2) because its memory ran out."""
    try:
        lines = Path("/sys/fs/cgroup/memory.events").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    counts = dict(line.split() for line in lines)
    return int(counts.get("oom_kill", 0))
