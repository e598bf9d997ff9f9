"""The over-fitting test on real clips, its monitor on made-up epochs, and its picture."""

import struct

import pytest
import torch

from slrbench.data.corpus import Clip
from slrbench.errors import BadInputError
from slrbench.models import registry
from slrbench.scoring import count_errors
from slrbench.training import overfit
from slrbench.training.overfit import choose_clips, run_overfit
from slrbench.training.overfit_monitor import OverfitMonitor, debugging_tips, outcome, what_to_try
from slrbench.training.overfit_plot import save_plot
from slrbench.training.overfit_records import OPTIONS, EpochStats, OverfitSettings

QUICK = OverfitSettings(samples=2, epochs=400, learning_rate=1e-2, warmup_epochs=5, confirm_epochs=3, dropout=0.0)


@pytest.fixture(scope="session")
def clips(tiny_corpus):
    return choose_clips(tiny_corpus.split("train"), QUICK, stride=4)


@pytest.fixture(scope="session")
def learned(clips, tiny_model):
    seen = []
    result = run_overfit(tiny_model("teacher").spec, clips, QUICK, seen.append)
    return result, seen


def test_a_network_that_can_learn_reaches_zero(learned):
    result, seen = learned
    assert result.achieved
    assert result.final_counts.wer == 0
    assert result.final_loss < QUICK.target_loss
    assert result.first_zero_epoch <= result.best_wer_epoch <= len(result.history) < QUICK.epochs
    assert [progress.stats for progress in seen] == list(result.history)
    assert [progress.finished for progress in seen] == [False] * (len(seen) - 1) + [True]
    assert result.figures()["wer"] == 0
    assert result.spec.dropout == QUICK.dropout  # the settings', not the spec's


def test_it_stops_only_after_both_have_stayed_good(learned):
    history = learned[0].history
    assert all(stats.loss < QUICK.target_loss for stats in history[-QUICK.confirm_epochs - 1 :])
    measured = [stats.wer for stats in history[-QUICK.confirm_epochs - 1 :] if stats.wer is not None]
    assert measured
    assert set(measured) == {0.0}
    assert history[-1].wer == 0


def test_progress_reads_like_this(learned):
    result, seen = learned
    loss, best = result.history[-1].loss, result.best_loss
    assert seen[-1].line() == (
        f"Epoch [{len(seen)}/400] | Loss: {loss:.4f} (Best: {best:.4f}) | "
        f"WER: 0.00% (Best: 0.00% @ {result.first_zero_epoch})"
    )


def test_learning_rate_warms_up_linearly(learned):
    rates = [stats.learning_rate for stats in learned[0].history[:8]]
    assert rates == pytest.approx([0.002, 0.004, 0.006, 0.008, 0.01, 0.01, 0.01, 0.01])


def test_the_same_seed_gives_the_same_run_and_leaves_random_numbers_alone(clips, tiny_model):
    settings = QUICK.model_copy(update={"epochs": 2, "dropout": 0.3})
    spec = tiny_model().spec
    state = torch.get_rng_state()
    first = run_overfit(spec, clips, settings)
    assert torch.equal(state, torch.get_rng_state())
    torch.rand(3)
    assert run_overfit(spec, clips, settings).history == first.history
    assert run_overfit(spec, clips, settings.model_copy(update={"seed": 1})).history != first.history


def test_without_a_learning_rate_nothing_is_learned(clips, tiny_model):
    settings = QUICK.model_copy(update={"learning_rate": 0.0, "epochs": 3})
    result = run_overfit(tiny_model().spec, clips, settings)
    assert not result.achieved
    assert len(result.history) == 3
    losses = [stats.loss for stats in result.history]
    assert losses == pytest.approx([losses[0]] * 3, rel=1e-3)  # only the rounding of other batch statistics
    assert result.history[-1].wer == result.final_counts.wer > 0


def test_the_error_rate_is_that_of_evaluation_mode(clips, tiny_model, monkeypatch):
    """A network that is right in training mode only must not pass."""
    monkeypatch.setattr(overfit, "refresh_batch_norm", lambda *_: None)
    settings = QUICK.model_copy(update={"epochs": 40, "confirm_epochs": 0})
    spec = tiny_model("teacher").spec.model_copy(update={"batch_norm_momentum": 1e-6})  # statistics stay at 0 and 1
    result = run_overfit(spec, clips, settings)
    assert result.best_loss < QUICK.target_loss
    assert not result.achieved


def test_nan_stops_the_run_with_words(clips, tiny_model, monkeypatch):
    build = registry.build_model

    def broken(spec):
        model = build(spec)
        with torch.no_grad():
            model.head.classifier.bias[0] = float("nan")
        return model

    monkeypatch.setattr(overfit, "build_model", broken)
    result = run_overfit(tiny_model().spec, clips, QUICK)
    assert not result.achieved
    assert len(result.history) == overfit.MAX_SKIPPED_STEPS
    assert result.best_loss is None
    assert "NaN or Inf, the step was skipped" in result.warnings[0]
    assert "NaN" not in result.model_dump_json().replace(result.warnings[0], "")
    assert (result.best_wer, result.best_wer_epoch) == (1.0, 0)


def test_dead_parts_are_counted(clips, tiny_model, monkeypatch):
    build = registry.build_model

    def detached(spec):
        model = build(spec)
        encode = model.encode
        model.encode = lambda video, lengths: encode(video, lengths).detach()
        return model

    monkeypatch.setattr(overfit, "build_model", detached)
    result = run_overfit(tiny_model().spec, clips, QUICK.model_copy(update={"epochs": 1}))
    stats = result.history[0]
    assert 0 < stats.tensors_without_gradient < stats.tensors
    assert f"{stats.tensors_without_gradient} of {stats.tensors} parameter tensors have no gradient" in "".join(
        result.warnings
    )


def test_a_clip_too_short_for_its_labels_is_refused(clips, tiny_model):
    short = Clip(clip_id="x", frames=clips[0].frames[:8], glosses=("A", "A"), labels=(1, 1), signer="s")
    with pytest.raises(BadInputError, match="clip x has 8 frames, too few for its 2 labels"):
        run_overfit(tiny_model().spec, [short], QUICK)


def test_clips_are_drawn_by_the_seed(tiny_corpus):
    split = tiny_corpus.split("train")
    ids = [[c.clip_id for c in choose_clips(split, QUICK.model_copy(update={"seed": s}), stride=4)] for s in (0, 0, 1)]
    assert ids[0] == ids[1] != ids[2]
    assert len(set(ids[0])) == 2
    with pytest.raises(BadInputError, match="clips were asked for"):
        choose_clips(split, QUICK.model_copy(update={"samples": len(split) + 1}), stride=100)


def test_options_are_those_of_the_quick_start():
    assert OverfitSettings().model_dump(include={"samples", "dropout", "warmup_epochs", "epochs", "target_loss"}) == {
        "samples": 5,
        "dropout": 0.1,
        "warmup_epochs": 50,
        "epochs": 2000,
        "target_loss": 0.1,
    }
    assert OPTIONS["a"] == {"learning_rate": 0.0005, "warmup_epochs": 100, "dropout": 0.05}
    assert OPTIONS["b"] == {"optimizer": "adamw", "weight_decay": 0.01}
    assert OPTIONS["c"] == {"samples": 3, "dropout": 0.0, "epochs": 4000}
    for values in OPTIONS.values():
        OverfitSettings(**values)


def stats(epoch, *, loss=2.0, norm=5.0, blank=0.5, unreached=0):
    return EpochStats(
        epoch=epoch,
        loss=loss,
        wer=None,
        learning_rate=1e-3,
        gradient_norm=norm,
        blank_share=blank,
        tensors_without_gradient=unreached,
        tensors=100,
    )


def feed(epochs, **options):
    monitor = OverfitMonitor(**{"target_loss": 0.1, "warmup_epochs": 10, **options})
    return [line for each in epochs for line in monitor.update(each)]


def falling(epoch):
    return max(0.05, 3.0 * 0.97**epoch)


def test_a_healthy_run_gives_no_warning():
    # Large at the start, tiny at the end, as in real runs; blanks dominate while it warms up.
    epochs = [
        stats(e, loss=falling(e), norm=200 * 0.96**e + 0.01 * (e % 7), blank=1.0 if e < 25 else 0.1)
        for e in range(1, 400)
    ]
    assert feed(epochs) == []


@pytest.mark.parametrize(
    ("epochs", "words"),
    [
        ([stats(1, loss=None)], "WARNING epoch 1: loss is NaN or Inf"),
        ([stats(4, norm=None)], "WARNING epoch 4: gradient is NaN or Inf"),
        ([stats(1, norm=2000.0)], "exploding gradients: norm 2e+03: try --option a"),
        ([*(stats(e) for e in range(1, 21)), stats(21, norm=600.0)], "exploding gradients: norm 600, 5 was usual"),
        ([stats(3, norm=1e-8)], "dead gradients: norm 1e-08 while the loss is above 0.1"),
        ([stats(1, unreached=7)], "7 of 100 parameter tensors have no gradient"),
        (
            [stats(e, loss=falling(e) + 1, blank=1.0) for e in range(1, 61)],
            "WARNING epoch 60: all-blank plateau: 100% of the steps are blank for 50 epochs",
        ),
        ([stats(e, loss=2.0) for e in range(1, 212)], "WARNING epoch 210: the loss has not been below 2.0000 for 200"),
    ],
)
def test_each_fault_is_named_once_with_what_to_try(epochs, words):
    lines = feed(epochs)
    assert len(lines) == 1
    assert words in lines[0]
    assert "try" in lines[0] or "look for" in lines[0]


def test_a_learned_network_is_not_called_dead_or_stalled():
    assert feed([stats(e, loss=0.05, norm=1e-9, blank=1.0, unreached=3) for e in range(1, 400)]) == []


def test_a_warning_that_stays_true_is_repeated_seldom():
    lines = feed([stats(e, norm=5000.0, loss=falling(e) + 1) for e in range(1, 251)])
    assert [line.split(":")[0] for line in lines] == ["WARNING epoch 1", "WARNING epoch 101", "WARNING epoch 201"]


def test_tips_say_what_the_run_showed(learned):
    def failed(*history, **changes):
        update = {"achieved": False, "first_zero_epoch": None, "final_loss": history[-1].loss, "history": history}
        return learned[0].model_copy(update={**update, "warnings": ("WARNING", "WARNING"), **changes})

    falls = failed(*(stats(e, loss=falling(e) + 0.2) for e in range(1, 40)), settings=OverfitSettings())
    tips = "\n".join(debugging_tips(falls))
    for words in ("the 2 WARNING lines", "still falling", "--lr 0.0001", "--samples 3", "--dropout 0", "--compare"):
        assert words in tips
    assert what_to_try(falls) == "--epochs 4000"
    flat = failed(*(stats(e) for e in range(1, 40)), warnings=())
    assert "it stands still" in "\n".join(debugging_tips(flat))
    assert "WARNING" not in "\n".join(debugging_tips(flat))
    assert what_to_try(flat) == "--option a"
    assert "never finite" in "\n".join(debugging_tips(failed(stats(1, loss=None))))


def test_the_outcome_says_what_happened(learned):
    result = learned[0]
    assert outcome(result) == f"0% WER at epoch {result.first_zero_epoch}"
    history = tuple(stats(e, loss=0.05).model_copy(update={"wer": 0.0}) for e in range(1, 61))
    update = {"achieved": False, "first_zero_epoch": 55, "history": history, "final_loss": 0.05}
    short = result.model_copy(update=update)
    assert "was not confirmed before the last epoch, 60" in outcome(short)
    assert what_to_try(short).startswith("--epochs ")
    assert "the loss is 0.2000 at epoch 60" in outcome(short.model_copy(update={"final_loss": 0.2}))
    wrong = count_errors(references=[("a",) * 32], hypotheses=[("a",) * 31])
    lost = short.model_copy(update={"final_counts": wrong})
    assert outcome(lost) == "0% WER at epoch 55 did not hold: 3.12% at epoch 60"
    assert "not reached: best WER" in outcome(short.model_copy(update={"first_zero_epoch": None}))


def test_the_picture_is_a_png_for_one_run_and_for_two(learned, clips, tiny_model, tmp_path):
    result, _ = learned
    short = run_overfit(tiny_model().spec, clips, QUICK.model_copy(update={"epochs": 1}))
    sizes = []
    for name, results in (("one", {"teacher": result}), ("two", {"teacher": result, "student": short})):
        path = save_plot(tmp_path / "sub" / f"{name}.png", results)
        content = path.read_bytes()
        assert content[:8] == b"\x89PNG\r\n\x1a\n"
        assert struct.unpack(">II", content[16:24]) == (1210, 990)
        sizes.append(content)
    assert sizes[0] != sizes[1]


def test_the_picture_survives_a_run_without_a_finite_loss(learned, tmp_path):
    result = learned[0].model_copy(
        update={"history": (stats(1, loss=None, norm=None),), "final_loss": None, "best_loss": None}
    )
    assert save_plot(tmp_path / "nan.png", {"teacher": result}).stat().st_size > 10_000
