"""Which calls other programs disturbed: counters of the system, read between timed calls. Standard library only.

Nothing is ever left out for it: a disturbed call is *marked*, by what was seen. Two kinds of counters are read,

- after every call, of this process (some microseconds): involuntary switches of its threads, and how long they stood
  ready to run without a core (``/proc/self/task/*/schedstat``);
- at most every :data:`SLICE_S`, of the machine: time stolen by its host, CPU time of other programs, pressure,
  throttling. What they show marks all calls of the slice.

What cannot be read here is not marked, and :meth:`ContentionWatch.sources` says so.
"""

from dataclasses import dataclass
from typing import Protocol

from slrbench.measure.clock import Clock, seconds

STEAL = "steal"
RUN_QUEUE = "run queue"
SWITCHED_OUT = "switched out"
THROTTLED = "throttled"
OTHER_PROGRAMS = "other programs"

SLICE_S = 0.1
"""The machine's own counters go by ticks of 10 ms: over less time they say nothing."""

WAIT_SHARE = 0.02
"""A call is marked where its threads waited for a core for more than this share of it, all threads together ..."""
LEAST_WAIT_S = 100e-6
"""... and for more than this: waking a thread takes some microseconds on a quiet machine, too."""
SWITCH_SHARE = 0.01
"""A thread that was switched out and had its core back within this share of the call was hardly disturbed."""
STEAL_SHARE = 0.01
"""Of the time of the threads that the candidate may use."""
PRESSURE_SHARE = 0.05
"""Share of a slice in which some task of the machine waited for a core."""
OTHER_CORES = 0.3
"""CPU time of others in a slice, in cores, from which on it counts: below it, it may be the ticks' rounding ..."""
OTHER_SHARE_OF_SPARE = 0.25
"""... and it has to be so much of the cores that the candidate leaves free, whose memory and clock it shares."""


@dataclass(frozen=True, kw_only=True)
class OwnCounters:
    """Of this process, since it was started; None where the system does not say."""

    switches: int | None
    """Involuntary switches, of all threads."""
    waited_s: float | None
    """Ready to run and without a core, summed over the threads."""


@dataclass(frozen=True, kw_only=True)
class MachineCounters:
    """Of the machine, since it was started; None where the system does not say."""

    steal_s: float | None
    """Time that the host of a virtual machine gave to others, summed over the cores."""
    busy_s: float | None
    """CPU time of everything that runs on the machine, this process too."""
    own_cpu_s: float | None
    """CPU time of this process, all threads."""
    pressure_s: float | None
    """Time in which some task waited for a core."""
    throttled: float | None
    """Times that the control group's quota or the temperature held the process back."""


class Counters(Protocol):
    """Where the counters come from: the system, or a test."""

    def own(self) -> OwnCounters:
        """Of this process; read after every call."""
        ...

    def machine(self) -> MachineCounters:
        """Of the machine; read once in a slice."""
        ...


@dataclass(frozen=True, kw_only=True)
class _Call:
    seconds: float
    before: OwnCounters
    after: OwnCounters


class ContentionWatch:
    """Reads the counters around the calls of a round, and marks the calls afterwards."""

    def __init__(self, counters: Counters, clock: Clock, *, threads: int, cores: int) -> None:
        """Of a candidate that computes on ``threads`` threads, on a machine of ``cores`` logical cores."""
        self._counters = counters
        self._clock = clock
        self._threads = max(1, min(threads, cores))
        self._spare = max(0, cores - threads)
        self._calls: list[_Call] = []
        self._marks: dict[str, list[int]] = {}
        self._read: dict[str, bool] = {}

    def begin(self) -> None:
        """Read everything, right before the first call."""
        self._calls.clear()
        self._marks.clear()
        self._slice_first = 0
        self._machine = self._counters.machine()
        self._own = self._counters.own()
        self._slice_ns = self._last_ns = self._clock()

    def after_call(self) -> None:
        """Read after a call, outside of its timed region."""
        own = self._counters.own()
        now = self._clock()
        self._calls.append(_Call(seconds=seconds(now - self._last_ns), before=self._own, after=own))
        self._own = own
        if seconds(now - self._slice_ns) >= SLICE_S:
            self._end_slice(now)
            self._own = self._counters.own()  # what reading the machine's counters cost belongs to no call
        self._last_ns = self._clock()

    def marks(self) -> dict[str, list[int]]:
        """Indices of the marked calls by what was seen; reads the machine once more for what is left of a slice."""
        if self._slice_first < len(self._calls):
            self._end_slice(self._clock())
        found = {reason: list(indices) for reason, indices in self._marks.items()}
        for index, call in enumerate(self._calls):
            for reason in _own_marks(call):
                found.setdefault(reason, []).append(index)
        return {reason: sorted(set(indices)) for reason, indices in sorted(found.items())}

    def sources(self) -> dict[str, bool]:
        """Each counter by name, and whether it could be read."""
        own, machine = self._own, self._machine
        return {
            "involuntary switches": own.switches is not None,
            "waiting threads": own.waited_s is not None,
            "steal": machine.steal_s is not None,
            "other programs": machine.busy_s is not None and machine.own_cpu_s is not None,
            "pressure": machine.pressure_s is not None,
            "throttling": machine.throttled is not None,
        }

    def _end_slice(self, now_ns: int) -> None:
        machine = self._counters.machine()
        lasted = seconds(now_ns - self._slice_ns)
        for reason in self._machine_marks(self._machine, machine, lasted):
            self._marks.setdefault(reason, []).extend(range(self._slice_first, len(self._calls)))
        self._machine, self._slice_ns, self._slice_first = machine, now_ns, len(self._calls)

    def _machine_marks(self, before: MachineCounters, after: MachineCounters, lasted: float) -> list[str]:
        reasons = []
        if _grown(before.steal_s, after.steal_s) > STEAL_SHARE * lasted * self._threads:
            reasons.append(STEAL)
        if _grown(before.throttled, after.throttled) > 0:
            reasons.append(THROTTLED)
        others = _grown(before.busy_s, after.busy_s) - _grown(before.own_cpu_s, after.own_cpu_s)
        known = None not in (after.busy_s, after.own_cpu_s)
        if known and others > max(OTHER_CORES, OTHER_SHARE_OF_SPARE * self._spare) * max(lasted, SLICE_S):
            reasons.append(OTHER_PROGRAMS)
        # Pressure is of the whole machine; how long our own threads waited is the better figure where it is known.
        if self._own.waited_s is None:
            pressure = _grown(before.pressure_s, after.pressure_s)
            if pressure > PRESSURE_SHARE * max(lasted, SLICE_S):
                reasons.append(RUN_QUEUE)
        return reasons


def _own_marks(call: _Call) -> list[str]:
    reasons = []
    waited = _grown(call.before.waited_s, call.after.waited_s)
    known = call.after.waited_s is not None
    if waited > max(WAIT_SHARE * call.seconds, LEAST_WAIT_S):
        reasons.append(RUN_QUEUE)
    if _grown(call.before.switches, call.after.switches) > 0 and (not known or waited > SWITCH_SHARE * call.seconds):
        reasons.append(SWITCHED_OUT)
    return reasons


def _grown(before: float | None, after: float | None) -> float:
    return after - before if before is not None and after is not None else 0.0
