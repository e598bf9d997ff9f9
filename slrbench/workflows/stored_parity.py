"""Judge an artifact by the parity cases that lie beside it: no checkpoint, no corpus and no torch are needed.

The verdict goes into the folder's manifest, in place of what it said before.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exporters.artifact import (
    Artifact,
    ExporterError,
    ManifestEntry,
    ParityVerdict,
    WerDifference,
    read_manifest,
    write_manifest,
)
from exporters.gates import WER_ALLOWED_INT8, gates_for
from exporters.parity import check_parity
from exporters.parity_cases import CASES_NAME, StoredReference, read_parity_cases
from exporters.tensorrt_library import compute_capability_here
from slrbench.data import open_corpus
from slrbench.data.batching import normalise
from slrbench.data.corpus import Split, Vocabulary
from slrbench.data.packed import PackedCorpus, packed_clips_in
from slrbench.errors import BadInputError, SlrbenchError, UnavailableError
from slrbench.evaluation import evaluate
from slrbench.measure.environment import cpu_name, default_threads, gpu_names
from slrbench.runners.availability import require
from slrbench.runners.open import open_runner
from slrbench.runners.protocol import Runner
from slrbench.training.card import CARD_NAME, CheckpointCard, read_card
from slrbench.workflows.archive import is_unpacked, unless_unpacked
from slrbench.workflows.judging import cases_for, run_on, with_wer_difference

Progress = Callable[[str], None]


def device_of(format: str) -> str:
    """Where an artifact is judged: engines on the GPU, everything else on the CPU."""
    return "cuda" if format == "trt" else "cpu"


def require_runtime(backend: str, folder: Path) -> None:
    """Return where files of that backend can be judged here.

    Raises:
        UnavailableError: they cannot; the hint is about judging them, not about measuring others.
    """
    try:
        require(backend, device_of(backend))
    except UnavailableError as error:
        doctor = "python -m slrbench doctor says how to get what is missing here"
        away = f"python -m slrbench pack {folder} takes engines to the machine that has the GPU; {doctor}"
        hint = away if backend == "trt" and not is_unpacked(folder) else doctor
        raise UnavailableError(error.message, hint=hint) from error


@dataclass(frozen=True, kw_only=True)
class _Clips:
    """Clips with the checkpoint's own word error rate on them."""

    split: Split
    count: int
    reference: float


@dataclass(frozen=True, kw_only=True)
class StoredJudge:
    """The cases of one folder, read once for all of its artifacts."""

    folder: Path
    cases: StoredReference
    card: CheckpointCard | None
    packed: PackedCorpus | None

    @classmethod
    def of(cls, folder: Path) -> "StoredJudge":
        """Read what lies in the folder.

        Raises:
            BadInputError: there are no parity cases, or a file cannot be used.
        """
        try:
            cases = read_parity_cases(folder / CASES_NAME)
        except ExporterError as error:
            raise BadInputError(error.message, hint=unless_unpacked(folder, error.hint or "")) from error
        card = read_card(folder) if (folder / CARD_NAME).exists() else None
        return cls(folder=folder, cases=cases, card=card, packed=packed_clips_in(folder))

    def judge(self, entry: ManifestEntry, *, progress: Progress | None = None) -> ParityVerdict:
        """Run the cases on the artifact's runtime, with the gates of its precision, and count word errors.

        Where clips with the checkpoint's own word error rate are at hand, the artifact's may be larger by one in a
        hundred words, whatever its precision; int8 is not judged without. A file that its runtime cannot load has
        failed, with the reason; an engine may only be on the wrong machine.

        Raises:
            BadInputError: the cases are those of another checkpoint, or prove nothing.
            UnavailableError: the artifact's runtime is not available here, an engine is for another GPU or does not
                load, or int8 has no clips to be judged by.
        """
        artifact = entry.artifact
        if self.cases.built_from_sha256 != artifact.built_from_sha256:
            raise BadInputError(
                f"{self.folder / CASES_NAME} is of another checkpoint than {artifact.path}: "
                f"{self.cases.built_from_sha256[:16]}..., not {artifact.built_from_sha256[:16]}...",
                hint=unless_unpacked(self.folder, "export the model again, which writes both"),
            )
        device = device_of(artifact.format)
        require_runtime(artifact.format, self.folder)
        _require_target(artifact, self.folder)
        clips = self._clips(entry)
        if artifact.precision == "int8" and clips is None:
            raise UnavailableError(
                f"{artifact.path} is int8, which is judged by its word error rate, and there are no clips here",
                hint=unless_unpacked(self.folder, "python -m slrbench export judges it where its corpus is"),
            )
        if progress is not None:
            progress(f"checking parity of {artifact.label}")
        threads = default_threads()
        try:
            runner = open_runner(
                artifact.format,
                self.folder / artifact.path,
                device=device,
                threads=threads,
                input_kind=artifact.input_kind,
                precision=artifact.precision,
                expected_sha256=artifact.sha256,
            )
        except UnavailableError:
            raise
        except SlrbenchError as error:
            if artifact.format == "trt":  # of another version, driver or GPU: nothing was computed, right or wrong
                raise UnavailableError(f"{artifact.path} cannot be loaded here: {error.message}") from error
            return self._not_loaded(artifact, error)
        try:
            return self._run(artifact, runner, clips)
        finally:
            runner.close()

    def _run(self, artifact: Artifact, runner: Runner, clips: _Clips | None) -> ParityVerdict:
        def candidate(frames: NDArray[Any]) -> NDArray[np.float32]:
            return run_on(runner, frames if artifact.input_kind == "uint8" else normalise(frames))

        inputs, asked = cases_for(self.cases.inputs, artifact.built_with)
        try:
            verdict = check_parity(
                self.cases,
                candidate,
                inputs,
                artifact_sha256=artifact.sha256,
                backend=artifact.format,
                reference_name=f"{self.cases.name}, stored",
                gates=gates_for(artifact.precision),
                gates_name=artifact.precision,
                machine=machine_of(artifact.format),
                **asked,
            )
        except ValueError as error:  # too few cases, or all alike: the file was not written by an export
            hint = unless_unpacked(self.folder, "export the model again")
            raise BadInputError(f"{self.folder / CASES_NAME}: {error}", hint=hint) from error
        return verdict if clips is None else self._with_wer(verdict, artifact, runner, clips)

    def _with_wer(self, verdict: ParityVerdict, artifact: Artifact, runner: Runner, clips: _Clips) -> ParityVerdict:
        assert self.card is not None  # there are no clips without one
        try:
            found = evaluate(
                lambda video: run_on(runner, video),
                clips.split,
                Vocabulary(glosses=self.card.glosses),
                limit=clips.count,
                input_kind=artifact.input_kind,
            )
        except SlrbenchError as error:
            reasons = (*verdict.reasons, f"no WER on {clips.count} clips of {clips.split.name}: {error.message}")
            return verdict.model_copy(update={"passed": False, "reasons": reasons})
        wer = WerDifference(
            split=clips.split.name,
            clips=found.clips,
            reference=clips.reference,
            candidate=found.wer,
            allowed=WER_ALLOWED_INT8,
        )
        return with_wer_difference(verdict, wer)

    def _clips(self, entry: ManifestEntry) -> _Clips | None:
        """Packed clips; for int8 without them those that it was judged by before, where the corpus is here."""
        if self.card is None:
            return None
        if self.packed is not None and self.packed.about.reference is not None:
            split = self.packed.split(self.packed.about.split)
            return _Clips(split=split, count=len(split), reference=self.packed.about.reference.wer)
        before = next((v.wer for v in (entry.parity, entry.network_parity) if v is not None and v.wer), None)
        if entry.artifact.precision != "int8" or before is None:
            return None
        try:
            split = open_corpus(self.card.data).split(before.split)
        except (UnavailableError, BadInputError):  # its packages or its files are not on this machine
            return None
        return _Clips(split=split, count=before.clips, reference=before.reference)

    def _not_loaded(self, artifact: Artifact, error: SlrbenchError) -> ParityVerdict:
        gates = gates_for(artifact.precision)
        return ParityVerdict(
            artifact_sha256=artifact.sha256,
            reference=f"{self.cases.name}, stored",
            backend=artifact.format,
            tolerance_atol=gates.atol,
            tolerance_rtol=gates.rtol,
            cases=(),
            invariances=(),
            needed_atol=None,
            gates=artifact.precision,
            machine=machine_of(artifact.format),
            passed=False,
            reasons=(f"it cannot be loaded: {error.message}",),
        )


def _require_target(artifact: Artifact, folder: Path) -> None:
    """Raises UnavailableError where an engine was built for other GPUs than the one here."""
    here = compute_capability_here() if artifact.format == "trt" else None
    built_for = [f"{number[:-1]}.{number[-1]}" for number in re.findall(r"sm(\d{2,})", artifact.target)]
    if here is None or not built_for or artifact.built_with.get("hardware_compatibility", "none") != "none":
        return
    if here not in built_for:
        raise UnavailableError(
            f"{artifact.path} needs a GPU of compute capability {' or '.join(built_for)}, the one here has {here}",
            hint=unless_unpacked(folder, f"python -m slrbench export {folder} --formats trt, with what this GPU needs"),
        )


def record_verdict(folder: Path, entry: ManifestEntry, verdict: ParityVerdict) -> ManifestEntry:
    """Write a verdict into the folder's manifest at once, in place of what was said of that artifact.

    Raises:
        BadInputError: the artifact is no longer in the manifest.
        OSError: the manifest cannot be written; it is then as it was.
    """
    judged = entry.model_copy(update={"parity": verdict, "not_run_because": ""})
    manifest = read_manifest(folder)
    if manifest is None or all(e.artifact != entry.artifact for e in manifest.entries):
        raise BadInputError(f"{entry.artifact.path} is no longer in the manifest of {folder}", hint="run it again")
    # In place: of several targets of the same precision, the last one counts.
    entries = tuple(judged if each.artifact == entry.artifact else each for each in manifest.entries)
    write_manifest(folder, manifest.model_copy(update={"entries": entries}))
    return judged


def machine_of(format: str) -> str:
    """The name of what an artifact of that format runs on here."""
    names = gpu_names()[:1] if device_of(format) == "cuda" else ()
    return names[0] if names else cpu_name()
