"""A network in half precision, typed through and through, with its log_softmax in fp32. Needs torch.

What a strongly typed engine computes in is what its graph says. So the module itself is made half precision before it
is exported: weights, activations and LSTM states in fp16 or bf16, the input cast at the front, the logits cast to fp32
before log_softmax, in which fp16 would turn small probabilities into -inf.

Shapes: video float32 ``(B, 3, T, H, W)``, log-probabilities float32 ``(T', B, C)``.
"""

import copy
from typing import Literal

import torch
from torch import Tensor, nn

HalfPrecision = Literal["fp16", "bf16"]
DTYPES: dict[HalfPrecision, torch.dtype] = {"fp16": torch.float16, "bf16": torch.bfloat16}


class HardSwish(nn.Module):
    """``x * relu6(x + 3) / 6`` (Howard et al., arXiv 1905.02244) from operators that TensorRT has in bf16.

    Its importer of ONNX's HardSwish takes fp32, fp16 and int8 only (TensorRT-RTX 1.7).
    """

    def forward(self, x: Tensor) -> Tensor:
        """The same shape."""
        return x * (x + 3.0).clamp(0.0, 6.0) * (1.0 / 6.0)


class TypedNetwork(nn.Module):
    """A copy of a network in fp16 or bf16 that takes and gives float32."""

    def __init__(self, network: nn.Module, precision: HalfPrecision) -> None:
        """Copy ``network``, which must compute its log_softmax in float32 whatever its own precision."""
        super().__init__()
        self.dtype = DTYPES[precision]
        self.network = copy.deepcopy(network).to(self.dtype)
        if precision == "bf16":
            for name, module in list(self.network.named_modules()):
                if isinstance(module, nn.Hardswish):
                    self.network.set_submodule(name, HardSwish())
        self.eval()

    def forward(self, video: Tensor) -> Tensor:
        """Log-probabilities, float32 ``(T', B, C)``."""
        log_probs: Tensor = self.network(video.to(self.dtype))
        return log_probs
