"""Parity of a file in the way in which a benchmark runs it, by the cases that were stored when it was exported.

What an export proves, it proves on the CPU in the file's own types. The same file on a GPU, with TF32, under autocast
or compiled is judged here, through the very process that was timed and after its last round.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exporters.artifact import ExporterError, ManifestEntry, ParityVerdict, WerDifference
from exporters.gates import WER_ALLOWED_INT8, gates_for
from exporters.parity import check_parity
from exporters.parity_cases import CASES_NAME, StoredReference, read_parity_cases
from slrbench.data import open_corpus
from slrbench.data.batching import normalise
from slrbench.data.corpus import Split, Vocabulary
from slrbench.data.packed import packed_clips_in
from slrbench.errors import BadInputError
from slrbench.evaluation import evaluate
from slrbench.measure.rounds import Infer
from slrbench.records import Accuracy, Candidate
from slrbench.training.card import CheckpointCard
from slrbench.workflows.archive import unless_unpacked
from slrbench.workflows.judging import cases_for, with_wer_difference


def way_key(what: Accuracy | Candidate) -> tuple[str, ...]:
    """What a verdict or a WER belongs to: the very file, and everything that changes what is computed from it."""
    return what.artifact_sha256, what.backend, what.precision, what.variant, what.device, what.input_kind


def verdict_key(candidate: Candidate) -> str:
    """Under which a verdict of a benchmark stands in its report: ``<sha256> cuda fp16 compile``."""
    c = candidate
    kind = "" if c.input_kind == "float32" else c.input_kind
    return " ".join(filter(None, (c.artifact_sha256, c.device, c.precision, c.variant, kind)))


def stored_reference(folder: Path, weights_sha256: str) -> StoredReference:
    """The parity cases of a model.

    Raises:
        BadInputError: there are none, or they are of other weights.
    """
    try:
        found = read_parity_cases(folder / CASES_NAME)
    except ExporterError as error:
        raise BadInputError(error.message, hint=error.hint) from error
    if found.built_from_sha256 != weights_sha256:
        raise BadInputError(
            f"the parity cases in {folder / CASES_NAME} are of other weights than the checkpoint's",
            hint=unless_unpacked(folder, f"python -m slrbench export {folder}"),
        )
    return found


def judge(
    candidate: Candidate,
    infer: Infer,
    reference: StoredReference,
    *,
    machine: str,
    built_with: Mapping[str, Any] | None = None,
    wer: WerDifference | None = None,
) -> ParityVerdict:
    """Run every case through ``infer`` and compare with the gates of the candidate's precision.

    Args:
        candidate: what ``infer`` runs.
        infer: from video to log-probabilities ``(T', B, C)``.
        reference: the checkpoint's outputs in fp32 on the CPU.
        machine: the GPU's name; empty on a CPU.
        built_with: of an engine, whose profile may not take every case.
        wer: word error rates on the same clips, see :func:`wer_difference`; int8 has no verdict without them.

    Raises:
        BadInputError: the cases prove nothing: they are too few or too alike, or those of int8 come without ``wer``.
    """
    if candidate.precision == "int8" and wer is None:
        raise BadInputError(
            "int8 is judged by its word error rate, too, and there is none", hint="export the int8 file again"
        )

    def found(frames: NDArray[Any]) -> NDArray[np.float32]:
        return infer(frames if candidate.input_kind == "uint8" else normalise(frames))

    try:
        inputs, asked = cases_for(reference.inputs, built_with or {})
        verdict = check_parity(
            reference,
            found,
            inputs,
            artifact_sha256=candidate.artifact_sha256,
            backend=candidate.backend,
            reference_name=reference.name,
            gates=gates_for(candidate.precision),
            gates_name=candidate.precision,
            machine=machine,
            **asked,
        )
    except ValueError as error:  # the file was not written by an export
        raise BadInputError(f"the parity cases: {error}", hint="export the model again") from error
    return verdict if wer is None else with_wer_difference(verdict, wer)


def wer_difference(
    candidate: Candidate,
    infer: Infer,
    entry: ManifestEntry | None,
    card: CheckpointCard | None,
    folder: Path,
    *,
    cache: Path | None = None,
) -> WerDifference | None:
    """Word error rates of an int8 candidate and of the checkpoint on the same clips; None for other precisions.

    The clips are the packed ones beside the file, or else those that the export judged an int8 file of that model by.

    Raises:
        BadInputError: it is not known how the checkpoint does on any clips.
        SlrbenchError: the clips cannot be had here, or the candidate cannot run them.
    """
    if candidate.precision != "int8" or card is None:
        return None
    packed = packed_clips_in(folder)
    if packed is not None and packed.about.reference is not None:
        split: Split = packed.split(packed.about.split)
        count, reference = len(split), packed.about.reference.wer
    else:
        verdicts = (entry.parity, entry.network_parity) if entry is not None else ()
        before = next((verdict.wer for verdict in verdicts if verdict is not None and verdict.wer is not None), None)
        if before is None:
            raise BadInputError(
                "int8 is judged by its word error rate, too, and the checkpoint's on the same clips is not known",
                hint=f"python -m slrbench export {folder} --precision int8",
            )
        corpus = open_corpus(card.data, cache=cache)
        split, count, reference = corpus.split(before.split), before.clips, before.reference
    found = evaluate(infer, split, Vocabulary(glosses=card.glosses), limit=count, input_kind=candidate.input_kind)
    return WerDifference(
        split=split.name, clips=found.clips, reference=reference, candidate=found.wer, allowed=WER_ALLOWED_INT8
    )
