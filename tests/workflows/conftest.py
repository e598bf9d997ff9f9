"""A tiny model, exported and packed once; tests that change something copy it."""

import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from slrbench.data import open_corpus
from slrbench.data.batching import normalise
from slrbench.models.registry import build_model
from slrbench.models.spec import ModelSpec
from slrbench.training.card import CheckpointCard
from slrbench.training.checkpoint import save_checkpoint
from slrbench.workflows.export import export_model
from slrbench.workflows.pack import pack_model

CORPUS = "fingerspelling:language=ase,letters=8,size=32"


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A student of random weights that gives different outputs for different clips, as ONNX and OpenVINO."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    corpus = open_corpus(CORPUS)
    split = corpus.split("dev")
    length = min(len(split[index].frames) for index in range(3))
    video = torch.from_numpy(normalise(np.stack([split[index].frames[:length] for index in range(3)])))
    spec = ModelSpec(
        architecture="student", num_classes=corpus.vocabulary.num_classes, width_mult=0.25, conv_channels=32,
        lstm_hidden=16,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = build_model(spec).train()
        with torch.no_grad():
            for _ in range(8):  # statistics of real clips: without them every input gives the same
                model(video)
    card = CheckpointCard(
        model_id="tiny", spec=spec, glosses=corpus.vocabulary.glosses, data=corpus.spec,
        data_fingerprint=corpus.fingerprint(), frames_per_second=corpus.frames_per_second,
        frame_size=corpus.frame_size, parameters=sum(p.numel() for p in model.parameters()),
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("models") / "tiny"
    save_checkpoint(folder, model.eval(), card)
    export_model(folder, formats=("onnx", "openvino")).raise_for_failures()
    export_model(folder, formats=("onnx",), input_kinds=("uint8",)).raise_for_failures()
    torch.set_num_threads(before)
    return folder


@pytest.fixture
def model(exported: Path, tmp_path: Path) -> Path:
    """A copy that a test may break."""
    return shutil.copytree(exported, tmp_path / "models" / "tiny")


@pytest.fixture(scope="session")
def packed(exported: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The archive, with six clips; no test may change it."""
    return pack_model(exported, output=tmp_path_factory.mktemp("packed") / "tiny.slrpack.zip", clips=6).path


@pytest.fixture
def archive(packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the archive in a folder of its own, which is the current one."""
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path / "there")
    return Path(shutil.copy(packed, tmp_path / "there")).relative_to(Path.cwd())


@pytest.fixture
def rewrite(archive: Path) -> Callable[[Callable[[dict[str, bytes]], None]], None]:
    """Write the archive again after a change of its contents."""

    def write(change: Callable[[dict[str, bytes]], None]) -> None:
        with zipfile.ZipFile(archive) as file:
            contents = {name: file.read(name) for name in file.namelist()}
        change(contents)
        with zipfile.ZipFile(archive, "w") as file:
            for name, content in contents.items():
                file.writestr(name, content)

    return write
