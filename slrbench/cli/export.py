"""``slrbench export``: export checkpoints, and prove that the files compute the same."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from slrbench.cli import console

if TYPE_CHECKING:
    from exporters.artifact import ManifestEntry, ParityVerdict
    from exporters.engine_options import BuilderChoice, HardwareCompatibility
    from slrbench.workflows.export import ExportResult

MODELS_FOLDER = Path("trained_models")
HEADERS = ["Model", "Format", "Input", "Size (MB)", "Parity", "Max error", "Needed atol", "Build (s)"]
ENGINES = "TensorRT engines"


def command(
    models: Annotated[
        list[str] | None,
        typer.Argument(metavar="[MODEL]...", help="Ids of models, or their folders; all of trained_models by default."),
    ] = None,
    formats: Annotated[
        str, typer.Option("--formats", metavar="LIST", help="Of torchscript, onnx, openvino, trt.")
    ] = "torchscript,onnx,openvino",
    precision: Annotated[
        str,
        typer.Option(
            "--precision",
            metavar="LIST",
            help="Of fp32, tf32, fp16, bf16, int8: all of them for trt; fp32, fp16 and int8 for onnx; fp32 elsewhere.",
        ),
    ] = "fp32",
    input: Annotated[
        str,
        typer.Option(
            "--input", metavar="LIST", help="Of float32 (normalised video) and uint8 (raw frames, normalised inside)."
        ),
    ] = "float32",
    exporter: Annotated[
        str,
        typer.Option(
            "--exporter",
            metavar="NAME",
            help="Which of torch's ONNX exporters: torchscript (quick), dynamo, or auto (the quick one, and the other "
            "where its file fails parity).",
        ),
    ] = "auto",
    tolerance: Annotated[
        float, typer.Option("--tolerance", help="Parity's absolute and relative tolerance, 0 to 1e-4.")
    ] = 1e-4,
    builder: Annotated[
        str,
        typer.Option(
            "--builder",
            metavar="NAME",
            help="Of engines: tensorrt (for the GPU at hand), tensorrt-rtx (for RTX GPUs, built without one), or auto: "
            "tensorrt where there is a GPU.",
            rich_help_panel=ENGINES,
        ),
    ] = "auto",
    batch: Annotated[
        str, typer.Option("--batch", metavar="MIN:OPT:MAX", help="Clips of an engine's call.", rich_help_panel=ENGINES)
    ] = "1:1:8",
    frames: Annotated[
        str,
        typer.Option("--frames", metavar="MIN:OPT:MAX", help="Frames of an engine's clips.", rich_help_panel=ENGINES),
    ] = "1:64:256",
    compute_capability: Annotated[
        str | None,
        typer.Option(
            "--compute-capability",
            metavar="LIST",
            help="What tensorrt-rtx builds for, such as 86,89 (the default) or 75,120.",
            rich_help_panel=ENGINES,
        ),
    ] = None,
    optimization_level: Annotated[
        int | None,
        typer.Option("--optimization-level", help="The builder's, 0 to 5; its default is 3.", rich_help_panel=ENGINES),
    ] = None,
    workspace_mb: Annotated[
        int | None,
        typer.Option("--workspace-mb", help="Most scratch memory of a layer; all by default.", rich_help_panel=ENGINES),
    ] = None,
    aux_streams: Annotated[
        int | None,
        typer.Option("--aux-streams", help="Most auxiliary streams; the library decides.", rich_help_panel=ENGINES),
    ] = None,
    version_compatible: Annotated[
        bool,
        typer.Option("--version-compatible", help="Let later TensorRT versions load it.", rich_help_panel=ENGINES),
    ] = False,
    hardware_compatibility: Annotated[
        str,
        typer.Option(
            "--hardware-compatibility",
            metavar="LEVEL",
            help="Of TensorRT: none, ampere_plus or same_compute_capability.",
            rich_help_panel=ENGINES,
        ),
    ] = "none",
    timing_cache: Annotated[
        Path | None,
        typer.Option(
            "--timing-cache",
            metavar="FILE",
            help="Where TensorRT keeps what it measured of kernels; in the user's cache folder by default.",
            rich_help_panel=ENGINES,
        ),
    ] = None,
    builds: Annotated[
        int,
        typer.Option("--builds", help="Builds of each engine; the best is kept.", rich_help_panel=ENGINES),
    ] = 1,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead of a table.")] = False,
) -> None:
    """Export checkpoints to TorchScript, ONNX, OpenVINO and TensorRT, and prove parity.

    Every file is compared with the PyTorch network on real clips and on noise, at ten batch sizes and lengths
    other than the export's; the verdict goes into manifest.json beside it. A file that fails is kept out of benchmarks,
    and the exit code is 1; where a file could not be made at all, it is 4.

    An engine that cannot run here is written with the verdict "not run", and what it was built from is compared in its
    place; on the target machine, verify settles it.

    For example: export student --formats trt --precision fp32,fp16 --compute-capability 86,89
    """
    from exporters.engine_options import EngineOptions, Range, parse_compute_capability

    engine = EngineOptions(
        builder=cast("BuilderChoice", builder),
        batch=Range.parse(batch, option="--batch"),
        frames=Range.parse(frames, option="--frames"),
        compute_capabilities=tuple(parse_compute_capability(word) for word in _words(compute_capability or "")),
        builder_optimization_level=optimization_level,
        workspace_bytes=None if workspace_mb is None else workspace_mb << 20,
        max_aux_streams=aux_streams,
        version_compatible=version_compatible,
        hardware_compatibility=cast("HardwareCompatibility", hardware_compatibility),
        timing_cache=timing_cache,
        builds=builds,
    )
    folders = _model_folders(models or [])
    # It loads torch, so not before the arguments are known to be good.
    from slrbench.workflows.export import export_model, raise_worst

    results = []
    with console.Progress() as progress:
        for folder in folders:
            results.append(
                export_model(
                    folder,
                    formats=_words(formats),
                    input_kinds=_words(input),
                    precisions=_words(precision),
                    exporter=exporter,
                    tolerance=tolerance,
                    engine=engine,
                    progress=progress,
                )
            )
    if json:
        console.print_json(_document(results))
    else:
        console.result(console.table([row for result in results for row in _rows(result)], HEADERS))
    for text in dict.fromkeys(line for result in results for line in _notes(result)):
        console.warning(text)
    console.wrote([result.manifest_path for result in results], next_command=_next_command(results))
    raise_worst([result.error for result in results if result.error is not None], console.error)


def _model_folders(models: list[str]) -> list[Path]:
    """Folders of the models that were named, by path or by id; of every model where none was.

    Raises:
        BadInputError: there is no such model, or none at all.
    """
    from slrbench.errors import BadInputError
    from slrbench.training.card import CARD_NAME

    if not models:
        found = sorted(path.parent for path in MODELS_FOLDER.glob(f"*/{CARD_NAME}"))
        if not found:
            raise BadInputError(
                f"there is no model in {MODELS_FOLDER}",
                hint="python -m slrbench train-and-export makes one; a model elsewhere is named by its folder",
            )
        return found
    folders = []
    for model in models:
        candidates = [Path(model), MODELS_FOLDER / model]
        existing = next((path for path in candidates if path.exists()), None)
        if existing is None:
            raise BadInputError(
                f"there is no model {model!r}: neither {candidates[0]} nor {candidates[1]} exists",
                hint="python -m slrbench list models",
            )
        folders.append(existing)
    return folders


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _rows(result: "ExportResult") -> list[list[Any]]:
    rows = [_row(result.model_id, entry) for entry in result.entries]
    for f in result.failed:
        name = f.format if f.precision == "fp32" else f"{f.format}-{f.precision}"
        rows.append([result.model_id, name, f.input_kind, None, "not exported", None, None, None])
    return rows


def _row(model_id: str, entry: "ManifestEntry") -> list[Any]:
    artifact, verdict = entry.artifact, entry.parity
    name = artifact.format if artifact.precision == "fp32" else f"{artifact.format}-{artifact.precision}"
    return [
        model_id,
        f"{name} {artifact.target}".rstrip(),
        artifact.input_kind,
        f"{artifact.size_bytes / 1e6:.2f}",
        entry.parity_word.upper() if entry.parity_word == "failed" else entry.parity_word,
        _scientific(verdict.max_abs_error if verdict else None),
        _scientific(verdict.needed_atol if verdict else None),
        f"{artifact.built_with['build_s']:.1f}",
    ]


def _notes(result: "ExportResult") -> list[str]:
    """What the table has no room for: what was left out, and why engines have no verdict."""
    notes = [f"{result.model_id}: {note}" for note in result.notes]
    for entry in result.not_run:
        known = _graph_in_words(entry)
        notes.append(f"{result.model_id}/{entry.artifact.path}: parity not run: {entry.not_run_because}{known}")
    return notes


def _graph_in_words(entry: "ManifestEntry") -> str:
    """What is known of an engine that was not run: how the graph fared that it was built from."""
    graph = entry.network_parity
    if graph is None:
        return ""
    word, figures = "passed" if graph.passed else "FAILED", _figures(graph)
    if not entry.graph_was_run:
        return f"; the torch module was compared and {word}{figures}, the ONNX graph was not run"
    if entry.artifact.precision == "tf32":
        return f"; its graph, an fp32 one, {word} on {graph.backend}{figures}, nothing was computed in TF32"
    return f"; the graph it was built from {word} on {graph.backend}{figures}"


def _figures(verdict: "ParityVerdict") -> str:
    """The figures that the gates of the verdict's precision go by: int8's are what it reads, not its errors."""
    if verdict.gates != "int8":
        return "" if verdict.max_abs_error is None else f" (max error {verdict.max_abs_error:.1e})"
    clips = [case for case in verdict.cases if case.source == "clips" and case.decoded_differences is not None]
    same = sum(case.batch - (case.decoded_differences or 0) for case in clips)
    parts = [f"{same} of {sum(case.batch for case in clips)} clips read the same"]
    if (wer := verdict.wer) is not None:
        parts.append(
            f"WER {wer.candidate:.1%}, the checkpoint's {wer.reference:.1%}, on {wer.clips} clips of {wer.split}"
        )
    return f" ({', '.join(parts)})"


def _scientific(value: float | None) -> str | None:
    return None if value is None else f"{value:.1e}"


def _document(results: list["ExportResult"]) -> dict[str, Any]:
    return {
        "manifests": [result.manifest_path for result in results],
        "models": [
            {
                "model": result.model_id,
                "manifest": result.manifest_path,
                "artifacts": [
                    {
                        "path": result.manifest_path.parent / entry.artifact.path,
                        "format": entry.artifact.format,
                        "precision": entry.artifact.precision,
                        "target": entry.artifact.target,
                        "input_kind": entry.artifact.input_kind,
                        "sha256": entry.artifact.sha256,
                        "size_bytes": entry.artifact.size_bytes,
                        "parity": entry.parity_word,
                        "not_run_because": entry.not_run_because or None,
                        "max_abs_error": entry.parity.max_abs_error if entry.parity else None,
                        "needed_atol": entry.parity.needed_atol if entry.parity else None,
                        "reasons": entry.parity.reasons if entry.parity else (),
                        "build_s": entry.artifact.built_with["build_s"],
                    }
                    for entry in result.entries
                ],
                "failed": [
                    {"format": f.format, "precision": f.precision, "input_kind": f.input_kind, "reason": f.reason}
                    for f in result.failed
                ],
                "notes": result.notes,
            }
            for result in results
        ],
    }


def _next_command(results: list["ExportResult"]) -> str | None:
    """Bench what passed; what cannot run here is handed over; nothing where nothing was made."""
    folders = [r.manifest_path.parent for r in results if any(e.parity_word == "passed" for e in r.entries)]
    # bench knows the models of that folder by name, and every other by its folder.
    passed = [f.name if f.parent == MODELS_FOLDER else shlex.quote(str(f)) for f in folders]
    if passed:
        return "python -m slrbench bench " + " ".join(passed)
    engines = [r.manifest_path.parent for r in results if r.not_run]
    return f"python -m slrbench pack {shlex.quote(engines[0].name)}    (verify it on the target)" if engines else None
