"""Training, distilling, evaluating and exporting on corpora of files, as on the built-in one."""

import json
import shutil
from pathlib import Path

import pytest

from slrbench.cli.app import main
from slrbench.data import open_corpus
from slrbench.data.corpus import glosses_of
from slrbench.data.sources import FrameReader, source_name
from slrbench.training.card import read_card
from tests.corpus_trees import Tree, write_manifest, write_phoenix2014

SMOKE = ("--preset", "smoke", "--threads", "1")
SIZES = "size=32,resize=36"


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    return write_phoenix2014(tmp_path_factory.mktemp("tree"), train=12, dev=4, test=4)


@pytest.fixture(scope="module")
def with_faults(tree: Tree, tmp_path_factory: pytest.TempPathFactory) -> Tree:
    """Of train, dev and test one clip each cannot be read; dev has glosses that train has not."""
    copy = Path(shutil.copytree(tree.path, tmp_path_factory.mktemp("faults") / "phoenix2014-release"))
    for split in ("train", "dev", "test"):
        picture = sorted(copy.rglob(f"{split}/*/1/*.png"))[-1]
        picture.write_bytes(picture.read_bytes()[:40])
    table = next(copy.rglob("dev.corpus.csv"))
    header, first, *rows = table.read_text().splitlines()
    table.write_text("\n".join([header, f"{first} NEBEL FROST", *rows]) + "\n")
    return Tree(copy, tree.glosses, tree.frames, tree.folders)


@pytest.fixture(scope="module")
def trained(with_faults: Tree, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a teacher and a student of a few steps."""
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        data = ("--data", f"phoenix2014:{with_faults.path},{SIZES}", "--no-overfit")
        assert main(["train", "teacher", *SMOKE, *data]) == 0
        assert main(["distill", "trained_models/teacher-smoke", *SMOKE, *data]) == 0
    return folder


def broken(tree: Tree, split: str) -> str:
    return sorted(tree.path.rglob(f"{split}/*/1"))[-1].parent.name


def test_a_run_names_clips_that_cannot_be_read_and_loses_nothing_else(trained: Path, with_faults: Tree) -> None:
    names = sorted(broken(with_faults, split) for split in ("train", "dev", "test"))
    for role in ("teacher", "student"):
        card = read_card(trained / "trained_models" / f"{role}-smoke")
        assert card.checks_passed is True
        assert sorted(card.trained_with["clips_that_cannot_be_read"]) == names
        for split in ("dev", "test"):
            said = with_faults.glosses[split]
            words = sum(len(glosses) for clip, glosses in said.items() if clip != broken(with_faults, split))
            extra = 2 if split == "dev" else 0  # out of vocabulary, and part of the reference all the same
            assert card.wer[split].reference_words == words + extra
        assert "NEBEL" not in card.glosses


def test_glosses_out_of_vocabulary_stay_in_the_reference_and_are_errors(
    trained: Path, with_faults: Tree, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    model = str(trained / "trained_models" / "student-smoke")
    assert main(["evaluate", model, "--split", "dev", "--json", "--threads", "1"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["sequences"][0]["reference"][-2:] == ["NEBEL", "FROST"]
    assert found["accuracy"]["clips"] == 3
    assert found["accuracy"]["counts"]["substitutions"] + found["accuracy"]["counts"]["deletions"] >= 2
    assert (found["accuracy"]["scoring"], found["accuracy"]["alignment"]) == ("phoenix2014", "sclite")
    assert found["accuracy"]["unknown_words"] == 2
    assert any("2 of" in note and "are not in the network's vocabulary" in note for note in found["notes"])
    (note,) = [note for note in found["notes"] if "cannot be read" in note]
    assert note == f"1 clip of dev cannot be read and is left out: {broken(with_faults, 'dev')}"


def test_a_corpus_of_files_gives_n_grams_without_reading_a_clip(
    trained: Path, with_faults: Tree, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    model = str(trained / "trained_models" / "student-smoke")
    search = ("--decoder", "beam:4", "--lm", "2", "--split", "dev", "--threads", "1")
    assert main(["evaluate", model, *search]) == 0
    out = capsys.readouterr().out
    assert "Decoder: beam:4,lm=2,lm_weight=0.5. Scoring: phoenix2014 (PHOENIX-2014's clean-up word by word" in out
    assert "Language model: order 2, perplexity" in out
    split = open_corpus(f"phoenix2014:{with_faults.path},{SIZES}").split("train")
    said = {glosses_of(split, index) for index in range(len(split))}  # that of the broken clip, too
    assert said == set(with_faults.glosses["train"].values())


def test_the_clips_of_such_a_corpus_can_be_packed(trained: Path, with_faults: Tree, tmp_path: Path) -> None:
    from slrbench.data import open_corpus
    from slrbench.data.packed import CLIPS_NAME, read_packed_clips, write_packed_clips

    corpus = open_corpus(f"phoenix2014:{with_faults.path},{SIZES}")
    write_packed_clips(tmp_path / CLIPS_NAME, corpus, "dev", 10)
    packed = read_packed_clips(tmp_path / CLIPS_NAME)
    assert packed.about.out_of_vocabulary == ("FROST", "NEBEL")
    clip = packed.split("dev")[0]
    assert clip.glosses[-2:] == ("NEBEL", "FROST")
    assert len(clip.labels) == len(clip.glosses) - 2
    assert len(packed.split("dev")) == 3


def test_export_bench_and_pack_decode_no_clip_that_is_in_the_cache(
    trained: Path,
    with_faults: Tree,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(trained)
    model, cache = "trained_models/student-smoke", ("--cache", str(tmp_path / "cache"))
    commands = (
        ["export", model, "--formats", "onnx", *cache],
        ["bench", model, "--backend", "onnx", "--quick", "--frames", "9", "--threads", "1", "--wer-clips", "4", *cache],
        ["pack", model, "--output", str(tmp_path / "packed.zip"), *cache],
    )
    for command in commands:
        assert main(command) == 0, capsys.readouterr().err
    assert len(list((tmp_path / "cache").rglob("*.clip"))) == 6, "three readable clips each of dev and test"
    read: list[str] = []
    decode = FrameReader._decode
    monkeypatch.setattr(
        FrameReader, "_decode", lambda reader, source: (read.append(source_name(source)), decode(reader, source))[1]
    )
    for command in commands:
        assert main(command) == 0, capsys.readouterr().err
    assert {Path(name).parent.name for name in read} <= {broken(with_faults, s) for s in ("dev", "test")}


def test_a_missing_split_is_found_before_training(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = write_manifest(tmp_path, train=2, dev=0, test=1)
    assert main(["train", "student", *SMOKE, "--data", f"manifest:{made.path},{SIZES}"]) == 2
    assert "has no clips in dev" in capsys.readouterr().err


def test_the_over_fitting_test_takes_clips_of_files(
    tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = ["--data", f"phoenix2014:{tree.path}", "--size", "32", "--samples", "1", "--epochs", "2"]
    main(["overfit", "student", "--preset", "smoke", *arguments])
    assert f"1 clips of phoenix2014:{tree.path},size=32" in capsys.readouterr().err


@pytest.mark.slow
def test_the_main_job_runs_on_a_corpus_of_files(
    tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    data = f"phoenix2014:{tree.path},{SIZES}"
    arguments = ["train-and-export", *SMOKE, "--data", data, "--frames", "9", "--wer-clips", "2", "--json"]
    assert main(arguments) == 0, capsys.readouterr().err
    report = json.loads(Path(json.loads(capsys.readouterr().out)["report"]).read_text())
    rows = [row for row in report["summary"] if row["scope"] == "end_to_end"]
    assert {row["model"] for row in rows} == {"teacher-smoke", "student-smoke"}
    assert all(row["parity"] == "passed" and row["wer_split"] == "test" for row in rows)
    assert {accuracy["data"] for accuracy in report["accuracies"]} == {f"phoenix2014:{tree.path},resize=36,size=32"}


@pytest.mark.slow
def test_training_on_a_tree_of_phoenix2014_really_learns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = write_phoenix2014(tmp_path / "tree", train=64, dev=8, test=16, letters="ABL")  # 52 s of CPU in all
    monkeypatch.chdir(tmp_path)
    data = f"phoenix2014:{made.path},{SIZES},colour=0"
    settings = ["student.lstm_hidden=48", "student.conv_channels=64", "train_student.evaluate_every=1000"]
    settings += ["train_student.warmup_steps=10", "train_student.save_every=1000"]
    sets = [part for setting in settings for part in ("--set", setting)]
    arguments = ["--no-overfit", "--data", data, "--steps", "100", "--batch-size", "8", "--lr", "6e-3"]
    assert main(["train", "student", *SMOKE, *arguments, *sets]) == 0
    card = read_card(tmp_path / "trained_models" / "student-smoke")
    assert card.wer["test"].wer < 0.3
    assert card.controls["blank video"] > 0.6
