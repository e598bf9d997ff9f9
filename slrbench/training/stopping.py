"""The best weights so far by WER on dev, and when there is no point in going on."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from slrbench.training.config import OptimisationConfig


class BestWeights:
    """Remembers the weights of the evaluation with the lowest WER, and how long ago that was."""

    def __init__(self, config: OptimisationConfig) -> None:
        """``patience`` and ``stop_not_before`` of the configuration decide when training stops."""
        self._patience = config.patience
        self._not_before = config.stop_not_before
        self.wer = float("inf")
        self.step = 0
        self.since = 0  # evaluations without a lower WER
        self._weights: dict[str, Tensor] = {}

    def evaluated(self, step: int, wer: float, model: nn.Module) -> None:
        """Take an evaluation into account; equal WERs leave the earlier weights."""
        if wer < self.wer:
            self.wer, self.step, self.since = wer, step, 0
            self._weights = {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}
        else:
            self.since += 1

    def stops(self, step: int) -> bool:
        """Whether training ends after the evaluation at ``step``."""
        return 0 < self._patience <= self.since and step >= self._not_before

    def restore(self, model: nn.Module) -> None:
        """Give the network the best weights; those that it has, where nothing was evaluated."""
        if self._weights:
            model.load_state_dict(self._weights)

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs."""
        return {"wer": self.wer, "step": self.step, "since": self.since, "weights": self._weights}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from ``state_dict``."""
        self.wer, self.step, self.since = state["wer"], state["step"], state["since"]
        self._weights = state["weights"]
