"""Options for training at size: what each does, and that a resumed run ends where an uninterrupted one does."""

import sys
from pathlib import Path

import pytest
import torch

from slrbench.data import open_corpus
from slrbench.errors import UnavailableError
from slrbench.models.ctc_head import Recogniser
from slrbench.models.normalisation import FrozenBatchNorm, replace_batch_norm
from slrbench.models.registry import build_model
from slrbench.models.spec import ModelSpec
from slrbench.training.config import OptimisationConfig
from slrbench.training.loop import Trainer
from slrbench.training.optimisers import release
from slrbench.training.progress import StepReport
from slrbench.training.verification import verify_model

CORPUS = open_corpus("fingerspelling:letters=ABCELT,size=32,clips=8")
TEACHER = ModelSpec(architecture="teacher", num_classes=7, width=0.125, lstm_hidden=8, lstm_layers=1, dropout=0.0)
STUDENT = ModelSpec(
    architecture="student",
    num_classes=7,
    width_mult=0.25,
    spatial_stride=16,
    conv_channels=16,
    lstm_hidden=8,
    lstm_layers=1,
    dropout=0.0,
)
FAST = OptimisationConfig(
    steps=4, batch_size=4, warmup_steps=2, curriculum_steps=0, evaluate_every=100, save_every=2, learning_rate=1e-3
)


def _trainer(spec=STUDENT, *, frozen=False, state_path=None, teacher=None, log_dir=None, **changes) -> Trainer:
    torch.manual_seed(0)
    model = build_model(spec)
    if frozen:
        replace_batch_norm(model, FrozenBatchNorm)
    config = FAST.model_copy(update=changes)
    return Trainer(model, CORPUS, config, seed=0, state_path=state_path, teacher=teacher, log_dir=log_dir)


def _reports(trainer: Trainer, **kwargs) -> list[StepReport]:
    reports: list[StepReport] = []
    trainer.run(reports.append, **kwargs)
    return reports


def _weights(model: Recogniser) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def _assert_close(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor], tolerance: float = 0.0) -> None:
    assert a.keys() == b.keys()
    for name in a:
        torch.testing.assert_close(a[name], b[name], rtol=0, atol=tolerance, msg=lambda m, name=name: f"{name}: {m}")


@pytest.mark.parametrize("changes", [{"accumulate": 2}, {"accumulate": 4}, {"max_frames": 60}], ids=str)
@pytest.mark.parametrize("spec", [TEACHER, STUDENT], ids=["teacher", "student"])
def test_a_batch_in_parts_trains_as_the_whole_batch_without_batch_statistics(spec, changes):
    whole, parts = _trainer(spec, frozen=True), _trainer(spec, frozen=True, **changes)
    for a, b in zip(_reports(whole), _reports(parts), strict=True):
        assert a.loss == pytest.approx(b.loss, abs=1e-5)
        assert a.gradient_norm == pytest.approx(b.gradient_norm, rel=1e-4)
        assert a.blank_share == pytest.approx(b.blank_share)


@pytest.mark.parametrize("spec", [TEACHER, STUDENT], ids=["teacher", "student"])
def test_gradient_checkpointing_changes_memory_and_nothing_else(spec):
    plain, again = _trainer(spec), _trainer(spec, gradient_checkpointing=True)
    kept = [_saved_bytes(trainer) for trainer in (plain, again)]
    assert kept[1] < 0.6 * kept[0]
    for a, b in zip(_reports(plain), _reports(again), strict=True):
        assert (a.loss, a.gradient_norm) == pytest.approx((b.loss, b.gradient_norm), rel=1e-5)
    _assert_close(_weights(plain.model), _weights(again.model), 1e-5)


def _saved_bytes(trainer: Trainer) -> int:
    """Bytes that autograd holds after a forward pass of a training step."""
    total = 0

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        nonlocal total
        total += tensor.numel() * tensor.element_size()
        return tensor

    torch.manual_seed(1)
    video = torch.rand(2, 3, 16, 32, 32)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        trainer.model.train().forward_training(video, torch.tensor([16, 12]))
    return total


@pytest.mark.parametrize("spec", [TEACHER, STUDENT], ids=["teacher", "student"])
class TestBackbone:
    def test_a_frozen_one_keeps_weights_and_statistics_while_the_rest_learns(self, spec):
        trainer = _trainer(spec, backbone_learning_rate=0.0)
        before = _weights(trainer.model)
        trainer.run()
        after = trainer.model.state_dict()
        backbone = {
            f"{'backbone' if spec is TEACHER else 'features'}.{k}" for k in trainer.model.backbone_module.state_dict()
        }
        assert backbone <= before.keys()
        for name in before:
            if name in backbone:
                assert torch.equal(before[name], after[name]), name
        assert not torch.equal(before["head.classifier.weight"], after["head.classifier.weight"])

    def test_a_frozen_one_is_no_fault_of_the_checkpoint(self, spec):
        trainer = _trainer(spec, backbone_learning_rate=0.0)
        trainer.run()
        frozen = {name for name, p in trainer.model.named_parameters() if not p.requires_grad}
        assert frozen
        release(trainer.model)
        checks = verify_model(trainer.model, glosses=CORPUS.vocabulary.glosses, frame_size=CORPUS.frame_size)
        assert all(check.passed for check in checks), [check.name for check in checks if not check.passed]

    def test_a_slower_one_moves_less_and_frozen_statistics_stay(self, spec):
        def moved(**changes) -> tuple[float, float]:
            trainer = _trainer(spec, weight_decay=0.0, clip_norm=1e9, steps=1, warmup_steps=0, **changes)
            before = _weights(trainer.model.backbone_module)
            trainer.run()
            after = trainer.model.backbone_module.state_dict()
            statistics = [name for name in before if "running" in name]
            weights = [name for name in before if name.endswith("weight")]
            return tuple(
                sum(float((before[n] - after[n]).abs().sum()) for n in names) for names in (weights, statistics)
            )

        full, slow = moved(), moved(backbone_learning_rate=0.1)
        assert slow[0] == pytest.approx(0.1 * full[0], rel=0.05)
        still = moved(backbone_batch_norm="frozen")
        assert still[0] > 0
        assert still[1] == 0
        assert full[1] > 0


class TestAverage:
    def test_the_average_follows_its_formula_and_is_what_is_kept(self):
        trainer = _trainer(ema_decay=0.2)
        name = "head.classifier.weight"
        seen: list[torch.Tensor] = []
        trainer.run(lambda _: seen.append(trainer.model.state_dict()[name].clone()), until=3)
        average = seen[0]
        for steps, weights in enumerate(seen[1:], start=1):
            decay = min(0.2, (1 + steps) / (10 + steps))
            average = decay * average + (1 - decay) * weights
        torch.testing.assert_close(trainer.evaluated.state_dict()[name], average)
        trainer.run()
        torch.testing.assert_close(trainer.model.state_dict()[name], trainer.evaluated.state_dict()[name])
        assert not torch.equal(trainer.model.state_dict()[name], _reports_of_plain()[name])

    def test_training_itself_is_the_same_with_it(self):
        assert [r.loss for r in _reports(_trainer(ema_decay=0.9))] == [r.loss for r in _reports(_trainer())]


def _reports_of_plain() -> dict[str, torch.Tensor]:
    trainer = _trainer()
    trainer.run()
    return _weights(trainer.model)


class TestStopping:
    def test_it_stops_after_its_patience_not_before_its_step_and_keeps_the_best(self, monkeypatch):
        trainer = _trainer(steps=20, evaluate_every=1, patience=2, stop_not_before=5)
        wers = iter([0.9, 0.5, 0.6, 0.7, 0.8, 0.4])
        snapshots: dict[int, dict[str, torch.Tensor]] = {}

        class Found:
            def __init__(self) -> None:
                snapshots[trainer.step] = _weights(trainer.model)
                self.wer = next(wers)

        monkeypatch.setattr(trainer, "dev_error", lambda **_: Found())
        result = trainer.run()
        assert (result.steps, result.stopped_early, result.weights_of_step) == (5, True, 2)
        kept, name = trainer.model.state_dict(), "head.classifier.weight"
        assert torch.equal(kept[name], snapshots[2][name])
        assert not torch.equal(kept[name], snapshots[5][name])

    def test_without_patience_the_last_step_is_weighed_against_the_best(self, monkeypatch):
        for last, best in ((0.1, 4), (0.9, 2)):
            trainer = _trainer(evaluate_every=2, keep_best=True)
            wers = iter([0.5, last])
            monkeypatch.setattr(trainer, "dev_error", lambda wers=wers, **_: type("Found", (), {"wer": next(wers)})())
            result = trainer.run()
            assert (result.steps, result.stopped_early, result.weights_of_step) == (4, False, best)


EVERYTHING = {
    "steps": 8,
    "evaluate_every": 2,
    "dev_clips": 8,
    "save_every": 1,
    "accumulate": 2,
    "ema_decay": 0.5,
    "patience": 10,
    "backbone_learning_rate": 0.5,
    "gradient_checkpointing": True,
}


class TestResume:
    def test_with_every_option_it_ends_with_the_same_weights(self, tmp_path: Path):
        spec = STUDENT.model_copy(update={"dropout": 0.2})
        whole = _trainer(spec, **EVERYTHING)
        expected = whole.run()
        path = tmp_path / "run.state"
        _trainer(spec, state_path=path, **EVERYTHING).run(until=5)
        second = _trainer(spec, state_path=path, **EVERYTHING)
        torch.manual_seed(12345)
        assert second.load_state()
        result = second.run()
        _assert_close(_weights(whole.model), _weights(second.model))
        assert result.weights_of_step == expected.weights_of_step
        assert [e["dev_wer"] for e in result.history] == [e["dev_wer"] for e in expected.history]

    def test_a_run_that_stopped_does_not_go_on(self, tmp_path: Path):
        options = {"steps": 9, "evaluate_every": 1, "patience": 1, "dev_clips": 2, "save_every": 1}
        first = _trainer(state_path=tmp_path / "run.state", learning_rate=1e-9, **options)
        stopped = first.run()
        assert stopped.stopped_early
        again = _trainer(state_path=tmp_path / "run.state", learning_rate=1e-9, **options)
        assert again.load_state()
        assert again.run().steps == stopped.steps
        _assert_close(_weights(first.model), _weights(again.model))


class TestLogs:
    def test_every_step_is_written_and_steps_of_a_lost_run_are_taken_back(self, tmp_path: Path):
        pytest.importorskip("tensorboard")
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        path, logs = tmp_path / "run.state", tmp_path / "logs"
        _trainer(state_path=path, log_dir=logs).run(until=3)  # the state is that of step 2
        second = _trainer(state_path=path, log_dir=logs)
        assert second.load_state()
        reports = _reports(second)
        events = EventAccumulator(str(logs / "training"))
        events.Reload()
        scalars = events.Scalars("loss")
        assert [event.step for event in scalars] == [1, 2, 3, 4]
        assert [event.value for event in scalars[2:]] == pytest.approx([report.loss for report in reports])
        assert "learning_rate" in events.Tags()["scalars"]

    def test_without_tensorboard_it_is_refused_with_the_line_that_installs_it(self, tmp_path: Path, monkeypatch):
        monkeypatch.setattr(
            "slrbench.training.tracking.find_spec",
            lambda name: None if name == "tensorboard" else sys.modules.get(name),
        )
        with pytest.raises(UnavailableError, match="TensorBoard") as caught:
            _trainer(log_dir=tmp_path)
        assert "pip install" in (caught.value.hint or "")
