"""bench on real files: what is measured, what is refused and why, and the report that comes of it."""

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from exporters.artifact import Manifest, read_manifest, write_manifest
from slrbench.cli.app import main
from slrbench.cli.bench_values import deeper_command
from slrbench.data import open_corpus
from slrbench.errors import BadInputError, ExitCode, NegativeVerdictError, UnavailableError
from slrbench.measure.process import Worker
from slrbench.measure.rounds import MeasureSettings
from slrbench.models.registry import build_model
from slrbench.models.spec import ModelSpec
from slrbench.reporting.store import read_report
from slrbench.training.card import CheckpointCard, read_card
from slrbench.training.checkpoint import save_checkpoint, update_card
from slrbench.training.verification import verify_model
from slrbench.workflows.bench import BenchOptions, bench, report_folder
from slrbench.workflows.bench_axes import Axes
from slrbench.workflows.bench_candidates import find_models, plan_candidates
from slrbench.workflows.export import export_model
from slrbench.workflows.untrained import parse_untrained

TINY = "width_mult=0.35,conv_channels=8,lstm_hidden=8,lstm_layers=1,num_classes=5,size=32"


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny student: verified, exported to every format, parity passed; not trained."""
    torch.set_num_threads(1)
    corpus = open_corpus("fingerspelling:language=ase,letters=8,size=32")
    spec = ModelSpec(
        architecture="student", num_classes=corpus.vocabulary.num_classes, width_mult=0.35, conv_channels=8,
        lstm_hidden=8, lstm_layers=1,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = build_model(spec).eval()
    folder = tmp_path_factory.mktemp("models") / "tiny"
    card = CheckpointCard(
        model_id="tiny", spec=spec, glosses=corpus.vocabulary.glosses, data=corpus.spec,
        data_fingerprint=corpus.fingerprint(), frames_per_second=corpus.frames_per_second,
        frame_size=corpus.frame_size, parameters=sum(p.numel() for p in model.parameters()),
        verification=verify_model(model, glosses=corpus.vocabulary.glosses, frame_size=corpus.frame_size),
    )  # fmt: skip
    save_checkpoint(folder, model, card)
    assert read_card(folder).checks_passed
    export_model(folder).raise_for_failures()
    return folder


@pytest.fixture
def model(exported: Path, tmp_path: Path) -> Path:
    """A copy of it that a test may damage."""
    return shutil.copytree(exported, tmp_path / "models" / "tiny")


def alter_manifest(folder: Path, change: Callable[[Manifest], Manifest]) -> None:
    manifest = read_manifest(folder)
    assert manifest is not None
    write_manifest(folder, change(manifest))


def with_verdict(passed: bool | None) -> Callable[[Manifest], Manifest]:
    def change(manifest: Manifest) -> Manifest:
        entry = manifest.find("onnx")
        assert entry is not None
        assert entry.parity is not None
        verdict = None
        if passed is not None:
            verdict = entry.parity.model_copy(update={"passed": passed, "reasons": ("max error 0.3",)})
        return manifest.with_entry(entry.model_copy(update={"parity": verdict}))

    return change


def run(*arguments: str | Path) -> int:
    return main(["bench", *map(str, arguments), "--quick", "--rounds", "1", "--threads", "1", "--frames", "8"])


def test_all_backends_side_by_side(exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "report"
    backends = "torch,torchscript,onnx,openvino,trt"
    assert run(exported, "--backend", backends, "--wer-clips", "3", "--json", "-o", folder) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["report"] == str(folder / "report.json")
    assert {path.name for path in folder.iterdir()} == {"report.json", "report.md", "report.csv", "report.html"}
    document = json.loads((folder / "report.json").read_text())
    assert document["summary"] == printed["summary"]
    rows = [row for row in document["summary"] if row["scope"] == "end_to_end"]
    assert [row["backend"] for row in rows] == ["torch", "torchscript", "onnx", "openvino"]
    for row in rows:
        assert (row["model"], row["threads"], row["batch"], row["frames"], row["parity"]) == ("tiny", 1, 1, 8, "passed")
        assert row["samples"] >= 22
        assert row["wer_split"] == "test"
        assert row["macs"] > row["parameters"] > 0
        assert all(row[name] > 0 for name in ("p50_s", "throughput_clips_per_s", "cold_start_s", "size_bytes"))
    assert len({row["wer"] for row in rows}) == 1
    assert len({row["artifact_sha256"] for row in rows}) == 4
    for m in document["measurements"]:
        runtime = {"torch": ["torch", "torchvision"], "torchscript": ["torch"], "onnx": ["onnxruntime"]}
        assert m["actual"]["runtimes_imported"] == runtime.get(m["candidate"]["backend"], ["openvino"])
        assert {name: m["actual"][name] for name in m["requested"]} == m["requested"]
        assert m["actual"]["inputs"].startswith("8 inputs of ")
        assert "test clips of fingerspelling" in m["actual"]["inputs"]
    (skipped,) = document["skipped"]
    assert (skipped["backend"], skipped["device"]) == ("trt", "cuda")
    assert "no CUDA device is visible" in skipped["reason"]
    assert document["decision"]["reason"]
    assert document["verdicts"].keys() == {row["artifact_sha256"] for row in rows[1:]}
    assert sorted(document["measuring"]["order"][0]) == [0, 1, 2, 3, 4]  # the last is the baseline's second copy
    assert len(document["measuring"]["candidates"]) == 5
    assert document["measuring"]["candidates"][4] == document["measuring"]["candidates"][0] + " (second copy)"
    assert (document["baseline"], document["control"]["candidate"]["backend"]) == (0, "torch")


def test_an_unavailable_backend_alone_is_exit_3_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--backend", "trt", "-o", tmp_path / "report") == ExitCode.UNAVAILABLE
    error = capsys.readouterr().err
    assert "error: backend 'trt' cannot run here: no CUDA device is visible" in error
    assert error.count("error:") == error.count("hint:") == 1
    assert not (tmp_path / "report").exists()
    assert run("--backend", "trt", "--precision", "fp32,fp16", "--cuda-graph") == ExitCode.UNAVAILABLE
    error = capsys.readouterr().err
    assert error.count("error:") == error.count("hint:") == 1
    assert run("--backend", "onnx", "--device", "cuda") == ExitCode.UNAVAILABLE


def test_what_makes_no_sense_is_a_row_among_others_and_exit_2_alone(
    exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "report"
    assert run(exported, "--backend", "torch", "--precision", "fp16", "-o", folder) == ExitCode.BAD_INPUT
    assert "error: fp16 of torch is measured on a GPU only" in capsys.readouterr().err
    assert not folder.exists()
    arguments = ("--backend", "onnx,torch,trt", "--precision", "fp32,tf32", "--batch", "1,2", "--wer-clips", "2")
    assert run(exported, *arguments, "-o", folder) == 0
    report = read_report(folder)
    assert {(row.backend, row.precision, row.batch) for row in report.summary} == {
        (backend, "fp32", batch) for backend in ("onnx", "torch") for batch in (1, 2)
    }
    skipped = [(row.backend, row.precision, row.device) for row in report.skipped]
    assert skipped == [
        ("onnx", "tf32", "cpu"), ("torch", "tf32", "cpu"), ("trt", "fp32", "cuda"), ("trt", "tf32", "cuda"),
    ]  # fmt: skip
    assert {(a.precision, a.variant, a.device) for a in report.accuracies} == {("fp32", "", "cpu")}
    assert "skipped tiny on trt tf32 cuda: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--backend", "onx"], "did you mean 'onnx'"),
        (["--device", "gpu"], "expected cpu, cuda or cuda:N"),
        (["--batch", "1,x"], "--batch 'x' is not a whole number"),
        (["--frames", "0"], "frames is 0"),
        (["--input", "int8"], "unknown input 'int8'"),
        (["--backend", ","], "no backends given"),
        (["no-such-model"], "there is no model 'no-such-model'"),
        (["--models", "no-such-model"], "there is no model 'no-such-model'"),
        (["--untrained", "lecturer"], "'lecturer' is not a network"),
        (["--name", "a/b"], "is not a name for a report"),
        (["--precision", "fp8"], "--precision 'fp8' is not known, expected some of fp32, tf32, fp16, bf16, int8"),
        (["--torch-mode", "jit"], "--torch-mode 'jit' is not known"),
        (["--provider", "dml"], "--provider 'dml' is not known"),
        (["--device", "cpu,gpu"], "unknown device 'gpu'"),
    ],
)
def test_wrong_usage_is_exit_2(
    arguments: list[str],
    words: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["bench", *arguments]) == ExitCode.BAD_INPUT
    assert words in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("passed", "word"), [(False, "failed"), (None, "not run")])
def test_a_file_without_a_passed_verdict_is_measured_only_on_demand_and_says_so(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], passed: bool | None, word: str
) -> None:
    alter_manifest(model, with_verdict(passed))
    folder = tmp_path / "report"
    assert run(model, "--backend", "onnx", "-o", folder) == ExitCode.NEGATIVE
    assert "is not verified: parity" in capsys.readouterr().err
    refused = read_report(folder)
    assert refused.summary == ()
    assert word.split()[-1] in refused.skipped[0].reason
    assert run(model, "--backend", "onnx", "-o", folder, "--allow-unverified", "--wer-clips", "0") == 0
    measured = read_report(folder)
    assert {row.parity for row in measured.summary} == {word}
    assert measured.decision is not None
    assert measured.decision.recommended is None


def test_a_failed_file_among_good_ones_is_named_and_is_exit_1(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    alter_manifest(model, with_verdict(False))
    folder = tmp_path / "report"
    assert run(model, "--backend", "openvino,onnx", "--wer-clips", "0", "-o", folder) == ExitCode.NEGATIVE
    assert "error: parity failed, so not measured: tiny on onnx\n" in capsys.readouterr().err
    report = read_report(folder)
    assert {row.backend for row in report.summary} == {"openvino"}
    assert [(row.backend, row.parity) for row in report.skipped] == [("onnx", "failed")]
    (line,) = (each for each in (folder / "report.md").read_text().splitlines() if "| FAILED" in each)
    assert line.startswith("| tiny ")
    assert "| onnx " in line
    # What was not run or is not available is no negative verdict.
    alter_manifest(model, with_verdict(None))
    assert run(model, "--backend", "openvino,onnx,trt", "--wer-clips", "0", "-o", folder) == 0
    assert {(row.backend, row.parity) for row in read_report(folder).skipped} == {("onnx", "not run"), ("trt", None)}


def test_failed_parity_is_the_answer_where_nothing_could_be_measured(model: Path, tmp_path: Path) -> None:
    alter_manifest(model, with_verdict(False))
    assert run(model, "--backend", "onnx", "--input", "uint8,float32", "-o", tmp_path / "report") == ExitCode.NEGATIVE
    assert [row.parity for row in read_report(tmp_path / "report").skipped] == [None, "failed"]


@pytest.mark.parametrize("below", ["", "deep/er"])
def test_an_output_that_cannot_be_a_folder_is_refused_before_anything_is_measured(
    exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], below: str
) -> None:
    (tmp_path / "taken").touch()
    assert run(exported, "--backend", "onnx", "-o", tmp_path / "taken" / below) == ExitCode.BAD_INPUT
    error = capsys.readouterr().err
    assert "stands" in error
    assert "measuring" not in error
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_a_report_names_no_folder_outside_the_current_one(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = model / "model.torchscript"
    broken.unlink()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    axes = Axes(backends=("torch", "torchscript", "onnx"), frames=(8,))
    report = bench(replace(options(model), axes=axes))
    assert [m.candidate.path for m in report.measurements] == ["tiny/checkpoint.safetensors", "tiny/model.onnx"]
    assert "there is no file tiny/model.torchscript" in report.skipped[0].reason
    assert str(tmp_path) not in report.model_dump_json()
    network = bench(BenchOptions(untrained=(f"student:{TINY}",), axes=Axes(backends=("onnx",), frames=(8,))))
    assert network.measurements[0].candidate.path == f"untrained student:{TINY}/model.onnx"
    monkeypatch.chdir(tmp_path)
    report = bench(options(model))
    assert report.measurements[0].candidate.path == "models/tiny/model.onnx"


def test_an_altered_file_is_refused_even_on_demand(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = model / "model.onnx"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert run(model, "--backend", "onnx", "--allow-unverified") == ExitCode.BAD_INPUT
    assert "is not the file that was checked" in capsys.readouterr().err


def options(*models: Path, **changes: Any) -> BenchOptions:
    axes = Axes(backends=("onnx",), frames=(8,))
    settings = replace(MeasureSettings.quick(), rounds=1)
    given: dict[str, Any] = {"models": tuple(map(str, models)), "axes": axes, "settings": settings, "wer_clips": 0}
    return BenchOptions(**given, roofline=False, **changes)


def plan_errors(folder: Path, **axes: Any) -> list[tuple[type[Exception], str]]:
    plan = plan_candidates(find_models([str(folder)]), Axes(**axes))
    assert plan.candidates == []
    return [(type(error), skipped.reason) for skipped, error in plan.refused]


def test_every_refusal_has_its_reason(model: Path) -> None:
    assert plan_errors(model, backends=("onnx",), input_kinds=("uint8",)) == [
        (BadInputError, "tiny has no uint8 onnx file (there is a float32 one)")
    ]
    (size,) = plan_errors(model, backends=("openvino",), sizes=(64,))
    assert size == (BadInputError, "model.openvino.xml takes height 32, not 64")
    (once,) = plan_errors(model, backends=("openvino",), sizes=(64,), batches=(1, 8), threads=(1, 2))
    assert once == size
    (trt,) = plan_errors(model, backends=("trt",))
    assert trt[0] is UnavailableError
    (model / "model.torchscript").unlink()
    (missing,) = plan_errors(model, backends=("torchscript",))
    assert "though the manifest names it" in missing[1]
    card = read_card(model)
    update_card(model, card.model_copy(update={"verification": ()}))
    (unverified,) = plan_errors(model, backends=("torch",))
    assert unverified == (
        NegativeVerdictError, "checkpoint.safetensors is not verified: the checkpoint was never verified"
    )  # fmt: skip


def test_files_of_other_weights_are_refused(model: Path) -> None:
    def change(manifest: Manifest) -> Manifest:
        entry = manifest.find("onnx")
        assert entry is not None
        artifact = entry.artifact.model_copy(update={"built_from_sha256": "0" * 64})
        return manifest.with_entry(entry.model_copy(update={"artifact": artifact}))

    alter_manifest(model, change)
    ((_, reason),) = plan_errors(model, backends=("onnx",))
    assert "exported from other weights" in reason


def test_lists_form_axes(exported: Path) -> None:
    axes = Axes(backends=("onnx", "openvino"), threads=(1, 2), batches=(1, 8), frames=(8, 16, 32))
    plan = plan_candidates(find_models([str(exported)]), axes)
    assert plan.refused == []
    assert len(plan.candidates) == 2 * 2 * 2 * 3
    assert len({c.model_dump_json() for c in plan.candidates}) == 24
    macs = {(c.batch, c.frames): c.macs or 0 for c in plan.candidates}
    assert macs[8, 8] == 8 * macs[1, 8]
    assert macs[1, 32] > macs[1, 16]


def test_models_are_found_by_id_by_role_and_by_path(exported: Path, tmp_path: Path) -> None:
    root = exported.parent
    for names in ([], ["tiny"], ["student"], [str(exported)], [str(exported / "checkpoint.json")], ["tiny", "student"]):
        assert [m.model_id for m in find_models(names, root=root)] == ["tiny"]
    with pytest.raises(BadInputError, match="there is no teacher"):
        find_models(["teacher"], root=root)
    with pytest.raises(BadInputError, match="there is no model 'tny'") as caught:
        find_models(["tny"], root=root)
    assert caught.value.hint == "did you mean 'tiny'?"
    with pytest.raises(BadInputError, match="there is no model in"):
        find_models([], root=tmp_path)
    twin = shutil.copytree(exported, tmp_path / "twin")
    with pytest.raises(BadInputError, match="both hold a model called 'tiny'"):
        find_models(["tiny", str(twin)], root=root)


def test_files_below_the_current_folder_are_named_from_there(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(exported.parent)
    (candidate,) = plan_candidates(find_models(["tiny"], root=Path()), Axes(backends=("onnx",))).candidates
    assert candidate.path == "tiny/model.onnx"
    monkeypatch.chdir("/")
    (elsewhere,) = find_models([str(exported)])
    assert (Path("/") / elsewhere.folder).samefile(exported)


def test_random_weights_are_measured_and_never_decided_on(tmp_path: Path) -> None:
    network = f"student:{TINY}"
    assert run("--untrained", network, "--backend", "onnx,openvino", "-o", tmp_path / "report") == 0
    report = read_report(tmp_path / "report")
    assert {row.backend for row in report.summary} == {"onnx", "openvino"}
    for row in report.summary:
        assert (row.model, row.wer, row.parity) == (f"untrained {network}", "untrained", "not run")
        assert (row.height, row.width) == (32, 32)
        assert row.macs
        assert row.parameters
    assert report.decision is not None
    assert report.decision.recommended is None
    assert report.training == ()


def test_networks_are_stated_in_words() -> None:
    spec, size = parse_untrained("teacher:width=0.5,temporal_stride=8,size=112")
    assert (spec.architecture, spec.width, spec.temporal_stride, spec.num_classes, size) == (
        "teacher",
        0.5,
        8,
        1296,
        112,
    )
    for text, words in (
        ("teacher:width", "is not an option with a value"),
        ("teacher:wdth=1", "is not an option with a value"),
        ("teacher:width=-1", "width: Input should be greater than 0"),
        ("teacher:temporal_stride=5", "temporal_stride"),
        ("teacher:size=8", "not an integer in 16..1024"),
        ("teacher:size=²", "not an integer in 16..1024"),
        ("teacher:num_classes=²", "num_classes: Input should be a valid integer"),
    ):
        with pytest.raises(BadInputError, match=words):
            parse_untrained(text)


def test_what_was_measured_survives_an_interruption(exported: Path, tmp_path: Path) -> None:
    def interrupt(text: str, done: int, total: int) -> None:
        if text == "measuring" and done == 2:  # of four: the baseline is measured twice in each round
            raise KeyboardInterrupt

    asked = options(exported)
    asked = replace(asked, settings=replace(asked.settings, rounds=2))
    with pytest.raises(KeyboardInterrupt):
        bench(asked, folder=tmp_path / "report", progress=interrupt)
    kept = read_report(tmp_path / "report")
    assert len(kept.measurements) == 1
    assert kept.notes[0] == "incomplete: 1 of 2 rounds, no WER yet"
    assert kept.decision is None
    assert kept.control is not None


def test_a_wer_that_was_measured_is_not_measured_again_after_an_interruption(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(text: str, done: int, total: int) -> None:
        if text == "measuring the WER of each file" and done == 1:
            raise KeyboardInterrupt

    axes = Axes(backends=("onnx", "openvino"), frames=(8,))
    asked = replace(options(exported), axes=axes, wer_clips=2)
    folder = tmp_path / "report"
    with pytest.raises(KeyboardInterrupt):
        bench(asked, folder=folder, progress=interrupt, title="As it began", command="as it began")
    real, operations = Worker.ask, []

    def ask(self: Worker, op: str, **arguments: Any) -> dict[str, Any]:
        operations.append((op, arguments.get("backend", "")))
        return real(self, op, **arguments)

    monkeypatch.setattr(Worker, "ask", ask)
    report = bench(asked, folder=folder, resume=True)
    assert operations == [("open", "openvino"), ("infer", ""), ("infer", "")]
    assert [(a.backend, a.clips) for a in report.accuracies] == [("onnx", 2), ("openvino", 2)]
    assert (report.title, report.command) == ("As it began", "as it began")
    assert read_report(folder) == report


def test_clips_that_changed_or_cannot_be_had_are_noted(model: Path) -> None:
    card = read_card(model)
    update_card(model, card.model_copy(update={"data_fingerprint": "0"}))
    changed = bench(options(model))
    assert "gives other clips here than where it was trained" in changed.notes[0]
    update_card(model, card.model_copy(update={"data": "phoenix:root=nowhere"}))
    unknown = bench(replace(options(model), wer_clips=3))
    assert "timed on noise and no WER: unknown corpus 'phoenix'" in unknown.notes[0]
    assert unknown.summary[0].wer is None
    assert "noise" in unknown.measurements[0].actual["inputs"]


def test_uint8_files_get_raw_frames(model: Path) -> None:
    export_model(model, formats=("onnx",), input_kinds=("uint8",)).raise_for_failures()
    asked = options(model)
    report = bench(replace(asked, axes=replace(asked.axes, input_kinds=("float32", "uint8")), wer_clips=3))
    assert [(row.input_kind, row.parity) for row in report.summary if row.scope == "compute"] == [
        ("float32", "passed"), ("uint8", "passed"),
    ]  # fmt: skip
    assert len({row.wer for row in report.summary}) == 1


def test_the_wer_is_of_the_frame_size_and_the_input_that_were_evaluated(
    exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slrbench.reporting.choice.LARGEST_WER", 10.0)  # the fixture's network was never trained
    axes = Axes(backends=("torch",), frames=(8,), sizes=(24, 32), input_kinds=("float32", "uint8"))
    report = bench(replace(options(exported), axes=axes, wer_clips=3))
    rows = [row for row in report.summary if row.scope == "end_to_end"]
    assert [(row.height, row.input_kind, row.wer is None) for row in rows] == [
        (24, "float32", True), (32, "float32", False), (24, "uint8", True), (32, "uint8", False),
    ]  # fmt: skip
    assert [(a.height, a.width, a.input_kind) for a in report.accuracies] == [(32, 32, "float32"), (32, 32, "uint8")]
    assert report.decision is not None
    assert report.decision.recommended is not None
    assert report.summary[report.decision.recommended].height == 32


@pytest.mark.parametrize("backend", ["torch", "torchscript", "onnx", "openvino"])
def test_no_backend_hashes_its_file_within_the_cold_start(
    exported: Path, monkeypatch: pytest.MonkeyPatch, backend: str
) -> None:
    from slrbench.measure import worker as worker_module

    events = []
    digest, clock = hashlib.file_digest, worker_module.perf_counter_ns

    def noted_digest(file: Any, name: Any) -> Any:
        events.append("hash")
        return digest(file, name)

    def noted_clock() -> int:
        events.append("clock")
        return clock()

    monkeypatch.setattr(hashlib, "file_digest", noted_digest)
    monkeypatch.setattr(worker_module, "perf_counter_ns", noted_clock)
    (candidate,) = plan_candidates(find_models([str(exported)]), Axes(backends=(backend,))).candidates
    events.clear()
    asked = {
        "backend": backend, "path": candidate.path, "device": "cpu", "threads": 1, "input_kind": "float32",
        "first_input": None,
    }  # fmt: skip
    worker_module._Worker().open(**asked, sha256=candidate.artifact_sha256)
    files = 2 if backend == "openvino" else 1
    assert events[:files] == ["hash"] * files
    assert set(events[files:]) == {"clock"}
    with pytest.raises(BadInputError, match="is not the file"):
        worker_module._Worker().open(**asked, sha256="0" * 64)


def test_reports_of_one_day_do_not_overwrite_each_other(tmp_path: Path) -> None:
    first = report_folder(tmp_path, "laptop")
    first.mkdir()
    assert first.name.endswith("-laptop")
    assert report_folder(tmp_path, "laptop").name == f"{first.name}-2"


def test_the_next_command_is_a_deeper_measurement() -> None:
    arguments = ["bench", "tiny", "--quick", "--rounds", "2", "-o", "there", "--output=x", "--batch", "1,8"]
    assert deeper_command(arguments, None) == "python -m slrbench bench tiny --batch 1,8"
    assert deeper_command(arguments, 10) == "python -m slrbench bench tiny --batch 1,8 --rounds 10"


def test_a_number_below_1_names_its_option() -> None:
    with pytest.raises(BadInputError, match=r"^--batch is 0, expected at least 1") as caught:
        Axes(batches=(0,))
    assert caught.value.hint == "--batch 1,8, for example"
