"""slrbench: from a trained sign language recogniser to a deployment decision."""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_LATER = {"Recognizer": "slrbench.workflows.recognizer"}
"""What is offered here and imported when it is asked for: importing slrbench loads nothing."""


def __getattr__(name: str) -> Any:
    """Import what :data:`_LATER` names."""
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LATER[name]), name)
