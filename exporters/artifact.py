"""Artifacts: exported files, what is needed to load or to refuse them, and the manifest that lists them.

Loads no runtime. Files are written whole or not at all: a temporary file beside the target, then a rename.
"""

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

MANIFEST_NAME = "manifest.json"
SCHEMA_VERSION = 1

Format = Literal["torchscript", "onnx", "openvino", "trt"]
Precision = Literal["fp32", "tf32", "fp16", "bf16", "int8"]
InputKind = Literal["float32", "uint8"]


class ExporterError(Exception):
    """An export, a manifest or an artifact that cannot be used; ``hint`` says what to do."""

    def __init__(self, message: str, *, hint: str | None = None, bad_input: bool = False) -> None:
        """Keep message and hint; ``bad_input`` tells a file that a person gave from a failed export."""
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.bad_input = bad_input


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TensorSpec(_Record):
    """Name, dtype and shape of an input or output; a string in the shape names a dynamic axis."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]


class ArtifactFile(_Record):
    """One file of an artifact, relative to the manifest's folder."""

    name: str
    sha256: str
    size_bytes: int


class Artifact(_Record):
    """One exported network."""

    format: Format
    precision: Precision = "fp32"
    input_kind: InputKind = "float32"
    target: str = Field(
        default="", description="what an engine was built for, such as rtx.sm86-sm89 or trt.sm90; empty: any machine"
    )
    files: tuple[ArtifactFile, ...] = Field(description="the file that is opened comes first")
    sha256: str = Field(description="of the first file; of all files' hashes, joined, where there are several")
    built_from_sha256: str = Field(description="of the checkpoint's weights file")
    size_bytes: int = Field(description="of all files")
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    built_with: dict[str, Any] = Field(description="versions, opset, exporter, options")

    @property
    def path(self) -> str:
        """Name of the file that a runtime opens, relative to the manifest's folder."""
        return self.files[0].name

    @property
    def label(self) -> str:
        """Short name for tables: ``onnx``, ``onnx-uint8`` or ``trt-fp16 rtx.sm86-sm89``."""
        parts: list[str] = [self.format]
        parts += [] if self.precision == "fp32" else [self.precision]
        parts += [] if self.input_kind == "float32" else [self.input_kind]
        return "-".join(parts) + (f" {self.target}" if self.target else "")

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What tells the artifacts of one manifest apart: format, precision, input and target."""
        return self.format, self.precision, self.input_kind, self.target


class ParityCaseResult(_Record):
    """One input, compared. Errors are of log-probabilities (natural log).

    Figures are over finite values, and null where there was nothing to compare: the artifact raised, gave another
    shape than the reference, or gave no finite value. ``why`` says which.
    """

    name: str
    batch: int
    frames: int
    source: Literal["clips", "noise"]
    max_abs_error: float | None
    p99_abs_error: float | None
    mean_abs_error: float | None
    max_abs_logsumexp: float | None
    non_finite: int
    kl: float | None = Field(description="mean over output steps of KL(reference || candidate), nats")
    argmax_agreement_clear: float | None = Field(
        description="share of steps, where the reference's margin is clear; null: none"
    )
    argmax_agreement_close: float | None = Field(description="share of steps, where the margin is close; null: none")
    decoded_differences: int | None = Field(description="clips whose greedy decoding is not the reference's")
    decoded_differences_close: int | None = Field(
        default=None, description="of these, the ones whose steps differ only where the reference's margin is close"
    )
    needed_atol: float | None = Field(
        default=None, description="smallest atol with which this case passes; null: none does"
    )
    passed: bool
    why: str = ""


class InvarianceResult(_Record):
    """One invariance of the artifact itself: batch rows, identical rows, repetition."""

    name: str
    max_abs_error: float | None = Field(description="null: the artifact raised, or the outputs cannot be compared")
    tolerance: float
    passed: bool
    why: str = ""


class WerDifference(_Record):
    """Word error rates of the reference and of the artifact on the same clips; the gate of int8."""

    split: str
    clips: int
    reference: float = Field(description="a share")
    candidate: float = Field(description="a share")
    allowed: float = Field(description="by how much the candidate's may be larger, a share")


class ParityVerdict(_Record):
    """Whether an artifact computes what the checkpoint computes, with the evidence."""

    artifact_sha256: str = Field(description="of the file that was run; empty: no file was, but a module in torch")
    reference: str
    backend: str
    tolerance_atol: float
    tolerance_rtol: float
    cases: tuple[ParityCaseResult, ...]
    invariances: tuple[InvarianceResult, ...]
    needed_atol: float | None = Field(description="smallest atol with which every case passes; null: none does")
    logsumexp_tolerance: float | None = None
    clear_margin: float | None = Field(
        default=None, description="margin of the reference's two best classes from which on a step is clear, nats"
    )
    gates: str = Field(default="fp32", description="name of the gates, see exporters.gates")
    machine: str = Field(default="", description="what it ran on, such as a GPU's name; empty: the CPU of the export")
    wer: WerDifference | None = None
    passed: bool
    reasons: tuple[str, ...] = ()

    @property
    def max_abs_error(self) -> float | None:
        """Largest error of any case; None where no case could be compared."""
        errors = [case.max_abs_error for case in self.cases if case.max_abs_error is not None]
        return max(errors, default=None)


class ManifestEntry(_Record):
    """An artifact and its verdict; no verdict means that parity was not run.

    An engine that was built where it cannot run has no verdict of its own. ``network_parity`` is then that of the typed
    ONNX graph that it was built from, on a runtime that was at hand: it says nothing about the engine. No such
    runtime has bf16: there it is the verdict of the torch module that the graph was exported from.
    """

    artifact: Artifact
    parity: ParityVerdict | None = None
    not_run_because: str = Field(default="", description="why there is no verdict, such as ``needs an RTX GPU``")
    network_parity: ParityVerdict | None = Field(
        default=None,
        description="of the graph that an engine was built from; with an empty hash: of the torch module in its place",
    )

    @property
    def graph_was_run(self) -> bool:
        """Whether ``network_parity`` is of the ONNX graph itself, and not of the torch module in its place."""
        return self.network_parity is not None and self.network_parity.artifact_sha256 != ""

    @property
    def parity_word(self) -> Literal["passed", "failed", "not run"]:
        """The verdict in a word, as reports show it."""
        if self.parity is None or self.parity.artifact_sha256 != self.artifact.sha256:
            return "not run"
        return "passed" if self.parity.passed else "failed"


class Manifest(_Record):
    """Every artifact of one checkpoint."""

    schema_version: int = SCHEMA_VERSION
    model_id: str
    entries: tuple[ManifestEntry, ...] = ()

    def find(self, format: str, precision: str = "fp32", input_kind: str = "float32") -> ManifestEntry | None:
        """The entry of that format, precision and input, or None; of several targets, the one that came last."""
        found = self.find_all(format, precision, input_kind)
        return found[-1] if found else None

    def find_all(self, format: str, precision: str = "fp32", input_kind: str = "float32") -> tuple[ManifestEntry, ...]:
        """The entries of that format, precision and input, one for each target, oldest first."""
        return tuple(e for e in self.entries if e.artifact.key[:3] == (format, precision, input_kind))

    def with_entry(self, new: ManifestEntry) -> "Manifest":
        """A manifest in which ``new`` stands in place of the entry of the same key, at the end."""
        kept = [e for e in self.entries if e.artifact.key != new.artifact.key]
        return self.model_copy(update={"entries": (*kept, new)})


def sha256_file(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; rename it to ``path`` at the end, or remove it after an error.

    Raises:
        OSError: the folder cannot be written, or the disk is full; ``path`` is then as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text_atomically(path: Path, text: str) -> None:
    """Write UTF-8 text whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest of a model's folder; None where there is none.

    Raises:
        ExporterError: the file is not a manifest, or of a newer schema.
    """
    path = folder / MANIFEST_NAME
    if not path.exists():
        return None
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        found = document.get("schema_version") if isinstance(document, dict) else None
        if found != SCHEMA_VERSION:
            raise ExporterError(
                f"{path} has schema_version {found!r}, expected {SCHEMA_VERSION}",
                hint="export the model again with this version of slrbench",
                bad_input=True,
            )
        return Manifest.model_validate(document)
    except (ValueError, ValidationError) as error:
        raise ExporterError(
            f"{path} is not a manifest: {error}", hint="export the model again", bad_input=True
        ) from error


def write_manifest(folder: Path, manifest: Manifest) -> Path:
    """Write ``manifest.json`` atomically; returns its path."""
    path = folder / MANIFEST_NAME
    write_text_atomically(path, manifest.model_dump_json(indent=2) + "\n")
    return path


def describe_files(folder: Path, names: list[str]) -> tuple[tuple[ArtifactFile, ...], str, int]:
    """Files with hashes, the artifact's hash and its size in bytes; the file that is opened comes first."""
    files = tuple(
        ArtifactFile(name=n, sha256=sha256_file(folder / n), size_bytes=(folder / n).stat().st_size) for n in names
    )
    joined = hashlib.sha256("".join(f.sha256 for f in files).encode()).hexdigest()
    return files, files[0].sha256 if len(files) == 1 else joined, sum(f.size_bytes for f in files)
