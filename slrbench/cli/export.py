"""``slrbench export``: export checkpoints, and prove that the files compute the same."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from slrbench.cli import console

if TYPE_CHECKING:
    from exporters.artifact import ManifestEntry
    from slrbench.workflows.export import ExportResult

MODELS_FOLDER = Path("trained_models")
HEADERS = ["Model", "Format", "Input", "Size (MB)", "Parity", "Max error", "Needed atol", "Build (s)"]


def command(
    models: Annotated[
        list[str] | None,
        typer.Argument(metavar="[MODEL]...", help="Ids of models, or their folders; all of trained_models by default."),
    ] = None,
    formats: Annotated[
        str, typer.Option("--formats", metavar="LIST", help="Of torchscript, onnx, openvino.")
    ] = "torchscript,onnx,openvino",
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
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead of a table.")] = False,
) -> None:
    """Export checkpoints to TorchScript, ONNX and OpenVINO, and prove parity.

    Every file is compared with the PyTorch network on real clips and on noise, at ten batch sizes and lengths
    other than the export's; the verdict goes into manifest.json beside it. A file that fails is kept out of benchmarks,
    and the exit code is 1; where a file could not be made at all, it is 4.
    """
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
                    exporter=exporter,
                    tolerance=tolerance,
                    progress=progress,
                )
            )
    if json:
        console.print_json(_document(results))
    else:
        console.result(console.table([row for result in results for row in _rows(result)], HEADERS))
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
    rows += [[result.model_id, f.format, f.input_kind, None, "not exported", None, None, None] for f in result.failed]
    return rows


def _row(model_id: str, entry: "ManifestEntry") -> list[Any]:
    artifact, verdict = entry.artifact, entry.parity
    return [
        model_id,
        artifact.format,
        artifact.input_kind,
        f"{artifact.size_bytes / 1e6:.2f}",
        entry.parity_word.upper() if entry.parity_word == "failed" else entry.parity_word,
        _scientific(verdict.max_abs_error if verdict else None),
        _scientific(verdict.needed_atol if verdict else None),
        f"{artifact.built_with['build_s']:.1f}",
    ]


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
                        "input_kind": entry.artifact.input_kind,
                        "sha256": entry.artifact.sha256,
                        "size_bytes": entry.artifact.size_bytes,
                        "parity": entry.parity_word,
                        "max_abs_error": entry.parity.max_abs_error if entry.parity else None,
                        "needed_atol": entry.parity.needed_atol if entry.parity else None,
                        "reasons": entry.parity.reasons if entry.parity else (),
                        "build_s": entry.artifact.built_with["build_s"],
                    }
                    for entry in result.entries
                ],
                "failed": [{"format": f.format, "input_kind": f.input_kind, "reason": f.reason} for f in result.failed],
            }
            for result in results
        ],
    }


def _next_command(results: list["ExportResult"]) -> str | None:
    """Bench what passed; nothing where nothing did."""
    folders = [r.manifest_path.parent for r in results if any(e.parity_word == "passed" for e in r.entries)]
    # bench knows the models of that folder by name, and every other by its folder.
    passed = [f.name if f.parent == MODELS_FOLDER else shlex.quote(str(f)) for f in folders]
    return "python -m slrbench bench " + " ".join(passed) if passed else None
