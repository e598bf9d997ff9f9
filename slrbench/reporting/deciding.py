"""Decisions over reports: read rows and evidence of each machine, decide, and say it in text or in JSON."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass

from slrbench.errors import BadInputError
from slrbench.records import Decision, Report
from slrbench.reporting.decision import decide, require_measured
from slrbench.reporting.doubts import doubts
from slrbench.reporting.evidence import gather
from slrbench.reporting.merge import Machine, by_machine, remapped
from slrbench.reporting.render_decide import render_decide
from slrbench.reporting.requirements import Requirements
from slrbench.statistics.percentiles import MIN_SAMPLES


@dataclass(frozen=True)
class OnMachine:
    """The decision for one machine."""

    machine: Machine
    decision: Decision
    """Its indices are into the rows of the machine's report."""
    few_rounds: bool


@dataclass(frozen=True)
class Decided:
    """The decision for every machine that reports are from."""

    parts: tuple[OnMachine, ...]

    @property
    def feasible(self) -> bool:
        """Whether something can be recommended on every machine."""
        return all(part.decision.recommended is not None for part in self.parts)

    def rounds_for_p99(self) -> int | None:
        """Rounds with which every row's p99 would be known; None where it is already, or no report says the rounds."""
        needed = [
            math.ceil(MIN_SAMPLES[0.99] / (len(measured.end_to_end_s) / len(set(measured.round_of))))
            for part in self.parts
            for measured in part.machine.report.measurements
            if 0 < len(measured.end_to_end_s) < MIN_SAMPLES[0.99]
        ]
        return max(needed, default=None)

    def text(self) -> str:
        """For people: at most 100 columns, the answer first, machine by machine."""
        several = len(self.parts) > 1
        shown = [
            render_decide(
                part.machine.report.summary,
                part.decision,
                doubts=doubts(part.machine.report),
                machine=part.machine.name if several else "",
                few=part.few_rounds,
            )
            for part in self.parts
        ]
        return f"\n{'=' * 100}\n\n".join(shown)

    def json(self) -> str:
        """For programs: the Decision record; with several machines an object of them by machine.

        Indices are into the summary of the report; of several, of what ``slrbench report`` makes of them in this order.
        """
        found = {
            part.machine.name: remapped(part.decision, dict(enumerate(part.machine.places))).model_dump(mode="json")
            for part in self.parts
        }
        document = next(iter(found.values())) if len(found) == 1 else found
        return json.dumps(document, indent=2, allow_nan=False) + "\n"


def decide_reports(reports: Sequence[Report], asked: Requirements) -> Decided:
    """What to ship on each machine that the reports are from.

    Raises:
        BadInputError: the reports do not go together, or nothing was measured where the decision is asked for.
    """
    if not reports:
        raise BadInputError("there is no report to decide on", hint="give one or more")
    machines = by_machine(reports)
    for machine in machines:
        require_measured(machine.report.summary, asked)
    parts = []
    for machine in machines:
        report = machine.report
        evidence = gather(report.summary, report.measurements, report.accuracies)
        decision = decide(report.summary, asked, evidence)
        parts.append(OnMachine(machine=machine, decision=decision, few_rounds=evidence.few_rounds))
    return Decided(tuple(parts))
