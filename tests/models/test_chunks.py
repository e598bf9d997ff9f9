"""Long videos go through the student's backbone in chunks: the same outputs in bounded memory."""

import json
import subprocess
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from exporters.to_torchscript import expected_warnings, torchscript_from_module
from slrbench.models import chunks
from slrbench.models.chunks import frames_per_chunk, pieces
from slrbench.models.spec import ModelSpec
from tests.models.conftest import SPECS

SPEC = SPECS["student"]


@pytest.fixture
def student(build):
    return build(SPEC)


@pytest.fixture
def chunked(monkeypatch):
    """Makes chunks of so many frames of 32 x 32 pixels, and counts the calls of a backbone."""

    def set_to(frames, model):
        monkeypatch.setattr(chunks, "CPU_PIXELS", frames * 32 * 32)
        calls = []
        model.features.register_forward_hook(lambda module, arguments, output: calls.append(len(output)))
        return calls

    return set_to


@given(lengths=st.lists(st.integers(1, 400), min_size=1, max_size=5), most=st.integers(1, 64))
def test_pieces_cover_every_frame_once_in_order_and_are_about_equally_long(lengths, most):
    found = pieces(lengths, most)
    assert [(clip, frame) for clip, a, b in found for frame in range(a, b)] == [
        (clip, frame) for clip, length in enumerate(lengths) for frame in range(length)
    ]
    for clip in range(len(lengths)):
        sizes = [b - a for which, a, b in found if which == clip]
        assert max(sizes) <= most
        assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize(("frames", "most"), [(33, 32), (60, 16), (61, 5), (127, 32), (40, 1)])
def test_outputs_are_the_same_in_chunks_of_any_size(student, chunked, frames, most):
    video = torch.randn(1, 3, frames, 32, 32)
    with torch.no_grad():
        whole = student(video)
        calls = chunked(most, student)
        found = student(video)
    assert sum(calls) == frames
    assert len(calls) == -(-frames // most)
    torch.testing.assert_close(found, whole, atol=1e-5, rtol=0)
    assert whole.std(dim=0).max() > 1e-3  # outputs of a network that looks at its input


@pytest.mark.parametrize("lengths", [[40, 40], [40, 7], [40, 39, 1]])
def test_clips_of_a_batch_are_the_same_in_chunks(student, chunked, lengths):
    video = torch.randn(len(lengths), 3, max(lengths), 32, 32)
    with torch.inference_mode():
        whole = student(video, torch.tensor(lengths))
        calls = chunked(16, student)
        found = student(video, torch.tensor(lengths))
    assert sum(calls) == sum(lengths)
    torch.testing.assert_close(found, whole, atol=1e-5, rtol=0)


def test_training_and_gradients_see_all_frames_together(student, chunked):
    calls = chunked(4, student)
    video = torch.randn(1, 3, 12, 32, 32)
    student.train()(video).sum().backward()
    student.eval()(video).sum().backward()
    with torch.no_grad():
        student.train()(video)
    assert calls == [12, 12, 12]


@pytest.mark.filterwarnings("ignore:The tensor attributes:UserWarning")
@pytest.mark.filterwarnings("ignore:_check_is_size will be removed:FutureWarning")  # torch.export's own, of its LSTM
def test_exported_graphs_know_nothing_of_chunks(student, monkeypatch, tmp_path):
    monkeypatch.setattr(chunks, "CPU_PIXELS", 4 * 32 * 32)
    video, longer = torch.randn(1, 3, 12, 32, 32), torch.randn(1, 3, 40, 32, 32)
    with torch.no_grad():
        program = torch.export.export(student, (video,))
        torch.testing.assert_close(program.module()(video), student(video), atol=1e-5, rtol=0)
        path = tmp_path / "model.torchscript"
        torchscript_from_module(student, path, example_video=video, metadata={})
        with expected_warnings():
            loaded = torch.jit.load(path)
        torch.testing.assert_close(loaded(longer), student(longer), atol=1e-5, rtol=0)
    convolutions = [node for node in program.graph.nodes if node.target is torch.ops.aten.conv2d.default]
    assert len(convolutions) == sum(isinstance(module, torch.nn.Conv2d) for module in student.modules())


def test_a_chunk_holds_a_fixed_number_of_pixels_and_at_least_one_frame():
    cpu = torch.device("cpu")
    assert frames_per_chunk(224, 224, cpu) == 32
    assert frames_per_chunk(112, 112, cpu) == 128
    assert frames_per_chunk(10_000, 10_000, cpu) == 1
    assert frames_per_chunk(224, 224, torch.device("cuda")) == 256


@pytest.mark.parametrize("stride", [4, 8])
@pytest.mark.parametrize("frames", [193])
def test_the_teachers_outputs_are_the_same_in_chunks_that_overlap(build, monkeypatch, stride, frames):
    # In double precision, where nothing but a frame that is missing makes a difference.
    teacher = build(SPECS["teacher"].model_copy(update={"temporal_stride": stride})).double()
    video = torch.randn(2, 3, frames, 32, 32, dtype=torch.double)
    calls = []
    with torch.no_grad():
        whole = teacher(video)
        teacher.backbone.register_forward_hook(lambda module, arguments, output: calls.append(arguments[0].shape[2]))
        monkeypatch.setattr(chunks, "CONTEXT_PIXELS", 192 * 32 * 32)
        found = teacher(video)
    assert len(calls) > 3
    assert max(calls) <= 192
    torch.testing.assert_close(found, whole, atol=1e-6, rtol=0)  # log_softmax is in float32
    assert whole.std(dim=0).max() > 1e-3


def test_less_context_than_the_teacher_sees_gives_other_outputs(build, monkeypatch):
    """The check of the check: the context is not larger than it must be by much."""
    teacher = build(SPECS["teacher"]).double()
    video = torch.randn(1, 3, 160, 32, 32, dtype=torch.double)
    monkeypatch.setattr(chunks, "CONTEXT_PIXELS", 64 * 32 * 32)
    with torch.no_grad():
        whole = teacher.backbone(video).mean(dim=(3, 4))
        for context, same in ((48, True), (44, True), (40, False), (16, False)):
            monkeypatch.setattr("slrbench.models.i3d.CONTEXT", context)
            assert torch.allclose(teacher._means(video), whole, atol=1e-10, rtol=0) is same, context


_MEMORY = """
import json, sys
import torch
from slrbench.measure.memory import peak_rss_bytes
from slrbench.models.registry import build_model
from slrbench.models.spec import ModelSpec

torch.set_num_threads(1)
model = build_model(ModelSpec.model_validate_json(sys.argv[1])).eval()
frames = int(sys.argv[2])
with torch.inference_mode():
    model(torch.zeros(1, 3, 2, 224, 224))
    video = torch.full((1, 3, frames, 224, 224), 0.5)  # written, so that it is in memory
    before = peak_rss_bytes()
    steps = len(model(video))
    after = peak_rss_bytes()
print(json.dumps({"steps": steps, "grown": after - before}))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the peak of a process alone is read from /proc")
def test_memory_beside_the_video_does_not_grow_with_frames():
    spec = ModelSpec(architecture="student", num_classes=6, width_mult=0.25, conv_channels=16, lstm_hidden=8)
    grown = {}
    for frames in (60, 300):
        done = subprocess.run(
            [sys.executable, "-c", _MEMORY, spec.model_dump_json(), str(frames)],
            capture_output=True,
            text=True,
            check=True,
        )
        found = json.loads(done.stdout)
        assert found["steps"] == frames // 4
        grown[frames] = found["grown"]
    # Frames that a backbone holds at once take 3 MB each: 240 more would take 700 MB.
    assert grown[300] < grown[60] + 30e6, grown
