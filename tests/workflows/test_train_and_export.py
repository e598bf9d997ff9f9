"""The main job, end to end, on the smoke preset: real networks, real files, every stage."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from slrbench.cli.app import main
from slrbench.training.card import read_card

SMOKE = ("--preset", "smoke", "--threads", "1")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Folder, exit code, stdout and stderr of one whole run."""
    folder = tmp_path_factory.mktemp("main-job")
    done = subprocess.run(
        [sys.executable, "-m", "slrbench", "train-and-export", *SMOKE, "--frames", "9", "--wer-clips", "3", "--json"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=False,
    )
    return folder, done


def test_it_ends_well_and_prints_one_json_document(run):
    folder, done = run
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert (folder / document["report"]).is_file()
    assert [Path(m).name for m in document["manifests"]] == ["manifest.json"] * 2
    for manifest in document["manifests"]:
        entries = json.loads((folder / manifest).read_text())["entries"]
        assert {e["artifact"]["format"] for e in entries} == {"torchscript", "onnx", "openvino"}
        assert all(e["parity"]["passed"] for e in entries)


def test_the_report_has_a_row_for_every_file_with_its_own_wer(run):
    folder, done = run
    report = json.loads((folder / json.loads(done.stdout)["report"]).read_text())
    rows = [row for row in report["summary"] if row["scope"] == "end_to_end"]
    assert {(row["model"], row["backend"]) for row in rows} == {
        (f"{role}-smoke", backend)
        for role in ("teacher", "student")
        for backend in ("torch", "torchscript", "onnx", "openvino")
    }
    for row in rows:
        assert row["parity"] == "passed"
        assert row["wer_split"] == "test"
        assert 0 <= row["wer"] <= 2
        assert min(row["p50_s"], row["cold_start_s"], row["peak_rss_bytes"], row["size_bytes"], row["macs"]) > 0
        assert row["threads"] == 1
    assert len({row["artifact_sha256"] for row in rows}) == len(rows)
    assert report["decision"]["recommended"] is None, "four steps of training read nothing"
    assert "WER" in report["decision"]["reason"]
    text = (folder / json.loads(done.stdout)["report"]).with_name("report.md").read_text()
    assert text.index("## Decision") > text.index("## Parity")


def test_the_checkpoints_are_verified_and_say_how_they_were_made(run):
    folder, _ = run
    teacher = read_card(folder / "trained_models" / "teacher-smoke")
    student = read_card(folder / "trained_models" / "student-smoke")
    for card in (teacher, student):
        assert card.checks_passed is True
        assert set(card.wer) == {"dev", "test", "test-signers"}
        assert set(card.controls) == {"blank video", "shuffled frames"}
        assert card.overfit is not None
        assert card.overfit["wer"] == 0
    assert teacher.trained_with["distilled_from"] is None
    assert student.trained_with["distilled_from"] == "teacher-smoke"
    spikes = student.trained_with["spikes_against_teacher"]
    assert spikes["glosses"] == sum(spikes["offsets"].values()) > 0
    assert (folder / "trained_models" / "student-smoke" / "spikes.png").read_bytes()[:4] == b"\x89PNG"
    assert student.trained_with["teacher_sha256"] == teacher.weights_sha256
    assert not list((folder / "runs").glob("*.state")), "a finished training leaves no state behind"


def test_resuming_a_finished_run_trains_nothing_again(run, monkeypatch, capsys):
    folder, _ = run
    monkeypatch.chdir(folder)
    before = (folder / "trained_models" / "teacher-smoke" / "checkpoint.safetensors").stat().st_mtime_ns
    assert main(["train", "teacher", *SMOKE, "--resume"]) == 0
    assert "already trained with this configuration" in capsys.readouterr().err
    assert (folder / "trained_models" / "teacher-smoke" / "checkpoint.safetensors").stat().st_mtime_ns == before


def test_resuming_with_another_network_does_not_take_the_finished_one(run, tmp_path, monkeypatch, capsys):
    folder, _ = run
    shutil.copytree(folder / "trained_models", tmp_path / "trained_models")
    monkeypatch.chdir(tmp_path)
    before = (tmp_path / "trained_models" / "teacher-smoke" / "checkpoint.safetensors").read_bytes()
    for change in ("teacher.lstm_hidden=8", "train_teacher.learning_rate=1e-3", "seed=1", "mixed_precision=bf16"):
        for resume in ([], ["--resume"]):
            assert main(["train", "teacher", *SMOKE, "--no-overfit", "--set", change, *resume]) == 2, change
            err = capsys.readouterr().err
            assert "holds a verified checkpoint that was trained with another configuration" in err
            assert "--overwrite" in err
    assert (tmp_path / "trained_models" / "teacher-smoke" / "checkpoint.safetensors").read_bytes() == before
    assert main(["train", "teacher", *SMOKE, "--no-overfit", "--set", "teacher.lstm_hidden=8", "--overwrite"]) == 0
    assert read_card(tmp_path / "trained_models" / "teacher-smoke").spec.lstm_hidden == 8


def test_bf16_training_ends_in_a_checkpoint_whose_checks_pass(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["train", "student", *SMOKE, "--no-overfit", "--set", "mixed_precision=bf16"]) == 0
    assert read_card(tmp_path / "trained_models" / "student-smoke").checks_passed is True


def test_a_corpus_without_held_out_signers_trains_all_the_same(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    data = "fingerspelling:language=tsm,letters=ABCELT,size=32,clips=64"  # two-handed: nobody shares its shapes
    assert main(["train", "student", *SMOKE, "--no-overfit", "--data", data]) == 0
    assert set(read_card(tmp_path / "trained_models" / "student-smoke").wer) == {"dev", "test"}
    assert main(["data", data, "--split", "test-signers", "--preview", "x.png"]) == 2
    assert "has no clips to show" in capsys.readouterr().err


def test_a_full_disk_ends_in_words_and_keeps_what_was_there(tmp_path, monkeypatch, capsys):
    import errno

    import exporters.artifact

    def no_space(*_args, **_kwargs):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(exporters.artifact.os, "fsync", no_space)  # where the kernel reports a full disk
    assert main(["train", "student", *SMOKE, "--no-overfit"]) == 4
    err = capsys.readouterr().err
    assert "no space left on the device" in err
    assert "Traceback" not in err
    assert [p.name for p in tmp_path.rglob("*") if p.is_file()] == []


def test_a_killed_training_resumes_to_the_same_weights(tmp_path: Path):
    steps = ("--steps", "12", "--no-overfit", "--set", "train_teacher.save_every=1")
    command = [sys.executable, "-m", "slrbench", "train", "teacher", *SMOKE, *steps]
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    state = tmp_path / "runs" / "teacher-smoke.state"
    process = subprocess.Popen(
        command, cwd=tmp_path, env=env, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )
    assert process.stderr is not None
    for line in process.stderr:
        if "teacher-smoke: training" in line:
            break
    process.send_signal(signal.SIGKILL)  # wherever it is by now: any moment must do
    process.communicate()
    assert state.exists()
    assert not (tmp_path / "trained_models" / "teacher-smoke" / "checkpoint.json").exists()
    resumed = subprocess.run([*command, "--resume"], cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert resumed.returncode == 0, resumed.stderr
    assert "continuing after step" in resumed.stderr

    whole = subprocess.run(
        [*command, "--models", "whole", "--states", "whole-runs"],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert whole.returncode == 0, whole.stderr
    ours = load_file(tmp_path / "trained_models" / "teacher-smoke" / "checkpoint.safetensors")
    theirs = load_file(tmp_path / "whole" / "teacher-smoke" / "checkpoint.safetensors")
    assert ours.keys() == theirs.keys()
    assert all((ours[name] == theirs[name]).all() for name in ours)


class TestDistil:
    def test_a_teacher_that_reads_nothing_is_refused(self, run, monkeypatch, capsys):
        folder, _ = run
        monkeypatch.chdir(folder)
        code = main(["distill", *SMOKE, "--set", "distillation.largest_teacher_wer=0.3", "--models", "other",
                     str(folder / "trained_models" / "teacher-smoke")])  # fmt: skip
        assert code == 1
        assert "must be at 30% or below" in capsys.readouterr().err
        assert not (folder / "other").exists()

    def test_a_teacher_that_is_not_verified_is_refused(self, run, tmp_path, monkeypatch, capsys):
        folder, _ = run
        copy = tmp_path / "teacher"
        shutil.copytree(folder / "trained_models" / "teacher-smoke", copy)
        card = json.loads((copy / "checkpoint.json").read_text())
        card["verification"][0]["passed"] = False
        (copy / "checkpoint.json").write_text(json.dumps(card))
        monkeypatch.chdir(tmp_path)
        assert main(["distill", str(copy), *SMOKE]) == 1
        assert "is not verified" in capsys.readouterr().err

    def test_a_teacher_of_another_alphabet_is_refused(self, run, tmp_path, monkeypatch, capsys):
        folder, _ = run
        monkeypatch.chdir(tmp_path)
        teacher = str(folder / "trained_models" / "teacher-smoke")
        assert main(["distill", teacher, *SMOKE, "--data", "fingerspelling:letters=10,size=32,clips=64"]) == 2
        assert "was trained on" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["train", "tutor"], 2, "unknown network 'tutor'"),
        (["train", "teacher", "--preset", "huge"], 2, "unknown preset 'huge'"),
        (["train", "teacher", "--set", "teacher.width=wide"], 2, "teacher.width='wide' does not fit"),
        (["train", "teacher", "--data", "phoenix"], 2, "unknown corpus 'phoenix'"),
        (["train", "teacher", "--init", "x.pt"], 2, "--init x.pt is not a file"),
        (["train", "student", "--init", "x.pt"], 2, "--init x.pt is not a file"),
        (["train", "teacher", "--imagenet"], 2, "--imagenet is for the student"),
        (["train-and-export", "--student-init", "x.pt"], 2, "--init x.pt is not a file"),
        (["distill", "nobody"], 2, "there is no teacher 'nobody'"),
        (["train-and-export", "--batch", "one"], 2, "--batch 'one' is not a list of sizes"),
        (["train", "teacher", "--set", "device=cuda"], 3, "torch sees no GPU"),
        (["train-and-export", "--name", "a/b"], 2, "'a/b' is not a name for a report"),
        (["data", "fingerspelling:size=3"], 2, "size='3' is not an integer"),
        (["data", "fingerspelling:size=--5"], 2, "size='--5' is not an integer"),
        (["data", "fingerspelling:letters=²"], 2, "letters='²' is neither"),
        (["data", "fingerspelling:size=24", "--preview", "x.bmp"], 2, "cannot write a preview as 'x.bmp'"),
    ],
)
def test_wrong_usage_ends_in_words_and_writes_nothing(arguments, code, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == code
    err = capsys.readouterr().err
    assert words in err
    assert "hint:" in err
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


def test_data_prints_statistics_for_people_and_programs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["data", "fingerspelling:letters=ABCELT,size=24", "--json", "--preview", "sheet.png"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["splits"]["test"]["not_alignable_at_stride_4"] == 0
    assert (tmp_path / "sheet.png").stat().st_size > 1000
