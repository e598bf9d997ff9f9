"""Two reports row by row: verdicts, the gate's exit code, what is refused, and what is said of the rest."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from slrbench.cli.app import main
from slrbench.errors import BadInputError
from slrbench.records import Report, Skipped
from slrbench.reporting.compare_reports import ComparedReports, compare_reports, parse_share
from slrbench.reporting.merge import merge
from slrbench.reporting.render_compare import render_compare, render_compare_markdown, verdict_sentence
from slrbench.reporting.store import write_report
from tests.reporting.made_reports import STUDENT, STUDENT_ONNX, TEACHER, WRONG, File, make_report

FILES = (TEACHER, STUDENT, STUDENT_ONNX)
LATER = {"created_at": "2026-02-03T04:05:06+00:00"}


def _new(*files: File, seed: int = 1, **changes: Any) -> Report:
    environment = {**LATER, **changes.pop("environment", {})}
    return make_report(*files, seed=seed, environment=environment, **changes)


def _slower(factor: float, *files: File) -> list[File]:
    return [replace(file, p50_ms=factor * file.p50_ms) for file in files]


def _words(compared: ComparedReports) -> list[str]:
    return [row.verdict for row in compared.rows]


@pytest.fixture(scope="module")
def base() -> Report:
    return make_report(*FILES)


# --- verdicts ---------------------------------------------------------------------------------------------------------


def test_noise_is_no_regression(base: Report) -> None:
    for seed in range(1, 6):
        compared = compare_reports(base, _new(*FILES, seed=seed))
        assert compared.regressions == ()
        assert set(_words(compared)) <= {"SAME", "UNCLEAR"}


def test_what_is_slower_by_more_than_is_allowed_is_a_regression(base: Report) -> None:
    compared = compare_reports(base, _new(*_slower(1.12, TEACHER), STUDENT, STUDENT_ONNX))
    assert _words(compared)[0] == "SLOWER"
    (row,) = compared.regressions
    assert (row.model, row.regression) == ("teacher", "slower")
    assert row.interval is not None
    assert 1.05 < row.interval.low < row.ratio < row.interval.high
    assert verdict_sentence(compared).startswith("Regression: teacher on openvino (fp32, cpu), 1 x 32")


def test_what_is_slower_by_less_than_is_allowed_is_named_and_passes(base: Report) -> None:
    new = _new(*_slower(1.12, TEACHER), STUDENT, STUDENT_ONNX)
    compared = compare_reports(base, new, fail_if_slower=0.2)
    assert (_words(compared)[0], compared.regressions) == ("SLOWER", ())
    assert "no row is slower by more than 20.00 % for sure" in verdict_sentence(compared)


def test_what_is_faster_is_said(base: Report) -> None:
    assert _words(compare_reports(base, _new(*_slower(0.8, *FILES)))) == ["FASTER"] * 3


def test_the_other_way_round_the_ratio_is_one_over_it(base: Report) -> None:
    new = _new(*_slower(1.3, *FILES))
    there, back = compare_reports(base, new), compare_reports(new, base)
    for one, other in zip(there.rows, back.rows, strict=True):
        assert one.ratio * other.ratio == pytest.approx(1.0)
        assert {one.verdict, other.verdict} == {"SLOWER", "FASTER"}


def test_a_noise_floor_above_the_difference_makes_no_verdict(base: Report) -> None:
    """Both copies of the baseline differ by 15 %: no 12 % can be believed."""
    noisy = make_report(*FILES, control_factor=1.15)
    compared = compare_reports(noisy, _new(*_slower(1.12, TEACHER), STUDENT, STUDENT_ONNX))
    assert compared.threshold == pytest.approx(0.15)
    assert "SLOWER" not in _words(compared)
    assert any("not valid" in note for note in compared.notes)
    assert any("the new report has no A/A control" in note for note in compared.notes)


def test_too_few_rounds_are_unclear_and_say_how_many_are_missing() -> None:
    few = make_report(STUDENT, rounds=3)
    (row,) = compare_reports(few, _new(*_slower(2.0, STUDENT), rounds=10)).rows
    assert (row.verdict, row.more_rounds, row.interval, row.regression) == ("UNCLEAR", 3, None, "")


def test_a_report_without_samples_is_unclear(base: Report) -> None:
    bare = base.model_copy(
        update={
            "measurements": (),
            "summary": tuple(row.model_copy(update={"measurement": None}) for row in base.summary),
        }
    )
    assert set(_words(compare_reports(bare, _new(*_slower(2.0, *FILES))))) == {"UNCLEAR"}


def test_compute_can_be_compared_instead(base: Report) -> None:
    compared = compare_reports(base, _new(*FILES), scope="compute")
    assert compared.rows[0].base_p50_s == pytest.approx(0.9 * base.summary[1].p50_s)


def test_a_lost_parity_is_a_regression(base: Report) -> None:
    lost = replace(STUDENT, candidate={"parity": "failed"})
    compared = compare_reports(base, _new(TEACHER, lost, STUDENT_ONNX))
    assert [(row.regression, row.parity) for row in compared.regressions] == [("parity", "passed -> failed")]
    assert "without parity, which passed before" in verdict_sentence(compared)


def test_wer_and_size_changes_are_given_with_their_interval(base: Report) -> None:
    changed = replace(STUDENT, errors=36, size_mb=9.5, content="retrained")
    compared = compare_reports(base, _new(TEACHER, changed, STUDENT_ONNX))
    row = compared.rows[1]
    assert row.wer_change == pytest.approx(12 / 240)
    assert row.wer_interval is not None
    assert row.wer_interval.low > 0
    assert (row.size_change_bytes, row.same_file) == (500_000, False)
    assert compared.rows[0].wer_change == 0.0


def test_a_wer_that_rose_for_sure_is_a_regression_unless_that_much_is_allowed(base: Report) -> None:
    worse = _new(TEACHER, replace(STUDENT, errors=36), STUDENT_ONNX)
    compared = compare_reports(base, worse)
    assert [(row.model, row.regression) for row in compared.regressions] == [("student", "wer")]
    assert "(+5.00 points) rose for sure" in verdict_sentence(compared)
    assert compare_reports(base, worse, allow_wer=0.1).regressions == ()
    better = _new(TEACHER, replace(STUDENT, errors=12), STUDENT_ONNX)
    assert compare_reports(base, better).regressions == ()


def test_a_wer_that_may_have_risen_by_chance_is_none(base: Report) -> None:
    row = compare_reports(base, _new(TEACHER, replace(STUDENT, errors=25), STUDENT_ONNX)).rows[1]
    assert row.wer_change is not None
    assert row.wer_change > 0.0
    assert row.regression == ""


@pytest.mark.parametrize(
    "change",
    [{"data_fingerprint": "other"}, {"scoring": "csl-daily"}, {"alignment": "sclite"}, {"decoder": "beam:10"}],
    ids=str,
)
def test_wer_on_other_data_or_counted_otherwise_is_not_compared(base: Report, change: dict[str, str]) -> None:
    new = _new(*FILES)
    other = tuple(a.model_copy(update=change) for a in new.accuracies)
    assert compare_reports(base, new.model_copy(update={"accuracies": other})).rows[0].wer_change is None


def test_rows_of_one_report_only_are_named_with_the_reason(base: Report) -> None:
    skipped = Skipped(model="teacher", backend="openvino", precision="fp32", device="cpu", reason="out of memory")
    compared = compare_reports(base, _new(STUDENT, STUDENT_ONNX, WRONG, skipped=(skipped,)))
    assert compared.only_base == ("teacher on openvino (fp32, cpu), 1 x 32, 64 x 64, 2 threads: out of memory",)
    assert compared.only_new == ("student on torchscript (fp32, cpu), 1 x 32, 64 x 64, 2 threads",)


def test_files_that_did_not_change_tell_that_the_session_did(base: Report) -> None:
    compared = compare_reports(base, _new(*_slower(1.3, TEACHER, STUDENT), replace(STUDENT_ONNX, content="new")))
    assert any("files that did not change differ by" in note for note in compared.notes)
    compared = compare_reports(base, _new(*_slower(1.3, *FILES)))
    assert any("no file of any row changed" in note for note in compared.notes)


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"cpu": "Other CPU"}, "unlike machines: CPU Example.* and Other CPU"),
        ({"cpu_logical_cores": 8}, "unlike machines: logical cores 4 and 8"),
        ({"cpu_physical_cores": None}, "unlike machines: physical cores 2 and unknown"),
        ({"gpus": ("Example GPU, 24 GiB, driver 1",)}, "unlike machines: GPUs none and Example GPU, 24 GiB"),
        ({"versions": {"openvino": "2026.4.1", "onnxruntime": "1.32.0"}}, "versions of runtimes: onnxruntime 1.31.1"),
    ],
)
def test_unlike_machines_and_versions_are_refused_unless_allowed(
    base: Report, environment: dict[str, Any], words: str
) -> None:
    new = _new(*FILES, environment=environment)
    with pytest.raises(BadInputError, match=words) as refused:
        compare_reports(base, new)
    assert "--allow-unlike" in (refused.value.hint or "")
    compared = compare_reports(base, new, allow_unlike=True)
    assert len(compared.rows) == 3
    assert compared.unlike
    assert "Unlike, and compared all the same" in render_compare(compared)


def test_a_driver_is_a_version() -> None:
    gpu = [{"gpus": (f"Example GPU, 24 GiB, driver {number}",)} for number in (1, 2)]
    with pytest.raises(BadInputError, match="versions of runtimes: driver 1 and 2"):
        compare_reports(make_report(STUDENT, environment=gpu[0]), _new(STUDENT, environment=gpu[1]))


def test_versions_of_what_is_not_compared_do_not_matter(base: Report) -> None:
    versions = {"openvino": "2026.4.1", "onnxruntime": "1.31.1", "torch": "3.0"}
    assert compare_reports(base, _new(*FILES, environment={"versions": versions})).unlike == ()


def test_reports_without_a_common_row_the_same_report_and_merged_ones_are_refused(base: Report) -> None:
    with pytest.raises(BadInputError, match="no row is in both reports"):
        compare_reports(base, _new(WRONG))
    with pytest.raises(BadInputError, match="both are the same report"):
        compare_reports(base, base)
    other = make_report(*FILES, environment={"cpu": "Other CPU"})
    with pytest.raises(BadInputError, match="is merged from several reports"):
        compare_reports(base, merge([base, other]))


@pytest.mark.parametrize(("text", "share"), [("5%", 0.05), ("5 %", 0.05), ("0.05", 0.05), ("2.5%", 0.025)])
def test_a_share_is_read(text: str, share: float) -> None:
    assert parse_share(text) == pytest.approx(share)


@pytest.mark.parametrize("text", ["5", "0", "-1%", "100%", "five", "nan", ""])
def test_what_is_no_share_is_refused(text: str) -> None:
    with pytest.raises(BadInputError, match="is not a share"):
        parse_share(text)


# --- the command ------------------------------------------------------------------------------------------------------


@pytest.fixture
def folders(tmp_path: Path, base: Report) -> tuple[str, str, str]:
    """Reports of what was, of the same again, and of something slower."""
    reports = {"base": base, "same": _new(*FILES), "slower": _new(*_slower(1.2, TEACHER), STUDENT, STUDENT_ONNX)}
    for name, report in reports.items():
        write_report(tmp_path / name, report)
    return str(tmp_path / "base"), str(tmp_path / "same"), str(tmp_path / "slower")


def test_the_exit_code_is_the_gate(folders: tuple[str, str, str], capsys: pytest.CaptureFixture[str]) -> None:
    base, same, slower = folders
    assert main(["compare", base, same]) == 0
    assert capsys.readouterr().out.startswith("No regression: ")
    assert main(["compare", base, slower, "--fail-if-slower", "5%"]) == 1
    captured = capsys.readouterr()
    assert captured.out.startswith("Regression: teacher on openvino")
    assert "error: regression: teacher on openvino" in captured.err
    assert main(["compare", base, slower, "--fail-if-slower", "50%"]) == 0


def test_missing_rows_fail_where_that_is_asked_for(
    tmp_path: Path, base: Report, capsys: pytest.CaptureFixture[str]
) -> None:
    skipped = Skipped(model="teacher", backend="openvino", precision="fp32", device="cpu", reason="out of memory")
    for name, report in {"base": base, "fewer": _new(STUDENT, STUDENT_ONNX, skipped=(skipped,))}.items():
        write_report(tmp_path / name, report)
    command = ["compare", str(tmp_path / "base"), str(tmp_path / "fewer")]
    assert main(command) == 0
    assert main([*command, "--fail-if-missing"]) == 1
    assert "the new report lacks 1 of the base report's rows: teacher on openvino" in capsys.readouterr().err


@pytest.mark.parametrize(
    "more",
    [["--allow-wer", "x"], ["--fail-if-slower", "5"], ["--json", "--markdown"], ["--scope", "device"]],
    ids=lambda more: more[0],
)
def test_wrong_input_is_exit_code_2(folders: tuple[str, str, str], more: list[str]) -> None:
    assert main(["compare", *folders[:2], *more]) == 2


def test_a_missing_report_is_exit_code_2(folders: tuple[str, str, str], tmp_path: Path) -> None:
    assert main(["compare", folders[0], str(tmp_path / "none")]) == 2


def test_json_is_the_record_and_markdown_a_table(
    folders: tuple[str, str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base, _, slower = folders
    assert main(["compare", base, slower, "--json"]) == 1
    record = ComparedReports.model_validate(json.loads(capsys.readouterr().out))
    assert record.rows[0].verdict == "SLOWER"
    target = tmp_path / "comment.md"
    assert main(["compare", base, slower, "--markdown", "--output", str(target)]) == 1
    text = target.read_text(encoding="utf-8")
    assert text == render_compare_markdown(record)
    assert text.startswith("**Regression: ")
    assert "| teacher | openvino | 1 x 32 |" in text


def test_the_text_is_the_golden_one_and_fits_the_screen(
    base: Report, golden_folder: Path, check_golden: Callable[[str, Path], None]
) -> None:
    changed = [*_slower(1.2, TEACHER), replace(STUDENT, errors=30, size_mb=9.4), WRONG]
    text = render_compare(compare_reports(base, _new(*changed)))
    check_golden(text, golden_folder / "compare.txt")
    assert max(map(len, text.splitlines())) <= 100


def test_long_names_fit_the_screen() -> None:
    long = replace(STUDENT, model="a-model-of-a-name-that-is-much-longer-than-any-table-likes")
    other = replace(long, p50_ms=1000.0, candidate={"threads": 16, "height": 224, "variant": "compile-max-autotune"})
    changed = [replace(file, errors=60, size_mb=300.0) for file in (long, other)]
    text = render_compare(compare_reports(make_report(long, other), _new(*changed)))
    assert max(map(len, text.splitlines())) <= 100


def test_a_pass_says_how_large_a_slowdown_could_have_gone_unseen(base: Report) -> None:
    compared = compare_reports(base, _new(*FILES), fail_if_slower=0.05)
    assert compared.unseen is not None
    assert compared.unseen > 0.05
    widths = [row.interval.value / row.interval.low for row in compared.rows if row.interval is not None]
    assert compared.unseen == pytest.approx(1.05 * max(widths) - 1.0)
    assert "could have gone unseen in the noisiest row" in verdict_sentence(compared)


def test_rows_without_an_interval_could_have_shown_nothing_and_are_inconclusive(base: Report) -> None:
    compared = compare_reports(base, _new(*FILES), fail_if_slower=0.05)
    blind = compared.model_copy(update={"rows": tuple(r.model_copy(update={"interval": None}) for r in compared.rows)})
    assert blind.unseen is None
    assert blind.inconclusive == blind.rows
    assert "could not have shown one" in verdict_sentence(blind)


def test_what_is_unclear_fails_only_where_that_is_asked_for(tmp_path: Path, base: Report) -> None:
    near = _new(*_slower(1.05, *FILES))  # right at what is allowed: neither slower for sure nor not
    paths = [str(write_report(tmp_path / name, report)) for name, report in (("base", base), ("new", near))]
    assert compare_reports(base, near, fail_if_slower=0.05).inconclusive
    assert main(["compare", *paths]) == 0
    assert main(["compare", *paths, "--fail-if-unclear"]) == 1
