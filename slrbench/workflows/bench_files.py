"""The file that a backend opens for a model, known to be the one that was checked, and what its verdict is worth.

A verdict is of a file as it ran: on the CPU in its own types, or, of an engine, on one GPU. The same file on a GPU, the
engine on another one, with TF32, under autocast or compiled has no verdict yet; where parity cases lie beside it the
benchmark gives it one.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from exporters.artifact import Artifact, ManifestEntry
from exporters.cuda_driver import device_index
from exporters.parity_cases import CASES_NAME
from exporters.tensorrt_library import compute_capability_here
from slrbench.errors import BadInputError, NegativeVerdictError
from slrbench.measure.environment import gpu_name
from slrbench.records import ParityWord
from slrbench.runners.inputs import artifact_sha256
from slrbench.training.card import WEIGHTS_NAME
from slrbench.workflows.archive import is_unpacked, unless_unpacked
from slrbench.workflows.bench_axes import Way
from slrbench.workflows.bench_engines import Engines, choose_engine

if TYPE_CHECKING:
    from slrbench.workflows.bench_candidates import BenchModel

_VIDEO_AXES = {"float32": (0, 2, 3, 4), "uint8": (0, 1, 2, 3)}  # of B, T, H, W


@dataclass(frozen=True, kw_only=True)
class BenchFile:
    """A file to measure in one way."""

    path: Path
    format: str
    sha256: str
    size_bytes: int
    parity: ParityWord
    why: str = ""  # where parity is not "passed"
    judge_here: bool = False  # whether the benchmark gives the verdict: the file passed, in another way than this one
    engine: ManifestEntry | None = None
    fixed: tuple[tuple[str, int, int], ...] = ()  # axis, position among (batch, frames, height, width), the only value


def find_file(model: "BenchModel", way: Way, input_kind: str, engines: Engines) -> BenchFile:
    """The file that the way opens, with its verdict, known to be the one that was checked.

    Raises:
        BadInputError: there is none, it was exported from other weights, or it was altered.
        SlrbenchError: there is no engine, and none could be made.
    """
    return _in_this_way(model, _find_file(model, way, input_kind, engines), way)


def _in_this_way(model: "BenchModel", file: BenchFile, way: Way) -> BenchFile:
    """The file with what its verdict is worth in this way: none where it runs otherwise than it was judged."""
    if file.parity != "passed" or model.card is None:
        return file
    other = _other_way(file, way)
    if not other:
        return file
    return replace(
        file,
        parity="not run",
        why=f"its verdict is {other}, and no parity cases lie beside it",
        judge_here=(model.folder / CASES_NAME).is_file(),
    )


def _other_way(file: BenchFile, way: Way) -> str:
    """In what other way than this one the file was judged; empty where it was this one."""
    if way.variant or (way.backend != "trt" and way.device != "cpu"):
        return f"not of {way.precision} on {way.device}" + (f", {way.variant}" if way.variant else "")
    if file.engine is None or file.engine.parity is None:
        return ""
    judged_on, here = file.engine.parity.machine.partition(",")[0], gpu_name(way.device)
    # The same engine runs other kernels on another GPU. Where either name is not known nothing can be told.
    return (
        f"of {way.precision} on {judged_on}, and {way.device} here is {here}"
        if here and judged_on not in ("", here)
        else ""
    )


def _find_file(model: "BenchModel", way: Way, input_kind: str, engines: Engines) -> BenchFile:
    if way.backend == "torch":
        path = model.folder / WEIGHTS_NAME
        if is_unpacked(model.folder) and not path.exists():
            raise BadInputError(f"the pack of {model.model_id} holds no checkpoint", hint="--backend onnx,openvino")
        _check_hash(path, model.weights_sha256, "the card")
        parity, why = _checkpoint_parity(model)
        size = path.stat().st_size
        return BenchFile(
            path=path, format="checkpoint", sha256=model.weights_sha256, size_bytes=size, parity=parity, why=why
        )
    entry, again = _find_entry(model, way, input_kind, engines)
    artifact = entry.artifact
    path = model.folder / artifact.path
    if artifact.built_from_sha256 != model.weights_sha256:
        raise BadInputError(f"{path} was exported from other weights than the checkpoint's", hint=again)
    _check_hash(path, artifact.sha256, "the manifest", hint=again)
    why = "parity was not run for this file" + (f": {entry.not_run_because}" if entry.not_run_because else "")
    if entry.parity is not None and entry.parity_word == "failed":
        why = "parity failed: " + (entry.parity.reasons[0] if entry.parity.reasons else "see the manifest")
    return BenchFile(
        path=path,
        format=artifact.format,
        sha256=artifact.sha256,
        size_bytes=artifact.size_bytes,
        parity=entry.parity_word,
        why=why,
        engine=entry if artifact.format == "trt" else None,
        fixed=_fixed_axes(artifact),
    )


def _find_entry(model: "BenchModel", way: Way, input_kind: str, engines: Engines) -> tuple[ManifestEntry, str]:
    """The manifest's entry of the file that is opened, and the command that makes it."""
    precision = way.file_precision
    again = f"python -m slrbench export {model.folder} --formats {way.backend}"
    again += "" if precision == "fp32" else f" --precision {precision}"
    again += "" if input_kind == "float32" else f" --input {input_kind}"
    again = unless_unpacked(model.folder, again)
    if way.backend == "trt":
        entry = choose_engine(
            model.manifest,
            precision,
            input_kind,
            model=model.model_id,
            folder=model.folder,
            compute_capability=compute_capability_here(device_index(way.device)),
            failures=engines,
        )
        return entry, again
    found = model.manifest.find(way.backend, precision, input_kind)
    if found is not None:
        return found, again
    kind = "" if precision == "fp32" else f"{precision} "
    other = "float32" if input_kind == "uint8" else "uint8"
    if model.manifest.find(way.backend, precision, other) is None:
        raise BadInputError(f"{model.model_id} has no {kind}{way.backend} file", hint=again)
    raise BadInputError(
        f"{model.model_id} has no {input_kind} {kind}{way.backend} file (there is a {other} one)", hint=again
    )


def require_verified(model: "BenchModel", file: BenchFile, *, allow_unverified: bool) -> None:
    """Let verified files pass, files that are judged here, and random weights, which never enter a decision.

    Raises:
        NegativeVerdictError: the file is not verified.
    """
    if file.parity == "passed" or file.judge_here or allow_unverified or model.card is None:
        return
    checked = model.card.checks_passed
    command = f"verify {model.folder}" if file.format == "checkpoint" and not checked else f"export {model.folder}"
    if file.engine is not None and file.parity == "not run":
        command = f"verify {file.path}"
    hint = f"python -m slrbench {command}"
    if command.startswith("export"):
        hint = unless_unpacked(model.folder, hint)
    raise NegativeVerdictError(
        f"{file.path.name} is not verified: {file.why}",
        hint=f"{hint}, or --allow-unverified to measure it all the same",
    )


def _check_hash(path: Path, expected: str, who: str, *, hint: str | None = None) -> None:
    if not path.is_file():
        raise BadInputError(f"there is no file {path}, though {who} names it", hint=hint)
    found = artifact_sha256(path)
    if found != expected:
        raise BadInputError(
            f"{path} is not the file that was checked: its SHA-256 is {found}, {who} says {expected}",
            hint=hint or "copy it again from where it was trained, or train again",
        )


def _checkpoint_parity(model: "BenchModel") -> tuple[ParityWord, str]:
    """The checkpoint is the reference of parity: what can fail is its own verification."""
    if model.card is None:
        return "not run", "random weights"
    passed = model.card.checks_passed
    if passed is None:
        return "not run", "the checkpoint was never verified"
    return ("passed", "") if passed else ("failed", "a check of the checkpoint's verification failed")


def _fixed_axes(artifact: Artifact) -> tuple[tuple[str, int, int], ...]:
    if not artifact.inputs:
        return ()
    shape = artifact.inputs[0].shape
    axes = enumerate(zip(("batch", "frames", "height", "width"), _VIDEO_AXES[artifact.input_kind], strict=True))
    return tuple((name, i, size) for i, (name, axis) in axes if isinstance(size := shape[axis], int))
