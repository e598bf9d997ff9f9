"""The torch runner: a checkpoint folder. Eager, in fp32 and on the CPU it is what parity is measured against."""

import json
from pathlib import Path

from pydantic import ValidationError

from slrbench.errors import BadInputError
from slrbench.models.registry import load_weights
from slrbench.models.spec import ModelSpec
from slrbench.runners.inputs import artifact_sha256, check_input_kind
from slrbench.runners.options import check_options
from slrbench.runners.torch_module import ModuleRunner, set_threads
from slrbench.runners.torch_places import place_of

CARD_NAME = "checkpoint.json"
WEIGHTS_NAME = "checkpoint.safetensors"


def open_checkpoint(
    path: Path,
    *,
    threads: int,
    device: str = "cpu",
    input_kind: str = "float32",
    precision: str = "fp32",
    variant: str = "",
    expected_sha256: str | None = None,
    check_card: bool = True,
) -> ModuleRunner:
    """The network of a checkpoint folder (or of one of its two files), in evaluation mode.

    On a GPU fp32 has TF32 off for every operator, tf32 has it on, fp16 and bf16 are autocast with TF32 off; ``variant``
    is empty for eager, or one of :data:`slrbench.runners.options.COMPILE_MODES`. ``check_card`` compares the weights
    with the card's hash where ``expected_sha256`` is not given.

    Raises:
        BadInputError: a file is missing or damaged, or the weights are not those of ``expected_sha256``, or of the
            card where that is not given; precision or variant are not of this backend and device.
        UnavailableError: the device cannot be used.
    """
    check_options("torch", device, precision, variant)
    check_input_kind(input_kind)
    folder = path if path.is_dir() else path.parent
    if not path.exists() or (path.is_file() and path.name not in (CARD_NAME, WEIGHTS_NAME)):
        raise BadInputError(
            f"there is no checkpoint at {path}", hint=f"give a folder with {CARD_NAME} and {WEIGHTS_NAME}"
        )
    spec, sha256 = _read_spec(folder / CARD_NAME)
    weights = folder / WEIGHTS_NAME
    if not weights.is_file():
        raise BadInputError(f"{folder} holds no {WEIGHTS_NAME}", hint="copy it from where the network was trained")
    expected = expected_sha256 or (sha256 if check_card else None)
    if expected is not None and (found := artifact_sha256(weights)) != expected:
        raise BadInputError(
            f"{weights} is not the file that was checked: its SHA-256 is {found}, expected {expected}",
            hint="it was altered or cut off: copy it again from where it was trained, or train again",
        )
    set_threads(threads)
    place = place_of(device, precision)
    model = load_weights(spec, weights).eval().to(place.device)
    return ModuleRunner(
        "torch", model, threads=threads, input_kind=input_kind, normalise_here=True, place=place, device=device,
        precision=precision, variant=variant,
    )  # fmt: skip


def _read_spec(card: Path) -> tuple[ModelSpec, str]:
    """Dimensions and weights' hash; the rest of the card is not the runner's business."""
    if not card.is_file():
        raise BadInputError(f"{card.parent} holds no {CARD_NAME}", hint="give the folder of a checkpoint")
    try:
        document = json.loads(card.read_text(encoding="utf-8"))
        return ModelSpec.model_validate(document["spec"]), str(document["weights_sha256"])
    except (ValueError, KeyError, TypeError, ValidationError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BadInputError(
            f"{card} is not a checkpoint card: {first}", hint="the file is damaged: copy it again, or train again"
        ) from error
