"""The samples of one round, taken in one or in several turns between which other candidates are timed.

Shared machines drift within seconds: calls of two candidates a second apart differ by more than the candidates do. So a
round is made of short turns (measured on a virtual machine of two cores, calls of 6.5 ms: the ratio of two copies'
medians over a round spread by 9.5 % with 40 calls in a row, by 5 % with 10, by 2 % with turns of one or two). Which
turn a sample is of is kept, so that ratios are paired by turn.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from numpy.typing import NDArray

from slrbench.measure.clock import Clock
from slrbench.measure.contention import ContentionWatch
from slrbench.measure.kept_outputs import KeptOutputs
from slrbench.measure.sampling import LEAST_CALLS, SamplingRule, limit_reason, settle_again, take_samples
from slrbench.runners.protocol import Runner


def rule_of_turn(rule: SamplingRule, turns: int) -> SamplingRule:
    """The rule of each of so many turns, which together keep the round's: of its calls and times an equal share."""
    return replace(
        rule,
        min_calls=math.ceil(rule.min_calls / turns),
        min_time_s=rule.min_time_s / turns,
        max_time_s=rule.max_time_s / turns,
    )


@dataclass
class RoundSoFar:
    """What the turns of a round have given by now."""

    kept: KeptOutputs
    compute_s: list[float] = field(default_factory=list)
    end_to_end_s: list[float] = field(default_factory=list)
    device_s: list[float] = field(default_factory=list)
    marks: dict[str, list[int]] = field(default_factory=dict)
    sources: dict[str, bool] = field(default_factory=dict)
    stop_reason: str = ""
    turn_of: list[int] = field(default_factory=list)

    def take_turn(
        self,
        runner: Runner,
        inputs: Sequence[NDArray[Any]],
        clock: Clock,
        rule: SamplingRule,
        new_watch: Callable[[], ContentionWatch],
        *,
        number: int = 0,
        turns: int = 1,
        settle: bool = False,
    ) -> None:
        """Add a turn's samples; its inputs go on where the last turn's ended. None once the round's time is up.

        Args:
            runner: what is timed.
            inputs: in rotation.
            clock: in nanoseconds.
            rule: of the round.
            new_watch: gives a watch for contention.
            number: of the turn, by which samples are paired with others'.
            turns: how many the round has; this is one of them.
            settle: whether untimed calls come first.
        """
        first = len(self.compute_s)
        if first >= LEAST_CALLS and sum(self.end_to_end_s) >= rule.max_time_s:
            self.stop_reason = limit_reason(rule)
            return
        if settle:
            settle_again(runner, inputs, clock, rule)
        share, watch = rule_of_turn(rule, turns), new_watch()
        samples = take_samples(
            runner,
            inputs,
            clock,
            share,
            first=first,
            least=1 if turns > 1 else LEAST_CALLS,  # slow calls are spread over the turns, too
            watch=watch,
            keep=self.kept,
        )
        self.compute_s += samples.compute_s
        self.end_to_end_s += samples.end_to_end_s
        self.device_s += samples.device_s
        self.turn_of += [number] * len(samples.compute_s)
        limited = samples.stop_reason == limit_reason(share)
        self.stop_reason = limit_reason(rule) if limited else self.stop_reason or samples.stop_reason
        for reason, indices in watch.marks().items():
            self.marks.setdefault(reason, []).extend(first + index for index in indices)
        self.sources = watch.sources()

    def answer(self) -> dict[str, Any]:
        """The fields of an answer to ``round``."""
        return {
            "compute_s": self.compute_s,
            "end_to_end_s": self.end_to_end_s,
            "turn_of": self.turn_of,
            # Either of all calls or of none: a column with gaps could not be read beside the others.
            "device_s": self.device_s if len(self.device_s) == len(self.compute_s) else [],
            "stop_reason": self.stop_reason,
            "marks": self.marks,
            "contention_sources": self.sources,
        }
