"""A tiny network and its checkpoint, real in every part, shared by the tests of checkpoints, checks and commands."""

import shutil

import numpy as np
import pytest
import torch

from slrbench.data import open_corpus
from slrbench.data.batching import normalise
from slrbench.models.registry import build_model
from slrbench.models.spec import ModelSpec
from slrbench.training.card import CheckpointCard
from slrbench.training.checkpoint import save_checkpoint

DATA = "fingerspelling:language=ase,letters=10,size=32"
SPECS = {
    "teacher": ModelSpec(
        architecture="teacher",
        num_classes=11,
        width=0.125,
        lstm_hidden=16,
        lstm_layers=1,
        dropout=0.1,
        batch_norm_momentum=0.5,
    ),
    "student": ModelSpec(
        architecture="student",
        num_classes=11,
        width_mult=0.25,
        conv_channels=16,
        lstm_hidden=16,
        lstm_layers=1,
        dropout=0.1,
        batch_norm_momentum=0.5,
    ),
}


@pytest.fixture(autouse=True)
def one_thread():
    """Small calls: more threads gain nothing, and lose much where the cores are shared."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def tiny_corpus():
    return open_corpus(DATA)


@pytest.fixture(scope="session")
def tiny_video(tiny_corpus):
    """Two clips, cut to the same length: (2, 3, T, 32, 32)."""
    clips = [tiny_corpus.split("dev")[index].frames for index in range(2)]
    shortest = min(len(frames) for frames in clips)
    return torch.from_numpy(normalise(np.stack([frames[:shortest] for frames in clips])))


@pytest.fixture(scope="session")
def tiny_model(tiny_video):
    """Builds a network with fixed random weights and the batch statistics of real clips.

    Without them a random MobileNetV3 gives the same outputs for every input, and no check of an invariance can fail.
    """

    def build(role="student"):
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(0)
            model = build_model(SPECS[role]).train()
            for _ in range(5):
                model(tiny_video)
            return model.eval()

    return build


@pytest.fixture(scope="session")
def card_of(tiny_corpus):
    """The card of a network over the tiny corpus, without what saving fills in."""

    def card(model, **changes):
        values = {
            "model_id": "tiny",
            "spec": model.spec,
            "glosses": tiny_corpus.vocabulary.glosses,
            "data": tiny_corpus.spec,
            "data_fingerprint": tiny_corpus.fingerprint(),
            "frames_per_second": tiny_corpus.frames_per_second,
            "frame_size": tiny_corpus.frame_size,
            "parameters": sum(parameter.numel() for parameter in model.parameters()),
        }
        return CheckpointCard(**{**values, **changes})

    return card


@pytest.fixture(scope="session")
def saved_checkpoint(tmp_path_factory, card_of, tiny_model):
    """A checkpoint's folder that no test may change."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    model = tiny_model()
    save_checkpoint(folder, model, card_of(model))
    return folder


@pytest.fixture
def checkpoint_folder(saved_checkpoint, tmp_path):
    """A copy of the checkpoint that a test may break."""
    return shutil.copytree(saved_checkpoint, tmp_path / "tiny")
