"""``slrbench recognize`` and ``Recognizer``: words from real video files, by every kind of file."""

import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

import slrbench
from slrbench.cli.app import main
from slrbench.data import open_corpus
from slrbench.data.preview import plain_video, write_mp4, write_preview
from slrbench.data.video import read_video
from slrbench.errors import BadInputError
from slrbench.training.card import read_card
from slrbench.workflows import recognizer as recognizer_module
from slrbench.workflows.recognizer import Recognizer

WORD = 3  # of the test split


@pytest.fixture(scope="module")
def reader(repository):
    """A network that was trained on fingerspelling: the checkpoint that comes with the repository."""
    return repository / "trained_models" / "student-full"


@pytest.fixture(scope="module")
def clip(reader):
    return open_corpus(read_card(reader).data).split("test")[WORD]


@pytest.fixture(scope="module")
def video(clip, tmp_path_factory):
    """The word as people have it: H.264 in an .mp4 of 256 x 256 pixels."""
    path = tmp_path_factory.mktemp("videos") / "word.mp4"
    write_mp4(plain_video([clip]), path, 25.0)
    return path


def run(capsys, *arguments):
    capsys.readouterr()
    code = main(["recognize", *map(str, arguments), "--threads", "1"])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


class Unseekable(io.BytesIO):
    """What a pipe can do."""

    def seekable(self):
        return False

    def seek(self, *_):
        raise OSError("a pipe cannot be read again")

    def tell(self):
        raise OSError("a pipe has no place")


# --- a trained network ------------------------------------------------------------------------------------------------


def test_the_word_of_a_rendered_video_is_printed_with_its_times(reader, clip, video, capsys):
    code, out, err = run(capsys, video, "--model", reader)
    assert code == 0, err
    lines = out.splitlines()
    assert lines[0] == f"{video}: {' '.join(clip.glosses)}"
    assert lines[1].split() == ["Gloss", "Start", "(s)", "End", "(s)", "Confidence", "(%)"]
    assert [line.split()[0] for line in lines[3:-1]] == list(clip.glosses)
    for line, (first, stop) in zip(lines[3:-1], clip.boundaries, strict=True):
        start_s, end_s, confidence = (float(cell) for cell in line.split()[1:])
        assert first / 25 - 0.5 <= start_s < end_s <= stop / 25 + 0.5
        assert 0 < confidence <= 100


def test_a_plain_preview_is_a_video_to_recognise(reader, tmp_path):
    corpus = open_corpus(read_card(reader).data)
    write_preview(corpus, tmp_path / "plain.mp4", split="test", clips=1, plain=True)
    frames = read_video(tmp_path / "plain.mp4")
    clip = corpus.split("test")[0]
    assert frames.shape == (len(clip.frames), 256, 256, 3)
    with Recognizer.load(reader, threads=1) as recognizer:
        assert recognizer(frames).glosses == clip.glosses


def test_beam_search_decodes_the_same_word_and_is_aligned(reader, clip):
    with Recognizer.load(reader, threads=1, decoder="beam:4") as recognizer:
        beam = recognizer(clip.frames)
        with pytest.raises(BadInputError, match="unknown decoder"):
            Recognizer.load(reader, decoder="best")
    with Recognizer.load(reader, threads=1) as recognizer:
        greedy = recognizer(clip.frames)
    assert beam.glosses == greedy.glosses == clip.glosses
    for one, other in zip(beam.segments, greedy.segments, strict=True):
        assert (one.start_s, one.end_s) == (other.start_s, other.end_s)
        assert one.confidence == pytest.approx(other.confidence)


def test_the_api_takes_frames_of_any_size_and_rate(reader, clip):
    with slrbench.Recognizer.load(reader, threads=1) as recognizer:
        plain = recognizer(clip.frames)
        assert plain.glosses == clip.glosses
        assert plain.duration_s == pytest.approx(len(clip.frames) / 25)
        assert recognizer(plain_video([clip])).glosses == clip.glosses
        assert recognizer(np.repeat(clip.frames, 2, axis=0), frames_per_second=50).segments == plain.segments
        with pytest.raises(BadInputError, match="no frames"):
            recognizer([])
        with pytest.raises(BadInputError, match="frames_per_second is 0"):
            recognizer(clip.frames, frames_per_second=0)


def test_subtitles_and_a_rendered_video_are_written(reader, clip, video, tmp_path, capsys):
    code, _, err = run(
        capsys, video, "--model", reader, "--srt", tmp_path / "word.srt", "--render", tmp_path / "seen.mp4"
    )
    assert code == 0, err
    cues = (tmp_path / "word.srt").read_text().strip().split("\n\n")
    assert [cue.splitlines()[2] for cue in cues] == list(clip.glosses)
    seen = read_video(tmp_path / "seen.mp4")
    assert len(seen) == len(clip.frames)
    bar = seen[:, 256 * 2 + 4 :].astype(int)
    assert np.abs(bar[-1] - bar[0]).max() > 100  # something was written there
    assert f"wrote {tmp_path / 'seen.mp4'}" in err


def test_online_settles_the_same_word_and_prints_as_it_goes(reader, clip, video, capsys):
    code, out, _ = run(capsys, video, "--model", reader, "--online", "--window", 64, "--stride", 16, "--json")
    assert code == 0
    updates = [json.loads(line) for line in out.splitlines()]
    assert [s["gloss"] for update in updates for s in update["committed"]] == list(clip.glosses)
    assert [update["at_s"] for update in updates] == sorted(update["at_s"] for update in updates)
    code, out, err = run(capsys, video, "--model", reader, "--online", "--window", 1024, "--stride", 16)
    assert code == 0
    assert f"{video}: {' '.join(clip.glosses)}" in out
    assert "the network saw 1024 frames at a time" in err


def test_the_command_is_found_in_both_spellings(capsys):
    assert main(["recognise", "--help"]) == 0
    assert "Print the glosses of videos" in capsys.readouterr().out


# --- many videos ------------------------------------------------------------------------------------------------------


def test_a_broken_video_is_named_and_the_others_go_on(reader, clip, video, tmp_path, capsys):
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(video.read_bytes()[:2000])
    again = Path(shutil.copy(video, tmp_path / "again.mp4"))
    arguments = (video, broken, tmp_path / "missing.mp4", again, "--model", reader)
    code, out, err = run(capsys, *arguments, "--srt", tmp_path / "srt")
    assert code == 2
    for good in (video, again):
        assert f"{good}: {' '.join(clip.glosses)}" in out
    assert f"error: {broken}" in err
    assert f"2 of 4 videos could not be recognised: {broken}, {tmp_path / 'missing.mp4'}" in err
    assert sorted(path.name for path in (tmp_path / "srt").iterdir()) == ["again.srt", "word.srt"]
    code, out, _ = run(capsys, *arguments, "--json")
    assert code == 2
    videos = json.loads(out)["videos"]
    assert [v.get("glosses") for v in videos] == [list(clip.glosses), None, None, list(clip.glosses)]
    assert str(broken) in videos[1]["error"]


def test_a_folder_of_pictures_and_a_pipe_are_videos(reader, clip, video, tmp_path, capsys, monkeypatch):
    for number, frame in enumerate(clip.frames):
        Image.fromarray(frame).save(tmp_path / f"{number}.png")
    code, out, _ = run(capsys, tmp_path, "--model", reader, "--json")
    assert code == 0
    assert json.loads(out)["videos"][0]["glosses"] == list(clip.glosses)

    with av.open(str(tmp_path / "word.mkv"), "w") as container:
        stream = container.add_stream("h264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 256, 256, "yuv420p"
        for frame in plain_video([clip]):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    rendered = ("--render", tmp_path / "seen.mp4")
    for name, more in (("word.mkv", ()), ("word.mkv", ("--online",)), (video, ()), (video, rendered)):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(Unseekable((tmp_path / name).read_bytes())))
        code, out, err = run(capsys, "-", "--model", reader, *more)
        assert code == 0, err
        assert f"-: {' '.join(clip.glosses)}\n" in out
    assert len(read_video(tmp_path / "seen.mp4")) == len(clip.frames)


# --- every kind of file -----------------------------------------------------------------------------------------------


def test_every_kind_of_file_recognises_the_same(exported, capsys, tmp_path):
    clip = open_corpus(read_card(exported).data).split("dev")[0]
    for number, frame in enumerate(clip.frames):
        Image.fromarray(frame).save(tmp_path / f"{number:03d}.png")
    found = {}
    for name, arguments in {
        "checkpoint": (exported,),
        "onnx": (exported, "--backend", "onnx"),
        "file": (exported / "model.onnx",),
        "uint8": (exported / "model.uint8.onnx",),
        "openvino": (exported / "model.openvino.xml",),
    }.items():
        code, out, err = run(capsys, tmp_path, "--model", *arguments, "--json")
        assert code == 0, err
        found[name] = json.loads(out)["videos"][0]
    first = found.pop("checkpoint")
    for name, other in found.items():
        assert other["glosses"] == first["glosses"], name
        confidences = [[s["confidence"] for s in one["segments"]] for one in (first, other)]
        np.testing.assert_allclose(confidences[1], confidences[0], atol=1e-3)


def test_artifacts_are_recognised_with_in_an_interpreter_without_torch(exported, tmp_path):
    clip = open_corpus(read_card(exported).data).split("dev")[0]
    np.save(tmp_path / "frames.npy", clip.frames)
    code = (
        "import sys, numpy as np\n"
        "sys.modules['torch'] = None\n"
        "from slrbench import Recognizer\n"
        "found = Recognizer.load(sys.argv[1], threads=1)(np.load(sys.argv[2]))\n"
        "print(*found.glosses)"
    )
    with Recognizer.load(exported, threads=1) as recognizer:
        wanted = recognizer(clip.frames).glosses
    for name in ("model.onnx", "model.openvino.xml"):
        arguments = [sys.executable, "-c", code, str(exported / name), str(tmp_path / "frames.npy")]
        done = subprocess.run(arguments, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert tuple(done.stdout.split()) == wanted


def test_what_the_package_does_not_offer_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'Recogniser'"):
        slrbench.Recogniser  # noqa: B018


def test_a_long_video_is_recognised_in_windows_and_says_so(reader, clip, monkeypatch):
    monkeypatch.setattr(recognizer_module, "LONG_WINDOW", 64)
    monkeypatch.setattr(recognizer_module, "WHOLE_BYTES", 1)
    frames = np.concatenate([clip.frames] * 2)
    with Recognizer.load(reader, threads=1) as recognizer:
        assert recognizer.longest == 64
        found = recognizer(iter(frames))
    assert found.window == 64
    assert found.frames == len(frames)
    assert found.glosses == clip.glosses * 2


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--window", 64), "--window goes with --online"),
        (("--fit", "stretch"), "--fit is 'stretch', expected squash or crop"),
        (("--render", "seen.avi"), "seen.avi does not end in .mp4"),
        (("--srt", "seen.txt"), "seen.txt does not end in .srt"),
        (("--online", "--stride", 6), "stride is 6 frames, expected a multiple of 4"),
        (("--font", "letters.ttf"), "--font is of the letters of --render"),
        (("--render", "seen.mp4", "--font", "letters.ttf"), "letters.ttf is no font that can be read"),
        (("--backend", "onnx"), "holds no file of backend 'onnx'"),
    ],
)
def test_wishes_that_do_not_fit_are_refused(reader, video, capsys, arguments, words):
    code, out, err = run(capsys, video, "--model", reader, *arguments)
    assert code == 2
    assert words in err
    assert out == ""


def test_a_video_is_never_replaced_by_what_is_rendered_of_it(reader, video, capsys):
    before = video.read_bytes()
    for target in (video, video.parent):
        code, _, err = run(capsys, video, "--model", reader, "--render", target)
        assert code == 2
        assert "is one of the videos, and would be replaced" in err
    assert video.read_bytes() == before


def test_one_file_for_several_videos_is_refused(reader, video, tmp_path, capsys):
    code, _, err = run(capsys, video, video, "--model", reader, "--srt", tmp_path / "both.srt")
    assert code == 2
    assert "is one file for several videos" in err


def test_an_artifact_without_its_card_is_refused(exported, tmp_path, video, capsys):
    shutil.copy(exported / "model.onnx", tmp_path / "model.onnx")
    code, _, err = run(capsys, video, "--model", tmp_path / "model.onnx")
    assert code == 2
    assert "has no card beside it" in err
    assert "checkpoint.json" in err
