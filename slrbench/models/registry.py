"""Build a network from its spec."""

from pathlib import Path

from safetensors.torch import load_file

from slrbench.models.ctc_head import Recogniser
from slrbench.models.i3d import Teacher
from slrbench.models.mobilenetv3 import Student
from slrbench.models.spec import ModelSpec


def build_model(spec: ModelSpec) -> Recogniser:
    """Build the network of ``spec`` with fresh weights from torch's global random generator."""
    return Teacher(spec) if spec.architecture == "teacher" else Student(spec)


def load_weights(spec: ModelSpec, path: Path) -> Recogniser:
    """Build the network of ``spec`` with the weights of a safetensors file, in evaluation mode."""
    model = build_model(spec)
    model.load_state_dict(load_file(path))
    return model.eval()
