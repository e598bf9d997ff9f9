"""Tiny networks of every kind."""

from collections.abc import Callable

import pytest
import torch

from slrbench.models.ctc_head import Recogniser
from slrbench.models.registry import build_model
from slrbench.models.spec import ModelSpec

SPECS = {
    "teacher": ModelSpec(architecture="teacher", num_classes=6, width=0.125, lstm_hidden=8, dropout=0.0),
    "teacher-stride-8": ModelSpec(
        architecture="teacher", num_classes=6, width=0.125, temporal_stride=8, lstm_hidden=8, dropout=0.0
    ),
    "student": ModelSpec(
        architecture="student", num_classes=6, width_mult=0.25, conv_channels=16, lstm_hidden=8, dropout=0.0
    ),
}


@pytest.fixture(scope="session", params=SPECS)
def spec(request: pytest.FixtureRequest) -> ModelSpec:
    return SPECS[request.param]


@pytest.fixture(scope="session")
def build() -> Callable[[ModelSpec], Recogniser]:
    """Build a network in evaluation mode whose batch normalisation knows its data."""

    def built(spec: ModelSpec) -> Recogniser:
        # Under the initial statistics a random MobileNetV3 gives the same outputs for every input: take one batch's.
        torch.manual_seed(1)
        model = build_model(spec.model_copy(update={"batch_norm_momentum": 1.0}))
        with torch.no_grad():
            model(torch.randn(4, 3, 8, 32, 32))
        return model.eval()

    return built


@pytest.fixture(scope="session")
def model(spec: ModelSpec, build: Callable[[ModelSpec], Recogniser]) -> Recogniser:
    """Shared by all tests of a session: read it, and leave it in evaluation mode."""
    return build(spec)
