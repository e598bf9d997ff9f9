"""slrbench: from a trained sign language recogniser to a deployment decision."""

__version__ = "0.1.0"
