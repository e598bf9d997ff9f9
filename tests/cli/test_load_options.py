"""The options of load: what they mean, and what is refused in words."""

from pathlib import Path
from typing import Any

import pytest

from slrbench.cli.app import main
from slrbench.cli.load_options import load_settings
from slrbench.errors import BadInputError, ExitCode
from slrbench.measure.load import loadgen
from slrbench.measure.load.settings import LoadSettings
from slrbench.reporting.store import read_report

UNTRAINED = "student:width_mult=0.35,conv_channels=8,lstm_hidden=8,lstm_layers=1,num_classes=5,size=32"


def settings(**changes: Any) -> LoadSettings:
    usual: dict[str, Any] = {
        "load": None, "streams": None, "stride": None, "bound_ms": 200.0, "seconds": 10.0, "seed": 0
    }  # fmt: skip
    return load_settings(**{**usual, **changes})


def test_words_become_loadgens_scenarios() -> None:
    assert not settings().wanted
    found = settings(load="server, offline,server", streams="auto", bound_ms=143.0, stride=8)
    assert found.scenarios == ("Server", "Offline")
    assert (found.streams, found.bound_s, found.stride, found.wanted) == ("auto", 0.143, 8, True)
    assert settings(streams="7").streams == 7


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"load": "serve"}, "unknown load scenario 'serve'"),
        ({"streams": "many"}, "neither a number of at most 9 digits nor auto"),
        ({"streams": "-1"}, "neither a number of at most 9 digits nor auto"),
        ({"streams": "9" * 5000}, "neither a number of at most 9 digits nor auto"),
        ({"streams": "0"}, "--streams 0 cannot be used, expected is a number from 1 to 4096 streams"),
        ({"streams": "4097"}, "--streams 4097 cannot be used"),
        ({"bound_ms": 0.0}, "--latency-bound-ms 0.0 cannot be used, expected is a number from 0.001 to 3600000 ms"),
        ({"bound_ms": float("nan")}, "--latency-bound-ms nan cannot be used"),
        ({"bound_ms": float("inf")}, "--latency-bound-ms inf cannot be used"),
        ({"seconds": -1.0}, "--load-seconds -1.0 cannot be used, expected is a number from 0.001 to 86400 s"),
        ({"seconds": float("nan")}, "--load-seconds nan cannot be used"),
        ({"seconds": float("inf")}, "--load-seconds inf cannot be used"),
        ({"seconds": 1e300}, "--load-seconds 1e.300 cannot be used"),
        ({"stride": 0}, "--stride 0 cannot be used, expected is a number from 1 to 15000 frames"),
        ({"stride": 10**9}, "--stride 1000000000 cannot be used"),
        ({"load": "server", "seed": -1}, "--seed -1 cannot be used"),
    ],
)
def test_what_makes_no_sense_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(BadInputError, match=words) as caught:
        settings(**changes)
    assert caught.value.hint


@pytest.mark.parametrize("option", ["--load-seconds", "--latency-bound-ms"])
@pytest.mark.parametrize("value", ["nan", "inf"])
def test_a_number_that_is_none_ends_with_exit_2_and_a_hint(
    option: str, value: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    code = main(["bench", "--untrained", UNTRAINED, "--streams", "1", option, value, "-o", str(tmp_path / "report")])
    assert code == ExitCode.BAD_INPUT
    said = capsys.readouterr().err
    assert f"{option} {value} cannot be used" in said
    assert f"hint: {option} " in said


@pytest.mark.parametrize("limit", [0.001, 0.003, 3_600_000.0])
def test_the_limits_themselves_are_taken(limit: float) -> None:
    assert settings(streams="4096", bound_ms=limit, seconds=86_400.0, stride=15_000).streams == 4096


def test_without_the_extra_load_exits_3_before_anything_is_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(loadgen, "find_spec", lambda name: None)
    code = main(["bench", "--untrained", UNTRAINED, "--load", "server", "-o", str(tmp_path / "report")])
    assert code == ExitCode.UNAVAILABLE
    assert "pip install -e '.[load]'" in capsys.readouterr().err
    assert not (tmp_path / "report").exists()


def test_bench_puts_streams_into_the_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "report"
    arguments = ["bench", "--untrained", UNTRAINED, "--backend", "onnx", "--frames", "8", "--threads", "1", "--quick"]
    arguments += ["--rounds", "1", "--wer-clips", "0", "--streams", "1", "--latency-bound-ms", "60000"]
    assert main([*arguments, "--load-seconds", "0.2", "-o", str(folder)]) == ExitCode.OK
    (run,) = read_report(folder).load
    assert (run.scenario, run.figure, run.candidate.backend) == ("streams", 1.0, "onnx")
    assert "sustains 1 stream" in capsys.readouterr().out
    assert "## Under load" in (folder / "report.md").read_text()
