"""What every judge of an artifact does, with torch or without it. Shapes: B clips, T' output steps, C classes."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exporters.artifact import ParityVerdict, WerDifference
from exporters.comparison import ParityInput
from exporters.input_names import EXAMPLE_SHAPE
from exporters.parity import MINIMUM_SHAPES
from exporters.parity_cases import inputs_within
from slrbench.runners.protocol import Runner


def with_wer_difference(verdict: ParityVerdict, wer: WerDifference) -> ParityVerdict:
    """The verdict with both word error rates; failed where the candidate's is larger by more than is allowed."""
    reasons = verdict.reasons
    if wer.candidate - wer.reference > wer.allowed:
        reasons = (
            *reasons,
            f"WER on {wer.clips} clips of {wer.split} is {wer.candidate:.2%}, the reference's {wer.reference:.2%}: "
            f"{wer.allowed:.1%} more is allowed",
        )
    return verdict.model_copy(update={"wer": wer, "passed": not reasons, "reasons": reasons})


def cases_for(
    inputs: Sequence[ParityInput], built_with: Mapping[str, Any]
) -> tuple[tuple[ParityInput, ...], dict[str, Any]]:
    """The inputs that an artifact takes, and what ``check_parity`` is to ask of them.

    An engine with a narrow profile takes few shapes, perhaps one: it is judged on those, and the usual number of
    different shapes is asked of every other artifact.
    """
    within = inputs_within(inputs, built_with)
    if len(within) == len(inputs):
        return within, {"export_shape": EXAMPLE_SHAPE}
    shapes = {item.shape for item in within}
    batch = built_with["profile"]["batch"]
    # An engine whose smallest batch is above 1 takes no row alone either.
    return within, {
        "minimum_shapes": max(1, min(MINIMUM_SHAPES, len(shapes))),
        "needs_batch": batch[0] == 1 < batch[-1],
    }


def run_on(runner: Runner, video: NDArray[Any]) -> NDArray[np.float32]:
    """All four verbs, one after another."""
    pending = runner.run(runner.stage(video))
    runner.synchronize()
    return runner.fetch(pending)
