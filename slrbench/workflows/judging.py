"""What every judge of an artifact does, with torch or without it. Shapes: B clips, T' output steps, C classes."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from exporters.artifact import ParityVerdict, WerDifference
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


def run_on(runner: Runner, video: NDArray[Any]) -> NDArray[np.float32]:
    """All four verbs, one after another."""
    pending = runner.run(runner.stage(video))
    runner.synchronize()
    return runner.fetch(pending)
