"""What an over-fitting run shows while it runs, and the words for it. Loads no torch.

Every threshold is a rule of thumb for CTC on a handful of clips; each warning says what was seen and what to try.
"""

import math
from collections import deque
from statistics import median

from slrbench.training.overfit_records import EpochStats

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


def debugging_tips(history: tuple[EpochStats, ...], *, warnings: int, samples: int, target_loss: float) -> list[str]:
    """What to do after a run that did not reach 0 % WER, with what this run showed."""
    losses = [stats.loss for stats in history if stats.loss is not None]
    first = f"Look at the {warnings} WARNING lines above" if warnings else "No WARNING was given"
    if not losses:
        seen = "the loss was never finite"
    else:
        tenth = max(1, len(losses) // 10)
        late, before = median(losses[-tenth:]), median(losses[-2 * tenth : -tenth] or losses[:tenth])
        seen = f"it went from {losses[0]:.3f} to {losses[-1]:.3f}, best {min(losses):.3f}, bound {target_loss:g}; "
        seen += "it was still falling: give it more --epochs" if late < 0.95 * before else "it stands still"
    return [
        first,
        f"Is the loss decreasing steadily? {seen}",
        "Try a lower learning rate: --lr 0.0005, then --lr 0.0001 (--option a)",
        f"Try fewer samples: --samples {max(1, min(3, samples - 2))} (--option c)",
        "Disable dropout completely: --dropout 0",
        "Try AdamW with a small weight decay: --option b",
        "Run python -m slrbench verify on a checkpoint of this network, and share what it prints",
        "Compare both networks with the same hyper-parameters: python -m slrbench overfit --compare",
    ]
