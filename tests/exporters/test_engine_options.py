"""What may be asked of an engine, and what is refused before anything is built."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporters.artifact import ExporterError
from exporters.engine_options import EngineOptions, Range, parse_compute_capability, target_name


@given(sizes=st.lists(st.integers(1, 10_000), min_size=3, max_size=3).map(sorted))
def test_a_range_reads_back_what_it_was_written_as(sizes: list[int]) -> None:
    low, usual, high = sizes
    assert Range.parse(f"{low}:{usual}:{high}", option="--batch").as_list() == sizes
    assert Range.parse(f"{low}:{high}", option="--batch").as_list() == [low, high, high]
    assert Range.parse(f" {low} ", option="--batch").as_list() == [low] * 3


@pytest.mark.parametrize("text", ["", "a", "0", "0:4", "8:1", "1:9:8", "1:2:3:4", "-1", "1.5", "1:"])
def test_what_is_no_range_is_refused_with_the_option_and_the_value(text: str) -> None:
    with pytest.raises(ExporterError, match=f"--frames '{text}'") as caught:
        Range.parse(text, option="--frames")
    assert caught.value.bad_input
    assert "min:opt:max" in caught.value.message
    assert "--frames 1:4:8" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"builder_optimization_level": 6}, "--optimization-level is 6, expected 0 to 5"),
        ({"builds": 0}, "--builds is 0"),
        ({"max_aux_streams": -1}, "--aux-streams is -1"),
        ({"workspace_bytes": -5 << 20}, "--workspace-mb is -5, expected at least 1"),
        ({"workspace_bytes": 0}, "--workspace-mb is 0"),
        ({"builder": "openvino"}, "unknown builder 'openvino'"),
        ({"hardware_compatibility": "all"}, "unknown hardware compatibility 'all'"),
        ({"compute_capabilities": ("8.9", "9.0")}, "cannot build for compute capability 9.0"),
        (
            {"builder": "tensorrt-rtx", "hardware_compatibility": "ampere_plus"},
            "--hardware-compatibility ampere_plus is TensorRT's, and TensorRT-RTX has none",
        ),
        ({"builder": "tensorrt-rtx", "version_compatible": True}, "--version-compatible is TensorRT's"),
    ],
)
def test_a_value_out_of_range_is_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ExporterError, match=words) as caught:
        EngineOptions(**options)
    assert caught.value.bad_input
    assert caught.value.hint


@pytest.mark.parametrize(
    ("text", "expected"), [("86", "8.6"), ("8.9", "8.9"), ("sm75", "7.5"), ("SM_120", "12.0"), (" 12.1 ", "12.1")]
)
def test_compute_capabilities_are_read_as_people_write_them(text: str, expected: str) -> None:
    assert parse_compute_capability(text) == expected


def test_what_only_tensorrt_can_do_is_asked_of_it_or_of_whichever_is_here() -> None:
    for builder in ("tensorrt", "auto"):
        options = EngineOptions(builder=builder, hardware_compatibility="ampere_plus", version_compatible=True)  # type: ignore[arg-type]
        options.check_builder("tensorrt")
        with pytest.raises(ExporterError, match=r"TensorRT-RTX \(which was taken\) has none"):
            options.check_builder("tensorrt-rtx", chosen="which was taken")


@pytest.mark.parametrize("text", ["99999", "1:64:10001", "1:99999:99999", "9" * 18])
def test_a_range_that_no_gpu_could_hold_is_refused(text: str) -> None:
    with pytest.raises(ExporterError, match=f"--frames '{text}' goes up to .*, expected min:opt:max with max at most"):
        Range.parse(text, option="--frames")


def test_an_input_of_more_values_than_a_tensor_holds_is_refused_and_a_range_that_fits_is_told() -> None:
    options = EngineOptions(batch=Range(min=1, opt=1, max=64), frames=Range(min=1, opt=64, max=2000))
    options.check_volume((64, 64))
    with pytest.raises(ExporterError, match="64 with --frames up to 2000 of 224x224 pixels is an input of") as caught:
        options.check_volume((224, 224))
    hint = str(caught.value.hint).partition(", or")[0].split()
    smaller = Range.parse(hint[1], option=hint[0])
    EngineOptions(batch=options.batch, frames=smaller).check_volume((224, 224))
    with pytest.raises(ExporterError, match="values"):
        EngineOptions(batch=options.batch, frames=Range(min=1, opt=1, max=smaller.max + 1)).check_volume((224, 224))


@pytest.mark.parametrize("builder", ["auto", "tensorrt-rtx"])
def test_a_compute_capability_that_the_builder_lacks_is_refused_as_it_was_typed(builder: str) -> None:
    for text in ("999", "9.0", "sm90"):
        with pytest.raises(ExporterError, match=f"--compute-capability '{text}' is none that TensorRT-RTX") as caught:
            parse_compute_capability(text, builder)
        assert caught.value.bad_input
    assert parse_compute_capability("90", "tensorrt") == "9.0"


@pytest.mark.parametrize("text", ["", "8", "ampere", "1234", "8,6"])
def test_what_is_no_compute_capability_is_refused(text: str) -> None:
    with pytest.raises(ExporterError, match="is not a compute capability"):
        parse_compute_capability(text)


def test_a_target_names_library_and_gpus() -> None:
    assert target_name("tensorrt-rtx", ("8.6", "12.0")) == "rtx.sm86-sm120"
    assert target_name("tensorrt", ("9.0",)) == "trt.sm90"


def test_shapes_follow_the_layout_of_the_input() -> None:
    options = EngineOptions(batch=Range(min=1, opt=2, max=4), frames=Range(min=8, opt=16, max=32))
    assert options.shapes((48, 64), channels_last=False) == ((1, 3, 8, 48, 64), (2, 3, 16, 48, 64), (4, 3, 32, 48, 64))
    assert options.shapes((48, 64), channels_last=True)[2] == (4, 32, 48, 64, 3)
