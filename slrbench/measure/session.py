"""One run over all candidates: their processes, their visits, and what the journal of an interrupted run gives back."""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slrbench.errors import BadInputError, RunFailedError, SlrbenchError, UnavailableError
from slrbench.measure.cells import Cell, Start, Visit, half_width
from slrbench.measure.clock import perf_counter_ns, seconds
from slrbench.measure.gathered import Gatherer
from slrbench.measure.gpu_environment import GpuWatch
from slrbench.measure.gpu_rounds import GpuRounds, gpu_device
from slrbench.measure.journal import Journal
from slrbench.measure.opening import Infer, infer_with, open_in
from slrbench.measure.order import shuffled, to_narrow
from slrbench.measure.process import Worker, WorkerKilledError
from slrbench.measure.scattered_memory import set_aside
from slrbench.measure.settings import TARGET, MeasureSettings
from slrbench.measure.timing_inputs import InputFiles, InputSource, InputStore
from slrbench.records import Candidate

_ERRORS: dict[str, type[SlrbenchError]] = {
    e.__name__: e for e in (BadInputError, UnavailableError, RunFailedError, WorkerKilledError)
}


class Session:
    """Cells, processes, inputs and the journal of one run."""

    def __init__(
        self,
        cells: Sequence[Cell],
        settings: MeasureSettings,
        inputs: InputSource,
        scratch: Path,
        journal: Journal,
        *,
        baseline: int | None,
    ) -> None:
        """Start nothing yet; the GPUs of the candidates are looked for."""
        self.cells = cells
        self.settings = settings
        self.baseline = baseline
        self.order: list[tuple[int, ...]] = []
        self.ended = ""
        self._scratch = scratch
        self._inputs = InputStore(inputs, scratch)
        self._journal = journal
        self._index = {id(cell): index for index, cell in enumerate(cells)}
        self._uses = 0
        self._passed = 0
        self._sitting = 0
        self._watches: dict[str, GpuWatch] = {}
        for cell in cells:
            if (device := gpu_device(cell.candidate.backend, cell.candidate.device)) is not None:
                if device not in self._watches:
                    self._watches[device] = GpuWatch(device)
                cell.gpu = GpuRounds(self._watches[device])
        self._gatherer = Gatherer(scratch, seed=settings.seed, limit_s=settings.limit_s, video=settings.video)
        self._before_s = 0.0
        self._began = perf_counter_ns()
        self._ended: int | None = None

    # ---- what a journal gives back

    def take_up(self) -> None:
        """Take from the journal what it holds of earlier runs: starts, visits and failures of every candidate.

        Raises:
            BadInputError: a candidate's inputs are not those that it was measured with.
        """
        self._sitting = next(number for number in count() if self._journal.get("sitting", number) is None)
        self._journal.put(True, "sitting", self._sitting)
        for cell in self.cells:
            while (failed := self._get(cell, "failed", cell.failures)) is not None:
                cell.failures += 1
                cell.error = _ERRORS.get(failed["kind"], RunFailedError)(failed["message"], hint=failed["hint"])
            if isinstance(cell.error, WorkerKilledError):
                cell.error = None  # what ended the run may have ended this first: it is given another chance
            while (start := self._get(cell, "start", len(cell.starts))) is not None:
                cell.starts.append(Start(**start))
            if (known := self._get(cell, "inputs")) is not None:
                cell.input_source = known["source"]
                self._compare_inputs(cell, known)
        round_ = 0
        while (order := self._journal.get("round", round_)) is not None:
            for cell in (self.cells[index] for index in order):
                if (visit := self._get(cell, "visit", round_)) is not None:
                    cell.visits.append(Visit(**visit))
                    if cell.gpu is not None and visit["gpu"] is not None:
                        cell.gpu.take_up(round_, visit["gpu"])
            round_ += 1
        self._before_s = sum(cell.seconds for cell in self.cells)
        self._began = perf_counter_ns()

    def _compare_inputs(self, cell: Cell, known: dict[str, Any]) -> None:
        if cell.error is not None:
            return
        found: list[InputFiles] = []
        self._attempt(cell, lambda: found.append(self._inputs.of(cell.candidate)))  # none is this candidate's failure
        if found and found[0].sha256 != known["sha256"]:
            raise BadInputError(
                f"{cell.candidate.model} would be timed on other inputs than before the interruption: "
                f"{found[0].source}, before {known['source']}",
                hint="bring the clips back, or measure anew into another folder",
            )

    def _of(self, cell: Cell, kind: str, *what: Any) -> tuple[Any, ...]:
        """What an entry of a candidate is of: the very file and shape, wherever it lies now."""
        content = cell.candidate.model_dump(mode="json", exclude={"path"})
        return kind, self._index[id(cell)], content, *what

    def _get(self, cell: Cell, kind: str, *what: Any) -> Any | None:
        return self._journal.get(*self._of(cell, kind, *what))

    # ---- order

    def order_of(self, round_: int) -> tuple[int, ...] | None:
        """Which candidates a round visits, in its order; None where there is no such round any more."""
        if (known := self._journal.get("round", round_)) is not None:
            order: tuple[int, ...] | None = tuple(known)
        else:
            order = self._new_order(round_)
            if order is not None:
                self._journal.put(list(order), "round", round_)
        if order is not None:
            self.order.append(order)
        return order

    def _new_order(self, round_: int) -> tuple[int, ...] | None:
        settings = self.settings
        if round_ < settings.rounds:
            return shuffled(range(len(self.cells)), seed=settings.seed, round_=round_)
        if settings.budget_s is None:
            self.ended = "all rounds were measured"
            return None
        alive = {index: cell for index, cell in enumerate(self.cells) if cell.error is None and cell.visits}
        widths = {index: self._width(cell) for index, cell in alive.items()}
        chosen = to_narrow(
            widths,
            {index: cell.seconds / len(cell.visits) for index, cell in alive.items()},
            settings.budget_s - self.spent_s(),
            always=[i for i in alive if self.baseline is not None and (i == self.baseline or self.cells[i].copy)],
        )
        if not chosen:
            narrow = all(width <= TARGET for width in widths.values())
            self.ended = f"every interval is within ±{100 * TARGET:.0f} %" if narrow else "the time was spent"
            return None
        return shuffled(chosen, seed=settings.seed, round_=round_)

    def _width(self, cell: Cell) -> float:
        estimate = cell.estimate()
        return float("inf") if estimate is None else half_width(estimate)

    # ---- time

    def spent_s(self) -> float:
        """Wall time of the rounds so far, that before an interruption included."""
        return self._before_s + seconds((self._ended or perf_counter_ns()) - self._began)

    def end_rounds(self) -> None:
        """What comes from now on, such as word error rates, is no time of the rounds."""
        self._ended = perf_counter_ns()

    def left_s(self) -> float | None:
        """What the rest will take, roughly; None before anything was measured."""
        visits = sum(len(cell.visits) for cell in self.cells)
        if visits == 0:
            return None
        each = sum(cell.seconds for cell in self.cells) / visits
        planned = each * max(0, self.settings.rounds * len(self.cells) - self._passed)
        if self.settings.budget_s is None:
            return planned
        return max(planned, self.settings.budget_s - self.spent_s(), 0.0)

    def done_of_total(self) -> tuple[int, int]:
        """Visits that are done, and how many there will be, as far as it can be said."""
        total = max(self.settings.rounds * len(self.cells), self._passed)
        left = self.left_s()
        if self.settings.budget_s is not None and left is not None:
            visits = sum(len(cell.visits) for cell in self.cells)
            total = max(total, self._passed + round(left * visits / max(sum(c.seconds for c in self.cells), 1e-9)))
        return self._passed, total

    # ---- visits

    def is_due(self, cell: Cell, round_: int) -> bool:
        """Whether the candidate is still to be measured in this round."""
        return cell.error is None and all(visit.round != round_ for visit in cell.visits)

    def groups_of(self, order: Sequence[int]) -> list[tuple[int, ...]]:
        """The candidates of a round that take turns with each other: as many as may have processes at a time."""
        size = self.settings.most_workers
        return [tuple(order[first : first + size]) for first in range(0, len(order), size)]

    def open_group(self, group: Sequence[int], round_: int, starting: Callable[[Cell], None]) -> None:
        """Start the processes that candidates lack in this round, one after another, on memory of the same kind.

        ``starting`` is called before each.
        """
        due = [cell for cell in (self.cells[index] for index in group) if self.is_due(cell, round_)]
        for cell in due:
            if cell.worker is not None and self._is_stale(cell, round_):
                cell.stop()
        for cell in due:
            self._note_use(cell)  # so that room is made by ending others' processes
        if missing := [cell for cell in due if cell.worker is None]:
            self._make_room(len(missing))  # before, for what ended processes leave is to be set aside, too
            with set_aside():
                for cell in missing:
                    starting(cell)
                    self._attempt(cell, partial(self._worker_of, cell, round_))

    def turns_of(self, group: Sequence[int], round_: int) -> Iterator[tuple[int, int]]:
        """Turn and candidate, one after another, each turn in an order of its own."""
        for turn in range(self.settings.turns):
            for index in shuffled(group, seed=self.settings.seed, round_=round_, turn=turn):
                yield turn, index

    def take_turn(self, index: int, round_: int, turn: int, *, group: int = 0) -> None:
        """One turn of one candidate in a round, unless it failed before, or the round is known.

        ``group`` is the number of its group in the round: turns of different groups are no pairs.
        """
        cell = self.cells[index]
        if self.is_due(cell, round_):
            self._attempt(cell, lambda: self._take_turn(cell, round_, turn, group))

    def _number_of_turn(self, group: int, turn: int) -> int:
        """Of all turns of a round another one, those before an interruption included: equal ones were taken together.

        Counted from 0 where the round has one group and there was no interruption.
        """
        groups = -(-len(self.cells) // self.settings.most_workers)
        return (self._sitting * groups + group) * self.settings.turns + turn

    def visit(self, index: int, round_: int) -> bool:
        """End a candidate's round, after its turns, unless it failed before or that was done; whether it was now."""
        cell = self.cells[index]
        self._passed += 1
        if not self.is_due(cell, round_):
            return False
        self._attempt(cell, lambda: self._measure(cell, round_))
        return True

    def hand_over(self, cell: Cell, at_end: Callable[[Candidate, Infer], None]) -> None:
        """Give a measured candidate away, with a function that runs videos; its process is there when that is called.

        One that is only asked what it knows already starts none.
        """

        def infer(video: NDArray[Any]) -> NDArray[np.float32]:
            if cell.worker is not None and not cell.worker.alive:
                cell.stop(at_once=True)
            if cell.worker is None:
                self._make_room()
                cell.worker = Worker(threads=cell.candidate.threads)
                open_in(cell.worker, cell.candidate, first_input=None, limit_s=self.settings.limit_s)
            self._note_use(cell)
            return infer_with(cell.worker, self._scratch, limit_s=self.settings.limit_s)(video)

        if cell.error is None:
            self._attempt(cell, lambda: at_end(cell.candidate, infer))

    def _attempt(self, cell: Cell, action: Callable[[], object]) -> None:
        try:
            action()
        except SlrbenchError as error:
            cell.error = error
            cell.stop(at_once=True)
            failed = {"kind": type(error).__name__, "message": error.message, "hint": error.hint}
            self._journal.put(failed, *self._of(cell, "failed", cell.failures))
            cell.failures += 1

    def _take_turn(self, cell: Cell, round_: int, turn: int, group: int) -> None:
        rested = cell.worker is not None
        worker = self._worker_of(cell, round_)
        begin = perf_counter_ns()
        if turn == 0:
            cell.turns_s = 0.0
            if cell.gpu is not None:
                cell.gpu.begin(own=self._own_processes(), worker=worker.pid)
        worker.ask(
            "turn",
            limit_s=self.settings.limit_s,
            rule=asdict(self.settings.sampling),
            settle=rested,
            seed=self._gatherer.arguments(worker, round_)["seed"],
            number=self._number_of_turn(group, turn),
            turns=self.settings.turns,
        )
        cell.turns_s += seconds(perf_counter_ns() - begin)

    def _own_processes(self) -> set[int]:
        # This process holds a context of the GPU too, once it has built an engine.
        return {os.getpid(), *(c.worker.pid for c in self.cells if c.worker is not None)}

    def _measure(self, cell: Cell, round_: int) -> None:
        worker = self._worker_of(cell, round_)
        begin = perf_counter_ns()
        sampling = self.settings.sampling
        # The baseline's second copy is there for its times alone.
        rule = asdict(replace(sampling, throughput_time_s=0.0) if cell.copy else sampling)
        more = self._gatherer.arguments(worker, round_)
        answer = worker.ask("round", limit_s=self.settings.limit_s, rule=rule, settle=False, **more)
        states = None
        if cell.gpu is not None:
            held = cell.gpu.end(round_, own=self._own_processes(), worker=worker.pid)
            answer["device_memory_bytes"] = answer["device_memory_bytes"] | held
            states = cell.gpu.states(round_)
        last_rule = rule if self._is_last_of_process(round_) and not cell.copy else None
        answer = self._gatherer.complete(answer, worker, cell.candidate, source=cell.input_source, last_rule=last_rule)
        if "failed" in answer.get("extras", ()):
            cell.stop(at_once=True)
        visit = Visit(
            round=round_,
            process=len(cell.starts) - 1,
            answer=answer,
            gpu=states,
            seconds=cell.turns_s + seconds(perf_counter_ns() - begin),
        )
        self._journal.put(asdict(visit), *self._of(cell, "visit", round_))
        cell.visits.append(visit)

    def _is_stale(self, cell: Cell, round_: int) -> bool:
        """Whether the candidate is to have a new process in this round."""
        if round_ < self.settings.rounds:
            return self.settings.starts_afresh(round_)
        return cell.served >= self.settings.rounds_of_a_process or "extras" in cell.visits[-1].answer

    def _is_last_of_process(self, round_: int) -> bool:
        """Whether what is measured once in a process comes after this round; not in the rounds that a budget adds."""
        rounds = self.settings.rounds
        return round_ == rounds - 1 or (round_ < rounds and self.settings.starts_afresh(round_ + 1))

    def _worker_of(self, cell: Cell, round_: int) -> Worker:
        """The candidate's process: opened, with its inputs loaded, warmed up."""
        self._note_use(cell)
        if cell.worker is not None:
            return cell.worker
        self._make_room()
        inputs = self._inputs.of(cell.candidate)
        cell.input_source = inputs.source
        if self._get(cell, "inputs") is None:
            known = {"source": inputs.source, "sha256": inputs.sha256}
            self._journal.put(known, *self._of(cell, "inputs"))
        begin = perf_counter_ns()
        limit = self.settings.limit_s
        cell.worker = Worker(threads=cell.candidate.threads)
        opened = open_in(cell.worker, cell.candidate, first_input=inputs.first, limit_s=limit)
        cell.worker.ask("inputs", limit_s=limit, path=str(inputs.all))
        warm = cell.worker.ask("warm_up", limit_s=limit, rule=asdict(self.settings.sampling))
        start = Start(round=round_, opened=opened, warm_up=warm, seconds=seconds(perf_counter_ns() - begin))
        self._journal.put(asdict(start), *self._of(cell, "start", len(cell.starts)))
        cell.starts.append(start)
        return cell.worker

    def _note_use(self, cell: Cell) -> None:
        self._uses += 1
        cell.last_used = self._uses

    def _make_room(self, processes: int = 1) -> None:
        """End the processes that rested longest, where so many more would be too many."""
        alive = sorted((c for c in self.cells if c.worker is not None), key=lambda c: c.last_used)
        for cell in alive[: max(0, len(alive) + processes - self.settings.most_workers)]:
            cell.stop()

    def close(self) -> None:
        """End all processes."""
        for cell in self.cells:
            cell.stop(at_once=True)
        for watch in self._watches.values():
            watch.close()
