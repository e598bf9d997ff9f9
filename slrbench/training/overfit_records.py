"""Settings, progress and result of the over-fitting test. Loads no torch."""

from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field

from slrbench.models.spec import ModelSpec
from slrbench.records import ErrorCounts, Record


class EpochStats(Record):
    """One epoch; ``None`` where the word error rate was not measured."""

    epoch: int
    loss: float | None  # of the final head, training mode, nats per label, averaged over clips; None: not finite
    wer: float | None  # a share, in evaluation mode
    learning_rate: float
    gradient_norm: float | None  # before clipping; None: not finite
    blank_share: float  # of the valid output steps, 0 .. 1
    tensors_without_gradient: int
    tensors: int


class OverfitSettings(Record):
    """Hyper-parameters of the over-fitting test; the defaults are those of its first try."""

    samples: int = Field(default=5, ge=1)
    epochs: int = Field(default=2000, ge=1)
    learning_rate: float = Field(default=1e-3, ge=0.0)
    warmup_epochs: int = Field(default=50, ge=0, description="the learning rate grows linearly over so many epochs")
    dropout: float = Field(default=0.1, ge=0.0, lt=1.0)
    optimizer: Literal["adam", "adamw"] = "adam"
    weight_decay: float = Field(default=0.0, ge=0.0)
    clip_norm: float = Field(default=1.0, gt=0.0, description="largest gradient norm of a step")
    auxiliary_weight: float = Field(default=0.5, ge=0.0, description="of the auxiliary head's CTC loss")
    seed: int = Field(default=0, ge=0)
    target_loss: float = Field(default=0.1, gt=0.0, description="nats per label")
    confirm_epochs: int = Field(default=20, ge=0, description="how long WER and loss must stay where they should be")
    evaluate_every: int = Field(default=10, ge=1, description="epochs from one measurement of the WER to the next")


OPTIONS: dict[str, dict[str, Any]] = {
    "a": {"learning_rate": 5e-4, "warmup_epochs": 100, "dropout": 0.05},
    "b": {"optimizer": "adamw", "weight_decay": 0.01},
    "c": {"samples": 3, "dropout": 0.0, "epochs": 4000},
}
"""The three alternatives to try when the first try fails: more conservative, another optimizer, minimal."""


class OverfitResult(Record):
    """How a run ended, and every epoch of it."""

    spec: ModelSpec
    parameters: int
    settings: OverfitSettings
    clip_ids: tuple[str, ...]
    achieved: bool
    first_zero_epoch: int | None = Field(description="first epoch at which 0 % WER was measured")
    best_loss: float | None
    best_wer: float
    best_wer_epoch: int = Field(description="0: nothing better was measured than a network that says nothing")
    final_loss: float | None
    final_counts: ErrorCounts
    seconds: float
    warnings: tuple[str, ...]
    history: tuple[EpochStats, ...]

    def figures(self) -> dict[str, Any]:
        """The few figures that a checkpoint's card keeps."""
        return {
            "achieved": self.achieved,
            "clips": len(self.clip_ids),
            "wer": self.final_counts.wer,
            "loss": self.final_loss,
            "first_zero_epoch": self.first_zero_epoch,
            "epochs": len(self.history),
            "seconds": round(self.seconds, 2),
            "seed": self.settings.seed,
        }


@dataclass(frozen=True, kw_only=True)
class OverfitProgress:
    """What a caller is told after each epoch."""

    stats: EpochStats
    epochs: int
    best_loss: float | None
    wer: float
    best_wer: float
    best_wer_epoch: int
    finished: bool
    warnings: tuple[str, ...]

    def line(self) -> str:
        """``Epoch [n/N] | Loss: x (Best: y) | WER: z% (Best: w% @ epoch)``; the WER is the one measured last."""
        loss = "not finite" if self.stats.loss is None else f"{self.stats.loss:.4f}"
        best = "none" if self.best_loss is None else f"{self.best_loss:.4f}"
        return (
            f"Epoch [{self.stats.epoch}/{self.epochs}] | Loss: {loss} (Best: {best}) | "
            f"WER: {self.wer:.2%} (Best: {self.best_wer:.2%} @ {self.best_wer_epoch})"
        )
