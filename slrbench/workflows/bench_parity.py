"""Parity of a file in the way in which a benchmark runs it, by the cases that were stored when it was exported.

What an export proves, it proves on the CPU in the file's own types. The same file on a GPU, with TF32, under autocast
or compiled is judged here, through the very process that was timed and after its last round.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exporters.artifact import ExporterError, ParityVerdict
from exporters.gates import gates_for
from exporters.parity import check_parity
from exporters.parity_cases import CASES_NAME, StoredReference, read_parity_cases
from slrbench.data.batching import normalise
from slrbench.errors import BadInputError
from slrbench.measure.rounds import Infer
from slrbench.records import Accuracy, Candidate
from slrbench.workflows.judging import cases_for


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
            hint=f"python -m slrbench export {folder}",
        )
    return found


def judge(
    candidate: Candidate,
    infer: Infer,
    reference: StoredReference,
    *,
    machine: str,
    built_with: Mapping[str, Any] | None = None,
) -> ParityVerdict:
    """Run every case through ``infer`` and compare with the gates of the candidate's precision.

    Args:
        candidate: what ``infer`` runs.
        infer: from video to log-probabilities ``(T', B, C)``.
        reference: the checkpoint's outputs in fp32 on the CPU.
        machine: the GPU's name; empty on a CPU.
        built_with: of an engine, whose profile may not take every case.

    Raises:
        BadInputError: the cases prove nothing: they are too few or too alike.
    """

    def found(frames: NDArray[Any]) -> NDArray[np.float32]:
        return infer(frames if candidate.input_kind == "uint8" else normalise(frames))

    try:
        inputs, asked = cases_for(reference.inputs, built_with or {})
        return check_parity(
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
