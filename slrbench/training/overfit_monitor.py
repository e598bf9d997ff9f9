"""What an over-fitting run shows while it runs, and the words for it. Loads no torch.

Every threshold is a rule of thumb for CTC on a handful of clips; each warning says what was seen and what to try.
"""

import math
from collections import deque
from statistics import median

from slrbench.training.overfit_records import EpochStats, OverfitResult, OverfitSettings

EXPLODING_NORM = 1000.0
"""Gradient norm, before clipping, that no healthy run on a few clips reaches; some hundred are normal at the start."""

EXPLODING_FACTOR = 100.0
"""A norm this many times the median of the last ``WINDOW`` epochs is an explosion too."""

DEAD_NORM = 1e-6
BLANK_SHARE = 0.99
PLATEAU_EPOCHS = 50
STALLED_EPOCHS = 200
WINDOW = 20
REPEAT_AFTER_EPOCHS = 100
"""A warning that stays true is said again after so many epochs, not in each."""


class OverfitMonitor:
    """Looks at one epoch after the other and answers what a person should know."""

    def __init__(self, *, target_loss: float, warmup_epochs: int) -> None:
        """Start with nothing seen; the warm-up is not judged for plateaus."""
        self.target_loss = target_loss
        self.warmup_epochs = warmup_epochs
        self._norms: deque[float] = deque(maxlen=WINDOW)
        self._said: dict[str, int] = {}
        self._blank_epochs = 0
        self._best_loss = math.inf
        self._best_loss_epoch = 0

    def update(self, stats: EpochStats) -> list[str]:
        """Warnings of this epoch, each a line that begins with ``WARNING``."""
        found = {
            "non-finite": self._non_finite(stats),
            "exploding": self._exploding(stats),
            "dead": self._dead(stats),
            "unreached": self._unreached(stats),
            "blank": self._blank(stats),
            "stalled": self._stalled(stats),
        }
        if stats.gradient_norm is not None:
            self._norms.append(stats.gradient_norm)
        lines = []
        for kind, text in found.items():
            last = self._said.get(kind)
            if text is not None and (last is None or stats.epoch - last >= REPEAT_AFTER_EPOCHS):
                self._said[kind] = stats.epoch
                lines.append(f"WARNING epoch {stats.epoch}: {text}")
        return lines

    def _non_finite(self, stats: EpochStats) -> str | None:
        if stats.loss is not None and stats.gradient_norm is not None:
            return None
        what = "loss" if stats.loss is None else "gradient"
        return (
            f"{what} is NaN or Inf, the step was skipped: try a lower learning rate (--lr 0.0005), a longer warm-up "
            "(--warmup 100) or stronger clipping (--clip 0.5)"
        )

    def _exploding(self, stats: EpochStats) -> str | None:
        norm = stats.gradient_norm
        if norm is None:
            return None
        usual = median(self._norms) if len(self._norms) == WINDOW else math.inf
        # Near the end the usual norm is tiny, and a hundredfold of it is still a small step.
        if norm <= EXPLODING_NORM and (norm <= EXPLODING_FACTOR * usual or norm <= 10.0):
            return None
        than = "" if math.isinf(usual) else f", {usual:.3g} was usual"
        return (
            f"exploding gradients: norm {norm:.3g}{than}: try --option a (lower learning rate, longer warm-up) or "
            "stronger clipping (--clip 0.5)"
        )

    def _dead(self, stats: EpochStats) -> str | None:
        if stats.gradient_norm is None or stats.gradient_norm > DEAD_NORM or self._learned(stats):
            return None
        return (
            f"dead gradients: norm {stats.gradient_norm:.3g} while the loss is above {self.target_loss:g}: "
            "try another --seed or a lower learning rate; python -m slrbench verify says whether gradients reach "
            "every parameter"
        )

    def _unreached(self, stats: EpochStats) -> str | None:
        if stats.tensors_without_gradient == 0 or self._learned(stats) or stats.gradient_norm is None:
            return None
        return (
            f"{stats.tensors_without_gradient} of {stats.tensors} parameter tensors have no gradient: "
            "look for a detached or frozen part of the network"
        )

    def _blank(self, stats: EpochStats) -> str | None:
        stuck = stats.blank_share >= BLANK_SHARE and stats.epoch > self.warmup_epochs and not self._learned(stats)
        self._blank_epochs = self._blank_epochs + 1 if stuck else 0
        if self._blank_epochs < PLATEAU_EPOCHS:
            return None
        return (
            f"all-blank plateau: {stats.blank_share:.0%} of the steps are blank for {self._blank_epochs} epochs: "
            "try fewer samples (--samples 3), a lower learning rate (--lr 0.0005) or no dropout (--dropout 0)"
        )

    def _stalled(self, stats: EpochStats) -> str | None:
        if stats.loss is not None and stats.loss < self._best_loss:
            self._best_loss, self._best_loss_epoch = stats.loss, stats.epoch
        waited = stats.epoch - max(self._best_loss_epoch, self.warmup_epochs)
        if waited < STALLED_EPOCHS or self._learned(stats):
            return None
        return (
            f"the loss has not been below {self._best_loss:.4f} for {waited} epochs: try a lower learning rate "
            "(0.0005, then 0.0001) or AdamW (--option b)"
        )

    def _learned(self, stats: EpochStats) -> bool:
        return stats.loss is not None and stats.loss < self.target_loss


def outcome(result: OverfitResult) -> str:
    """In one sentence, how a run ended with respect to 0 % WER."""
    settings, zero = result.settings, result.first_zero_epoch
    if result.achieved:
        return f"0% WER at epoch {zero}"
    if zero is None:
        return f"0% WER was not reached: best WER {result.best_wer:.2%} at epoch {result.best_wer_epoch}"
    if result.final_counts.wer > 0:
        measured = max(stats.epoch for stats in result.history if stats.wer is not None)
        return f"0% WER at epoch {zero} did not hold: {result.final_counts.wer:.2%} at epoch {measured}"
    last = len(result.history)
    if result.final_loss is None or result.final_loss >= settings.target_loss:
        loss = "not finite" if result.final_loss is None else f"{result.final_loss:.4f}"
        return f"0% WER at epoch {zero}, but the loss is {loss} at epoch {last}, not under {settings.target_loss:g}"
    return (
        f"0% WER at epoch {zero} was not confirmed before the last epoch, {last}: it and a loss under "
        f"{settings.target_loss:g} must hold for {settings.confirm_epochs} epochs"
    )


def what_to_try(result: OverfitResult) -> str:
    """Options of ``slrbench overfit`` that fit a run that did not succeed."""
    finite = bool(result.history) and result.history[-1].loss is not None
    if finite and (result.first_zero_epoch is not None or still_falling(result.history)):
        return f"--epochs {_more_epochs(result.settings)}"
    return "--option a"


def still_falling(history: tuple[EpochStats, ...]) -> bool:
    """Whether the loss of the last tenth of the epochs is clearly below that of the tenth before."""
    losses = [stats.loss for stats in history if stats.loss is not None]
    if not losses:
        return False
    tenth = max(1, len(losses) // 10)
    late, before = median(losses[-tenth:]), median(losses[-2 * tenth : -tenth] or losses[:tenth])
    return late < 0.95 * before


def debugging_tips(result: OverfitResult) -> list[str]:
    """What to do after a run that did not succeed, with what this run showed; what fits it best comes first."""
    settings = result.settings
    losses = [stats.loss for stats in result.history if stats.loss is not None]
    seen = "the loss was never finite"
    if losses:
        falls = "it was still falling" if still_falling(result.history) else "it stands still"
        seen = f"it went from {losses[0]:.3f} to {losses[-1]:.3f}, best {min(losses):.3f}, "
        seen += f"bound {settings.target_loss:g}; {falls}"
    tips = [f"Look at the {len(result.warnings)} WARNING lines above"] if result.warnings else []
    if what_to_try(result).startswith("--epochs"):
        tips.append(f"Give it more epochs: {what_to_try(result)}; it stops by itself once 0% WER holds")
    return [
        *tips,
        f"Is the loss decreasing steadily? {seen}",
        "Try a lower learning rate: --lr 0.0005, then --lr 0.0001 (--option a)",
        f"Try fewer samples: --samples {max(1, min(3, settings.samples - 2))} (--option c)",
        "Disable dropout completely: --dropout 0",
        "Try AdamW with a small weight decay: --option b",
        "Run python -m slrbench verify on a checkpoint of this network, and share what it prints",
        "Compare both networks with the same hyper-parameters: python -m slrbench overfit --compare",
    ]


def _more_epochs(settings: OverfitSettings) -> int:
    """At least the default: a run that succeeds ends by itself."""
    return max(OverfitSettings().epochs, 2 * settings.epochs)
