"""From the answers of one candidate's workers to fields of its record: pure functions of what a journal can keep.

The parent gives each answer to :class:`Gathered` in the order in which they came; ``fields`` are the keyword arguments
of :class:`slrbench.records.Measurement` that come out of them, beside the samples themselves.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from slrbench.errors import SlrbenchError
from slrbench.measure.output_check import Outputs, check_against, check_round, output_check
from slrbench.measure.process import Worker
from slrbench.measure.timing_inputs import MOST_INPUTS
from slrbench.records import Candidate, Energy, ParallelRun

THROTTLED = "throttled"
FOREIGN_GPU = "foreign GPU work"

Answer = Mapping[str, Any]


@dataclass
class Gathered:
    """What one candidate's workers answered; every element can be written as JSON."""

    inputs: list[Answer] = field(default_factory=list)
    rounds: list[Answer] = field(default_factory=list)
    """Answers to ``round``, with ``checked`` where :func:`checked` has compared the outputs."""
    extras: list[Answer] = field(default_factory=list)
    """Answers to ``extras``; ``failed`` where there is none."""

    def fields(self, *, opened: Sequence[Answer], round_of: Sequence[int], gpu: Mapping[str, Any]) -> dict[str, Any]:
        """Keyword arguments of a measurement, from these answers, those to ``open``, and the GPU's record."""
        check, _ = self._output_check()
        steady = [r["steady_rss_bytes"] for r in self.rounds if r.get("steady_rss_bytes") is not None]
        return {
            "marks": joined(marks_of(self.rounds), gpu_marks(gpu, round_of)),
            "steady_rss_bytes": max(steady, default=None),
            "cold_starts": tuple(dict(o["cold_start_parts_s"]) for o in opened),
            "parallel": parallel_runs(self.extras),
            "energy": energy_of(self.rounds),
            "output_check": check,
        }

    def actual(self) -> dict[str, Any]:
        """What belongs into ``Measurement.actual``."""
        found: dict[str, Any] = {}
        if self.inputs:
            found["inputs_in_rotation"] = min(answer["inputs"] for answer in self.inputs)
            found["different_inputs"] = min(answer["different"] for answer in self.inputs)
        sources = [r["contention_sources"] for r in self.rounds if "contention_sources" in r]
        if sources:
            found["contention_read"] = sorted(name for name, read in sources[-1].items() if read)
            found["contention_not_read"] = sorted(name for name, read in sources[-1].items() if not read)
        notes = [extra["parallel_note"] for extra in self.extras if extra.get("parallel_note")]
        if notes:
            found["parallel"] = notes[-1]
        return found

    def warnings(self) -> list[str]:
        """What a reader must know."""
        different = min((answer["different"] for answer in self.inputs), default=MOST_INPUTS)
        few = f"only {different} different inputs were in rotation, {MOST_INPUTS} are usual"
        failed = [extra["failed"] for extra in self.extras if extra.get("failed")]
        return [
            *([few] if different < MOST_INPUTS else []),
            *self._output_check()[1],
            *([f"throughput with several requests was not measured: {failed[-1]}"] if failed else []),
        ]

    def _output_check(self) -> tuple[Any, list[str]]:
        ratios = [e["repeated_ratio"] for e in self.extras if e.get("repeated_ratio") is not None]
        rounds = [r["checked"] for r in self.rounds if r.get("checked") is not None]
        against = [r["against"] for r in self.rounds if r.get("against") is not None]
        return output_check(rounds, against, ratios)


def checked(
    answer: dict[str, Any], *, inputs: int, candidate: Candidate, source: str, network: Outputs | None
) -> tuple[dict[str, Any], Outputs]:
    """An answer to ``round`` whose outputs are compared and whose file is gone; and the process' own outputs.

    Args:
        answer: the worker's.
        inputs: clips in rotation.
        candidate: says how close outputs must be, by its precision.
        source: words for where the clips come from; on noise int8 is not asked to decode alike.
        network: the fp32 network's outputs for the same clips, where they are known.
    """
    path = answer.pop("outputs", None)
    if path is None:
        return answer, {}
    kind = "noise" if "noise" in source else "clips"
    found = check_round(Path(path), inputs=inputs, precision=candidate.precision, source=kind)
    Path(path).unlink()
    answer["checked"] = found.record()
    if network is not None:
        compared = check_against(network, found.own, precision=candidate.precision, source=kind)
        answer["against"] = compared.record()
    return answer, found.own


def is_network(candidate: Candidate) -> bool:
    """Whether it is the fp32 network itself, as it was trained and on the CPU, which others are compared with."""
    return (candidate.backend, candidate.precision, candidate.variant, candidate.device) == ("torch", "fp32", "", "cpu")


def ask_extras(worker: Worker, *, limit_s: float, rule: dict[str, Any]) -> dict[str, Any]:
    """A worker's answer to ``extras``; ``failed``, with the reason, where it gives none: what was timed stays."""
    try:
        return worker.ask("extras", limit_s=limit_s, rule=rule)
    except SlrbenchError as error:
        return {"failed": error.message}


def marks_of(rounds: Sequence[Answer]) -> dict[str, list[int]]:
    """The marks of all rounds, with indices into the samples of all rounds."""
    found: dict[str, list[int]] = {}
    first = 0
    for answer in rounds:
        for reason, indices in answer.get("marks", {}).items():
            found.setdefault(reason, []).extend(first + index for index in indices)
        first += len(answer["compute_s"])
    return found


def gpu_marks(gpu: Mapping[str, Any], round_of: Sequence[int]) -> dict[str, list[int]]:
    """Every sample of a round in which the GPU was held back, or other processes had memory of it."""
    from slrbench.measure.gpu_environment import SLOWING_REASONS

    found: dict[str, list[int]] = {}
    for state in gpu.get("rounds", ()):
        both = state["before"], state["after"]
        seen = {
            THROTTLED: bool(SLOWING_REASONS & set(state["after"]["throttle_reasons"] or ())),
            FOREIGN_GPU: any(one["foreign_processes"] for one in both),
        }
        here = [index for index, round_ in enumerate(round_of) if round_ == state["round"]]
        for reason in (reason for reason, so in seen.items() if so):
            found.setdefault(reason, []).extend(here)
    return found


def joined(*several: Mapping[str, Sequence[int]]) -> dict[str, tuple[int, ...]]:
    """Marks of several sources, each index once."""
    reasons = sorted({reason for marks in several for reason in marks})
    return {
        reason: tuple(sorted({index for marks in several for index in marks.get(reason, ())})) for reason in reasons
    }


def parallel_runs(extras: Sequence[Answer]) -> tuple[ParallelRun, ...]:
    """Calls and seconds summed over the processes, by requests in flight."""
    runs = [run for extra in extras for run in extra.get("parallel", ())]
    return tuple(
        ParallelRun(
            requests=requests,
            calls=sum(run["calls"] for run in runs if run["requests"] == requests),
            seconds=sum(run["seconds"] for run in runs if run["requests"] == requests),
        )
        for requests in sorted({run["requests"] for run in runs})
    )


def energy_of(rounds: Sequence[Answer]) -> Energy | None:
    """The rounds' passes summed; why there is none where no round has a figure; None where none was asked for."""
    passes = [answer["energy"] for answer in rounds if answer.get("energy") is not None]
    counted = [one for one in passes if one["joules"] is not None]
    if not counted:
        return Energy(unavailable=passes[-1]["unavailable"]) if passes else None
    return Energy(
        source=counted[0]["source"],
        joules=sum(one["joules"] for one in counted),
        calls=sum(one["calls"] for one in counted),
        seconds=sum(one["seconds"] for one in counted),
    )
