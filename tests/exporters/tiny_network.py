"""A small network with everything that is hard to export, and callables for parity checks."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from slrbench.runners.open import open_runner

Infer = Callable[[NDArray[Any]], NDArray[Any]]


class TinyNetwork(nn.Module):
    """A convolution, a BiLSTM and log_softmax, with T' = ceil(T/4): (B, 3, T, H, W) to (T', B, 7)."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv3d(3, 8, 3, padding=1)
        self.lstm = nn.LSTM(8, 6, 2, bidirectional=True)
        self.classifier = nn.Linear(12, 7)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.mul_(3.0)

    def features(self, video: Tensor) -> Tensor:
        """(T', B, 8)."""
        x = torch.relu(self.conv(video)).mean((3, 4))
        x = torch.cat([x, x[:, :, -1:].expand(-1, -1, 3)], dim=2)
        x = x[:, :, : (video.shape[2] + 3) // 4 * 4]
        return nn.functional.max_pool1d(x, 4).permute(2, 0, 1)

    def logits(self, features: Tensor) -> Tensor:
        out: Tensor = self.classifier(self.lstm(features)[0])
        return out

    def forward(self, video: Tensor) -> Tensor:
        return self.logits(self.features(video)).float().log_softmax(-1)


def torch_infer(module: nn.Module) -> Infer:
    """The module as the reference of a parity check."""

    def infer(video: NDArray[Any]) -> NDArray[Any]:
        with torch.no_grad():
            outputs: NDArray[Any] = module(torch.from_numpy(video)).numpy()
        return outputs

    return infer


class FileInfer:
    """An exported file on its runtime, as the candidate of a parity check."""

    def __init__(self, backend: str, path: Path, input_kind: str = "float32") -> None:
        self.backend = backend
        self._runner = open_runner(backend, path, threads=1, input_kind=input_kind)

    def __call__(self, video: NDArray[Any]) -> NDArray[Any]:
        return self._runner.fetch(self._runner.run(self._runner.stage(video)))
