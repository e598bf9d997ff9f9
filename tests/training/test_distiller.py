"""Distillation in real training: every term runs, can be resumed, and is the same from the cache."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from slrbench.data import open_corpus
from slrbench.errors import BadInputError
from slrbench.models.ctc_head import Recogniser
from slrbench.models.registry import build_model
from slrbench.models.spec import ModelSpec
from slrbench.training.config import DistillationConfig, OptimisationConfig
from slrbench.training.loop import Trainer

CORPUS = open_corpus("fingerspelling:letters=ABCELT,size=32,clips=8")
TEACHER = ModelSpec(architecture="teacher", num_classes=7, width=0.125, lstm_hidden=8, lstm_layers=1, dropout=0.1)
STUDENT = ModelSpec(
    architecture="student", num_classes=7, width_mult=0.25, spatial_stride=16, conv_channels=16, lstm_hidden=8,
    lstm_layers=1, dropout=0.1,
)  # fmt: skip
FAST = OptimisationConfig(
    steps=4, batch_size=2, warmup_steps=2, curriculum_steps=0, evaluate_every=100, save_every=2, learning_rate=1e-3
)
OPTIONS = {
    "frames": {"alpha": 0.7},
    "symmetric": {"alpha": 0.7, "frames": "symmetric"},
    "no-blank": {"alpha": 0.7, "frames": "no-blank"},
    "sequence": {"alpha": 0, "sequence_weight": 1.0},
    "cosine": {"alpha": 0, "hint_weight": 1.0},
    "mse": {"alpha": 0, "hint_weight": 1.0, "hint": "mse"},
    "guide": {"alpha": 0, "guide_weight": 1.0},
    "all": {"alpha": 0.5, "sequence_weight": 0.5, "hint_weight": 0.5, "guide_weight": 0.5},
}
TERMS = {
    "sequence": {"sequence"},
    "cosine": {"hint"},
    "mse": {"hint"},
    "guide": {"guide"},
    "all": {"frames", "sequence", "hint", "guide"},
}


@dataclass(frozen=True)
class FixedCorpus:
    """Files without augmentation: the same training clips in every epoch, in a length that CTC can align."""

    corpus: object = CORPUS
    clips: int = 8
    brightness: int = 0

    def __getattr__(self, name):
        return getattr(self.corpus, name)

    def training_epoch(self, epoch, *, seed, difficulty=1.0):
        return _First(self.corpus.split("train"), self.clips, self.brightness)


@dataclass(frozen=True)
class _First:
    split: object
    clips: int
    brightness: int

    def __len__(self):
        return self.clips

    def __getitem__(self, index):
        clip = self.split[index]
        return replace(clip, frames=np.clip(clip.frames.astype(int) + self.brightness, 0, 255).astype(np.uint8))

    def label_length(self, index):
        return self.split.label_length(index)


@pytest.fixture(scope="module")
def teacher() -> Recogniser:
    """With the statistics of real clips, or a random network gives the same outputs for every input."""
    torch.manual_seed(1)
    model = build_model(TEACHER.model_copy(update={"batch_norm_momentum": 1.0})).train()
    clip = CORPUS.split("dev")[0].frames
    with torch.no_grad():
        model(torch.from_numpy(clip).permute(3, 0, 1, 2)[None].float() / 127.5 - 1)
        model.head.classifier.weight.mul_(20)  # so that it spikes
    return model.eval()


def _trainer(teacher, options, *, config=FAST, corpus=CORPUS, **kwargs) -> Trainer:
    torch.manual_seed(0)
    return Trainer(
        build_model(STUDENT), corpus, config, seed=0, teacher=teacher,
        distillation=DistillationConfig.model_validate(options), **kwargs,
    )  # fmt: skip


def _assert_same(a, b) -> None:
    assert a.keys() == b.keys()
    for name in a:
        assert torch.equal(a[name], b[name]), name


@pytest.mark.parametrize("name", OPTIONS)
def test_every_option_trains_and_a_run_that_was_killed_ends_with_the_same_weights(name, teacher, tmp_path: Path):
    steps = []
    whole = _trainer(teacher, OPTIONS[name])
    whole.run(steps.append)
    assert set(steps[0].distillation) == TERMS.get(name, {"frames"}) | {"teacher_blank_share"}
    assert all(np.isfinite(value) for step in steps for value in step.distillation.values())

    path = tmp_path / "run.state"
    _trainer(teacher, OPTIONS[name], state_path=path).run(until=3)  # killed after step 3, the state is that of step 2
    second = _trainer(teacher, OPTIONS[name], state_path=path)
    torch.manual_seed(12345)
    assert second.load_state()
    assert second.step == 2
    second.run()
    _assert_same(whole.model.state_dict(), second.model.state_dict())
    _assert_same(whole.distiller.state_dict(), second.distiller.state_dict())


def test_the_adapter_is_trained_kept_in_the_state_and_not_in_the_network(teacher, tmp_path: Path):
    trainer = _trainer(teacher, OPTIONS["cosine"], state_path=tmp_path / "run.state")
    before = {name: value.clone() for name, value in trainer.distiller.state_dict().items()}
    trainer.run()
    assert any(not torch.equal(before[name], value) for name, value in trainer.distiller.state_dict().items())
    assert set(trainer.model.state_dict()) == set(build_model(STUDENT).state_dict())
    stored = torch.load(tmp_path / "run.state", weights_only=True)
    assert stored["distiller"]["weight"].shape == (teacher.head.auxiliary.in_features, 16)


def test_a_weight_of_zero_leaves_a_term_out_and_changes_no_random_number(teacher):
    plain = _trainer(teacher, {"alpha": 0.0})
    plain.run()
    alone = _trainer(None, {})
    alone.run()
    _assert_same(plain.model.state_dict(), alone.model.state_dict())


def test_hints_bring_the_students_features_nearer(teacher):
    config = FAST.model_copy(update={"steps": 16, "learning_rate": 5e-3})
    steps = []
    _trainer(teacher, {"alpha": 0.5, "hint_weight": 5.0}, config=config).run(steps.append)
    hints = [step.distillation["hint"] for step in steps]
    assert np.mean(hints[-3:]) < 0.8 * np.mean(hints[:3])


def test_the_guide_makes_the_student_certain_where_the_teacher_spikes(teacher):
    config = FAST.model_copy(update={"steps": 16, "learning_rate": 5e-3})
    lacks = {}
    for weight in (1e-6, 20.0):
        steps = []
        _trainer(teacher, {"alpha": 0.0, "guide_weight": weight}, config=config).run(steps.append)
        lacks[weight] = np.mean([step.distillation["guide"] for step in steps[-3:]])
    assert lacks[20.0] < lacks[1e-6] - 0.02


class TestCache:
    def test_it_gives_the_losses_of_a_run_without_it_and_reads_what_it_has(self, teacher, tmp_path: Path):
        config = FAST.model_copy(update={"steps": 6, "batch_size": 4})
        losses = {}
        for cached in (False, True):
            found = []
            options = {**OPTIONS["all"], "cache_teacher": cached}
            trainer = _trainer(teacher, options, config=config, corpus=FixedCorpus(), teacher_cache=tmp_path)
            trainer.run(found.append)
            losses[cached] = [(step.loss, *step.distillation.values()) for step in found]
        np.testing.assert_allclose(losses[True], losses[False], rtol=1e-4, atol=1e-6)
        cache = trainer.distiller.cache
        assert (cache.computed, cache.read) == (8, 16)  # 6 steps of 4 clips, 8 clips in all

    def test_a_later_run_computes_nothing_and_ends_with_the_same_weights(self, teacher, tmp_path: Path):
        options = {**OPTIONS["all"], "cache_teacher": True}
        runs = [_trainer(teacher, options, corpus=FixedCorpus(), teacher_cache=tmp_path) for _ in range(2)]
        for trainer in runs:
            trainer.run()
        assert runs[0].distiller.cache.computed == 8
        assert runs[1].distiller.cache.computed == 0
        _assert_same(runs[0].model.state_dict(), runs[1].model.state_dict())

    def test_a_damaged_file_is_computed_again(self, teacher, tmp_path: Path):
        options = {**OPTIONS["frames"], "cache_teacher": True}
        _trainer(teacher, options, corpus=FixedCorpus(), teacher_cache=tmp_path).run()
        files = sorted(tmp_path.glob("*/*.npz"))
        assert len(files) == 8
        files[0].write_bytes(files[0].read_bytes()[:100])
        files[1].write_bytes(b"")
        again = _trainer(teacher, options, corpus=FixedCorpus(), teacher_cache=tmp_path)
        again.run()
        assert again.distiller.cache.computed == 2

    def test_another_teacher_precision_or_term_shares_nothing(self, teacher, tmp_path: Path):
        torch.manual_seed(2)
        other = build_model(TEACHER).eval()
        for who, options in ((teacher, "frames"), (other, "frames"), (teacher, "cosine"), (teacher, "sequence")):
            options = {**OPTIONS[options], "cache_teacher": True}
            _trainer(who, options, corpus=FixedCorpus(), teacher_cache=tmp_path)
            trainer = _trainer(who, options, corpus=FixedCorpus(), teacher_cache=tmp_path)
            trainer.run(until=2)
            assert trainer.distiller.cache.read == 0

    def test_a_corpus_that_draws_new_clips_is_refused(self, teacher, tmp_path: Path):
        with pytest.raises(BadInputError, match="other training clips in every epoch") as caught:
            _trainer(teacher, {"cache_teacher": True}, teacher_cache=tmp_path)
        assert "cache_teacher=false" in caught.value.hint

    def test_a_clip_that_shows_other_frames_now_is_refused(self, teacher, tmp_path: Path):
        options = {**OPTIONS["frames"], "cache_teacher": True}
        _trainer(teacher, options, corpus=FixedCorpus(), teacher_cache=tmp_path).run()
        with pytest.raises(BadInputError, match="shows other frames"):
            _trainer(teacher, options, corpus=FixedCorpus(brightness=3), teacher_cache=tmp_path).run()


def test_a_teacher_of_another_stride_is_refused():
    other = build_model(TEACHER.model_copy(update={"temporal_stride": 8}))
    with pytest.raises(BadInputError, match="do not give the same output"):
        _trainer(other, {})
