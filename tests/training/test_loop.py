from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from slrbench.data import open_corpus
from slrbench.data.corpus import Clip
from slrbench.errors import BadInputError, RunFailedError, UnavailableError
from slrbench.models.registry import build_model
from slrbench.models.spec import ModelSpec
from slrbench.training.batches import BatchStream
from slrbench.training.config import DistillationConfig, OptimisationConfig
from slrbench.training.loop import Trainer
from slrbench.training.network import ctc_loss, to_device
from slrbench.training.optimisers import learning_rate_at

CORPUS = open_corpus("fingerspelling:letters=ABCELT,size=32,clips=32")
TEACHER = ModelSpec(architecture="teacher", num_classes=7, width=0.125, lstm_hidden=8, lstm_layers=1, dropout=0.1)
STUDENT = ModelSpec(
    architecture="student",
    num_classes=7,
    width_mult=0.25,
    spatial_stride=16,
    conv_channels=16,
    lstm_hidden=8,
    lstm_layers=1,
    dropout=0.1,
)
FAST = OptimisationConfig(
    steps=6, batch_size=4, warmup_steps=2, curriculum_steps=0, evaluate_every=100, save_every=2, learning_rate=1e-3
)


def _trainer(spec=STUDENT, config=FAST, **kwargs) -> Trainer:
    torch.manual_seed(0)
    return Trainer(build_model(spec), kwargs.pop("corpus", CORPUS), config, seed=0, **kwargs)


def _weights(trainer: Trainer) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in trainer.model.state_dict().items()}


def _assert_same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> None:
    assert a.keys() == b.keys()
    for name in a:
        assert torch.equal(a[name], b[name]), name


class TestResume:
    @pytest.mark.parametrize("spec", [TEACHER, STUDENT], ids=["teacher", "student"])
    def test_an_interrupted_run_ends_with_the_same_weights(self, spec, tmp_path: Path):
        whole = _trainer(spec)
        whole.run()

        path = tmp_path / "run.state"
        first = _trainer(spec, state_path=path)
        first.run(until=5)  # killed after step 5, the state is that of step 4
        second = _trainer(spec, state_path=path)
        torch.manual_seed(12345)  # whatever the new process did with random numbers
        assert second.load_state()
        assert second.step == 4
        second.run()
        _assert_same(_weights(whole), _weights(second))

    def test_a_state_of_another_run_is_refused(self, tmp_path: Path):
        path = tmp_path / "run.state"
        _trainer(state_path=path).run(until=2)
        other = _trainer(config=FAST.model_copy(update={"learning_rate": 2e-3}), state_path=path)
        with pytest.raises(BadInputError, match="belongs to another run"):
            other.load_state()

    def test_a_state_of_another_identity_is_refused(self, tmp_path: Path):
        path = tmp_path / "run.state"
        _trainer(state_path=path, identity="teacher a").run(until=2)
        with pytest.raises(BadInputError, match="belongs to another run"):
            _trainer(state_path=path, identity="teacher b").load_state()

    def test_a_damaged_state_is_refused(self, tmp_path: Path):
        path = tmp_path / "run.state"
        _trainer(state_path=path).run(until=2)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        with pytest.raises(BadInputError, match="cannot be read"):
            _trainer(state_path=path).load_state()

    def test_without_a_state_there_is_nothing_to_load(self, tmp_path: Path):
        assert not _trainer(state_path=tmp_path / "none.state").load_state()

    def test_evaluating_on_the_way_changes_nothing(self):
        plain = _trainer()
        plain.run()
        evaluating = _trainer(config=FAST.model_copy(update={"evaluate_every": 2}))
        evaluating.run()
        assert len(evaluating.result.history) == 2
        # Running statistics are taken anew at the end of both, so all of the state must agree.
        _assert_same(_weights(plain), _weights(evaluating))


class TestLearning:
    def test_the_loss_of_single_letters_falls(self):
        config = FAST.model_copy(update={"steps": 60, "curriculum_steps": 10_000, "learning_rate": 3e-3})
        losses: list[float] = []
        _trainer(spec=STUDENT.model_copy(update={"dropout": 0.0}), config=config).run(lambda s: losses.append(s.ctc))
        assert np.mean(losses[-10:]) < 0.7 * np.mean(losses[:10])

    def test_training_and_evaluation_mode_agree_after_the_refresh(self):
        # facts: stale running statistics gave 91 % WER at a training loss of 0.64.
        trainer = _trainer(
            spec=STUDENT.model_copy(update={"dropout": 0.0}), config=FAST.model_copy(update={"steps": 30})
        )
        trainer.run()
        batch = trainer.stream[0].batch
        assert batch is not None
        video, lengths, labels, label_lengths = to_device(batch, torch.device("cpu"))
        output_steps = -(-lengths // 4)
        with torch.no_grad():
            evaluated = ctc_loss(trainer.model.eval()(video, lengths), output_steps, labels, label_lengths)
            trained = ctc_loss(trainer.model.train()(video, lengths), output_steps, labels, label_lengths)
        assert float(evaluated) == pytest.approx(float(trained), rel=0.25)

    def test_the_learning_rate_warms_up_and_ends_near_zero(self):
        rates = [learning_rate_at(step, FAST) for step in range(FAST.steps)]
        assert rates[0] == pytest.approx(FAST.learning_rate / 2)
        assert max(rates) == pytest.approx(FAST.learning_rate)
        assert rates[-1] < 0.2 * FAST.learning_rate

    def test_a_loss_that_is_never_finite_ends_in_words(self):
        trainer = _trainer(config=FAST.model_copy(update={"steps": 50}))
        with torch.no_grad():
            next(trainer.model.parameters()).fill_(float("nan"))
        with pytest.raises(RunFailedError, match="20 steps in a row"):
            trainer.run()


class TestDistillation:
    def test_a_student_comes_closer_to_its_teacher_than_without_it(self):
        torch.manual_seed(1)
        teacher = build_model(TEACHER).eval()
        config = FAST.model_copy(update={"steps": 40, "learning_rate": 3e-3})

        def distance(trainer: Trainer) -> float:
            trainer.run()
            batch = trainer.stream[0].batch
            assert batch is not None
            video, lengths, _, _ = to_device(batch, torch.device("cpu"))
            with torch.no_grad():
                return float((trainer.model(video, lengths).exp() - teacher(video, lengths).exp()).abs().mean())

        alone = distance(_trainer(config=config))
        taught = distance(_trainer(config=config, teacher=teacher, distillation=DistillationConfig(alpha=1.0)))
        assert taught < alone

    def test_the_teacher_is_not_changed(self):
        torch.manual_seed(1)
        teacher = build_model(TEACHER)
        before = {name: value.clone() for name, value in teacher.state_dict().items()}
        _trainer(teacher=teacher).run()
        _assert_same(before, teacher.state_dict())

    def test_a_teacher_of_another_stride_is_refused(self):
        teacher = build_model(TEACHER.model_copy(update={"temporal_stride": 8}))
        with pytest.raises(BadInputError, match="do not give the same output"):
            _trainer(teacher=teacher)


def test_a_gpu_that_is_not_there_and_fp16_on_a_cpu_are_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UnavailableError, match="torch sees no GPU"):
        _trainer(device="cuda")
    with pytest.raises(BadInputError, match="fp16 does not train on a CPU"):
        _trainer(mixed_precision="fp16")


def test_bf16_trains_on_the_cpu_with_losses_in_fp32():
    losses: list[float] = []
    trainer = _trainer(mixed_precision="bf16")
    trainer.run(lambda step: losses.append(step.loss))
    assert len(losses) == FAST.steps
    assert np.isfinite(losses).all()


class _TooShort:
    """The corpus with every second training clip cut to four frames, which CTC cannot align to its letters."""

    def __init__(self, corpus, all_of_them=False):
        self._corpus = corpus
        self._all_of_them = all_of_them

    def __getattr__(self, name):
        return getattr(self._corpus, name)

    def training_epoch(self, epoch, *, seed, difficulty=1.0):
        split = self._corpus.training_epoch(epoch, seed=seed, difficulty=difficulty)
        all_of_them = self._all_of_them

        class Cut:
            name = "train"

            def __len__(self):
                return len(split)

            def __getitem__(self, index) -> Clip:
                clip = split[index]
                if all_of_them:
                    return replace(clip, frames=clip.frames[:1], labels=(1, 2), glosses=("A", "B"))
                return clip if index % 2 else replace(clip, frames=clip.frames[:4])

            def label_length(self, index):
                return split.label_length(index)

        return Cut()


class TestBatches:
    def test_a_step_has_the_same_batch_whenever_it_is_asked_for(self):
        one = BatchStream(CORPUS, batch_size=4, seed=0, stride=4)
        other = BatchStream(CORPUS, batch_size=4, seed=0, stride=4)
        for step in (9, 0, 3):
            np.testing.assert_array_equal(one[step].batch.video, other[step].batch.video)
        assert not np.array_equal(one[0].batch.labels, one[8].batch.labels)

    def test_clips_that_ctc_cannot_align_are_dropped_and_counted(self):
        trainer = _trainer(corpus=_TooShort(CORPUS))
        result = trainer.run()
        assert result.clips_dropped > 0
        assert result.steps == FAST.steps
        whole = BatchStream(CORPUS, batch_size=4, seed=0, stride=4)
        assert all(whole[step].dropped == 0 for step in range(8))

    def test_a_corpus_that_cannot_be_aligned_at_all_is_refused(self):
        with pytest.raises(BadInputError, match="can align no clip of a whole epoch"):
            _trainer(corpus=_TooShort(CORPUS, all_of_them=True), config=FAST.model_copy(update={"steps": 50})).run()

    def test_the_curriculum_rises_to_every_length(self):
        stream = BatchStream(CORPUS, batch_size=4, seed=0, stride=4, curriculum_steps=80, first_difficulty=0.2)
        difficulties = [stream.difficulty(epoch) for epoch in range(12)]
        assert difficulties[0] == pytest.approx(0.2)
        assert difficulties == sorted(difficulties)
        assert difficulties[-1] == 1.0
