"""Spikes, the view of a network, subtitles and captions."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from slrbench.ctc import greedy_decode
from slrbench.data.video import read_video
from slrbench.errors import BadInputError
from slrbench.recognise.captions import Caption, Captioner, write_captioned
from slrbench.recognise.results import Recognition, Segment
from slrbench.recognise.sources import frames_of
from slrbench.recognise.spikes import spikes_of
from slrbench.recognise.subtitles import srt_of
from slrbench.recognise.view import View, view_of


def log_probs_of(path, classes=4, sure=0.9):
    """Log-probabilities whose best path is ``path``."""
    rest = (1 - sure) / (classes - 1)
    return np.log([[sure if c == label else rest for c in range(classes)] for label in path]).astype(np.float32)


# --- spikes -----------------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 3), max_size=30))
def test_spikes_are_the_runs_of_greedy_decoding(path):
    log_probs = log_probs_of(path).reshape(-1, 4)
    spikes = spikes_of(log_probs)
    if path:
        assert tuple(spike.label for spike in spikes) == greedy_decode(log_probs[:, None])[0]
    for spike in spikes:
        assert path[spike.first : spike.last + 1] == [spike.label] * (spike.last - spike.first + 1)
        assert spike.confidence == pytest.approx(0.9, abs=1e-6)
    assert all(a.last < b.first for a, b in pairwise(spikes))


# --- the view ---------------------------------------------------------------------------------------------------------


def test_frames_of_the_built_in_corpus_are_seen_as_they_are():
    frames = np.random.default_rng(0).integers(0, 256, (5, 64, 64, 3), dtype=np.uint8)
    assert view_of("fingerspelling:letters=10,size=64", (64, 64)).of_all(frames) is frames


@pytest.mark.parametrize(
    ("data", "resize"),
    [
        ("phoenix2014:/data/phoenix", (256, 256)),
        ("phoenix2014:/data/phoenix,size=224,resize=300", (300, 300)),
        ("manifest:clips.csv,resize=240", (240, 240)),
        ("fingerspelling:size=224", (224, 224)),
    ],
)
def test_corpora_of_videos_are_resized_and_cropped(data, resize):
    view = view_of(data, (224, 224))
    assert view == View(resize=resize, size=(224, 224))
    assert view.of(np.zeros((90, 160, 3), dtype=np.uint8)).shape == (224, 224, 3)


def test_squash_keeps_everything_and_crop_keeps_the_aspect_ratio():
    frame = np.zeros((60, 180, 3), dtype=np.uint8)
    frame[:, :60, 0] = 255  # the left third is red, the middle green, the right blue
    frame[:, 60:120, 1] = 255
    frame[:, 120:, 2] = 255
    squashed = View(resize=(30, 30), size=(30, 30)).of(frame)
    cropped = View(resize=(30, 30), size=(30, 30), fit="crop").of(frame)
    assert [int(squashed[15, column].argmax()) for column in (3, 15, 26)] == [0, 1, 2]
    assert (cropped.argmax(axis=-1) == 1).all()


@pytest.mark.parametrize(
    "frame", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32), np.zeros((0, 4, 3), np.uint8)]
)
def test_what_is_no_frame_is_refused_in_words(frame):
    with pytest.raises(BadInputError, match=r"expected uint8 \(H, W, 3\)"):
        View(resize=(8, 8), size=(8, 8)).of(frame)


def test_no_frames_are_refused():
    with pytest.raises(BadInputError, match="no frames"):
        View(resize=(8, 8), size=(8, 8)).of_all([])


# --- folders of pictures ----------------------------------------------------------------------------------------------


def test_pictures_are_read_in_the_order_of_their_numbers(tmp_path):
    for number in (10, 2, 1):
        Image.fromarray(np.full((4, 4, 3), number, dtype=np.uint8)).save(tmp_path / f"frame{number}.png")
    (tmp_path / "notes.txt").write_text("no picture")
    assert [int(frame[0, 0, 0]) for frame in frames_of(str(tmp_path), 25.0)] == [1, 2, 10]


def test_a_broken_picture_is_named(tmp_path):
    Image.fromarray(np.zeros((4, 4, 3), dtype=np.uint8)).save(tmp_path / "1.png")
    (tmp_path / "2.png").write_bytes((tmp_path / "1.png").read_bytes()[:40])
    with pytest.raises(BadInputError, match=r"2\.png is no picture"):
        list(frames_of(str(tmp_path), 25.0))


def test_a_folder_without_pictures_is_refused(tmp_path):
    with pytest.raises(BadInputError, match="holds no pictures"):
        list(frames_of(str(tmp_path), 25.0))


# --- subtitles --------------------------------------------------------------------------------------------------------


def recognition_of(*segments):
    return Recognition(
        segments=tuple(Segment(gloss=g, start_s=a, end_s=b, confidence=0.9) for g, a, b in segments),
        frames=100_000,
        duration_s=4000.0,
    )


def test_subtitles_are_legible_and_do_not_overlap():
    text = srt_of(recognition_of(("HALLO", 0.32, 0.48), ("WELT", 0.64, 0.8), ("JA", 3661.5, 3661.66)))
    assert text == (
        "1\n00:00:00,320 --> 00:00:00,640\nHALLO\n\n"
        "2\n00:00:00,640 --> 00:00:01,440\nWELT\n\n"
        "3\n01:01:01,500 --> 01:01:02,300\nJA\n"
    )


def test_a_video_without_glosses_has_no_subtitles():
    assert srt_of(recognition_of()) == ""


# --- captions ---------------------------------------------------------------------------------------------------------


def bar_of(page, height):
    return page[height:]


def test_small_videos_are_enlarged_and_glosses_appear_when_they_are_recognised():
    captioner = Captioner([Caption(gloss="A", from_s=0.4, confidence=0.9)], 25.0)
    frame = np.full((64, 64, 3), 90, dtype=np.uint8)
    before, after = captioner.draw(frame, 9), captioner.draw(frame, 10)
    assert before.shape == after.shape
    assert min(before.shape[:2]) >= 360
    assert before.shape[0] % 2 == before.shape[1] % 2 == 0
    line = slice(384, 384 + 40)
    assert (before[line] == before[line][0, 0]).all()
    assert (after[line] != after[line][0, 0]).any()
    assert (after[:384, :384] == 90).all()


def test_only_the_newest_glosses_stay_where_the_line_is_full():
    many = [Caption(gloss=f"GLOSS{i}", from_s=0.0, confidence=0.5) for i in range(40)]
    full = Captioner(many, 25.0).draw(np.zeros((64, 64, 3), np.uint8), 50)
    newest = Captioner(many[-8:], 25.0).draw(np.zeros((64, 64, 3), np.uint8), 50)
    np.testing.assert_array_equal(full, newest)


def test_the_written_video_has_a_frame_for_every_frame(tmp_path):
    frames = [np.full((36, 50, 3), 10 * i, dtype=np.uint8) for i in range(12)]
    path = tmp_path / "seen.mp4"
    write_captioned(path, frames, [Caption(gloss="A", from_s=0.2, confidence=0.9)], 25.0)
    written = read_video(path)
    assert len(written) == 12
    assert min(written.shape[1:3]) >= 360
    assert abs(int(written[11, 100, 100, 0]) - 110) < 12


@pytest.mark.parametrize(
    ("name", "words"), [("seen.avi", r"end.*\.mp4|seen\.avi"), ("no/seen.mp4", "there is no folder")]
)
def test_where_no_video_can_be_written_is_said(tmp_path, name, words):
    with pytest.raises(BadInputError, match=words):
        write_captioned(tmp_path / name, [np.zeros((8, 8, 3), np.uint8)], [], 25.0)


def test_a_font_that_is_none_is_named(tmp_path):
    (tmp_path / "font.ttf").write_bytes(b"no font")
    with pytest.raises(BadInputError, match=r"font\.ttf is no font"):
        Captioner([], 25.0, font=tmp_path / "font.ttf")


def test_a_video_without_frames_leaves_no_file(tmp_path):
    with pytest.raises(BadInputError, match="no frames"):
        write_captioned(tmp_path / "seen.mp4", [], [], 25.0)
    assert list(tmp_path.iterdir()) == []
