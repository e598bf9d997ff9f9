"""What is advised where nothing that was asked for can run works when it is followed."""

import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from exporters.artifact import read_manifest, write_manifest
from slrbench.cli.app import main
from slrbench.runners import availability
from slrbench.training.card import read_card
from slrbench.training.checkpoint import update_card
from slrbench.workflows.archive import unpack
from slrbench.workflows.verify import verify_path

pytestmark = pytest.mark.skipif(availability.cuda_device_count() > 0, reason="there is a GPU")

Advice = Callable[..., str]


@pytest.fixture
def advice(capsys: pytest.CaptureFixture[str]) -> Advice:
    """The one hint of ``bench --backend trt`` with more arguments."""

    def of(*arguments: str) -> str:
        capsys.readouterr()
        assert main(["bench", *arguments, "--backend", "trt"]) == 3
        captured = capsys.readouterr()
        assert captured.out == ""
        assert "error: backend 'trt' cannot run here: no CUDA device is visible" in captured.err
        (hint,) = [line for line in captured.err.splitlines() if "hint: " in line]
        return hint.partition("hint: ")[2]

    return of


def follow(hint: str) -> int:
    words = shlex.split(hint.partition("    (")[0])
    assert words[:3] == ["python", "-m", "slrbench"]
    return main([*words[3:], "--quick", "--rounds", "1", "--wer-clips", "0", "--frames", "8", "-o", "report"])


@pytest.fixture
def trained(model: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only model of ``trained_models`` in the current folder, verified and not exported."""
    folder = model.parent.parent / "trained_models" / "tiny"
    shutil.copytree(model, folder)
    monkeypatch.chdir(folder.parent.parent)
    for path in folder.glob("model.*"):
        path.unlink()
    (folder / "manifest.json").unlink()
    passed = [check.model_copy(update={"passed": True}) for check in verify_path(folder).checks]
    update_card(folder, read_card(folder).model_copy(update={"verification": tuple(passed)}))
    return folder


def test_on_a_fresh_checkout_torch_is_measured(trained: Path, advice: Advice) -> None:
    hint = advice()
    assert hint.startswith("python -m slrbench bench --backend torch    (")
    assert follow(hint) == 0
    assert "--backend torch" in advice("tiny")


def test_a_model_that_nothing_can_measure_yet_is_exported(trained: Path, advice: Advice) -> None:
    update_card(trained, read_card(trained).model_copy(update={"verification": ()}))
    assert advice("tiny").startswith("python -m slrbench export trained_models/tiny ")


def test_files_that_are_there_are_measured(model: Path, advice: Advice, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(model.parent.parent)
    hint = advice(str(model))
    assert f"bench {model} --backend onnx,openvino " in hint
    assert follow(hint) == 0
    (model / "model.openvino.bin").unlink()
    assert f"bench {model} --backend onnx " in advice(str(model))
    manifest = read_manifest(model)
    assert manifest is not None
    entries = tuple(entry.model_copy(update={"parity": None}) for entry in manifest.entries)
    write_manifest(model, manifest.model_copy(update={"entries": entries}))
    assert "--backend onnx" not in advice(str(model))


def test_without_a_model_the_way_to_one_is_named(
    tmp_path: Path, advice: Advice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "python -m slrbench train-and-export makes one" in advice()
    assert "python -m slrbench list models" in advice("nobody")


def test_an_unpacked_archive_is_never_told_to_export(
    archive: Path, advice: Advice, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = unpack(archive).folder
    assert "bench tiny --backend onnx,openvino " in advice(str(folder))
    real = availability.find_spec
    monkeypatch.setattr(availability, "find_spec", lambda name: real(name) if name == "torch" else None)
    hint = advice(str(folder))
    assert "export" not in hint
    assert "pack the model again where it was trained" in hint
    monkeypatch.setattr(availability, "find_spec", lambda name: None)
    assert "doctor shows what is available, and how to get it" in advice(str(folder))
