"""From the answers of one candidate's workers to fields of its record.

:class:`Gatherer` is the parent's: it compares what a worker kept of a round, asks for what is measured once in the life
of a process, and puts both into the worker's answer. All else are pure functions of the answers to ``round``, in the
order in which they came, which a journal can keep: JSON.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from slrbench.errors import SlrbenchError
from slrbench.measure.output_check import Outputs, check_against, check_round, output_check
from slrbench.measure.process import Worker
from slrbench.measure.settings import PixelSettings
from slrbench.measure.timing_inputs import MOST_INPUTS
from slrbench.records import Candidate, Energy, OutputCheck, ParallelRun, PixelsToGlosses

THROTTLED = "throttled"
FOREIGN_GPU = "foreign GPU work"

Answer = Mapping[str, Any]


class Gatherer:
    """Completes answers to ``round`` of all candidates of a run."""

    def __init__(self, scratch: Path, *, seed: int, limit_s: float, video: PixelSettings | None = None) -> None:
        """Files go to ``scratch``; ``seed`` chooses the calls whose outputs are compared; ``video`` is an extra."""
        self._video = video
        self._scratch = scratch
        self._seed = seed
        self._limit_s = limit_s
        self._networks: dict[tuple[Any, ...], Outputs] = {}

    def arguments(self, worker: Worker, round_: int) -> dict[str, Any]:
        """Arguments of ``round`` beside its rule."""
        return {"seed": self._seed + round_, "outputs": str(self._scratch / f"{worker.pid}-outputs.npz")}

    def complete(
        self,
        answer: dict[str, Any],
        worker: Worker,
        candidate: Candidate,
        *,
        source: str,
        last_rule: dict[str, Any] | None,
    ) -> dict[str, Any]:
        """The answer with its outputs compared, and after a process' last round with ``extras``.

        A worker that fails in its extras is ended: the reason stands in ``extras.failed``, and what was timed stays.

        Args:
            answer: of the worker, to ``round``.
            worker: it.
            candidate: its candidate.
            source: words for where the clips come from; on noise int8 is not asked to decode alike.
            last_rule: the sampling rule where this was the process' last round, else None.
        """
        path = answer.pop("outputs", None)
        if path is not None:
            answer |= self._compared(Path(path), answer["inputs"]["inputs"], candidate, source)
        if last_rule is not None:
            answer["extras"] = self._extras(worker, last_rule, candidate)
        return answer

    def _compared(self, path: Path, inputs: int, candidate: Candidate, source: str) -> dict[str, Any]:
        kind = "noise" if "noise" in source else "clips"
        found = check_round(path, inputs=inputs, precision=candidate.precision, source=kind)
        path.unlink()
        c = candidate
        fed = c.model, c.batch, c.frames, c.height, c.width, c.input_kind
        if is_network(candidate):
            self._networks.setdefault(fed, found.own)
        elif (network := self._networks.get(fed)) is not None:
            against = check_against(network, found.own, precision=candidate.precision, source=kind)
            return {"checked": found.record(), "against": against.record()}
        return {"checked": found.record()}

    def _extras(self, worker: Worker, rule: dict[str, Any], candidate: Candidate) -> dict[str, Any]:
        video = None if self._video is None else _video_input(self._video, candidate)
        try:
            return worker.ask("extras", limit_s=self._limit_s, rule=rule, video=video)
        except SlrbenchError as error:
            worker.close(at_once=True)
            return {"failed": error.message}


def _video_input(video: PixelSettings, candidate: Candidate) -> dict[str, Any] | None:
    """The command to time the video on a candidate; None for several clips at a time, which one video is not."""
    if candidate.batch > 1:
        return None
    size = candidate.height, candidate.width
    resize = video.resize.get(candidate.model, size)
    return {
        "path": video.path,
        "sha256": video.sha256,
        "resize": resize if resize[0] >= size[0] and resize[1] >= size[1] else size,
        "size": size,
        "frames": candidate.frames,
        "frames_per_second": video.frames_per_second,
    }


def pixels_of(visits: Sequence[tuple[int, int, Answer]], video: PixelSettings | None) -> PixelsToGlosses | None:
    """The calls from bytes to glosses of all processes; None where there are none.

    Args:
        visits: round, process and answer to ``round`` of each, in order.
        video: what was timed.
    """
    found = [(r, p, extras["pixels"]) for r, p, a in visits if "pixels" in (extras := a.get("extras") or {})]
    timed = [each for each in found if "failed" not in each[2]]
    if not timed or video is None:
        return None
    last = timed[-1][2]
    return PixelsToGlosses(
        video=Path(video.path).name,
        video_sha256=video.sha256,
        source_height=last["source_size"][0],
        source_width=last["source_size"][1],
        samples_s=tuple(value for _, _, one in timed for value in one["samples_s"]),
        round_of=tuple(round_ for round_, _, one in timed for _ in one["samples_s"]),
        process_of=tuple(process for _, process, one in timed for _ in one["samples_s"]),
        parts_s={name: median(one["parts_s"][name] for _, _, one in timed) for name in last["parts_s"]},
        labels=tuple(last["labels"]),
    )


def fields_of(
    answers: Sequence[Answer], *, opened: Sequence[Answer], round_of: Sequence[int], gpu: Mapping[str, Any]
) -> dict[str, Any]:
    """Keyword arguments of ``Measurement``, from the answers to ``round`` and to ``open``, and the GPU's record."""
    steady = [answer["steady_rss_bytes"] for answer in answers if answer.get("steady_rss_bytes") is not None]
    return {
        "marks": joined(marks_of(answers), gpu_marks(gpu, round_of)),
        "steady_rss_bytes": max(steady, default=None),
        "cold_starts": tuple(dict(each["cold_start_parts_s"]) for each in opened),
        "parallel": parallel_runs(answers),
        "energy": energy_of(answers),
        "output_check": _output_check(answers)[0],
    }


def actual_of(answers: Sequence[Answer]) -> dict[str, Any]:
    """What belongs into ``Measurement.actual``."""
    found: dict[str, Any] = {}
    if inputs := [answer["inputs"] for answer in answers if "inputs" in answer]:
        found["inputs_in_rotation"] = min(each["inputs"] for each in inputs)
        found["different_inputs"] = min(each["different"] for each in inputs)
    if sources := [answer["contention_sources"] for answer in answers if "contention_sources" in answer]:
        found["contention_read"] = sorted(name for name, read in sources[-1].items() if read)
        found["contention_not_read"] = sorted(name for name, read in sources[-1].items() if not read)
    if notes := [extras["parallel_note"] for extras in _extras(answers) if extras.get("parallel_note")]:
        found["parallel"] = notes[-1]
    return found


def warnings_of(answers: Sequence[Answer]) -> list[str]:
    """What a reader must know."""
    warnings = []
    different = min((answer["inputs"]["different"] for answer in answers if "inputs" in answer), default=MOST_INPUTS)
    if different < MOST_INPUTS:
        warnings.append(f"only {different} different inputs were in rotation, {MOST_INPUTS} are usual")
    warnings += _output_check(answers)[1]
    if failed := [extras["failed"] for extras in _extras(answers) if extras.get("failed")]:
        warnings.append(f"throughput with several requests was not measured: {failed[-1]}")
    if lost := [pixels["failed"] for e in _extras(answers) if "failed" in (pixels := e.get("pixels") or {})]:
        warnings.append(f"the video was not timed from pixels to glosses: {lost[-1]}")
    return warnings


def _extras(answers: Sequence[Answer]) -> list[Answer]:
    return [answer["extras"] for answer in answers if answer.get("extras") is not None]


def _output_check(answers: Sequence[Answer]) -> tuple[OutputCheck | None, list[str]]:
    ratios = [ratio for extras in _extras(answers) for ratio in extras.get("repeated_ratios", ())]
    checked = [answer["checked"] for answer in answers if answer.get("checked") is not None]
    against = [answer["against"] for answer in answers if answer.get("against") is not None]
    return output_check(checked, against, ratios)


def is_network(candidate: Candidate) -> bool:
    """Whether it is the fp32 network itself, as it was trained and on the CPU, which others are compared with."""
    return (candidate.backend, candidate.precision, candidate.variant, candidate.device) == ("torch", "fp32", "", "cpu")


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


def parallel_runs(answers: Sequence[Answer]) -> tuple[ParallelRun, ...]:
    """Calls and seconds summed over the processes, by requests in flight."""
    runs = [run for extras in _extras(answers) for run in extras.get("parallel", ())]
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
