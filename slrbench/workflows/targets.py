"""Which file a path and a backend mean, how it is opened, and the card that says what its classes are.

Shapes: B clips, T frames, H height, W width, T' output steps, C classes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exporters.artifact import InputKind, ManifestEntry, Precision, read_manifest
from slrbench.errors import BadInputError
from slrbench.measure.environment import default_threads
from slrbench.runners.inputs import artifact_sha256
from slrbench.runners.open import open_runner
from slrbench.runners.protocol import Runner
from slrbench.training.card import CheckpointCard, read_card
from slrbench.workflows.archive import require_checkpoint, unless_unpacked
from slrbench.workflows.stored_parity import device_of, require_runtime
from slrbench.workflows.verify import find_entry, kind_of


@dataclass(frozen=True, kw_only=True)
class Target:
    """What is opened, and how; ``card`` is None where none lies beside an artifact."""

    backend: str
    path: Path
    sha256: str
    input_kind: InputKind
    card: CheckpointCard | None
    precision: Precision = "fp32"
    notes: tuple[str, ...] = ()


def find_target(path: Path, backend: str | None) -> Target:
    """What ``path`` and ``backend`` mean together: the file, how it is opened, and the card that belongs to it.

    Raises:
        BadInputError: there is no such file, or the two do not belong together.
        UnavailableError: the runtime is not available here.
        ExporterError: the manifest cannot be read.
    """
    folder = path if path.is_dir() else path.parent
    if backend is not None:
        require_runtime(backend, folder)
    target = _find(path, backend)
    require_runtime(target.backend, folder)
    return target


def open_target(target: Target, *, device: str | None = None, threads: int | None = None) -> Runner:
    """A runner of the very file that was found.

    Args:
        target: what to open.
        device: the GPU for engines and the CPU for all else where it is not given.
        threads: threads of the runtime; one per physical core where it is not given.

    Raises:
        BadInputError: the file is damaged, or another than its hash says.
        UnavailableError: the device is not available here.
    """
    return open_runner(
        target.backend,
        target.path,
        device=device or device_of(target.backend),
        threads=threads or default_threads(),
        input_kind=target.input_kind,
        precision=target.precision,
        expected_sha256=target.sha256,
    )


def infer_through(runner: Runner) -> Callable[[NDArray[Any]], NDArray[np.float32]]:
    """From a video ``(B, 3, T, H, W)``, or uint8 ``(B, T, H, W, 3)``, to log-probabilities ``(T', B, C)``, untimed."""

    def infer(video: NDArray[Any]) -> NDArray[np.float32]:
        pending = runner.run(runner.stage(video))
        runner.synchronize()
        return runner.fetch(pending)

    return infer


def _find(path: Path, backend: str | None) -> Target:
    kind = kind_of(path)
    if kind == "checkpoint":
        card = read_card(path)
        folder = path if path.is_dir() else path.parent
        if backend in (None, "torch"):
            _require_checkpoint(folder)
            return Target(backend="torch", path=folder, sha256=card.weights_sha256, input_kind="float32", card=card)
        entry = _entry_of(folder, str(backend))
        artifact = entry.artifact
        return Target(
            backend=str(backend),
            path=folder / artifact.path,
            sha256=artifact.sha256,
            input_kind=artifact.input_kind,
            card=card,
            precision=artifact.precision,
            notes=_parity_notes(entry, folder),
        )
    if backend not in (None, kind):
        raise BadInputError(f"{path} is a file of backend {kind}, not of {backend}", hint=f"--backend {kind}")
    found, card_beside = find_entry(path)
    if found is None:
        return Target(backend=kind, path=path, sha256=artifact_sha256(path), input_kind="float32", card=None)
    return Target(
        backend=kind,
        path=path,
        sha256=found.artifact.sha256,
        input_kind=found.artifact.input_kind,
        card=card_beside,
        precision=found.artifact.precision,
        notes=_parity_notes(found, path.parent),
    )


def _require_checkpoint(folder: Path) -> None:
    """Raises BadInputError where the folder was unpacked from an archive: which of its artifacts is meant?"""
    try:
        require_checkpoint(folder)
    except BadInputError as error:
        manifest = read_manifest(folder)
        formats = {e.artifact.format for e in manifest.entries} if manifest is not None else set()
        raise BadInputError(
            error.message, hint=f"--backend {' or '.join(sorted(formats))} says which file is meant"
        ) from error


def _parity_notes(entry: ManifestEntry, folder: Path) -> tuple[str, ...]:
    if entry.parity_word == "passed":
        return ()
    what = "failed" if entry.parity_word == "failed" else "was not run"
    again = unless_unpacked(folder, "export the model again")
    return (
        f"the parity check of {entry.artifact.path} {what}: this word error rate need not be the checkpoint's, and the "
        f"file stays out of benchmarks; {again}",
    )


def _entry_of(folder: Path, backend: str) -> ManifestEntry:
    manifest = read_manifest(folder)
    entry = manifest.find(backend) if manifest is not None else None
    if entry is None:
        hint = unless_unpacked(folder, f"python -m slrbench export {folder}")
        raise BadInputError(f"{folder} holds no file of backend {backend!r}", hint=hint)
    return entry
