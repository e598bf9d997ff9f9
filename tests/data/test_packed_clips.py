"""Packed clips: the same clips as those of the corpus, without it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from slrbench.data import open_corpus
from slrbench.data.packed import CLIPS_NAME, PackedCorpus, packed_clips_in, read_packed_clips, write_packed_clips
from slrbench.errors import BadInputError, UnavailableError
from slrbench.records import ErrorCounts

SPEC = "fingerspelling:language=ase,letters=8,size=32"
COUNTS = ErrorCounts(substitutions=1, deletions=0, insertions=2, reference_words=10)


@pytest.fixture(scope="module")
def clips_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clips") / CLIPS_NAME
    write_packed_clips(path, open_corpus(SPEC), "test", 4, reference=COUNTS)
    return path


def test_packed_clips_are_those_of_the_corpus(clips_file: Path) -> None:
    corpus, packed = open_corpus(SPEC), packed_clips_in(clips_file.parent)
    assert isinstance(packed, PackedCorpus)
    assert (packed.spec, packed.fingerprint()) == (corpus.spec, corpus.fingerprint())
    assert (packed.vocabulary, packed.frame_size) == (corpus.vocabulary, corpus.frame_size)
    assert packed.frames_per_second == corpus.frames_per_second
    assert packed.split_names == ("test",)
    assert packed.about.reference == COUNTS
    assert packed.about.split_clips == len(corpus.split("test"))
    found, expected = packed.split("test"), corpus.split("test")
    assert (len(found), found.name) == (4, "test")
    for index in range(4):
        one, other = found[index], expected[index]
        assert np.array_equal(one.frames, other.frames)
        assert (one.clip_id, one.glosses, one.labels, one.signer) == (
            other.clip_id, other.glosses, other.labels, other.signer,
        )  # fmt: skip
        assert found.label_length(index) == expected.label_length(index)
    with pytest.raises(IndexError):
        found[4]
    assert packed.statistics()["clips"] == 4


def test_the_same_clips_give_the_same_bytes(clips_file: Path, tmp_path: Path) -> None:
    write_packed_clips(tmp_path / CLIPS_NAME, open_corpus(SPEC), "test", 4, reference=COUNTS)
    assert (tmp_path / CLIPS_NAME).read_bytes() == clips_file.read_bytes()


def test_other_splits_and_training_are_refused(clips_file: Path) -> None:
    packed = read_packed_clips(clips_file)
    with pytest.raises(BadInputError, match="only clips of 'test' are packed, not of 'dev'"):
        packed.split("dev")
    with pytest.raises(BadInputError, match="not for training"):
        packed.training_epoch(0, seed=0)


def test_no_clip_cannot_be_packed(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="no clips of test to pack"):
        write_packed_clips(tmp_path / CLIPS_NAME, open_corpus(SPEC), "test", 0)
    assert packed_clips_in(tmp_path) is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"about": {"schema_version": 9}}, "has schema_version 9, expected 1"),
        ({"about": {"glosses": ["A"]}}, "not in the vocabulary"),
        ({"about": {"surprise": 1}}, "does not hold packed clips"),
        ({"lengths": np.array([1, 1, 1, 1])}, "the lengths say 4"),
        ({"lengths": np.array([10**6])}, "lengths are not those of 4 clips"),
        ({"frames": np.zeros((9, 32, 32, 3), np.float32)}, "expected uint8"),
        ({"frames": np.array([print], dtype=object)}, "does not hold packed clips"),
    ],
)
def test_damaged_clips_are_refused(changes: dict[str, Any], words: str, clips_file: Path, tmp_path: Path) -> None:
    with np.load(clips_file) as stored:
        arrays = dict(stored)
    about = json.loads(str(arrays["about"])) | changes.get("about", {})
    arrays |= {**changes, "about": np.array(json.dumps(about))}
    np.savez(tmp_path / CLIPS_NAME, allow_pickle=True, **arrays)
    with pytest.raises(BadInputError, match=words):
        read_packed_clips(tmp_path / CLIPS_NAME)


def test_a_truncated_file_is_refused(clips_file: Path, tmp_path: Path) -> None:
    (tmp_path / CLIPS_NAME).write_bytes(clips_file.read_bytes()[:-300])
    with pytest.raises(BadInputError, match="does not hold packed clips"):
        packed_clips_in(tmp_path)


def test_a_corpus_whose_packages_are_missing_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slrbench.data.find_spec", lambda name: None if name == "cv2" else object())
    with pytest.raises(UnavailableError, match="opencv-python-headless is not installed"):
        open_corpus(SPEC)
