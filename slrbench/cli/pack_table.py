"""How ``slrbench verify`` shows a pack: one row for each artifact."""

from typing import TYPE_CHECKING, Any

from slrbench.cli import console
from slrbench.reporting.display import percent

if TYPE_CHECKING:
    from slrbench.workflows.verify_pack import JudgedArtifact, PackVerdict


def table_of(verdict: "PackVerdict") -> str:
    """Artifact, precision, target, parity, largest error (nats) and word error rates (percent)."""
    clips = f"WER on {verdict.clips} clips (%)" if verdict.clips else "WER (%)"
    headers = ["Artifact", "Precision", "Target", "Parity", "Max error", clips, "Checkpoint on them", "On all of test"]
    on_clips, on_test = verdict.checkpoint_on_clips, verdict.checkpoint_on_test
    checkpoint = [percent(on_clips.wer) if on_clips else None, percent(on_test.wer) if on_test else None]
    return console.table([[*_row(judged), *checkpoint] for judged in verdict.artifacts], headers)


def document_of(verdict: "PackVerdict") -> dict[str, Any]:
    """The verdict for programs: shares and nats."""
    on_clips, on_test = verdict.checkpoint_on_clips, verdict.checkpoint_on_test
    return {
        "path": verdict.path,
        "folder": verdict.folder,
        "reused": verdict.reused,
        "passed": verdict.passed,
        "clips": verdict.clips,
        "checkpoint_wer_on_clips": on_clips.wer if on_clips else None,
        "checkpoint_wer_on_test": on_test.wer if on_test else None,
        "artifacts": [
            {
                "artifact": judged.entry.artifact.path,
                "format": judged.entry.artifact.format,
                "precision": judged.entry.artifact.precision,
                "input_kind": judged.entry.artifact.input_kind,
                "target": judged.entry.artifact.target,
                "sha256": judged.entry.artifact.sha256,
                "verdict": judged.word,
                "not_run": judged.not_run or None,
                "parity": None if judged.not_run else judged.entry.parity,
            }
            for judged in verdict.artifacts
        ],
    }


def _row(judged: "JudgedArtifact") -> list[Any]:
    artifact, parity = judged.entry.artifact, judged.entry.parity
    named = [artifact.path, artifact.precision, artifact.target or None]
    if judged.not_run or parity is None:
        return [*named, f"not run: {judged.not_run}", None, None]
    error = parity.max_abs_error
    wer = percent(parity.wer.candidate) if parity.wer is not None else None
    return [*named, judged.word, None if error is None else f"{error:.1e}", wer]
