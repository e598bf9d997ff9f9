import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from slrbench.training.config import DistillationConfig
from slrbench.training.distillation import distillation_loss, valid_steps


def _log_probs(seed: int, steps: int = 6, batch: int = 3, classes: int = 5) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.log_softmax(3 * torch.randn(steps, batch, classes, generator=generator), dim=-1)


def _by_hand(student: Tensor, teacher: Tensor, lengths: list[int], tau: float) -> float:
    total, count = 0.0, 0
    for clip, length in enumerate(lengths):
        for step in range(length):
            p = torch.softmax(teacher[step, clip] / tau, dim=-1)
            q = torch.softmax(student[step, clip] / tau, dim=-1)
            total += float((p * (p / q).log()).sum())
            count += 1
    return tau**2 * total / count


@given(seed=st.integers(0, 1000), lengths=st.lists(st.integers(1, 6), min_size=3, max_size=3), tau=st.floats(0.5, 5))
def test_it_is_the_mean_divergence_over_valid_steps(seed: int, lengths: list[int], tau: float):
    student, teacher = _log_probs(seed), _log_probs(seed + 1)
    loss = distillation_loss(student, teacher, torch.tensor(lengths), DistillationConfig(temperature=tau))
    assert float(loss) == pytest.approx(_by_hand(student, teacher, lengths, tau), rel=1e-3, abs=1e-4)


def test_it_is_zero_where_both_agree_and_ignores_what_lies_after_a_clip():
    teacher = _log_probs(0)
    student = teacher.clone()
    student[4:, 1] = _log_probs(9)[4:, 1]
    lengths = torch.tensor([6, 4, 6])
    for frames in ("all", "symmetric", "no-blank"):
        config = DistillationConfig(frames=frames)
        assert float(distillation_loss(student, teacher, lengths, config)) == pytest.approx(0.0, abs=1e-6)
    assert float(distillation_loss(student, teacher, torch.tensor([6, 6, 6]), DistillationConfig())) > 0.01


def test_it_does_not_depend_on_how_many_padded_steps_a_batch_has():
    student, teacher = _log_probs(1), _log_probs(2)
    lengths = torch.tensor([3, 3, 2])
    padded = distillation_loss(student, teacher, lengths, DistillationConfig())
    cut = distillation_loss(student[:3], teacher[:3], lengths, DistillationConfig())
    assert float(padded) == pytest.approx(float(cut))


def test_symmetric_looks_at_spikes_and_their_neighbours_only():
    steps, classes = 7, 3
    logits = torch.zeros(steps, 1, classes)
    logits[:, 0, 0] = 5.0
    logits[3, 0] = torch.tensor([0.0, 5.0, 0.0])
    teacher = torch.log_softmax(logits, dim=-1)
    config = DistillationConfig(frames="symmetric")
    for changed, seen in ((0, False), (2, True), (3, True), (4, True), (6, False)):
        student = teacher.clone()
        student[changed] = torch.log_softmax(torch.tensor([[0.0, 0.0, 4.0]]), dim=-1)
        assert (float(distillation_loss(student, teacher, torch.tensor([steps]), config)) > 1e-3) is seen


def test_gradients_reach_the_student_only():
    student, teacher = _log_probs(1).requires_grad_(), _log_probs(2)
    distillation_loss(student, teacher, torch.tensor([6, 6, 6]), DistillationConfig()).backward()
    assert student.grad is not None
    assert student.grad.abs().sum() > 0


def test_different_shapes_are_refused():
    with pytest.raises(ValueError, match="differ in shape"):
        distillation_loss(_log_probs(0), _log_probs(0, steps=5), torch.tensor([5, 5, 5]), DistillationConfig())


def test_valid_steps_is_a_mask_by_length():
    mask = valid_steps(torch.tensor([1, 3]), 3, torch.device("cpu"))
    assert mask.T.tolist() == [[True, False, False], [True, True, True]]
