import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from slrbench.decoding import Hypothesis
from slrbench.training.config import DistillationConfig
from slrbench.training.distillation import (
    distillation_loss,
    guide_loss,
    hint_loss,
    masked_mean,
    sequence_loss,
    valid_steps,
)
from slrbench.training.network import ctc_loss
from slrbench.training.teacher_outputs import nbest_of


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


lengths_of_three = st.lists(st.integers(1, 6), min_size=3, max_size=3).map(torch.tensor)


def _changed_after(values: Tensor, lengths: Tensor) -> Tensor:
    """The same within each clip, other values after it."""
    other = _log_probs(99, batch=values.shape[1], classes=values.shape[2]) - 3
    return torch.where(valid_steps(lengths, len(values), values.device)[..., None], values, other)


def _best_sequences(teacher: Tensor, lengths: Tensor) -> tuple[tuple[Hypothesis, ...], ...]:
    config = DistillationConfig(sequence_nbest=3, sequence_beam=20)
    return nbest_of(teacher, lengths, config)


class TestSequences:
    @given(seed=st.integers(0, 1000), lengths=lengths_of_three)
    def test_it_is_ctc_weighted_by_the_teachers_probabilities(self, seed: int, lengths: Tensor):
        student, teacher = _log_probs(seed), _log_probs(seed + 1)
        hypotheses = _best_sequences(teacher, lengths)
        expected = []
        for clip, several in enumerate(hypotheses):
            read = [h for h in several if h.labels]
            if not read:
                continue
            shares = np.exp([h.log_prob for h in read])
            losses = [
                float(ctc_loss(student[:, clip : clip + 1], lengths[clip : clip + 1], *_labels(h.labels))) for h in read
            ]
            expected.append(float(np.dot(shares / shares.sum(), losses)))
        found = sequence_loss(student, lengths, hypotheses)
        assert float(found) == pytest.approx(np.mean(expected) if expected else 0.0, rel=1e-3, abs=1e-5)

    @given(seed=st.integers(0, 1000), lengths=lengths_of_three)
    def test_padding_never_counts(self, seed: int, lengths: Tensor):
        student, teacher = _log_probs(seed), _log_probs(seed + 1)
        first = sequence_loss(student, lengths, _best_sequences(teacher, lengths))
        changed = sequence_loss(
            _changed_after(student, lengths), lengths, _best_sequences(_changed_after(teacher, lengths), lengths)
        )
        assert float(changed) == pytest.approx(float(first), rel=1e-5)

    def test_a_step_against_the_gradient_raises_the_teachers_sequence(self):
        lengths = torch.tensor([6, 6, 6])
        hypotheses = _best_sequences(_log_probs(1), lengths)
        logits = _log_probs(2).requires_grad_()
        before = sequence_loss(torch.log_softmax(logits, -1), lengths, hypotheses)
        before.backward()
        assert logits.grad is not None
        with torch.no_grad():
            after = sequence_loss(torch.log_softmax(logits - 0.1 * logits.grad, -1), lengths, hypotheses)
        assert after < before

    def test_a_clip_in_which_the_teacher_reads_nothing_teaches_nothing(self):
        lengths = torch.tensor([6, 6])
        silent = (Hypothesis(labels=(), log_prob=-0.1, score=-0.1),)
        read = (Hypothesis(labels=(1, 2), log_prob=-0.5, score=-0.5), *silent)
        student = _log_probs(3, batch=2).requires_grad_()
        loss = sequence_loss(student, lengths, (silent, read))
        alone = ctc_loss(student.detach()[:, 1:], lengths[1:], *_labels((1, 2)))  # with all of the weight
        assert float(loss.detach()) == pytest.approx(float(alone), rel=1e-5)
        loss.backward()
        assert student.grad is not None
        assert student.grad[:, 0].abs().sum() == 0
        assert float(sequence_loss(student.detach(), lengths, (silent, silent))) == 0.0

    def test_lists_of_other_clips_are_refused(self):
        with pytest.raises(ValueError, match="do not go with 3 clips"):
            sequence_loss(_log_probs(0), torch.tensor([6, 6, 6]), ())


def _labels(labels: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    return torch.tensor(labels), torch.tensor([len(labels)])


class TestHints:
    @pytest.mark.parametrize("kind", ["cosine", "mse"])
    @given(seed=st.integers(0, 1000), lengths=lengths_of_three)
    def test_it_is_zero_where_both_agree_and_padding_never_counts(self, kind: str, seed: int, lengths: Tensor):
        teacher = _log_probs(seed)
        assert float(hint_loss(_changed_after(teacher, lengths), teacher, lengths, kind)) == pytest.approx(0, abs=1e-6)
        student = _log_probs(seed + 1)
        first = hint_loss(student, teacher, lengths, kind)
        assert float(first) > 0
        changed = hint_loss(student, _changed_after(teacher, lengths), lengths, kind)
        assert float(changed) == pytest.approx(float(first), rel=1e-5)

    def test_mse_is_the_mean_square_by_hand(self):
        student, teacher, lengths = _log_probs(1), _log_probs(2), torch.tensor([2, 6, 1])
        valid = valid_steps(lengths, 6, torch.device("cpu"))
        expected = (student - teacher)[valid].square().mean()
        assert float(hint_loss(student, teacher, lengths, "mse")) == pytest.approx(float(expected), rel=1e-5)

    def test_cosine_looks_at_directions_only(self):
        teacher, lengths = _log_probs(2), torch.tensor([6, 6, 6])
        assert float(hint_loss(3 * teacher, teacher, lengths, "cosine")) == pytest.approx(0, abs=1e-6)
        assert float(hint_loss(-teacher, teacher, lengths, "cosine")) == pytest.approx(2, abs=1e-5)

    @pytest.mark.parametrize("kind", ["cosine", "mse"])
    def test_a_step_against_the_gradient_comes_nearer(self, kind: str):
        student, teacher, lengths = _log_probs(1).requires_grad_(), _log_probs(2), torch.tensor([6, 6, 6])
        before = hint_loss(student, teacher, lengths, kind)
        before.backward()
        assert student.grad is not None
        with torch.no_grad():
            assert hint_loss(student - student.grad, teacher, lengths, kind) < before

    def test_wrong_arguments_are_refused(self):
        with pytest.raises(ValueError, match="differ in shape"):
            hint_loss(_log_probs(0), _log_probs(0, classes=4), torch.tensor([6, 6, 6]), "mse")
        with pytest.raises(ValueError, match="unknown distance"):
            hint_loss(_log_probs(0), _log_probs(0), torch.tensor([6, 6, 6]), "l1")


class TestGuide:
    @given(seed=st.integers(0, 1000), lengths=lengths_of_three)
    def test_it_is_what_the_student_lacks_at_the_teachers_spikes(self, seed: int, lengths: Tensor):
        student, teacher = _log_probs(seed), _log_probs(seed + 1)
        lacks = [
            1 - float(student[step, clip, best].exp())
            for clip, length in enumerate(lengths.tolist())
            for step in range(length)
            if (best := int(teacher[step, clip].argmax())) != 0
        ]
        assert float(guide_loss(student, teacher, lengths)) == pytest.approx(np.mean(lacks) if lacks else 0, rel=1e-4)
        changed = guide_loss(_changed_after(student, lengths), _changed_after(teacher, lengths), lengths)
        assert float(changed) == pytest.approx(np.mean(lacks) if lacks else 0, rel=1e-4)

    def test_it_is_zero_where_student_and_teacher_are_certain_of_the_same(self):
        certain = torch.log_softmax(60.0 * torch.nn.functional.one_hot(torch.tensor([[0], [2], [1]]), 3).float(), -1)
        assert float(guide_loss(certain, certain, torch.tensor([3]))) == pytest.approx(0, abs=1e-6)

    def test_its_gradient_raises_the_spike_label_at_the_spike_and_nothing_elsewhere(self):
        teacher = torch.log_softmax(torch.tensor([[[5.0, 0, 0]], [[0, 0, 5.0]], [[5.0, 0, 0]]]), dim=-1)
        logits = torch.zeros(3, 1, 3, requires_grad=True)
        guide_loss(torch.log_softmax(logits, -1), teacher, torch.tensor([3])).backward()
        assert logits.grad is not None
        assert logits.grad[1, 0, 2] < 0  # a step against the gradient raises it
        assert (logits.grad[1, 0, :2] > 0).all()
        assert logits.grad[0].abs().sum() == logits.grad[2].abs().sum() == 0

    def test_different_shapes_are_refused(self):
        with pytest.raises(ValueError, match="differ in shape"):
            guide_loss(_log_probs(0), _log_probs(0, steps=5), torch.tensor([5, 5, 5]))


def test_the_mean_over_nothing_is_zero_and_ignores_what_is_masked():
    values = torch.tensor([1.0, float("inf"), 3.0])
    assert float(masked_mean(values, torch.tensor([True, False, True]))) == 2.0
    assert float(masked_mean(values, torch.zeros(3, dtype=torch.bool))) == 0.0
