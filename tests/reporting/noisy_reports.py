"""Reports made of noise: candidates whose true times are known, measured over rounds in which the machine drifts."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from slrbench.records import Measurement, Report

CALLS = 30
SECONDS = 0.01


@dataclass(frozen=True)
class Session:
    """What is common to all candidates of one run."""

    base: Report
    seed: int = 0
    rounds: int = 10
    spread: float = 0.004
    """Standard deviation of a candidate's round, beside the drift that all share."""

    def report(self, factors: Sequence[float], control: float | None = 1.0) -> Report:
        """Candidates that take ``factors`` times the first one's time; ``control``: the first one's copy."""
        random = np.random.default_rng(self.seed)
        drift = (
            1.0
            + 0.1 * np.sin(np.linspace(0.0, 3.0, self.rounds) + self.seed)
            + 0.3 * (random.random(self.rounds) < 0.2)
        )
        measured = [self._measurement(i, factor, drift, random) for i, factor in enumerate(factors)]
        copy = None if control is None else self._measurement(0, factors[0] * control, drift, random)
        update = {"measurements": tuple(measured), "control": copy, "baseline": 0, "accuracies": (), "load": ()}
        return self.base.model_copy(update={**update, "verdicts": {}})

    def _measurement(self, index: int, factor: float, drift: np.ndarray, random: np.random.Generator) -> Measurement:
        template = self.base.measurements[0]
        rounds = np.repeat(np.arange(self.rounds), CALLS)
        of_round = drift * random.lognormal(0.0, self.spread, self.rounds)
        calls = random.lognormal(0.0, 0.02, len(rounds))
        times = tuple(float(t) for t in SECONDS * factor * of_round[rounds] * calls)
        candidate = template.candidate.model_copy(update={"artifact_sha256": f"{index:064x}", "model": f"m{index}"})
        return template.model_copy(
            update={
                "candidate": candidate,
                "compute_s": times,
                "end_to_end_s": times,
                "round_of": tuple(rounds.tolist()),
                "process_of": (),
                "marks": {},
            }
        )
