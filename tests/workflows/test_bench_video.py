"""``bench --video``: a video from its bytes to glosses, as a row beside the network alone."""

import csv
import json
import shutil
from pathlib import Path

import pytest

from slrbench.cli.app import main
from slrbench.data import open_corpus
from slrbench.data.preview import plain_video, write_mp4
from slrbench.data.video import read_video
from slrbench.measure.clock import perf_counter_ns
from slrbench.measure.pixels import PARTS, VideoInput, pixel_passes
from slrbench.measure.sampling import SamplingRule
from slrbench.reporting.store import read_report
from slrbench.runners.inputs import artifact_sha256
from slrbench.runners.open import open_runner
from slrbench.training.card import read_card
from slrbench.workflows.recognizer import Recognizer


@pytest.fixture(scope="module")
def video(exported: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    clip = open_corpus(read_card(exported).data).split("dev")[0]
    path = tmp_path_factory.mktemp("videos") / "word.mp4"
    write_mp4(plain_video([clip], side=96), path, 25.0)
    return path


@pytest.fixture(scope="module")
def measured(exported: Path, video: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A benchmark of two backends and two batch sizes, with the video."""
    folder = tmp_path_factory.mktemp("reports") / "video"
    arguments = ["--backend", "onnx,openvino", "--video", str(video), "--batch", "1,2", "--frames", "12"]
    common = ["--quick", "--rounds", "1", "--threads", "1", "--wer-clips", "0", "-o", str(folder)]
    assert main(["bench", str(exported), *arguments, *common]) == 0
    return folder


def test_each_candidate_of_one_clip_has_a_row_of_the_video(measured: Path, video: Path) -> None:
    report = read_report(measured)
    rows = [row for row in report.summary if row.scope == "pixels_to_glosses"]
    assert [(row.backend, row.batch, row.frames) for row in rows] == [("onnx", 1, 12), ("openvino", 1, 12)]
    for row in rows:
        assert row.measurement is not None
        measurement = report.measurements[row.measurement]
        pixels = measurement.pixels
        assert pixels is not None
        assert (pixels.video, pixels.source_height, pixels.source_width) == ("word.mp4", 96, 96)
        assert row.samples == len(pixels.samples_s) == len(pixels.round_of) >= 22
        assert set(pixels.parts_s) == set(PARTS)
        assert row.throughput_clips_per_s is None
        assert row.p50_s > max(pixels.parts_s.values())
        assert measurement.actual["runtimes_imported"] == [{"onnx": "onnxruntime"}.get(row.backend, row.backend)]
    assert all(m.pixels is None for m in report.measurements if m.candidate.batch == 2)
    assert report.control is not None
    assert all(report.summary[c.row].scope != "pixels_to_glosses" for c in report.comparisons)
    assert report.decision is not None
    assert all(report.summary[i].scope == "end_to_end" for i in report.decision.pareto)


def test_the_row_stands_in_every_form_of_the_report(measured: Path) -> None:
    text = (measured / "report.md").read_text(encoding="utf-8")
    section = text.split("## Pixels to glosses")[1].split("\n## ")[0]
    assert all(f"{part} (" in section for part in ("Decode", "Resize", "Network", "CTC"))
    assert "word.mp4 (96 x 96, SHA-256 " in section
    rows = list(csv.DictReader((measured / "report.csv").read_text(encoding="utf-8").splitlines()))
    assert sum(row["scope"] == "pixels_to_glosses" for row in rows) == 2
    assert "Pixels to glosses" in (measured / "report.html").read_text(encoding="utf-8")
    assert main(["decide", str(measured)]) in (0, 1)


def test_a_report_of_before_has_no_such_row(measured: Path, tmp_path: Path) -> None:
    document = json.loads((measured / "report.json").read_text())
    document["summary"] = [row for row in document["summary"] if row["scope"] != "pixels_to_glosses"]
    document["comparisons"], document["decision"] = [], None
    for measurement in [*document["measurements"], document["control"]]:
        del measurement["pixels"]
    (tmp_path / "report.json").write_text(json.dumps(document))
    report = read_report(tmp_path)
    assert all(measurement.pixels is None for measurement in report.measurements)


@pytest.mark.parametrize(("name", "kind"), [("model.onnx", "float32"), ("model.uint8.onnx", "uint8")])
def test_a_call_gives_what_the_recogniser_gives(exported: Path, video: Path, name: str, kind: str) -> None:
    with Recognizer.load(exported / name, threads=1) as recognizer:
        wanted = recognizer(read_video(video)[:12]).glosses
        glosses = recognizer.network.glosses
    runner = open_runner("onnx", exported / name, threads=1, input_kind=kind)
    rule = SamplingRule(min_calls=3, min_time_s=0.0)
    found = pixel_passes(runner, input_of(video), perf_counter_ns, rule, input_kind=kind)
    runner.close()
    assert tuple(glosses[label - 1] for label in found["labels"]) == wanted
    assert len(found["samples_s"]) == 3
    assert all(value > 0 for value in found["samples_s"])


def test_the_clock_is_asked_at_the_borders_of_the_parts_only(exported: Path, video: Path) -> None:
    ticks = iter(range(0, 10_000_000, 1000))
    runner = open_runner("onnx", exported / "model.onnx", threads=1)
    rule = SamplingRule(min_calls=2, min_time_s=0.0)
    found = pixel_passes(runner, input_of(video), lambda: next(ticks), rule, input_kind="float32")
    runner.close()
    assert found["parts_s"] == dict.fromkeys(PARTS, pytest.approx(1e-6))
    assert found["samples_s"] == [pytest.approx(4e-6)] * 2


def input_of(video: Path, **changes: object) -> VideoInput:
    values = {"path": str(video), "sha256": artifact_sha256(video), "resize": (32, 32), "size": (32, 32)}
    return VideoInput.of({**values, "frames": 12, "frames_per_second": 25.0, **changes})


def test_a_short_video_is_read_again_from_its_beginning(exported: Path, video: Path) -> None:
    frames = read_video(video)
    with Recognizer.load(exported / "model.onnx", threads=1) as recognizer:
        twice = recognizer([*frames, *frames[:5]])
        glosses = recognizer.network.glosses
    runner = open_runner("onnx", exported / "model.onnx", threads=1)
    rule = SamplingRule(min_calls=1, min_time_s=0.0)
    longer = input_of(video, frames=len(frames) + 5)
    found = pixel_passes(runner, longer, perf_counter_ns, rule, input_kind="float32")
    runner.close()
    assert tuple(glosses[label - 1] for label in found["labels"]) == twice.glosses


def test_a_video_that_is_altered_meanwhile_costs_its_row_only(
    exported: Path, video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from slrbench.workflows import bench_video

    copy = Path(shutil.copy(video, tmp_path / "word.mp4"))
    monkeypatch.setattr(bench_video, "sha256_file", lambda path: "0" * 64)
    arguments = ["--backend", "onnx", "--video", str(copy), "--frames", "8", "--wer-clips", "0"]
    common = ["--quick", "--rounds", "1", "--threads", "1", "-o", str(tmp_path / "report")]
    assert main(["bench", str(exported), *arguments, *common]) == 0
    report = read_report(tmp_path / "report")
    assert {row.scope for row in report.summary} == {"compute", "end_to_end"}
    assert any("was altered while" in warning for warning in report.measurements[0].warnings)
    assert report.measurements[0].parallel


NO_VIDEOS = [(None, "there is no video file"), (b"no video", "word.mp4: it is not a video")]


@pytest.mark.parametrize(("content", "words"), NO_VIDEOS)
def test_what_is_no_video_is_refused_before_anything_is_measured(
    exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes | None, words: str
) -> None:
    if content is not None:
        (tmp_path / "word.mp4").write_bytes(content)
    arguments = ["--backend", "onnx", "--video", str(tmp_path / "word.mp4"), "-o", str(tmp_path / "report")]
    assert main(["bench", str(exported), *arguments]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "report").exists()
