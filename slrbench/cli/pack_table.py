"""How ``slrbench verify`` shows a pack: one row for each artifact."""

from typing import TYPE_CHECKING, Any

from slrbench.cli import console
from slrbench.reporting.display import percent

if TYPE_CHECKING:
    from slrbench.workflows.verify_pack import JudgedArtifact, PackVerdict


def table_of(verdict: "PackVerdict") -> str:
    """Artifact, precision, parity, largest error (nats) and word error rate (percent); below it what holds for all."""
    headers = ["Artifact", "Precision", "Parity", "Max error", "WER (%)"]
    not_run = [(j.entry.artifact.path, j.not_run) for j in verdict.artifacts if j.not_run]
    return "\n".join(
        [
            console.table([_row(judged) for judged in verdict.artifacts], headers),
            *console.reasons("not run", not_run),
            console.wrapped(_about_wer(verdict)),
        ]
    )


def _about_wer(verdict: "PackVerdict") -> str:
    """On what the word error rates rest, and what the checkpoint itself has."""
    on_clips, on_test = verdict.checkpoint_on_clips, verdict.checkpoint_on_test
    whole = f"{percent(on_test.wer)} % on all of test" if on_test is not None else ""
    if not verdict.clips:
        return "WER: no clips are packed" + (f"; the checkpoint has {whole}" if whole else "")
    here = f"{percent(on_clips.wer)} % on them" if on_clips is not None else ""
    known = " and ".join(filter(None, (here, whole)))
    return f"WER: on the {verdict.clips} packed clips of the {verdict.split_clips} of test" + (
        f"; the checkpoint itself: {known}" if known else ""
    )


def document_of(verdict: "PackVerdict") -> dict[str, Any]:
    """The verdict for programs: shares and nats."""
    on_clips, on_test = verdict.checkpoint_on_clips, verdict.checkpoint_on_test
    return {
        "path": verdict.path,
        "folder": verdict.folder,
        "reused": verdict.reused,
        "passed": verdict.passed,
        "clips": verdict.clips,
        "clips_of_test": verdict.split_clips,
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
    if judged.not_run or parity is None:
        return [artifact.path, artifact.precision, judged.word, None, None]
    error = parity.max_abs_error
    wer = percent(parity.wer.candidate) if parity.wer is not None else None
    return [artifact.path, artifact.precision, judged.word, None if error is None else f"{error:.1e}", wer]
