"""What a training says while it runs, and what it gave."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class StepReport:
    """One optimiser step, over the clips of all processes."""

    step: int
    steps: int
    loss: float
    ctc: float
    gradient_norm: float
    learning_rate: float
    blank_share: float
    difficulty: float
    clips_per_s: float
    dev_wer: float | None = None
    distillation: dict[str, float] = field(default_factory=dict)
    """Each term without its weight, and the teacher's share of blank steps; empty without a teacher."""

    def figures(self) -> dict[str, float]:
        """The same as numbers by name, for logs."""
        left_out = ("step", "steps", "distillation")
        own = {name: float(value) for name, value in vars(self).items() if name not in left_out and value is not None}
        return own | {f"distillation/{name}": value for name, value in self.distillation.items()}


@dataclass(kw_only=True)
class TrainingResult:
    """What a run gave; the module holds its weights."""

    seconds: float = 0.0
    steps: int = 0
    clips_dropped: int = 0
    steps_skipped: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    starts: list[dict[str, Any]] = field(default_factory=list)
    """Where the run began and was resumed: the step, and what the caller says of the code and the machine."""
    stopped_early: bool = False
    weights_of_step: int = 0
    """The step whose weights were kept; the last one unless the best were asked for."""
