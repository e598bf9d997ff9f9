"""Requirements: from TOML and options, and what is refused with which words."""

from pathlib import Path
from typing import Any

import pytest

from slrbench.errors import BadInputError
from slrbench.reporting.requirements import LIMITS, Requirements, parse_wer, read_requirements


def _write(folder: Path, text: str) -> Path:
    path = folder / "edge.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_toml_holds_every_requirement_by_the_options_names(tmp_path: Path) -> None:
    text = (
        "max_p50_ms = 30\nmax_p99_ms = 40.5\nmax-size-mb = 20\nmax_memory_mb = 500\nmax_cold_start_ms = 2000\n"
        'max_wer = 0.15\nmin_streams = 4\nmin_throughput = 25\ndevice = "cpu"\nbatch = 1\nframes = 32\n'
        'objective = "size"\n'
    )
    assert read_requirements(_write(tmp_path, text), {}) == Requirements(
        max_p50_ms=30, max_p99_ms=40.5, max_size_mb=20, max_memory_mb=500, max_cold_start_ms=2000, max_wer=0.15,
        min_streams=4, min_throughput=25, device="cpu", batch=1, frames=32, objective="size",
    )  # fmt: skip


def test_options_go_before_the_file(tmp_path: Path) -> None:
    path = _write(tmp_path, "max_p50_ms = 30\nmax_size_mb = 20\n")
    asked = read_requirements(path, {"max_p50_ms": 10.0, "max_size_mb": None, "max_wer": 0.0})
    assert (asked.max_p50_ms, asked.max_size_mb, asked.max_wer) == (10.0, 20.0, 0.0)


@pytest.mark.parametrize(
    ("line", "message", "hint"),
    [
        ("max_p98_ms = 40", "unknown requirement 'max_p98_ms'", "meant max_p99_ms?"),
        ("speed = 1", "unknown requirement 'speed'", "there are max_p50_ms"),
        ('max_p99_ms = "40"', "max_p99_ms = '40' is not a number", "max_p99_ms = 40"),
        ("max_p99_ms = true", "max_p99_ms = True is not a number", "max_p99_ms = 40"),
        ("max_p99_ms = 0", "max_p99_ms = 0 is not above 0", "max_p99_ms = 40"),
        ("max_size_mb = -3", "max_size_mb = -3 is not above 0", "max_size_mb = 20"),
        ("max_p50_ms = nan", "max_p50_ms = nan is not a finite number", "max_p50_ms = 30"),
        ("max_p50_ms = inf", "max_p50_ms = inf is not a finite number", "max_p50_ms = 30"),
        ("max_wer = 15", "max_wer = 15 is not a share from 0 to 1", "for 15 % write 0.15 or 15%"),
        ("min_streams = 2.5", "min_streams = 2.5 is not a whole number from 1", "min_streams = 4"),
        ("batch = 0", "batch = 0 is not a whole number from 1", "batch = 1"),
        ("device = 1", "device = 1 is not a word", 'device = "cpu"'),
        ('objective = "beauty"', "unknown objective 'beauty'", "latency, throughput, size, wer"),
        ("[limits]\nmax_p50_ms = 3", "unknown requirement 'limits'", "there are"),
        ("max_p50_ms = 3\nmax-p50-ms = 4", "max_p50_ms stands there twice", "leave one"),
        ("max_p50_ms =", "is not TOML", "max_p99_ms = 40"),
    ],
)
def test_what_does_not_fit_is_refused_in_words(tmp_path: Path, line: str, message: str, hint: str) -> None:
    with pytest.raises(BadInputError) as refused:
        read_requirements(_write(tmp_path, line), {})
    assert message in refused.value.message
    assert "edge.toml" in refused.value.message
    assert hint in (refused.value.hint or "")


def test_options_are_checked_alike() -> None:
    with pytest.raises(BadInputError, match="max_wer = 15"):
        read_requirements(None, {"max_wer": 15.0})


@pytest.mark.parametrize(("text", "share"), [("0.15", 0.15), ("15%", 0.15), (" 15 % ", 0.15), ("0", 0.0)])
def test_a_word_error_rate_is_a_share_or_percent(text: str, share: float) -> None:
    assert read_requirements(None, {"max_wer": parse_wer(text)}).max_wer == pytest.approx(share)


@pytest.mark.parametrize("text", ["fifteen", "", "15 %%", "%"])
def test_a_word_error_rate_that_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(BadInputError, match="is not a share"):
        parse_wer(text)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="there are no requirements at"):
        read_requirements(tmp_path / "none.toml", {})


@pytest.mark.parametrize(
    ("figure", "limit", "met"), [(0.04 * 1e3, 40.0, True), (40.001, 40.0, False), (None, 40.0, False)]
)
def test_a_figure_at_the_limit_keeps_it_and_an_unknown_one_does_not(figure: Any, limit: float, met: bool) -> None:
    p99 = next(one for one in LIMITS if one.name == "max_p99_ms")
    assert p99.met(figure, limit) == met
