"""``slrbench list``, on real cards, manifests and presets."""

import json
from pathlib import Path

import pytest

from exporters.artifact import Artifact, Manifest, ManifestEntry, describe_files, write_manifest
from slrbench.cli.app import main
from slrbench.models.spec import ModelSpec
from slrbench.records import CheckResult, ErrorCounts
from slrbench.runners.availability import BACKENDS
from slrbench.training.card import CheckpointCard
from slrbench.training.config import load_preset, preset_names


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A folder with one verified model, its artifact, and a model whose card is damaged."""
    folder = tmp_path / "models"
    good, bad = folder / "student-a", folder / "student-b"
    for model in (good, bad):
        model.mkdir(parents=True)
    card = CheckpointCard(
        model_id="student-a",
        spec=ModelSpec(architecture="student", num_classes=3),
        glosses=("A", "B"),
        data="fingerspelling:letters=2",
        data_fingerprint="00",
        frames_per_second=25.0,
        frame_size=(48, 48),
        parameters=1_234_567,
        wer={"test": ErrorCounts(substitutions=1, deletions=1, insertions=0, reference_words=40)},
        verification=(CheckResult(name="Output Shape Check", passed=True, figure="(8, 1, 3)"),),
    )
    (good / "checkpoint.json").write_text(card.model_dump_json(), encoding="utf-8")
    (bad / "checkpoint.json").write_text("{", encoding="utf-8")
    (good / "model.onnx").write_bytes(b"graph")
    files, sha256, size = describe_files(good, ["model.onnx"])
    artifact = Artifact(
        format="onnx",
        files=files,
        sha256=sha256,
        built_from_sha256="0" * 64,
        size_bytes=size,
        inputs=(),
        outputs=(),
        built_with={},
    )
    write_manifest(good, Manifest(model_id="student-a", entries=(ManifestEntry(artifact=artifact),)))
    return folder


def test_models_are_shown_with_wer_checks_and_parity(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "models", "--folder", str(models)]) == 0
    captured = capsys.readouterr()
    assert captured.out.splitlines()[2].split() == [
        *("student-a", "student", "1.23", "–", "5.00", "passed", "1", "not", "run")
    ]
    assert "warning: " in captured.err
    assert "student-b" in captured.err


def test_models_as_json(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "models", "--folder", str(models), "--json"]) == 0
    (model,) = json.loads(capsys.readouterr().out)
    assert model["wer"] == {"test": 0.05}
    assert model["path"] == str(models / "student-a")
    assert model["artifacts"] == [
        {"name": "onnx", "path": str(models / "student-a" / "model.onnx"), "parity": "not run"}
    ]


def test_an_empty_folder_says_how_to_get_a_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "models", "--folder", str(tmp_path / "none")]) == 0
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "train-and-export" in captured.err


def test_a_file_in_place_of_the_folder_is_wrong_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "models"
    file.write_text("", encoding="utf-8")
    assert main(["list", "models", "--folder", str(file)]) == 2
    assert "is a file, expected a folder" in capsys.readouterr().err


def test_every_backend_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "backends"]) == 0
    lines = capsys.readouterr().out.splitlines()[2:]
    assert [line.split()[0] for line in lines] == list(BACKENDS)
    assert main(["list", "backends", "--json"]) == 0
    states = {state["backend"]: state for state in json.loads(capsys.readouterr().out)}
    assert states["onnx"]["available"]
    assert all(state["why_not"] for state in states.values() if not state["available"])


def test_every_field_of_every_preset_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "presets", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown == [load_preset(name).model_dump(mode="json") for name in preset_names()]
    assert main(["list", "presets"]) == 0
    header, _, *rows = capsys.readouterr().out.splitlines()
    assert header.split() == ["Field", *preset_names()]
    assert any(row.startswith("train_student.steps ") for row in rows)
