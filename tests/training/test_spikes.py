"""Spike offsets: on outputs whose spikes are known, as a picture, and through the command."""

import json

import numpy as np
import pytest
from matplotlib.image import imread

from slrbench.cli.app import main
from slrbench.training.spikes import SpikeComparison
from slrbench.training.spikes_plot import save_spike_plot


def spiking(steps, at, *, classes=4, sharp=6.0):
    """Log-probabilities (T', C) that spike with a label at given steps and show the blank elsewhere."""
    logits = np.zeros((steps, classes))
    logits[:, 0] = sharp
    for step, label in at.items():
        logits[step] = 0
        logits[step, label] = sharp
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


def compared(*clips):
    comparison = SpikeComparison(seconds_per_step=0.16)
    for student, teacher, labels in clips:
        comparison.add(student, teacher, labels)
    return comparison.result()


def test_equal_outputs_have_no_offset_and_no_divergence():
    outputs = spiking(10, {2: 1, 5: 2})
    found = compared((outputs, outputs, (1, 2)))
    assert found.offsets == {0: 2}
    assert (found.mean, found.within_one, found.best_shift) == (0, 1, 0)
    assert found.divergence[0] == pytest.approx(0, abs=1e-12)
    assert found.divergence[1] > 0.5
    assert found.teacher_blank_share == found.student_blank_share == 0.8


@pytest.mark.parametrize("shift", [-2, -1, 1, 2])
def test_a_student_that_is_later_or_earlier_is_found_out(shift):
    teacher = spiking(12, {4: 1, 7: 2})
    student = spiking(12, {4 + shift: 1, 7 + shift: 2})
    found = compared((student, teacher, (1, 2)))
    assert found.offsets == {shift: 2}
    assert found.mean == shift
    assert found.best_shift == shift
    assert found.within_one == (abs(shift) <= 1)
    assert found.divergence[shift] == pytest.approx(0, abs=1e-9)
    assert ("later" if shift > 0 else "earlier") in found.sentence()
    assert f"shift of {shift:+d}" in found.sentence()


def test_figures_are_over_all_glosses_of_all_clips():
    teacher = spiking(12, {4: 1, 8: 2})
    found = compared(
        (spiking(12, {4: 1, 8: 2}), teacher, (1, 2)),
        (spiking(12, {5: 1, 11: 2}), teacher, (1, 2)),
    )
    assert found.offsets == {0: 2, 1: 1, 3: 1}
    assert (found.glosses, found.mean, found.within_one) == (4, 1.0, 0.75)
    assert sum(found.offsets.values()) == found.figures()["glosses"]


def test_the_divergence_is_the_mean_by_hand():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(2, 6, 4))
    student, teacher = logits - np.log(np.exp(logits).sum(axis=2, keepdims=True))
    found = compared((student, teacher, (1,)))
    for shift in (-2, 0, 1):
        terms = [np.sum(np.exp(teacher[t]) * (teacher[t] - student[t + shift])) for t in range(6) if 0 <= t + shift < 6]
        assert found.divergence[shift] == pytest.approx(np.mean(terms))


def test_clips_that_cannot_be_aligned_are_counted_and_left_out():
    outputs = spiking(3, {1: 1})
    found = compared((outputs, outputs, (1, 1, 2)), (outputs, outputs, (1,)), (outputs, outputs, ()))
    assert (found.clips, found.clips_left_out) == (1, 2)
    assert compared((outputs, outputs, (1, 1, 2))) is None


def test_different_shapes_are_refused():
    with pytest.raises(ValueError, match="differ in shape"):
        compared((spiking(3, {}), spiking(4, {}), (1,)))


@pytest.mark.parametrize("offset", [0, 1, 30])
def test_the_picture_is_a_png_for_few_and_for_far_offsets(offset, tmp_path):
    teacher = spiking(40, {2: 1})
    found = compared((spiking(40, {2 + offset: 1}), teacher, (1,)))
    path = save_spike_plot(tmp_path / "spikes.png", found, student="student", teacher="teacher", clips_of="dev")
    picture = imread(path)
    assert picture.shape[0] > 300
    assert picture.std() > 0.05


def run(capsys, *arguments):
    capsys.readouterr()
    code = main(["evaluate", *map(str, arguments), "--threads", "1"])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_evaluate_compares_a_checkpoint_with_its_teacher(saved_checkpoint, tmp_path, capsys):
    picture = tmp_path / "spikes.png"
    common = (saved_checkpoint, "--against", saved_checkpoint, "--split", "dev", "--clips", 4)
    code, out, err = run(capsys, *common, "--spikes", picture)
    assert code == 0
    assert "100% of" in out
    assert "within one output step" in out
    assert f"wrote {picture}" in err
    assert picture.read_bytes()[:4] == b"\x89PNG"
    code, out, _ = run(capsys, *common, "--json")
    spikes = json.loads(out)["spikes"]
    assert (spikes["mean_offset_steps"], spikes["share_within_one_step"], spikes["best_shift"]) == (0, 1, 0)
    assert spikes["clips"] == 4


def test_a_picture_without_a_teacher_and_a_teacher_that_is_none_are_refused(saved_checkpoint, tmp_path, capsys):
    code, _, err = run(capsys, saved_checkpoint, "--spikes", tmp_path / "x.png", "--clips", 1)
    assert code == 2
    assert "--against TEACHER" in err
    code, _, err = run(capsys, saved_checkpoint, "--against", tmp_path / "nowhere", "--clips", 1)
    assert code == 2
