"""The GPU's state, from a library in NVML's place; and what the real one says without a driver."""

import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from exporters.cuda_driver import CudaDriver, cuda_device_count
from slrbench.measure import environment, gpu_environment
from slrbench.measure.gpu_environment import GpuState, GpuWatch, as_record, reasons_in_words, summarise
from slrbench.measure.gpu_rounds import GpuRounds, gpu_device
from slrbench.measure.rounds import MeasureSettings, measure
from slrbench.records import Candidate, Measurement


class NvmlError(Exception):
    """What NVML raises for everything."""


class FakeNvml:
    """Two GPUs, of which CUDA shows the one at bus 65; knows what the test does not take away."""

    NVMLError = NvmlError
    NVML_CLOCK_SM, NVML_CLOCK_MEM, NVML_TEMPERATURE_GPU = 1, 2, 0

    def __init__(self) -> None:
        self.reasons = 0x4 | 0x20
        self.pids = [11, 12, 99]
        self.missing: set[str] = set()
        self.opened = 0

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("nvml") and name in object.__getattribute__(self, "missing"):

            def refuse(*_: Any) -> None:
                raise NvmlError("Not Supported")

            return refuse
        return object.__getattribute__(self, name)

    def nvmlInit(self) -> None:  # noqa: N802
        self.opened += 1

    def nvmlShutdown(self) -> None:  # noqa: N802
        self.opened -= 1

    def nvmlDeviceGetHandleByPciBusId(self, bus: bytes) -> str:  # noqa: N802
        assert bus == b"0000:65:00.0"
        return "handle"

    def nvmlDeviceGetName(self, handle: str) -> str:  # noqa: N802
        return "NVIDIA Something"

    def nvmlDeviceGetCudaComputeCapability(self, handle: str) -> tuple[int, int]:  # noqa: N802
        return 8, 9

    def nvmlSystemGetDriverVersion(self) -> bytes:  # noqa: N802
        return b"580.1"

    def nvmlSystemGetCudaDriverVersion(self) -> int:  # noqa: N802
        return 13010

    def nvmlDeviceGetMemoryInfo(self, handle: str) -> Any:  # noqa: N802
        return SimpleNamespace(total=24 << 30, used=1 << 30)

    def nvmlDeviceGetClockInfo(self, handle: str, which: int) -> int:  # noqa: N802
        return {1: 2520, 2: 10501}[which]

    def nvmlDeviceGetPowerUsage(self, handle: str) -> int:  # noqa: N802
        return 123_400

    def nvmlDeviceGetTemperatureV(self, handle: str, sensor: int) -> int:  # noqa: N802
        return 61

    def nvmlDeviceGetCurrentClocksEventReasons(self, handle: str) -> int:  # noqa: N802
        return self.reasons

    def nvmlDeviceGetComputeRunningProcesses(self, handle: str) -> list[Any]:  # noqa: N802
        return [SimpleNamespace(pid=pid, usedGpuMemory=pid << 20) for pid in self.pids]

    def nvmlDeviceGetGraphicsRunningProcesses(self, handle: str) -> list[Any]:  # noqa: N802
        return []


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeNvml]:
    fake = FakeNvml()
    monkeypatch.setitem(sys.modules, "pynvml", fake)  # type: ignore[arg-type]
    driver = CudaDriver(((8, 9),), (13, 1), None, ("0000:65:00.0",))
    monkeypatch.setattr(gpu_environment, "cuda_driver", lambda: driver)
    yield fake
    assert fake.opened == 0, "NVML was not closed"


class TwoGpus:
    """NVML's order is that of the bus, which is none of CUDA's."""

    NVMLError = NvmlError
    places = (b"00000000:3B:00.0", b"00000000:65:00.0", b"00000001:65:00.0")

    def nvmlInit(self) -> None:  # noqa: N802
        pass

    nvmlShutdown = nvmlInit  # noqa: N815

    def nvmlSystemGetDriverVersion(self) -> str:  # noqa: N802
        return "580.1"

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return len(self.places)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:  # noqa: N802
        return index

    def nvmlDeviceGetPciInfo(self, handle: int) -> Any:  # noqa: N802
        return SimpleNamespace(busId=self.places[handle])

    def nvmlDeviceGetName(self, handle: int) -> str:  # noqa: N802
        return f"GPU {handle}"

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> Any:  # noqa: N802
        return SimpleNamespace(total=24 << 30)


@pytest.mark.parametrize(
    ("shown", "order"),
    [
        (("0001:65:00.0", "0000:3b:00.0", "0000:65:00.0"), (2, 0, 1)),
        (("0000:65:00.0",), (1, 0, 2)),  # CUDA_VISIBLE_DEVICES hides the others
        ((), (0, 1, 2)),
        (("0000:99:00.0",), (0, 1, 2)),  # NVML does not know it
    ],
)
def test_gpus_are_named_in_the_order_of_cuda(
    monkeypatch: pytest.MonkeyPatch, shown: tuple[str, ...], order: tuple[int, ...]
) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", TwoGpus())  # type: ignore[arg-type]
    driver = CudaDriver(((8, 9),) * len(shown), (13, 1), None, shown)
    monkeypatch.setattr(environment, "cuda_driver", lambda: driver)
    names = environment.gpu_names.__wrapped__()
    assert names == tuple(f"GPU {index}, 24 GiB, driver 580.1" for index in order)
    monkeypatch.setattr(environment, "gpu_names", lambda: names)
    assert environment.gpu_name("cuda") == f"GPU {order[0]}"
    assert environment.gpu_name("cuda:1") == f"GPU {order[1]}"
    assert environment.gpu_name("cuda:7") == ""


def test_a_state_is_in_hertz_watts_degrees_and_bytes(nvml: FakeNvml) -> None:
    with GpuWatch("cuda") as watch:
        assert watch.identity() == {
            "name": "NVIDIA Something", "compute_capability": "8.9", "driver": "580.1", "cuda": "13.1",
            "memory_total_bytes": 24 << 30,
        }  # fmt: skip
        state = watch.state(own=[11, 12], certain=11)
    assert state is not None
    assert (state.sm_clock_hz, state.memory_clock_hz) == (2.52e9, 10.501e9)
    assert (state.power_w, state.temperature_c, state.memory_used_bytes) == (123.4, 61.0, 1 << 30)
    assert state.throttle_reasons == ("power limit", "temperature (software)")
    assert state.foreign_processes == 1


def test_what_nvml_does_not_say_is_none_and_never_zero(nvml: FakeNvml) -> None:
    nvml.missing = {name for name in dir(FakeNvml) if name.startswith(("nvmlDeviceGet", "nvmlSystemGet"))}
    nvml.missing.discard("nvmlDeviceGetHandleByPciBusId")
    with GpuWatch("cuda:0") as watch:
        assert set(watch.identity().values()) == {None}
        state = watch.state(own=[11])
    assert state is not None
    assert {value for name, value in vars(state).items()} == {None}
    assert summarise([state], [state])["slowed_by"] is None


def test_processes_of_another_numbering_are_not_called_foreign(nvml: FakeNvml) -> None:
    with GpuWatch("cuda") as watch:
        state = watch.state(own=[7], certain=7)
    assert state is not None
    assert state.foreign_processes is None


def test_a_device_that_cuda_does_not_show_is_told(nvml: FakeNvml) -> None:
    with GpuWatch("cuda:1") as watch:
        assert watch.identity() == {"unavailable": "CUDA shows no device 1"}
        assert watch.state() is None
    nvml.missing = {"nvmlDeviceGetHandleByPciBusId"}
    with GpuWatch("cuda") as watch:
        assert watch.identity() == {"unavailable": "NVML does not know the GPU at 0000:65:00.0"}


@pytest.mark.skipif(cuda_device_count() > 0, reason="says what a machine without a driver says")
def test_the_real_nvml_without_a_driver_says_so_in_words() -> None:
    with GpuWatch("cuda") as watch:
        assert watch.state() is None
        assert watch.identity() == {"unavailable": "NVML does not start: NVML Shared Library Not Found"}


def test_reasons_are_words_and_an_unknown_one_is_its_number() -> None:
    assert reasons_in_words(0) == ()
    assert reasons_in_words(0x1 | 0x40) == ("idle", "temperature (hardware)")
    assert reasons_in_words(0x4 | 0x1000) == ("power limit", "reason 0x1000")


def test_a_record_holds_each_round_and_a_summary_of_all(nvml: FakeNvml) -> None:
    with GpuWatch("cuda") as watch:
        rounds = GpuRounds(watch)
        nvml.reasons = 0x1
        rounds.begin(own=[11, 12], worker=11)
        nvml.reasons = 0x40
        assert rounds.end(0, own=[11, 12], worker=11) == {"process": 11 << 20}
        rounds.begin(own=[11, 12], worker=11)
        rounds.end(1, own=[11, 12], worker=11)
        record = rounds.record()
    assert [each["round"] for each in record["rounds"]] == [0, 1]
    assert record["rounds"][0]["before"]["throttle_reasons"] == ("idle",)
    assert record["summary"]["slowed_by"] == ["temperature (hardware)"]
    assert record["summary"]["sm_clock_hz"] == {"before": 2.52e9, "after": 2.52e9}
    assert record["summary"]["foreign_processes"] == 1
    assert "processes" not in record["rounds"][0]["after"]
    assert rounds.warnings == [
        "the GPU was held back by: temperature (hardware)", "other processes used the GPU",
    ]  # fmt: skip


def test_medians_leave_out_what_is_not_known() -> None:
    known = GpuState(
        sm_clock_hz=1e9, memory_clock_hz=None, throttle_reasons=(), power_w=None, temperature_c=50.0,
        memory_used_bytes=None, processes=None, foreign_processes=None,
    )  # fmt: skip
    other = replace(known, sm_clock_hz=None, temperature_c=70.0)
    found = summarise([known, other], [other])
    assert found["sm_clock_hz"] == {"before": 1e9, "after": None}
    assert found["temperature_c"] == {"before": 60.0, "after": 70.0}
    assert found["slowed_by"] == []
    assert found["memory_used_bytes"] is None
    assert as_record({"name": "x"}, [], [], []) == {"name": "x"}


def test_only_candidates_on_a_gpu_are_looked_at() -> None:
    assert gpu_device("onnx", "cpu") is None
    assert gpu_device("torch", "cuda:1") == "cuda:1"
    assert gpu_device("trt", "cpu") == "cuda"


def test_a_measurement_on_a_cpu_holds_no_gpu(make_candidate: Callable[..., Candidate], brief: MeasureSettings) -> None:
    (found,) = measure([make_candidate()], brief).measurements
    assert (found.gpu, found.device_s, found.device_memory_bytes) == ({}, (), {})


def test_a_measurement_on_a_gpu_holds_device_time_memory_and_the_states_of_each_round(
    nvml: FakeNvml, make_candidate: Callable[..., Candidate], brief: MeasureSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker is real and runs on the CPU; what a GPU would add to its answers is added on the way."""
    from slrbench.measure import process

    real = process.Worker.ask

    def ask(self: process.Worker, op: str, **arguments: Any) -> dict[str, Any]:
        if op == "open":
            assert (arguments["device"], arguments["precision"], arguments["variant"]) == ("cuda", "fp16", "tensorrt")
            arguments |= {"device": "cpu", "precision": "fp32", "variant": ""}
            nvml.pids = [self.pid, os.getpid(), 99]
        answer = real(self, op, **arguments)
        if op == "round":
            answer |= {
                "device_s": [value / 2 for value in answer["compute_s"]],
                "device_memory_bytes": {"peak": 5 + self.pid % 2},
            }
        return answer

    monkeypatch.setattr(process.Worker, "ask", ask)
    candidate = make_candidate(device="cuda", precision="fp16", variant="tensorrt")
    (found,) = measure([candidate], brief).measurements
    assert found.device_s == tuple(value / 2 for value in found.compute_s)
    assert found.device_memory_bytes["peak"] in (5, 6)
    assert found.device_memory_bytes["process"] > 0
    assert [each["round"] for each in found.gpu["rounds"]] == [0, 1]
    assert found.gpu["name"] == "NVIDIA Something"
    assert "other processes used the GPU" in found.warnings
    assert Measurement.model_validate_json(found.model_dump_json()).gpu["summary"]["foreign_processes"] == 1
