"""Pack a model for another machine: its artifacts and what is needed there to judge, measure and read them."""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.resources import files as package_files
from pathlib import Path
from typing import get_args

from exporters.artifact import (
    MANIFEST_NAME,
    ExporterError,
    Format,
    Manifest,
    ManifestEntry,
    Precision,
    read_manifest,
)
from exporters.parity_cases import CASES_NAME, read_parity_cases
from slrbench import __version__
from slrbench.data import open_corpus
from slrbench.data.packed import CLIPS_NAME, write_packed_clips
from slrbench.errors import BadInputError, NegativeVerdictError
from slrbench.evaluation import evaluate
from slrbench.runners.availability import require
from slrbench.runners.inputs import artifact_sha256
from slrbench.training.card import CARD_NAME, CheckpointCard, locate, read_card
from slrbench.workflows.archive import (
    PACK_NAME,
    README_NAME,
    REQUIREMENTS_NAME,
    SUFFIX,
    LeftOut,
    PackRecord,
    describe_content,
    folder_name,
    is_archive,
    require_checkpoint,
    write_archive,
)
from slrbench.workflows.wheel import target_wheel, wheel_name

FORMATS: tuple[Format, ...] = get_args(Format)
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
SPLIT = "test"
CLIPS = 100
"""Clips that are packed unless stated otherwise: those that bench measures word error rates on by default."""

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, kw_only=True)
class Packed:
    """The archive that was written."""

    path: Path
    record: PackRecord
    entries: tuple[ManifestEntry, ...]
    refused: tuple[LeftOut, ...]
    """What was asked for and stays out all the same; the record names what was not asked for, too."""


def pack_model(
    model: Path,
    *,
    output: Path | None = None,
    formats: Sequence[str] = FORMATS,
    precisions: Sequence[str] = PRECISIONS,
    clips: int = CLIPS,
    cache: Path | None = None,
    progress: Progress | None = None,
) -> Packed:
    """Write the archive of a model.

    Artifacts that failed parity, that are not the files of the manifest, or that were built from other weights stay
    out, with the reason in ``pack.json``. Engines that cannot run here, and so have no verdict, are packed: the target
    machine judges them.

    Args:
        model: the model's folder, or one of its checkpoint's files.
        output: the archive; ``<model id>.slrpack.zip`` in the current folder by default.
        formats: artifacts of other formats stay out.
        precisions: artifacts of other precisions stay out.
        clips: test clips that are packed, with the checkpoint's word errors on them; 0 packs none.
        cache: folder of decoded clips, for a corpus of files.
        progress: called with what is being done, steps done and steps in all.

    Raises:
        BadInputError: the model was not exported, its parity cases are missing or of other weights, or an argument
            cannot be used.
        NegativeVerdictError: no artifact is left.
        UnavailableError: the corpus cannot be opened here.
        OSError: the archive cannot be written, or the disk is full.
    """
    _require_no_pack(model)
    _check_words(formats, FORMATS, "format", "--formats")
    _check_words(precisions, PRECISIONS, "precision", "--precision")
    folder = locate(model)[0].parent
    card = read_card(model)
    path = _output(output, card)
    manifest = _manifest(folder)
    _check_cases(folder, card)
    kept: list[ManifestEntry] = []
    left_out: list[LeftOut] = []
    refused: list[LeftOut] = []
    for index, entry in enumerate(manifest.entries):
        if progress is not None:
            progress(f"checking the artifacts of {card.model_id}", index, len(manifest.entries))
        unasked = _not_asked_for(entry, formats, precisions)
        reason = unasked or _why_not(entry, folder, card)
        if not reason:
            kept.append(entry)
            continue
        left_out.append(LeftOut(artifact=entry.artifact.label, reason=reason))
        if not unasked:
            refused.append(left_out[-1])
    if not kept:
        raise NegativeVerdictError(
            f"{card.model_id}: no artifact can be packed",
            hint="\n".join(f"{each.artifact}: {each.reason}" for each in left_out),
        )
    packed_manifest = manifest.model_copy(update={"entries": tuple(kept)})
    with tempfile.TemporaryDirectory(prefix="slrbench-pack-") as scratch:
        contents: dict[str, Path | bytes] = {
            CARD_NAME: folder / CARD_NAME,
            CASES_NAME: folder / CASES_NAME,
            MANIFEST_NAME: (packed_manifest.model_dump_json(indent=2) + "\n").encode(),
            REQUIREMENTS_NAME: target_requirements().encode(),
            README_NAME: _readme(card, path, kept).encode(),
            wheel_name(): target_wheel(),
        }
        contents |= {file.name: folder / file.name for entry in kept for file in entry.artifact.files}
        if clips > 0:
            _write_clips(Path(scratch) / CLIPS_NAME, folder, card, clips, cache, progress)
            contents[CLIPS_NAME] = Path(scratch) / CLIPS_NAME
        record = PackRecord(
            model_id=card.model_id,
            slrbench_version=__version__,
            weights_sha256=card.weights_sha256,
            files=tuple(describe_content(name, content) for name, content in sorted(contents.items())),
            left_out=tuple(left_out),
        )
        if progress is not None:
            progress(f"writing {path}", 0, 1)
        write_archive(path, contents, record)
    return Packed(path=path, record=record, entries=tuple(kept), refused=tuple(refused))


def target_requirements() -> str:
    """What a target machine installs beside slrbench, as pip takes it."""
    return (package_files("slrbench") / "target-requirements.txt").read_text(encoding="utf-8")


def _require_no_pack(model: Path) -> None:
    """Raises BadInputError where the model is or was in an archive: what it was exported from is not here."""
    if is_archive(model):
        raise BadInputError(f"{model} is an archive already", hint=f"python -m slrbench verify {model}")
    try:
        require_checkpoint(model)
    except BadInputError as error:
        hint = "copy that archive, or pack the model where it was trained"
        raise BadInputError(error.message, hint=hint) from error


def _check_words(given: Sequence[str], known: Sequence[str], what: str, option: str) -> None:
    if not given:
        raise BadInputError(f"no {what} was given, expected some of {', '.join(known)}", hint=f"{option} {known[0]}")
    if unknown := [word for word in given if word not in known]:
        raise BadInputError(
            f"unknown {what} {unknown[0]!r}, expected some of {', '.join(known)}", hint=f"{option} {known[0]}"
        )


def _output(output: Path | None, card: CheckpointCard) -> Path:
    path = output if output is not None else Path(Path(card.model_id).name + SUFFIX)
    if path.is_dir() or not path.name.endswith(".zip"):
        raise BadInputError(f"{path} is not a name for an archive", hint=f"--output {card.model_id}{SUFFIX}")
    return path


def _manifest(folder: Path) -> Manifest:
    try:
        manifest = read_manifest(folder)
    except ExporterError as error:
        raise BadInputError(error.message, hint=error.hint) from error
    if manifest is None or not manifest.entries:
        raise BadInputError(f"{folder} holds no artifacts", hint=f"python -m slrbench export {folder}")
    return manifest


def _check_cases(folder: Path, card: CheckpointCard) -> None:
    try:
        cases = read_parity_cases(folder / CASES_NAME)
    except ExporterError as error:
        raise BadInputError(error.message, hint=f"python -m slrbench export {folder}") from error
    if cases.built_from_sha256 != card.weights_sha256:
        raise BadInputError(
            f"{folder / CASES_NAME} is of other weights than the checkpoint's",
            hint=f"python -m slrbench export {folder}",
        )


def _not_asked_for(entry: ManifestEntry, formats: Sequence[str], precisions: Sequence[str]) -> str:
    artifact = entry.artifact
    if artifact.format not in formats:
        return f"{artifact.format} is not among the formats that were asked for"
    if artifact.precision not in precisions:
        return f"{artifact.precision} is not among the precisions that were asked for"
    return ""


def _why_not(entry: ManifestEntry, folder: Path, card: CheckpointCard) -> str:
    """Why an artifact that was asked for stays out; empty where it is packed."""
    artifact = entry.artifact
    if artifact.built_from_sha256 != card.weights_sha256:
        return "it was exported from other weights than the checkpoint's"
    if missing := [file.name for file in artifact.files if not (folder / file.name).is_file()]:
        return f"{missing[0]} is missing"
    if artifact_sha256(folder / artifact.path) != artifact.sha256:
        return f"{artifact.path} is not the file of the manifest (sha256)"
    if entry.parity_word == "failed" and entry.parity is not None:
        return f"parity failed: {'; '.join(entry.parity.reasons[:2]) or 'see the manifest'}"
    if entry.parity_word == "passed":
        return ""
    if not entry.not_run_because:
        return "parity was not run for this file"
    if entry.network_parity is not None and not entry.network_parity.passed:
        return f"parity of its graph failed: {'; '.join(entry.network_parity.reasons[:2])}"
    return ""


def _write_clips(
    path: Path, folder: Path, card: CheckpointCard, clips: int, cache: Path | None, progress: Progress | None
) -> None:
    """The clips, and what the checkpoint itself reads in them: the target machine has no checkpoint to ask."""
    require("torch")
    from slrbench.training.checkpoint import load_checkpoint
    from slrbench.training.network import infer_with

    corpus = open_corpus(card.data, cache=cache)
    model, _ = load_checkpoint(folder)

    def tell(done: int, total: int) -> None:
        if progress is not None:
            progress(f"reading the clips with {card.model_id} itself", done, total)

    found = evaluate(
        infer_with(model, next(model.parameters()).device),
        corpus.split(SPLIT),
        corpus.vocabulary,
        limit=clips,
        progress=tell,
    )
    write_packed_clips(path, corpus, SPLIT, clips, reference=found.counts)


def _readme(card: CheckpointCard, archive: Path, entries: Sequence[ManifestEntry]) -> str:
    there, wheel = folder_name(archive), wheel_name()
    formats = sorted({str(entry.artifact.format) for entry in entries})
    backends = [name for name in formats if name in ("onnx", "openvino")] or formats
    return f"""\
{card.model_id}, packed with slrbench {__version__} for another machine.

On that machine, beside the archive (Python 3.11 or newer; no torch, no training code, no corpus):

    python3 -m zipfile -e {archive.name} {there}
    python3 -m venv slr
    slr/bin/pip install -r {there}/{REQUIREMENTS_NAME} {there}/{wheel}
    slr/bin/python -m slrbench verify {archive.name}
    slr/bin/python -m slrbench bench {there} --backend {",".join(backends)}

The wheel is slrbench itself, as it made this archive. {REQUIREMENTS_NAME} is for a machine without a GPU.

With an NVIDIA GPU, write onnxruntime-gpu in place of onnxruntime into a copy of {REQUIREMENTS_NAME}
(the two overwrite each other's files), and for TensorRT engines install the wheel with its extra:

    slr/bin/pip install -r COPY '{there}/{wheel}[gpu]'

or with [gpu,trt-rtx] for engines whose names end in .rtx.engine. pycuda is compiled against CUDA's
toolkit. Engines need the GPU that they were built for; everything else runs on any machine.
TorchScript files need torch besides.

verify checks every file's SHA-256, runs the stored inputs on each artifact whose runtime is there, and
compares with what the checkpoint gave for them. The hashes find damage, not malice: nothing here is
signed, and the wheel is code, so take archives from where you would take programs from.

Class 0 is the CTC blank; class i + 1 is glosses[i] of {CARD_NAME}. {PACK_NAME} lists every file, and
what was left out. What is missing is exported where the model was trained, and packed again.
"""
