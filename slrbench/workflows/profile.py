"""Profile one file: where the time of a call goes, by operator and by the network's module. Shapes as in runners."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from slrbench.errors import BadInputError, NegativeVerdictError
from slrbench.measure.environment import default_threads
from slrbench.measure.process import Worker
from slrbench.measure.timing_inputs import noise_inputs
from slrbench.records import Candidate, OperatorTime, Profile
from slrbench.runners.availability import require
from slrbench.runners.inputs import artifact_sha256, check_input_kind
from slrbench.training.card import CheckpointCard, read_card
from slrbench.workflows.stored_parity import device_of
from slrbench.workflows.verify import DEFAULT_SIZE, find_entry, kind_of

LIMIT_S = 900.0


@dataclass(frozen=True, kw_only=True)
class ProfileOptions:
    """How a file is profiled."""

    device: str | None = None
    """Where it runs: the CPU, and CUDA for an engine, where it is not given."""
    threads: int | None = None
    batch: int = 1
    frames: int = 32
    size: int | None = None
    """Height and width; those of the card where it is not given, and 64 without a card."""
    input_kind: str | None = None
    """For an artifact that is in no manifest."""
    calls: int = 20


@dataclass(frozen=True, kw_only=True)
class _Target:
    backend: str
    path: Path
    sha256: str
    input_kind: str
    precision: str
    card: CheckpointCard | None


def profile_path(path: Path, options: ProfileOptions) -> Profile:
    """Profile a checkpoint's folder or an artifact, in a process that imports nothing but its runtime.

    Inputs are uniform noise: what these networks cost does not depend on what they see.

    Raises:
        BadInputError: the file cannot be used, or an option is out of range.
        NegativeVerdictError: the file is not the one that its manifest describes.
        UnavailableError: its runtime is not available here, or cannot be profiled on that device.
        RunFailedError: it does not run.
    """
    target = _find(path, options.input_kind)
    device = options.device or device_of(target.backend)
    require(target.backend, device)
    threads = options.threads or default_threads()
    size = (options.size, options.size) if options.size is not None else _size(target)
    candidate = Candidate.model_validate(
        {
            "model": target.card.model_id if target.card is not None else path.name, "backend": target.backend,
            "format": "checkpoint" if target.backend == "torch" else target.backend, "precision": target.precision,
            "device": device, "threads": threads, "batch": options.batch, "frames": options.frames,
            "height": size[0], "width": size[1], "input_kind": target.input_kind, "path": str(target.path),
            "artifact_sha256": target.sha256, "size_bytes": target.path.stat().st_size,
        }
    )  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="slrbench-") as scratch, Worker(threads=threads) as worker:
        inputs = Path(scratch) / "inputs.npy"
        np.save(inputs, noise_inputs(candidate).videos)
        answer = worker.ask(
            "profile",
            limit_s=LIMIT_S,
            backend=target.backend,
            path=str(target.path),
            device=device,
            threads=threads,
            input_kind=target.input_kind,
            precision=target.precision,
            inputs=str(inputs),
            calls=options.calls,
        )
    return Profile(
        backend=target.backend,
        device=device,
        threads=threads,
        batch=options.batch,
        frames=options.frames,
        height=size[0],
        width=size[1],
        input_kind=target.input_kind,
        artifact_sha256=target.sha256,
        model=candidate.model,
        calls=options.calls,
        plain_s=answer["plain_s"],
        profiled_s=answer["profiled_s"],
        profiler=answer["profiler"],
        operators=tuple(OperatorTime(**operator) for operator in answer["operators"]),
    )


def _size(target: _Target) -> tuple[int, int]:
    return target.card.frame_size if target.card is not None else (DEFAULT_SIZE, DEFAULT_SIZE)


def _find(path: Path, input_kind: str | None) -> _Target:
    kind = kind_of(path)
    if input_kind is not None:
        check_input_kind(input_kind)
    if kind == "checkpoint":
        card = read_card(path)
        return _Target(
            backend="torch",
            path=path if path.is_dir() else path.parent,
            sha256=card.weights_sha256,
            input_kind=input_kind or "float32",
            precision="fp32",
            card=card,
        )
    entry, card_beside = find_entry(path)
    sha256 = artifact_sha256(path)
    if entry is None:
        return _Target(
            backend=kind, path=path, sha256=sha256, input_kind=input_kind or "float32", precision="fp32", card=None
        )
    artifact = entry.artifact
    if artifact.sha256 != sha256:
        raise NegativeVerdictError(
            f"{path} is not the file that its manifest describes: its SHA-256 is {sha256}, expected {artifact.sha256}",
            hint="export the model again",
        )
    if input_kind is not None and input_kind != artifact.input_kind:
        raise BadInputError(
            f"{path} takes {artifact.input_kind}, not {input_kind}", hint="leave --input out: the manifest says it"
        )
    return _Target(
        backend=kind,
        path=path,
        sha256=sha256,
        input_kind=artifact.input_kind,
        precision=artifact.precision,
        card=card_beside,
    )
