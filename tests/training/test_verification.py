"""Every check of a network passes on a sound one and fails on one that is broken in just that way."""

import copy

import pytest
import torch

from slrbench.models import ctc_head
from slrbench.models.ctc_head import CtcHead
from slrbench.models.i3d import Teacher
from slrbench.models.mobilenetv3 import Student
from slrbench.training.card import WEIGHTS_NAME, OutputProbe
from slrbench.training.checkpoint import load_checkpoint, probe_outputs
from slrbench.training.verification import (
    check_blank,
    check_gradients,
    check_lengths,
    check_outputs,
    check_padding,
    check_reload,
    check_trained,
    verify_model,
)

NAMES = [
    "Output Shape Check",
    "All values negative (log probs)",
    "Properly normalized",
    "No NaN or Inf",
    "One class for the blank, one per gloss",
    "Reload gives the same outputs",
    "Outputs are those of the trained network",
    "Gradients reach every parameter",
    "CTC loss is finite",
    "Padding invariance",
    "T' = ceil(T/stride) for T = 1..64",
]
GLOSSES = tuple("ABCDEFGHIJ")
SIZE = (32, 32)


def verify(model, **options):
    found = verify_model(model, **{"glosses": GLOSSES, "frame_size": SIZE, **options})
    return {check.name: check for check in found}


def failed(checks):
    return [check.name for check in checks.values() if not check.passed]


@pytest.mark.parametrize("role", ["teacher", "student"])
def test_a_sound_network_passes_and_stays_as_it_was(role, tiny_model):
    model = tiny_model(role).train()
    probe = OutputProbe.of(probe_outputs(model, SIZE).numpy())
    before = copy.deepcopy(model.state_dict())
    random = torch.get_rng_state()
    checks = verify(model, probe=probe)
    assert list(checks) == NAMES
    assert failed(checks) == []
    assert checks["Output Shape Check"].figure == "(8, 2, 11)"
    assert model.training
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert torch.equal(random, torch.get_rng_state())


def test_stride_8_passes(tiny_model):
    spec = tiny_model("teacher").spec.model_copy(update={"temporal_stride": 8})
    checks = verify(Teacher(spec))
    assert list(checks) == [name for name in NAMES if "trained" not in name]  # nothing was stored to compare with
    assert failed(checks) == []


def outputs(model):
    return {check.name: check for check in check_outputs(model, classes=11, frame_size=SIZE)}


def test_a_missing_log_softmax_is_named(monkeypatch, tiny_model):
    model = tiny_model()
    monkeypatch.setattr(ctc_head, "log_probabilities", lambda logits: logits.float())
    checks = outputs(model)
    assert {"All values negative (log probs)", "Properly normalized"} == set(failed(checks))
    assert checks["Properly normalized"].hint == (
        "outputs are logits: log_softmax is missing; checkpoints trained this way must be retrained"
    )


def test_probabilities_are_named(monkeypatch, tiny_model):
    model = tiny_model()
    monkeypatch.setattr(ctc_head, "log_probabilities", lambda logits: logits.float().softmax(-1))
    checks = outputs(model)
    assert {"All values negative (log probs)", "Properly normalized"} == set(failed(checks))
    assert checks["Properly normalized"].hint.startswith("outputs are probabilities")


def test_another_number_of_classes_is_found(tiny_model):
    checks = check_outputs(tiny_model(), classes=12, frame_size=SIZE)
    assert [check.name for check in checks if not check.passed] == ["Output Shape Check"]


def test_a_nan_weight_fails_where_it_shows(tiny_model):
    model = tiny_model()
    with torch.no_grad():
        model.head.classifier.weight[3, 0] = float("nan")
    checks = outputs(model)
    assert "176 NaN" in checks["No NaN or Inf"].figure  # log_softmax spreads it over all classes
    gradients, loss = check_gradients(model, SIZE)
    assert not loss.passed
    assert not gradients.passed
    assert not check_padding(model, SIZE).passed
    assert not check_reload(model, SIZE).passed


class Detached(Student):
    """Training does not reach what comes before the head."""

    def encode(self, video, lengths):
        return super().encode(video, lengths).detach()


def test_a_detached_part_is_named(tiny_model):
    model = Detached(tiny_model().spec)
    gradients, loss = check_gradients(model, SIZE)
    assert loss.passed
    assert not gradients.passed
    assert "features.0" in gradients.hint
    reached = sum(name.startswith("head.") for name, _ in model.named_parameters())
    assert gradients.figure.startswith(f"{reached} of ")


def test_a_frozen_parameter_is_named(tiny_model):
    model = tiny_model()
    model.temporal.conv1.weight.requires_grad_(False)
    gradients, _ = check_gradients(model, SIZE)
    assert not gradients.passed
    assert "temporal.conv1.weight;" in gradients.hint


def test_a_fully_frozen_network_fails_in_words(tiny_model):
    gradients, loss = check_gradients(tiny_model().requires_grad_(False), SIZE)
    assert gradients.figure.startswith("0 of ")
    assert not gradients.passed
    assert loss.passed


def test_an_lstm_that_reads_the_padding_is_found(monkeypatch, tiny_model):
    model = tiny_model()
    with torch.no_grad():  # with the biases of a fresh network, an LSTM that reads zeros stays at zero
        for name, parameter in model.head.lstm.named_parameters():
            if "bias" in name:
                parameter.uniform_(-1, 1)
    assert check_padding(model, SIZE).passed
    classify = CtcHead.classify
    monkeypatch.setattr(CtcHead, "classify", lambda self, features, steps: classify(self, features, None))
    check = check_padding(model, SIZE)
    assert not check.passed
    assert "pack the LSTM" in check.hint


class Ignorant(Student):
    """Does not look at lengths."""

    def encode(self, video, lengths):
        return super().encode(video, None)


def test_convolutions_that_read_the_padding_are_found(tiny_model):
    model = Ignorant(tiny_model().spec).eval()
    model.load_state_dict(tiny_model().state_dict())
    assert check_padding(tiny_model(), SIZE).passed
    assert not check_padding(model, SIZE).passed


class Floor(Student):
    """T' = floor(T / 4), as convolutions without padding give."""

    def encode(self, video, lengths):
        features = super().encode(video, lengths)
        return features[: video.shape[2] // 4] if lengths is None and video.shape[2] >= 4 else features


def test_a_wrong_output_length_is_found(tiny_model):
    check = check_lengths(Floor(tiny_model().spec).eval(), SIZE)
    assert not check.passed
    assert check.figure.startswith("T = 5 gives 1, not 2")


class WrongLengths(Student):
    """Tells training floor(T / 4) steps, at least one."""

    def forward_training(self, video, lengths=None):
        output = super().forward_training(video, lengths)
        return output._replace(lengths=(lengths // 4).clamp(min=1))


def test_wrong_lengths_in_training_are_found(tiny_model):
    check = check_lengths(WrongLengths(tiny_model().spec).eval(), SIZE)
    assert not check.passed
    assert "training is told [3, 1, 7] steps for T = [13, 1, 29], not [4, 1, 8]" in check.figure


@pytest.mark.parametrize("glosses", [GLOSSES[:-1], (*GLOSSES[:-1], "A"), (*GLOSSES, "K")])
def test_a_vocabulary_that_does_not_fit_is_found(glosses, tiny_model):
    assert check_blank(tiny_model(), GLOSSES).passed
    assert not check_blank(tiny_model(), glosses).passed


class Extra(Student):
    """Adds to its output what no spec knows of."""

    def __init__(self, spec):
        super().__init__(spec)
        self.register_buffer("shift", torch.ones(spec.num_classes).cumsum(0), persistent=False)

    def forward(self, video, lengths=None):
        return torch.log_softmax(super().forward(video, lengths) + self.shift, dim=-1)


def test_what_is_not_saved_is_found(tiny_model):
    check = check_reload(Extra(tiny_model().spec), SIZE)
    assert not check.passed
    assert "not saved" in check.hint


def test_other_weights_are_found(checkpoint_folder):
    model, _ = load_checkpoint(checkpoint_folder)
    weights = checkpoint_folder / WEIGHTS_NAME
    assert check_reload(model, SIZE, weights).passed
    with torch.no_grad():
        model.head.classifier.bias[0] += 1e-6
    assert not check_reload(model, SIZE, weights).passed


def test_stored_outputs_are_compared_with_fresh_ones(tiny_model):
    model = tiny_model()
    probe = OutputProbe.of(probe_outputs(model, SIZE).numpy())
    assert check_trained(model, SIZE, probe).passed
    with torch.no_grad():
        model.head.classifier.bias[0] += 0.1
    assert not check_trained(model, SIZE, probe).passed


def test_stored_logits_fail_though_the_network_has_log_softmax_again(monkeypatch, tiny_model):
    model = tiny_model()
    with monkeypatch.context() as patch:
        patch.setattr(ctc_head, "log_probabilities", lambda logits: logits.float())
        probe = OutputProbe.of(probe_outputs(model, SIZE).numpy())
    checks = check_outputs(model, classes=11, frame_size=SIZE, probe=probe)
    assert "must be retrained" in next(check.hint for check in checks if not check.passed)
    assert not check_trained(model, SIZE, probe).passed
