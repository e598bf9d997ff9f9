"""A network of convolutions alone: nothing in it loops, and its channels are multiples of what tensor cores take."""

import torch
from torch import Tensor, nn


class WideNetwork(nn.Module):
    """Three convolutions over time and space, and log_softmax: (B, 3, T, H, W) to (T, B, 16)."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.first = nn.Conv3d(3, 64, 3, padding=1)
            self.second = nn.Conv3d(64, 128, 3, padding=1)
            self.third = nn.Conv3d(128, 16, 3, padding=1)
            with torch.no_grad():
                for layer in (self.first, self.second, self.third):
                    layer.weight.mul_(3.0)

    def forward(self, video: Tensor) -> Tensor:
        x = torch.relu(self.second(torch.relu(self.first(video))))
        scores = self.third(x).mean((3, 4))
        return scores.permute(2, 0, 1).log_softmax(-1)
