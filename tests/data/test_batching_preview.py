from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from slrbench.data import open_corpus
from slrbench.data.batching import collate, normalise
from slrbench.data.corpus import Clip, Vocabulary
from slrbench.data.preview import write_preview
from slrbench.errors import BadInputError


def _clip(frames: int, value: int = 0) -> Clip:
    return Clip(
        clip_id="x",
        frames=np.arange(frames, dtype=np.uint8)[:, None, None, None] + np.full((frames, 4, 5, 3), value, np.uint8),
        glosses=("A",),
        labels=(1,),
        signer="s",
    )


def test_normalise_maps_bytes_to_minus_one_and_one_and_moves_the_channels():
    frames = np.zeros((2, 3, 4, 5, 3), dtype=np.uint8)
    frames[1, 2, 3, 4] = (0, 255, 51)
    video = normalise(frames)
    assert video.shape == (2, 3, 3, 4, 5)
    assert video.dtype == np.float32
    np.testing.assert_allclose(video[1, :, 2, 3, 4], [-1.0, 1.0, -0.6], atol=1e-6)
    assert normalise(frames[0]).shape == (3, 3, 4, 5)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=4))
def test_collate_repeats_each_clips_last_frame(lengths):
    batch = collate([_clip(n) for n in lengths])
    assert batch.video.shape == (len(lengths), max(lengths), 4, 5, 3)
    for row, n in zip(batch.video, lengths, strict=True):
        assert (row[:n, 0, 0, 0] == np.arange(n)).all()
        assert (row[n:] == row[n - 1]).all()
    assert batch.lengths.tolist() == lengths
    assert batch.labels.tolist() == [1] * len(lengths)


def test_collate_refuses_nothing_and_mixed_sizes():
    with pytest.raises(ValueError, match="at least one clip"):
        collate([])
    other = Clip(clip_id="y", frames=np.zeros((2, 6, 6, 3), np.uint8), glosses=("A",), labels=(1,), signer="s")
    with pytest.raises(ValueError, match="different frame sizes"):
        collate([_clip(2), other])


def test_the_vocabulary_has_no_word_for_the_blank():
    vocabulary = Vocabulary(glosses=("A", "B"))
    assert vocabulary.num_classes == 3
    assert vocabulary.encode(["B", "A"]) == (2, 1)
    assert vocabulary.decode((2, 1)) == ("B", "A")
    for wrong in (0, 3):
        with pytest.raises(IndexError):
            vocabulary.decode((wrong,))
    with pytest.raises(KeyError):
        vocabulary.encode(["C"])


def test_previews_are_real_pictures_and_videos(tmp_path: Path):
    corpus = open_corpus("fingerspelling:letters=ABCELT,size=24")
    frames = sum(len(corpus.split("dev")[i].frames) for i in range(2))
    for name in ("sheet.png", "clip.gif", "clip.mp4"):
        write_preview(corpus, tmp_path / name, split="dev", clips=2)
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert np.asarray(sheet).std() > 5
    with Image.open(tmp_path / "clip.gif") as gif:
        assert 1 < gif.n_frames <= frames  # equal neighbours are stored once
    with av.open(str(tmp_path / "clip.mp4")) as video:
        assert sum(1 for _ in video.decode(video=0)) == frames
    assert sorted(p.name for p in tmp_path.iterdir()) == ["clip.gif", "clip.mp4", "sheet.png"]


def test_a_preview_into_a_folder_that_is_not_there_is_refused(tmp_path: Path):
    with pytest.raises(BadInputError, match="there is no folder"):
        write_preview(open_corpus("fingerspelling:letters=ABCELT,size=24"), tmp_path / "nowhere" / "x.png")
    assert list(tmp_path.iterdir()) == []


def test_a_preview_of_another_kind_is_refused_and_leaves_nothing(tmp_path: Path):
    with pytest.raises(BadInputError, match=r"cannot write a preview as 'x\.txt'"):
        write_preview(open_corpus("fingerspelling:letters=ABCELT,size=24"), tmp_path / "x.txt")
    assert list(tmp_path.iterdir()) == []
