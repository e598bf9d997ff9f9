"""Marks of disturbed calls, from counters that a test turns, and from the system's own files."""

import os
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from slrbench.measure.contention import (
    OTHER_PROGRAMS,
    RUN_QUEUE,
    STEAL,
    SWITCHED_OUT,
    THROTTLED,
    ContentionWatch,
    MachineCounters,
    OwnCounters,
)
from slrbench.measure.system_counters import SystemCounters

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
CALL_S = 0.03


@dataclass
class Turned:
    """Counters and a clock that a test turns."""

    now_s: float = 0.0
    own_: OwnCounters = field(default_factory=lambda: OwnCounters(switches=7, waited_s=3.0))
    machine_: MachineCounters = field(
        default_factory=lambda: MachineCounters(steal_s=1.0, busy_s=50.0, own_cpu_s=2.0, pressure_s=4.0, throttled=0.0)
    )

    def clock(self) -> int:
        return round(self.now_s * 1e9)

    def own(self) -> OwnCounters:
        return self.own_

    def machine(self) -> MachineCounters:
        return self.machine_

    def call(self, *, switches: int = 0, waited_s: float = 0.0, **machine: float) -> None:
        """A call that computes on one thread, and what else grows meanwhile."""
        self.now_s += CALL_S
        if self.own_.switches is not None:
            self.own_ = replace(self.own_, switches=self.own_.switches + switches)
        if self.own_.waited_s is not None:
            self.own_ = replace(self.own_, waited_s=self.own_.waited_s + waited_s)
        grown = {"busy_s": CALL_S, "own_cpu_s": CALL_S}
        for name, value in machine.items():
            grown[name] = grown.get(name, 0.0) + value
        known = {name: getattr(self.machine_, name) for name in grown}
        self.machine_ = replace(
            self.machine_, **{n: known[n] + value for n, value in grown.items() if known[n] is not None}
        )


def watch(counters: Turned, *, threads: int = 1, cores: int = 2) -> ContentionWatch:
    made = ContentionWatch(counters, counters.clock, threads=threads, cores=cores)
    made.begin()
    return made


def test_quiet_calls_are_not_marked() -> None:
    counters = Turned()
    seen = watch(counters)
    for _ in range(20):
        counters.call(waited_s=20e-6)  # waking threads
        seen.after_call()
    assert seen.marks() == {}
    assert all(seen.sources().values())


def test_a_call_whose_threads_waited_for_a_core_is_marked_and_no_other() -> None:
    counters = Turned()
    seen = watch(counters)
    for call in range(10):
        counters.call(waited_s=0.01 if call == 4 else 0.0, switches=int(call in (4, 6)))
        seen.after_call()
    # The switch of call 6 cost nothing: the thread had its core back at once.
    assert seen.marks() == {RUN_QUEUE: [4], SWITCHED_OUT: [4]}


def test_a_switch_counts_where_waiting_cannot_be_read() -> None:
    counters = Turned(own_=OwnCounters(switches=0, waited_s=None))
    seen = watch(counters)
    for call in range(3):
        counters.call(switches=int(call == 1))
        seen.after_call()
    assert seen.marks() == {SWITCHED_OUT: [1]}
    assert not seen.sources()["waiting threads"]


@pytest.mark.parametrize(
    ("grown", "reason"),
    [({"steal_s": 0.01}, STEAL), ({"throttled": 1.0}, THROTTLED), ({"busy_s": 0.06}, OTHER_PROGRAMS)],
)
def test_what_the_machine_shows_marks_the_calls_of_its_slice(grown: dict[str, float], reason: str) -> None:
    counters = Turned()
    seen = watch(counters)
    for call in range(12):  # 4 calls of 0.03 s fill a slice
        counters.call(**grown if call == 5 else {})
        seen.after_call()
    assert seen.marks() == {reason: [4, 5, 6, 7]}


def test_the_calls_after_the_last_whole_slice_are_judged_too() -> None:
    counters = Turned()
    seen = watch(counters)
    for call in range(5):
        counters.call(**{"steal_s": 0.01} if call == 4 else {})
        seen.after_call()
    assert seen.marks() == {STEAL: [4]}


def test_others_on_cores_that_are_free_in_plenty_are_no_contention() -> None:
    marked = []
    for cores in (2, 64):
        counters = Turned()
        seen = watch(counters, cores=cores)
        for _ in range(8):
            counters.call(busy_s=CALL_S)  # another program keeps one core busy
            seen.after_call()
        marked.append(seen.marks())
    assert marked == [{OTHER_PROGRAMS: list(range(8))}, {}]


def test_pressure_stands_in_where_waiting_cannot_be_read() -> None:
    for waited, expected in ((None, {RUN_QUEUE: [0, 1, 2, 3]}), (3.0, {})):
        counters = Turned(own_=OwnCounters(switches=0, waited_s=waited))
        seen = watch(counters)
        for _ in range(4):
            counters.call(pressure_s=0.01)
            seen.after_call()
        assert seen.marks() == expected


def test_where_nothing_can_be_read_nothing_is_marked_and_that_is_said() -> None:
    none = MachineCounters(steal_s=None, busy_s=None, own_cpu_s=None, pressure_s=None, throttled=None)
    counters = Turned(own_=OwnCounters(switches=None, waited_s=None), machine_=none)
    seen = watch(counters)
    for _ in range(8):
        counters.call(switches=5, waited_s=1.0, steal_s=1.0, busy_s=1.0)
        seen.after_call()
    assert seen.marks() == {}
    assert not any(seen.sources().values())


@linux
def test_the_systems_counters_count_this_process() -> None:
    counters = SystemCounters()
    before, machine = counters.own(), counters.machine()
    sum(range(2_000_000))
    after = counters.own()
    assert before.switches is not None
    assert after.switches is not None
    assert after.switches >= before.switches
    later = counters.machine()
    assert machine.own_cpu_s is not None
    assert later.own_cpu_s is not None
    assert later.own_cpu_s > machine.own_cpu_s
    counters.close()
    assert counters.own().waited_s is None


def system(root: Path, files: dict[str, str]) -> SystemCounters:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return SystemCounters(root)


@pytest.mark.skipif(not hasattr(os, "pread"), reason="reads with pread")
def test_the_files_of_the_system_are_read_as_they_are_meant(tmp_path: Path) -> None:
    files = {
        "proc/stat": "cpu  100 20 30 4000 50 6 7 800 0 0\ncpu0 1 2 3 4 5 6 7 8 9 10\n",
        "proc/pressure/cpu": "some avg10=5.88 avg60=3.46 avg300=1.08 total=2470755\nfull avg10=0.00 total=9\n",
        "proc/self/task/11/schedstat": "5000 2000000 7\n",
        "proc/self/task/12/schedstat": "5000 1000000 7\n",
        "proc/self/cgroup": "2:cpu,cpuacct:/docker/abc\n0::/user.slice/one\n",
        "sys/fs/cgroup/cpu,cpuacct/cpu.stat": "nr_periods 4\nnr_throttled 3\nthrottled_time 9\n",
        "sys/fs/cgroup/user.slice/one/cpu.stat": "usage_usec 4\nnr_throttled 2\n",
        "sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count": "1\n",
    }
    counters = system(tmp_path, files)
    tick = 1 / os.sysconf("SC_CLK_TCK")
    found = counters.machine()
    assert found.steal_s == pytest.approx(800 * tick)
    assert found.busy_s == pytest.approx(163 * tick)
    assert found.pressure_s == pytest.approx(2.470755)
    assert found.throttled == 6
    assert counters.own().waited_s == 0  # threads count from when they are first seen
    (tmp_path / "proc/self/task/12/schedstat").write_text("5000 4500000 8\n")
    (tmp_path / "proc/self/task/13").mkdir()
    (tmp_path / "proc/self/task/13/schedstat").write_text("5000 99000000 8\n")
    counters.machine()
    assert counters.own().waited_s == pytest.approx(0.0035)


def test_a_system_that_shows_nothing_is_read_as_nothing(tmp_path: Path) -> None:
    counters = SystemCounters(tmp_path)
    assert counters.own().waited_s is None
    found = counters.machine()
    assert (found.steal_s, found.busy_s, found.pressure_s, found.throttled) == (None, None, None, None)


@pytest.mark.parametrize("text", ["0 0 0\n", "", "garbage\n"])
def test_a_kernel_that_does_not_count_waiting_is_not_believed(tmp_path: Path, text: str) -> None:
    assert system(tmp_path, {"proc/self/task/11/schedstat": text}).own().waited_s is None
