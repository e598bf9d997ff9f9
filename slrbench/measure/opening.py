"""What is asked of a worker before and after the rounds: open an artifact, run single videos."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slrbench.measure.process import Worker
from slrbench.records import Candidate

Infer = Callable[[NDArray[Any]], NDArray[np.float32]]


def open_in(worker: Worker, candidate: Candidate, *, first_input: Path | None, limit_s: float) -> dict[str, Any]:
    """Let a worker import the runtime, load the artifact and make the first call; what it answers."""
    return worker.ask(
        "open",
        limit_s=limit_s,
        backend=candidate.backend,
        path=candidate.path,
        device=candidate.device,
        threads=candidate.threads,
        input_kind=candidate.input_kind,
        precision=candidate.precision,
        variant=candidate.variant,
        sha256=candidate.artifact_sha256,
        first_input=None if first_input is None else str(first_input),
    )


def infer_with(worker: Worker, scratch: Path, *, limit_s: float) -> Infer:
    """A function from a video to log-probabilities ``(T', B, C)``, computed by an opened worker."""
    source, target = scratch / f"{worker.pid}-video.npy", scratch / f"{worker.pid}-output.npy"

    def infer(video: NDArray[Any]) -> NDArray[np.float32]:
        np.save(source, video)
        worker.ask("infer", limit_s=limit_s, source=str(source), target=str(target))
        output: NDArray[np.float32] = np.load(target)
        return output

    return infer
