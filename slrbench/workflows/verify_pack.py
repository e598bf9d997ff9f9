"""Verify an archive, or the folder that it was unpacked into: every artifact that can run here, by the stored cases."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from exporters.artifact import ManifestEntry, read_manifest
from slrbench.errors import BadInputError, NegativeVerdictError, SlrbenchError, UnavailableError
from slrbench.records import ErrorCounts
from slrbench.training.card import read_card
from slrbench.workflows.archive import PACK_NAME, PackRecord, folder_of_pack
from slrbench.workflows.stored_parity import StoredJudge, record_verdict

Progress = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class JudgedArtifact:
    """One artifact of a pack. ``not_run`` says why it was not judged here; its entry is then as it was."""

    entry: ManifestEntry
    not_run: str = ""

    @property
    def word(self) -> str:
        """``passed``, ``failed`` or ``not run``, here and now."""
        return "not run" if self.not_run else self.entry.parity_word


@dataclass(frozen=True, kw_only=True)
class PackVerdict:
    """Every artifact of a pack, with the checkpoint's own figures beside it."""

    path: str
    folder: Path
    reused: bool
    record: PackRecord
    artifacts: tuple[JudgedArtifact, ...]
    clips: int
    """Packed test clips."""
    split_clips: int
    """Clips of the split that they are of."""
    checkpoint_on_clips: ErrorCounts | None
    checkpoint_on_test: ErrorCounts | None

    @property
    def passed(self) -> bool:
        """Whether at least one artifact was judged, and none failed."""
        words = [judged.word for judged in self.artifacts]
        return "passed" in words and "failed" not in words

    @property
    def error(self) -> SlrbenchError | None:
        """What the command line must answer."""
        failed = [judged for judged in self.artifacts if judged.word == "failed"]
        if failed:
            lines = [f"{j.entry.artifact.label}: {_reason(j.entry)}" for j in failed]
            return NegativeVerdictError(
                f"{self.path}: {len(failed)} of {len(self.artifacts)} artifacts failed parity here",
                hint="\n".join(lines),
            )
        if not self.passed:
            reasons = dict.fromkeys(judged.not_run for judged in self.artifacts)
            return UnavailableError(
                f"{self.path}: none of its artifacts can run here: {'; '.join(reasons)}",
                hint="python -m slrbench doctor says how to get what is missing",
            )
        return None


def verify_pack(path: Path, *, into: Path | None = None, progress: Progress | None = None) -> PackVerdict:
    """Check every hash, unpack, and judge every artifact whose runtime is here; each verdict is written at once.

    Args:
        path: an archive, or its unpacked folder.
        into: where an archive is unpacked.
        progress: told what is being done.

    Raises:
        BadInputError: the archive or the folder cannot be used.
        OSError: a file cannot be written.
    """
    if progress is not None:
        progress(f"checking {path}")
    folder, record, reused = folder_of_pack(path, into=into)
    card = read_card(folder)
    judge = StoredJudge.of(folder)
    if card.weights_sha256 != record.weights_sha256 or judge.cases.built_from_sha256 != record.weights_sha256:
        raise BadInputError(
            f"{path}: {PACK_NAME}, the card and the parity cases are not of the same checkpoint",
            hint="pack the model again",
        )
    manifest = read_manifest(folder)
    assert manifest is not None  # the folder was checked
    artifacts = tuple(_judge(judge, entry, progress) for entry in manifest.entries)
    return PackVerdict(
        path=str(path),
        folder=folder,
        reused=reused,
        record=record,
        artifacts=artifacts,
        clips=len(judge.packed.about.clips) if judge.packed is not None else 0,
        split_clips=judge.packed.about.split_clips if judge.packed is not None else 0,
        checkpoint_on_clips=judge.packed.about.reference if judge.packed is not None else None,
        checkpoint_on_test=card.wer.get("test"),
    )


def _judge(judge: StoredJudge, entry: ManifestEntry, progress: Progress | None) -> JudgedArtifact:
    try:
        verdict = judge.judge(entry, progress=progress)
    except UnavailableError as error:
        return JudgedArtifact(entry=entry, not_run=error.message)
    return JudgedArtifact(entry=record_verdict(judge.folder, entry, verdict))


def _reason(entry: ManifestEntry, most: int = 2) -> str:
    reasons = entry.parity.reasons if entry.parity is not None else ()
    more = len(reasons) - most
    return "; ".join(reasons[:most]) + (f"; and {more} more in the manifest" if more > 0 else "")
