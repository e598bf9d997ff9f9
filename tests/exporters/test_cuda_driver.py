"""Which device a thread works on, with a recorder in the driver's place; and what a machine without one says."""

import ctypes
from typing import Any

import pytest

from exporters import cuda_driver
from exporters.cuda_driver import CudaDriver, current_device, device_index, device_word


class Driver:
    """Writes down what is called; ``refused`` is the one call that fails."""

    def __init__(self, refused: str = "") -> None:
        self.calls: list[str] = []
        self.refused = refused

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any) -> int:
            self.calls.append(name)
            return 2 if name == self.refused else 0

        return call


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Driver:
    recorder = Driver()
    monkeypatch.setattr(ctypes, "CDLL", lambda name: recorder)
    return recorder


def test_the_first_device_is_current_by_itself(driver: Driver) -> None:
    with current_device(0):
        pass
    assert driver.calls == []


@pytest.mark.parametrize("fails", [False, True])
def test_another_device_is_current_within_and_let_go_of_in_any_case(driver: Driver, fails: bool) -> None:
    before = ["cuDeviceGet", "cuDevicePrimaryCtxRetain", "cuCtxPushCurrent_v2"]
    try:
        with current_device(1):
            assert driver.calls == before
            if fails:
                raise RuntimeError
    except RuntimeError:
        assert fails
    assert driver.calls == [*before, "cuCtxPopCurrent_v2", "cuDevicePrimaryCtxRelease_v2"]


def test_a_device_that_cannot_be_made_current_is_told_and_let_go_of(driver: Driver) -> None:
    driver.refused = "cuCtxPushCurrent_v2"
    with pytest.raises(OSError, match="CUDA device 2 cannot be made current: the driver refuses"), current_device(2):
        pytest.fail("it was not current")
    assert driver.calls[-1] == "cuDevicePrimaryCtxRelease_v2"


def test_each_device_has_its_own_compute_capability() -> None:
    found = CudaDriver(((8, 6), (12, 0)), (13, 0), None)
    assert [found.compute_capability(index) for index in range(3)] == ["8.6", "12.0", None]
    assert CudaDriver((), None, "no driver").compute_capability() is None


def test_a_device_is_named_by_its_number() -> None:
    assert [device_word(index) for index in (0, 1, 2)] == ["cuda", "cuda:1", "cuda:2"]
    assert [device_index(word) for word in ("cpu", "cuda", "cuda:0", "cuda:3")] == [0, 0, 0, 3]


def test_without_a_driver_there_is_no_device(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(cuda_driver.ctypes, "CDLL", missing)
    found = cuda_driver.cuda_driver.__wrapped__()
    assert found.capabilities == ()
    assert "no NVIDIA driver is installed" in str(found.why_none)
