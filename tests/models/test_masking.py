import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from slrbench.models.masking import Gaps, Tape, extend_each, norm_relu, zero_gaps

LENGTHS = st.lists(st.integers(1, 40), min_size=1, max_size=7)


@given(lengths=LENGTHS, stride=st.sampled_from([4, 8]), rows=st.integers(1, 3))
def test_clips_on_a_tape_are_apart_and_everything_else_is_a_gap(lengths: list[int], stride: int, rows: int) -> None:
    tape = Tape.of(lengths, stride, rows)
    owner = -torch.ones(tape.rows, tape.length, dtype=torch.int64)
    for clip, (row, start, length) in enumerate(tape.placements):
        assert start % stride == length % stride == 0
        assert 0 <= length - lengths[clip] < stride
        assert (owner[row, start : start + length] == -1).all()
        # No other clip within one stride on either side.
        assert (owner[row, max(0, start - stride) : start + length + stride] == -1).all()
        owner[row, start : start + length] = clip
    for level in (1, 2, 4, stride):
        gaps = tape.gaps(level, torch.device("cpu"))
        expected = owner[:, ::level] == -1
        found = torch.zeros_like(expected)
        found[gaps.rows, gaps.steps] = True
        assert torch.equal(found, expected)


@given(lengths=LENGTHS)
def test_a_tape_is_hardly_longer_than_the_clips_on_it(lengths: list[int]) -> None:
    tape = Tape.of(lengths, 4)
    used = sum(length + 3 + 4 for length in lengths)
    assert tape.length <= used / tape.rows + max(lengths) + 7


@given(lengths=st.lists(st.integers(1, 20), min_size=1, max_size=5), stride=st.sampled_from([4, 8]))
def test_reading_a_tape_gives_back_each_clip_extended_by_its_last_frame(lengths: list[int], stride: int) -> None:
    video = torch.rand(len(lengths), 2, max(lengths) + 1, 1, 1) + 1
    tape = Tape.of(lengths, stride)
    written = tape.write(video, lengths)
    assert not written[:, :, :, 0, 0].transpose(1, 2)[tape.gaps(1, video.device)].any()
    last_of_each_step = tape.read(written[:, :, stride - 1 :: stride, 0, 0])
    longest = max(placement.length for placement in tape.placements)
    assert last_of_each_step.shape == (len(lengths), 2, longest // stride)
    for clip, row, length in zip(video, last_of_each_step, lengths, strict=True):
        steps = -(-length // stride)
        frames = torch.arange(stride - 1, steps * stride, stride).clamp_max(length - 1)
        assert torch.equal(row[:, :steps], clip[:, frames, 0, 0])
        assert not row[:, steps:].any()


def joint_norm_relu(norm: nn.BatchNorm1d | nn.BatchNorm3d, x: Tensor, keep: Tensor) -> Tensor:
    """The library's batch normalisation over the valid positions, gathered; zero elsewhere."""
    rows = x.movedim(1, -1)[keep]  # (valid steps, ..., C)
    flat = rows.flatten(0, -2)
    y = functional.batch_norm(
        flat, norm.running_mean, norm.running_var, norm.weight, norm.bias, norm.training, norm.momentum or 0.0, norm.eps
    )
    result = torch.zeros_like(x.movedim(1, -1))
    result[keep] = functional.relu(y).reshape(rows.shape)
    return result.movedim(-1, 1)


def example(shape: tuple[int, ...], lengths: list[int]) -> tuple[nn.BatchNorm1d | nn.BatchNorm3d, Tensor, Gaps, Tensor]:
    """A layer, an input with an offset (as before a normalisation), its gaps, and which steps are valid."""
    torch.manual_seed(0)
    norm = (nn.BatchNorm3d if len(shape) == 5 else nn.BatchNorm1d)(shape[1]).double()
    nn.init.uniform_(norm.weight, 0.5, 2)
    nn.init.normal_(norm.bias)
    x = torch.randn(shape, dtype=torch.double) * 3 + 5
    keep = torch.arange(shape[2]) < torch.tensor(lengths)[:, None]
    return norm, x, Gaps.after(lengths, shape[2], x.device), keep


CASES = [((3, 4, 6), [6, 2, 1]), ((2, 3, 5, 2, 3), [5, 2]), ((2, 8, 4, 1, 1), [1, 1]), ((1, 2, 9, 2, 2), [4])]


@pytest.mark.parametrize(("shape", "lengths"), CASES)
@pytest.mark.parametrize("memory_format", ["contiguous", "channels last"])
def test_gaps_stay_out_of_batch_normalisation(shape: tuple[int, ...], lengths: list[int], memory_format: str) -> None:
    norm, x, gaps, keep = example(shape, lengths)
    if memory_format == "channels last":
        x = x.movedim(1, -1).contiguous().movedim(-1, 1)
    other = example(shape, lengths)[0]
    upstream = torch.randn_like(x)
    results = []
    for layer, function in (
        (norm, lambda v: norm_relu(norm, v * 1, gaps)),
        (other, lambda v: joint_norm_relu(other, v, keep)),
    ):
        value = x.clone().requires_grad_()
        y = function(value)
        (y * upstream).sum().backward()
        results.append([y, value.grad, layer.weight.grad, layer.bias.grad, layer.running_mean, layer.running_var])
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs)
    assert norm.num_batches_tracked == 1


def test_what_gaps_hold_changes_nothing() -> None:
    norm, x, gaps, keep = example((3, 4, 6), [6, 2, 1])
    with torch.no_grad():
        expected = norm_relu(norm, x.clone(), gaps)
        x.movedim(1, -1)[~keep] = torch.nan
        assert torch.equal(norm_relu(norm, x.clone(), gaps), expected)
        # ... and without the gaps it would.
        assert norm(x).isnan().any()


def test_gradients_agree_with_finite_differences() -> None:
    norm, x, gaps, _ = example((2, 2, 5, 2, 1), [5, 3])
    assert torch.autograd.gradcheck(lambda value: norm_relu(norm, value * 1, gaps), x.requires_grad_())


def test_running_statistics_are_used_in_evaluation() -> None:
    norm, x, gaps, keep = example((3, 4, 6), [6, 2, 1])
    norm(x)
    norm.eval()
    before = norm.running_mean.clone()
    with torch.no_grad():
        torch.testing.assert_close(norm_relu(norm, x.clone(), gaps), joint_norm_relu(norm, x, keep))
    assert torch.equal(norm.running_mean, before)


def test_momentum_none_is_the_cumulative_average() -> None:
    norm, x, gaps, keep = example((3, 4, 6), [6, 2, 1])
    norm.momentum = None
    with torch.no_grad():
        for scale in (1.0, 2.0):
            norm_relu(norm, x * scale, gaps)
    valid = x.movedim(1, -1)[keep]
    torch.testing.assert_close(norm.running_mean, valid.mean(0) * 1.5)
    torch.testing.assert_close(norm.running_var, valid.var(0) * 2.5)


def test_bfloat16_activations_keep_float32_statistics() -> None:
    norm, x, gaps, keep = example((2, 4, 8, 2, 2), [8, 3])
    norm.float()
    value = x.bfloat16().requires_grad_()
    y = norm_relu(norm, value * 1, gaps)
    y.float().sum().backward()
    assert y.dtype == value.grad.dtype == torch.bfloat16
    expected = joint_norm_relu(example((2, 4, 8, 2, 2), [8, 3])[0].float(), value.detach().float(), keep)
    torch.testing.assert_close(y.float(), expected, atol=0.02, rtol=0.02)
    assert norm.running_var.dtype == torch.float32


def test_each_clip_is_extended_to_its_own_multiple() -> None:
    x = torch.arange(12.0).reshape(2, 1, 6)
    x[0, 0, 3:] = torch.nan
    assert extend_each(x, [3, 6], 4).tolist() == [[[0, 1, 2, 2, 0, 0, 0, 0]], [[6, 7, 8, 9, 10, 11, 11, 11]]]


def test_zero_gaps() -> None:
    gaps = Gaps(torch.tensor([0, 1]), torch.tensor([2, 0]))
    assert zero_gaps(torch.ones(2, 1, 3), gaps).tolist() == [[[1, 1, 0]], [[0, 1, 1]]]
    x = torch.ones(1)
    assert zero_gaps(x, None) is x
