"""Energy from counters in files, and the words where there are none."""

import os
from pathlib import Path

import pytest

from slrbench.measure.energy import NVML, RAPL, NvmlMeter, RaplMeter, energy_meter, energy_of_pass
from slrbench.measure.environment import gpu_names
from slrbench.records import Energy


def package(folder: Path, name: str, energy_uj: int, *, zone: str = "package-0") -> Path:
    made = folder / name
    made.mkdir(parents=True, exist_ok=True)
    (made / "name").write_text(f"{zone}\n")
    (made / "energy_uj").write_text(f"{energy_uj}\n")
    (made / "max_energy_range_uj").write_text("262143328850\n")
    return made


def test_packages_are_summed_and_their_parts_are_not(tmp_path: Path) -> None:
    one = package(tmp_path, "intel-rapl:0", 1_000_000)
    two = package(tmp_path, "intel-rapl:1", 5_000_000, zone="package-1")
    core = package(tmp_path, "intel-rapl:0:0", 0, zone="core")
    everything = package(tmp_path, "intel-rapl:2", 0, zone="psys")
    meter = RaplMeter(tmp_path)
    meter.begin()
    for zone, value in ((one, 4_000_000), (two, 5_500_000), (core, 9_000_000), (everything, 9_000_000)):
        (zone / "energy_uj").write_text(str(value))
    assert (meter.source, meter.unavailable) == (RAPL, "")
    assert meter.joules() == pytest.approx(3.5)


def test_a_counter_that_starts_again_from_zero_goes_on(tmp_path: Path) -> None:
    zone = package(tmp_path, "intel-rapl:0", 262_143_000_000)
    meter = RaplMeter(tmp_path)
    meter.begin()
    (zone / "energy_uj").write_text("671150\n")
    assert meter.joules() == pytest.approx(1.0)


def test_where_there_is_no_counter_it_is_said_why(tmp_path: Path) -> None:
    assert RaplMeter(tmp_path / "none").unavailable == "not available here: the system shows no RAPL package"
    zone = package(tmp_path, "intel-rapl:0", 1)
    (zone / "energy_uj").unlink()
    (zone / "energy_uj").mkdir()  # as a file that may not be read
    meter = RaplMeter(tmp_path)
    assert "root only" in meter.unavailable
    assert energy_of_pass(meter, None, 5, 1.0) == Energy(unavailable=meter.unavailable).model_dump()


def test_a_pass_gives_the_records_fields(tmp_path: Path) -> None:
    package(tmp_path, "intel-rapl:0", 1)
    meter = RaplMeter(tmp_path)
    expected = Energy(source=RAPL, joules=2.0, calls=5, seconds=1.5)
    assert Energy(**energy_of_pass(meter, 2.0, 5, 1.5)) == expected
    assert "could not be read" in energy_of_pass(meter, None, 5, 1.5)["unavailable"]
    assert energy_of_pass(meter, 2.0, 0, 0.0)["unavailable"] == "no throughput was measured"


def test_the_counter_is_of_what_computes() -> None:
    assert isinstance(energy_meter("cpu"), RaplMeter)
    gpu = energy_meter("cuda")
    assert isinstance(gpu, NvmlMeter)
    if not gpu_names():
        assert gpu.unavailable.startswith("not available here: ")
        assert gpu.joules() is None
    else:
        assert gpu.source in (NVML, "")


@pytest.mark.skipif(os.name != "posix", reason="RAPL is Linux'")
def test_this_machines_own_counter_grows_or_says_why_not() -> None:
    meter = RaplMeter()
    meter.begin()
    joules = meter.joules()
    assert meter.unavailable or joules is None or joules >= 0
