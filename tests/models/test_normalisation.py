"""Batch normalisation over several processes, in one: there it must be the library's own."""

import copy

import pytest
import torch
from torch import nn

from slrbench.models.masking import Gaps, norm_relu
from slrbench.models.normalisation import FrozenBatchNorm, SynchronisedBatchNorm, replace_batch_norm


def _norm(kind: type[nn.Module], channels: int) -> nn.Module:
    torch.manual_seed(0)
    norm = kind(channels).double()
    nn.init.uniform_(norm.weight, 0.5, 2)
    nn.init.normal_(norm.bias)
    return norm


def _pass(norm: nn.Module, x: torch.Tensor, gaps: Gaps | None) -> tuple[torch.Tensor, ...]:
    x = x.clone().requires_grad_()
    y = norm_relu(norm, x * 1.0, gaps)
    y.square().sum().backward()
    return y.detach(), x.grad, norm.weight.grad, norm.bias.grad, norm.running_mean, norm.running_var


@pytest.mark.parametrize("lengths", [None, [5, 3, 7]], ids=["whole", "gaps"])
@pytest.mark.parametrize("kind", [nn.BatchNorm1d, nn.BatchNorm3d])
def test_outputs_gradients_and_statistics_are_those_of_the_library(kind, lengths):
    shape = (3, 4, 7) if kind is nn.BatchNorm1d else (3, 4, 7, 2, 5)
    x = torch.randn(*shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 3 + 5
    gaps = None if lengths is None else Gaps.after(lengths, 7, torch.device("cpu"))
    if gaps is not None:
        x.transpose(1, 2)[gaps.rows, gaps.steps] = 0
    ours = nn.Sequential(_norm(kind, 4))
    theirs = copy.deepcopy(ours)
    replace_batch_norm(ours, SynchronisedBatchNorm)
    assert isinstance(ours[0], SynchronisedBatchNorm)
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    for a, b in zip(_pass(ours[0], x, gaps), _pass(theirs[0], x, gaps), strict=True):
        torch.testing.assert_close(a, b)
    for norm in (ours, theirs):
        norm.eval()
    torch.testing.assert_close(norm_relu(ours[0], x.clone(), gaps), norm_relu(theirs[0], x.clone(), gaps))


def test_what_does_not_count_gives_zero_and_no_gradient():
    norm = nn.Sequential(_norm(nn.BatchNorm1d, 4))
    replace_batch_norm(norm, SynchronisedBatchNorm)
    norm[0].present = False
    x = torch.randn(2, 4, 6, dtype=torch.float64, requires_grad=True)
    y = norm(x)
    y.sum().backward()
    assert not y.any()
    assert not x.grad.any()


def test_frozen_statistics_stay_in_training_mode_and_are_used():
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
    network[1].running_mean.fill_(2.0)
    expected = copy.deepcopy(network).eval()
    replace_batch_norm(network, FrozenBatchNorm)
    x = torch.randn(2, 3, 5, 5)
    torch.testing.assert_close(network.train()(x), expected(x))
    assert (network[1].running_mean == 2.0).all()
    replace_batch_norm(network, SynchronisedBatchNorm)
    assert isinstance(network[1], FrozenBatchNorm), "what is frozen is not thawed by training in several processes"
