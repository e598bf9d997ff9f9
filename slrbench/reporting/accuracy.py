"""What the errors of each clip say beyond one rate: its interval, and the difference to the fp32 checkpoint."""

from collections.abc import Iterable

from slrbench.records import Accuracy
from slrbench.statistics.words import agreement, wer_difference, wer_interval


def with_intervals(accuracies: Iterable[Accuracy]) -> tuple[Accuracy, ...]:
    """The same evaluations with interval, difference to the checkpoint, and agreement, as far as clips are known.

    The checkpoint of a model is what torch computes in fp32 on the CPU from float32 video, on the same clips. Where it
    was not evaluated, there is no difference; the checkpoint itself has none either.
    """
    known = list(accuracies)
    return tuple(_with_interval(accuracy, known) for accuracy in known)


def _with_interval(accuracy: Accuracy, others: Iterable[Accuracy]) -> Accuracy:
    if not accuracy.clip_errors:
        return accuracy  # of an older report, which does not say what each clip gave
    errors, words = accuracy.clip_errors, accuracy.clip_words
    update: dict[str, object] = {"wer_interval": wer_interval(errors, words)}
    reference = next((other for other in others if _is_checkpoint_of(other, accuracy)), None)
    if reference is not None and reference != accuracy:
        update |= {
            "against": reference.artifact_sha256,
            "wer_difference": wer_difference(errors, reference.clip_errors, words),
            "agreement": _agreement(accuracy, reference),
        }
    return accuracy.model_copy(update=update)


def _agreement(accuracy: Accuracy, reference: Accuracy) -> float | None:
    if not accuracy.decoded or not reference.decoded:
        return None
    return agreement(accuracy.decoded, reference.decoded)


def _is_checkpoint_of(other: Accuracy, accuracy: Accuracy) -> bool:
    way = other.backend, other.precision, other.variant, other.device, other.input_kind
    return (
        way == ("torch", "fp32", "", "cpu", "float32")
        and other.model == accuracy.model
        and (other.split, other.data_fingerprint) == (accuracy.split, accuracy.data_fingerprint)
        and (other.height, other.width) == (accuracy.height, accuracy.width)
        and other.clip_words == accuracy.clip_words
        and (other.decoder, other.scoring, other.alignment) == (accuracy.decoder, accuracy.scoring, accuracy.alignment)
    )
