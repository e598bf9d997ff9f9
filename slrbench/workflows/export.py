"""Export a checkpoint and prove parity: every format, every input kind, against the fp32 network on the CPU."""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from exporters.artifact import (
    ExporterError,
    Format,
    InputKind,
    Manifest,
    ManifestEntry,
    Precision,
    read_manifest,
    write_manifest,
)
from exporters.engine_options import EngineOptions
from exporters.parity import Gates
from exporters.parity_cases import CASES_NAME, write_parity_cases
from slrbench.data import open_corpus
from slrbench.errors import NegativeVerdictError, RunFailedError, SlrbenchError, UnavailableError
from slrbench.training.card import CheckpointCard, locate
from slrbench.training.checkpoint import load_checkpoint
from slrbench.workflows.artifact_building import Builder, summarise_reasons
from slrbench.workflows.engine_building import EngineBuilder
from slrbench.workflows.engine_target import EngineTarget
from slrbench.workflows.export_plan import CPU_FORMATS, label_of, make_plan
from slrbench.workflows.parity_reference import Reference, shapes_of_profile
from slrbench.workflows.typed_graphs import Graphs

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, kw_only=True)
class ExportFailure:
    """An artifact that could not be made."""

    format: Format
    input_kind: InputKind
    reason: str
    precision: Precision = "fp32"


@dataclass(frozen=True, kw_only=True)
class ExportResult:
    """What one export made. ``failed`` are the artifacts that crashed, ``rejected`` those that parity refused."""

    model_id: str
    manifest_path: Path
    entries: tuple[ManifestEntry, ...]
    failed: tuple[ExportFailure, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def rejected(self) -> tuple[ManifestEntry, ...]:
        """Entries of this export whose parity failed; they are in the manifest, and stay out of benchmarks.

        An engine that cannot run here is rejected where the graph that it was built from failed.
        """
        return tuple(
            e
            for e in self.entries
            if e.parity_word == "failed" or (e.network_parity is not None and not e.network_parity.passed)
        )

    @property
    def not_run(self) -> tuple[ManifestEntry, ...]:
        """Engines of this export that cannot run here, so that their parity is not known."""
        return tuple(entry for entry in self.entries if entry.not_run_because)

    @property
    def error(self) -> SlrbenchError | None:
        """What the command line must answer; None where every artifact was made and passed."""
        lines = [f"{label_of(f.format, f.precision, f.input_kind)}: {f.reason}" for f in self.failed]
        for entry in self.rejected:
            instead = "graph" if entry.graph_was_run else "torch module"
            whose = "parity" if entry.parity is not None else f"parity of its {instead}"
            reasons = summarise_reasons(entry.parity or entry.network_parity)
            lines.append(f"{entry.artifact.label}: {whose} failed: {reasons}")
        if self.failed:
            message = f"{len(self.failed)} of {len(self.failed) + len(self.entries)} artifacts could not be exported"
            return RunFailedError(f"{self.model_id}: {message}", hint="\n".join(lines))
        if self.rejected:
            message = f"{len(self.rejected)} of {len(self.entries)} artifacts failed parity and stay out of benchmarks"
            return NegativeVerdictError(f"{self.model_id}: {message}", hint="\n".join(lines))
        return None

    def raise_for_failures(self) -> None:
        """Raise ``error`` where there is one.

        Raises:
            RunFailedError: an artifact could not be made.
            NegativeVerdictError: every artifact was made, and one failed parity.
        """
        if self.error is not None:
            raise self.error


def raise_worst(errors: Sequence[SlrbenchError], tell: Callable[[str, str | None], None]) -> None:
    """Raise the worst error, so that its exit code is the command's, after the others were told; nothing without any.

    A file that could not be made (exit code 4) is worse than one that failed parity (1), whichever came last.

    Args:
        errors: of several exports.
        tell: called with the message and the hint of each of the others.

    Raises:
        SlrbenchError: the one of the highest exit code.
    """
    worst = max(errors, key=lambda error: error.exit_code, default=None)
    if worst is None:
        return
    for other in errors:
        if other is not worst:
            tell(other.message, other.hint)
    raise worst


def export_model(
    checkpoint: Path,
    *,
    formats: Sequence[str] = CPU_FORMATS,
    input_kinds: Sequence[str] = ("float32",),
    precisions: Sequence[str] = ("fp32",),
    exporter: str = "auto",
    tolerance: float = Gates.atol,
    engine: EngineOptions | None = None,
    cache: Path | None = None,
    progress: Progress | None = None,
) -> ExportResult:
    """Export a checkpoint into its folder and check parity of every file.

    The manifest is written after each artifact, so that an interruption costs one. Entries that were built from other
    weights are dropped from it. An artifact that fails parity stays in the manifest with its verdict; one that cannot
    be made is in the result's ``failed``; the others go on.

    Args:
        checkpoint: the model's folder, or one of the checkpoint's files in it.
        formats: of ``FORMATS`` (this and the next: :mod:`slrbench.workflows.export_plan`).
        input_kinds: of ``INPUT_KINDS``.
        precisions: of ``PRECISIONS_OF`` each format; a format leaves out those that it has not.
        exporter: of ``EXPORTERS``: which of torch's ONNX exporters; ``auto`` takes the quick one, and the other where
            its file fails parity.
        tolerance: absolute (nats) and relative tolerance of a log-probability, 0 .. 1e-4; a looser gate than this
            project's would make verdicts that look alike and are not.
        engine: how engines are built.
        cache: folder of decoded clips, for a corpus of files.
        progress: called with what is being done, steps done and steps in all.

    Raises:
        BadInputError: the checkpoint or an argument cannot be used.
        NegativeVerdictError: the network itself does not give log-probabilities.
        UnavailableError: the runtime of a format is not available here.
        OSError: the folder cannot be written, or the disk is full.
    """
    plan = make_plan(
        formats=formats,
        input_kinds=input_kinds,
        precisions=precisions,
        exporter=exporter,
        tolerance=tolerance,
        engine=engine,
    )
    target = EngineTarget.find(plan.engine) if plan.has_engines else None  # before any work: options may clash with it
    model, card = load_checkpoint(checkpoint)
    if target is not None:
        plan.engine.check_volume(card.frame_size)
    folder = locate(checkpoint)[0].parent
    corpus = open_corpus(card.data, cache=cache)
    more = shapes_of_profile(plan.engine.batch.as_list(), plan.engine.frames.as_list()) if target is not None else ()
    reference = Reference(model, card, corpus.split("dev"), more_shapes=more)
    manifest = _current_manifest(folder, card)
    entries, failures = [], []
    with tempfile.TemporaryDirectory(dir=folder, prefix=".export-") as scratch:
        built = Path(scratch)
        graphs = Graphs(
            model=model,
            card=card,
            reference=reference,
            corpus=corpus,
            folder=built,
            exporter="torchscript" if plan.exporter == "auto" else plan.exporter,
        )
        engines = EngineBuilder(graphs, target) if target is not None else None
        builder = Builder(
            model=model,
            card=card,
            reference=reference,
            folder=built,
            graphs=graphs,
            exporter=plan.exporter,
            tolerance=plan.tolerance,
        )
        for done, (format, precision, kind) in enumerate(plan.artifacts):
            label = label_of(format, precision, kind)
            if progress is not None:
                progress(f"exporting {card.model_id} to {label}, then parity", done, len(plan.artifacts))
            try:
                entry = _make(builder, engines, format, precision, kind, progress)
            except UnavailableError:
                raise
            except (ExporterError, SlrbenchError) as error:
                failures.append(
                    ExportFailure(format=format, precision=precision, input_kind=kind, reason=error.message)
                )
                continue
            for file in reversed(entry.artifact.files):  # the file that is opened comes last
                (built / file.name).replace(folder / file.name)
            if format == "onnx" and precision == "fp32":
                builder.remember_onnx(kind, folder / entry.artifact.path, entry)
            manifest = manifest.with_entry(entry)
            write_manifest(folder, manifest)
            entries.append(entry)
    write_parity_cases(
        folder / CASES_NAME,
        reference.inputs,
        [reference(item.video) for item in reference.inputs],
        reference=reference.name,
        built_from_sha256=card.weights_sha256,
    )
    if progress is not None:
        progress(f"exported {card.model_id}", len(plan.artifacts), len(plan.artifacts))
    return ExportResult(
        model_id=card.model_id,
        manifest_path=write_manifest(folder, manifest),
        entries=tuple(entries),
        failed=tuple(failures),
        notes=(*plan.notes, *(target.notes if target is not None else ())),
    )


def _make(
    builder: Builder,
    engines: EngineBuilder | None,
    format: Format,
    precision: Precision,
    kind: InputKind,
    progress: Progress | None,
) -> ManifestEntry:
    if format == "trt":
        assert engines is not None  # "trt" is in the plan
        return engines.build(builder.folder, precision, kind, progress)
    if precision == "fp32":
        return builder.build(format, kind)
    return builder.build_typed_onnx(precision, kind)


def _current_manifest(folder: Path, card: CheckpointCard) -> Manifest:
    """The folder's manifest without the entries of other weights; an empty one where it cannot be read."""
    try:
        found = read_manifest(folder)
    except ExporterError:
        found = None  # every entry is made again or is gone with the file
    if found is None:
        return Manifest(model_id=card.model_id)
    kept = tuple(e for e in found.entries if e.artifact.built_from_sha256 == card.weights_sha256)
    manifest = Manifest(model_id=card.model_id, entries=kept)
    if manifest != found:
        write_manifest(folder, manifest)
    return manifest
