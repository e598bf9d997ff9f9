"""What ``slrbench export`` shows of its results: table, warnings, JSON and the next command."""

import shlex
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from exporters.artifact import ManifestEntry, ParityVerdict
    from slrbench.workflows.export import ExportResult

MODELS_FOLDER = Path("trained_models")
HEADERS = ["Model", "Format", "Input", "Size\n(MB)", "Parity", "Max\nerror", "Needed\natol", "Build\n(s)"]
MODEL_WIDTH, FORMAT_WIDTH = 16, 22
"""Longer names are broken over several lines, so that the table fits into 100 columns."""


def rows(result: "ExportResult") -> list[list[Any]]:
    """The result's rows of the table: what was made, and what could not be made."""
    found = [_row(result.model_id, entry) for entry in result.entries]
    for f in result.failed:
        name = f.format if f.precision == "fp32" else f"{f.format}-{f.precision}"
        found.append([_wrapped(result.model_id, MODEL_WIDTH), name, f.input_kind, None, "not made", None, None, None])
    return found


def _row(model_id: str, entry: "ManifestEntry") -> list[Any]:
    artifact, verdict = entry.artifact, entry.parity
    name = artifact.format if artifact.precision == "fp32" else f"{artifact.format}-{artifact.precision}"
    return [
        _wrapped(model_id, MODEL_WIDTH),
        _wrapped(f"{name} {artifact.target}".rstrip(), FORMAT_WIDTH),
        artifact.input_kind,
        f"{artifact.size_bytes / 1e6:.2f}",
        entry.parity_word.upper() if entry.parity_word == "failed" else entry.parity_word,
        _scientific(verdict.max_abs_error if verdict else None),
        _scientific(verdict.needed_atol if verdict else None),
        f"{artifact.built_with['build_s']:.1f}",
    ]


def _wrapped(text: str, width: int) -> str:
    return "\n".join(wrap(text, width))


def notes(result: "ExportResult") -> list[str]:
    """What the table has no room for: what was left out, and why engines have no verdict."""
    found = [f"{result.model_id}: {note}" for note in result.notes]
    for entry in result.not_run:
        known = _graph_in_words(entry)
        found.append(f"{result.model_id}/{entry.artifact.path}: parity not run: {entry.not_run_because}{known}")
    return found


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


def document(results: list["ExportResult"]) -> dict[str, Any]:
    """What ``--json`` prints."""
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


def next_command(results: list["ExportResult"]) -> str | None:
    """Bench what passed; what cannot run here is handed over; nothing where nothing was made."""
    passed = [_as_typed(r.manifest_path.parent) for r in results if any(e.parity_word == "passed" for e in r.entries)]
    if passed:
        return "python -m slrbench bench " + " ".join(passed)
    engines = [_as_typed(r.manifest_path.parent) for r in results if r.not_run]
    return f"python -m slrbench pack {engines[0]}    (verify it on the target)" if engines else None


def _as_typed(folder: Path) -> str:
    """A model for the next command line: commands know the models of that folder by name, and every other by path."""
    return folder.name if folder.parent == MODELS_FOLDER else shlex.quote(str(folder))
