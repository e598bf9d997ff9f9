"""Checkpoints: the same network comes back, and whatever is damaged is refused in words."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from exporters.artifact import sha256_file
from slrbench.errors import BadInputError
from slrbench.records import CheckResult, ErrorCounts
from slrbench.training.card import (
    CARD_NAME,
    CARD_TEXT_NAME,
    WEIGHTS_NAME,
    CheckpointCard,
    OutputProbe,
    probe_video,
    read_card,
    render_card,
)
from slrbench.training.checkpoint import load_checkpoint, save_checkpoint, update_card


def outputs(model):
    with torch.no_grad():
        return model.eval()(torch.from_numpy(probe_video((32, 32)))).numpy()


@pytest.mark.parametrize("role", ["teacher", "student"])
def test_the_same_network_comes_back(role, tiny_model, card_of, tmp_path):
    model = tiny_model(role)
    card_path = save_checkpoint(tmp_path / "m", model.train(), card_of(model))
    assert model.training  # saving looks at the network in evaluation mode and puts it back
    for path in (tmp_path / "m", card_path, tmp_path / "m" / WEIGHTS_NAME):
        again, card = load_checkpoint(path)
        assert not again.training
        np.testing.assert_array_equal(outputs(model), outputs(again))
        assert card == read_card(path)
    assert card.weights_sha256 == sha256_file(tmp_path / "m" / WEIGHTS_NAME)
    assert card.weights_bytes == (tmp_path / "m" / WEIGHTS_NAME).stat().st_size
    np.testing.assert_array_equal(card.probe.outputs(), outputs(model))
    assert sorted(path.name for path in (tmp_path / "m").iterdir()) == [CARD_TEXT_NAME, CARD_NAME, WEIGHTS_NAME]


def test_one_altered_byte_is_refused_with_both_hashes(checkpoint_folder):
    weights = checkpoint_folder / WEIGHTS_NAME
    expected = sha256_file(weights)
    content = bytearray(weights.read_bytes())
    content[-5] ^= 1
    weights.write_bytes(content)
    with pytest.raises(BadInputError) as caught:
        load_checkpoint(checkpoint_folder)
    assert expected in caught.value.message
    assert sha256_file(weights) in caught.value.message


def test_a_truncated_file_is_refused(checkpoint_folder):
    weights = checkpoint_folder / WEIGHTS_NAME
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(BadInputError, match="truncated"):
        load_checkpoint(checkpoint_folder)


def test_another_file_is_refused(checkpoint_folder):
    weights = checkpoint_folder / WEIGHTS_NAME
    weights.write_bytes(weights.read_bytes() + b"\0")
    with pytest.raises(BadInputError, match="another file"):
        load_checkpoint(checkpoint_folder)


@pytest.mark.parametrize(("name", "words"), [(CARD_NAME, "holds no checkpoint.json"), (WEIGHTS_NAME, "holds no ch")])
def test_a_missing_file_is_named(name, words, checkpoint_folder):
    (checkpoint_folder / name).unlink()
    with pytest.raises(BadInputError, match=words):
        load_checkpoint(checkpoint_folder)


def test_no_checkpoint_at_all(tmp_path):
    with pytest.raises(BadInputError, match="no checkpoint at"):
        load_checkpoint(tmp_path / "nothing")
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(BadInputError, match="is not a checkpoint"):
        load_checkpoint(tmp_path / "notes.txt")


def change(folder, **fields):
    document = json.loads((folder / CARD_NAME).read_text())
    document.update(fields)
    (folder / CARD_NAME).write_text(json.dumps(document))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda f: (f / CARD_NAME).write_text("{"), "is not JSON"),
        (lambda f: (f / CARD_NAME).write_bytes(b"\xff\xfe{}"), "is not JSON"),
        (lambda f: (f / CARD_NAME).write_text("[]"), "schema_version None, expected 1"),
        (lambda f: change(f, schema_version=2), "schema_version 2, expected 1"),
        (lambda f: change(f, frames_per_second=-1), "frames_per_second"),
        (lambda f: change(f, surprise=1), "surprise"),
    ],
)
def test_a_damaged_card_is_refused(damage, words, checkpoint_folder):
    damage(checkpoint_folder)
    with pytest.raises(BadInputError, match=words):
        load_checkpoint(checkpoint_folder)


def interrupt_rename(monkeypatch, number):
    """The process dies at the so-many-eth rename."""
    replace, done = Path.replace, []

    def interrupted(self, target):
        done.append(target)
        if len(done) == number:
            raise KeyboardInterrupt
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", interrupted)


def test_a_kill_before_the_first_rename_leaves_the_old_checkpoint(monkeypatch, checkpoint_folder, tiny_model, card_of):
    before, _ = load_checkpoint(checkpoint_folder)
    with monkeypatch.context() as patch:
        interrupt_rename(patch, 1)
        with pytest.raises(KeyboardInterrupt):
            save_checkpoint(checkpoint_folder, tiny_model("teacher"), card_of(tiny_model("teacher")))
    after, card = load_checkpoint(checkpoint_folder)
    assert card.role == "student"
    np.testing.assert_array_equal(outputs(before), outputs(after))


def test_a_kill_between_weights_and_card_is_refused(monkeypatch, checkpoint_folder, tiny_model, card_of):
    model = tiny_model()
    with torch.no_grad():
        model.head.classifier.bias += 1  # the same size, other values
    with monkeypatch.context() as patch:
        interrupt_rename(patch, 2)
        with pytest.raises(KeyboardInterrupt):
            save_checkpoint(checkpoint_folder, model, card_of(model))
    with pytest.raises(BadInputError, match="is not the file that was checked"):
        load_checkpoint(checkpoint_folder)


def test_what_a_kill_leaves_behind_is_not_taken_for_a_checkpoint(checkpoint_folder, tmp_path):
    weights = (checkpoint_folder / WEIGHTS_NAME).read_bytes()
    (checkpoint_folder / ".checkpoint-abc.safetensors").write_bytes(weights[:1000])
    load_checkpoint(checkpoint_folder)
    (tmp_path / "only").mkdir()
    (tmp_path / "only" / ".checkpoint-abc.safetensors").write_bytes(weights)
    with pytest.raises(BadInputError, match=r"holds no checkpoint\.json"):
        load_checkpoint(tmp_path / "only")


def test_a_folder_that_is_a_file_is_an_os_error(tmp_path, tiny_model, card_of):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        save_checkpoint(tmp_path / "file" / "m", tiny_model(), card_of(tiny_model()))


def test_a_card_is_updated_for_its_own_weights_only(checkpoint_folder):
    card = read_card(checkpoint_folder)
    counts = ErrorCounts(substitutions=1, deletions=2, insertions=3, reference_words=100)
    update_card(checkpoint_folder, card.model_copy(update={"wer": {"test": counts}}))
    assert read_card(checkpoint_folder).wer["test"].wer == pytest.approx(0.06)
    assert "| test | 6.00% | 1 | 2 | 3 | 100 |" in (checkpoint_folder / CARD_TEXT_NAME).read_text()
    with pytest.raises(BadInputError, match="is not the file"):
        update_card(checkpoint_folder, card.model_copy(update={"weights_sha256": "0" * 64}))


def test_the_card_makes_the_round_trip(card_of, tiny_model):
    card = card_of(
        tiny_model(),
        wer={"dev": ErrorCounts(substitutions=0, deletions=1, insertions=0, reference_words=7)},
        controls={"blank video": 1.0},
        verification=(CheckResult(name="No NaN or Inf", passed=True, figure="0"),),
        trained_with={"seed": 3, "versions": {"torch": "2"}},
        probe=OutputProbe.of(np.array([[[-0.1, -np.inf]], [[np.nan, np.inf]]])),
    )
    again = CheckpointCard.model_validate_json(card.model_dump_json())
    assert again == card
    np.testing.assert_array_equal(again.probe.outputs()[:, 0], np.float32([[-0.1, -np.inf], [np.nan, np.inf]]))


def test_the_probe_is_the_same_clip_everywhere():
    video = probe_video((2, 3))
    assert (video.shape, video.dtype) == ((1, 3, 8, 2, 3), np.float32)
    # PCG64 with this seed; another clip would make every stored probe worthless.
    np.testing.assert_allclose(video.ravel()[:3], [-0.40378597, 0.52275109, 0.562675], atol=1e-6)


def test_the_text_for_people_says_what_the_card_says(card_of, tiny_model):
    counts = ErrorCounts(substitutions=1, deletions=2, insertions=3, reference_words=100)
    card = card_of(
        tiny_model(),
        wer={"test": counts},
        controls={"blank video": 0.995},
        verification=(CheckResult(name="Padding invariance", passed=False, figure="max |difference| 0.3"),),
        trained_with={"seed": 3, "seconds": 12.3456789},
        overfit={"wer": 0.0, "epochs": 90},
    )
    text = render_card(card)
    for words in (
        "# tiny",
        "| test | 6.00% | 1 | 2 | 3 | 100 |",
        "- blank video: 99.50% WER",
        "- seed: 3",
        "- over-fitting test: wer 0, epochs 90",
        "✗ FAIL - Padding invariance (max |difference| 0.3)",
        "python -m slrbench verify trained_models/tiny",
        "not the accuracy of sign language recognition",
        "from few recordings",
        "32 x 32 pixels",
    ):
        assert words in text
    assert "Not measured." in render_card(card_of(tiny_model()))
    assert "Not verified." in render_card(card_of(tiny_model()))
    assert "fingerspelling" not in render_card(card.model_copy(update={"data": "phoenix:folder=x"}))
