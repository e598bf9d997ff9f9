"""From a real benchmark of a tiny file to a decision and a comparison of two runs, through the command line."""

from collections.abc import Callable
from pathlib import Path

import pytest

from slrbench.cli.app import main
from slrbench.measure.environment import capture_environment
from slrbench.measure.rounds import MeasureSettings, measure
from slrbench.records import Accuracy, Candidate, ErrorCounts, Report
from slrbench.reporting.derive import derive
from slrbench.reporting.store import write_report


def _accuracy(candidate: Candidate, errors: tuple[int, ...]) -> Accuracy:
    way = {"model", "backend", "precision", "variant", "device", "artifact_sha256", "input_kind", "height", "width"}
    counts = ErrorCounts(substitutions=sum(errors), deletions=0, insertions=0, reference_words=4 * len(errors))
    return Accuracy(
        **candidate.model_dump(include=way), split="test", data="made", data_fingerprint="0", clips=len(errors),
        counts=counts, wer=counts.wer, sequences_wrong=sum(map(bool, errors)), clip_errors=errors,
        clip_words=(4,) * len(errors),
    )  # fmt: skip


@pytest.fixture(scope="module")
def folders(
    make_candidate: Callable[..., Candidate], brief: MeasureSettings, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, str]:
    """Reports of two runs of the same two candidates."""
    root = tmp_path_factory.mktemp("reports")
    candidates = [make_candidate(model=name, parity="passed") for name in ("one", "two")]
    settings = MeasureSettings(rounds=6, processes=1, sampling=brief.sampling, limit_s=brief.limit_s)
    folders = []
    for name in ("base", "new"):
        environment = capture_environment().model_copy(update={"created_at": f"2026-01-02 {name}"})
        report = Report(
            title=name,
            created_at=environment.created_at,
            environment=environment,
            measurements=measure(candidates, settings).measurements,
            accuracies=tuple(_accuracy(c, (1, 0, 0, 1, 0, 0, 0, 0)) for c in candidates),
        )
        write_report(root / name, derive(report))
        folders.append(str(root / name))
    return folders[0], folders[1]


def test_a_bench_is_decided_on(folders: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["decide", folders[0], "--max-p50-ms", "10000", "--max-wer", "0.1"]) == 0
    text = capsys.readouterr().out
    assert "on onnx (fp32, cpu)" in text.splitlines()[0]
    assert "of resamples" in text
    assert main(["decide", folders[0], "--max-p50-ms", "10000", "--max-wer", "0.05"]) == 1
    assert "WER 6.25 % is above 5.00 % by 25 %" in " ".join(capsys.readouterr().out.split())


def test_a_p99_of_a_brief_bench_is_not_known(folders: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["decide", folders[0], "--max-p99-ms", "10000"]) == 1
    assert "more samples" in capsys.readouterr().out


def test_two_runs_of_one_thing_have_rows_in_common(folders: tuple[str, str], tmp_path: Path) -> None:
    target = tmp_path / "comment.md"
    # A machine that computes for others, too, may be slower for a while; what is tested is that rows are found.
    code = main(["compare", *folders, "--fail-if-slower", "99%", "--markdown", "--output", str(target)])
    assert code in (0, 1)
    text = target.read_text(encoding="utf-8")
    assert "| one " in text
    assert "| two " in text
    assert "No WER changed. No file changed its size." in text
