"""An exponential moving average of the weights: what is evaluated and saved where it is asked for."""

from collections.abc import Mapping
from typing import Any

import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from slrbench.models.ctc_head import Recogniser


class WeightAverage:
    """average = decay x average + (1 - decay) x weights after every step; it begins as the weights of the first one.

    In the first steps the decay is lower, (1 + n) / (10 + n) after n of them: a long memory of random weights would
    spoil a short training.
    """

    def __init__(self, model: Recogniser, decay: float) -> None:
        """Copy the network; its batch normalisation is refreshed with its own weights whenever it is used."""
        self._decay = decay
        self._averaged = AveragedModel(model, multi_avg_fn=self._average)

    @property
    def model(self) -> Recogniser:
        """The network with averaged weights."""
        model = self._averaged.module
        assert isinstance(model, Recogniser)
        return model

    def update(self, model: Recogniser) -> None:
        """Take in the weights after a step."""
        self._averaged.update_parameters(model)

    def _average(self, averaged: Any, current: Any, count: torch.Tensor | int) -> None:
        steps = int(count)
        get_ema_multi_avg_fn(min(self._decay, (1 + steps) / (10 + steps)))(averaged, current, count)

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs."""
        state: dict[str, Any] = self._averaged.state_dict()
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from ``state_dict``."""
        self._averaged.load_state_dict(state)
