"""What can be measured where nothing that was asked for can run: a command that works with the files that are there."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from slrbench.errors import SlrbenchError, UnavailableError
from slrbench.runners.availability import CPU_BACKENDS, availability, require_any
from slrbench.training.card import WEIGHTS_NAME
from slrbench.workflows.archive import is_unpacked, unless_unpacked
from slrbench.workflows.bench_axes import Axes, why_senseless
from slrbench.workflows.bench_candidates import MODELS_FOLDER, BenchModel, find_models

_DOCTOR = "python -m slrbench doctor shows what is available"


def require_some_backend(axes: Axes, names: Sequence[str], *, root: Path = MODELS_FOLDER) -> None:
    """Return where one of the ways can run here.

    Args:
        axes: what was asked for.
        names: the models that were named; all of ``root`` where there is none.
        root: where models are found by their id.

    Raises:
        UnavailableError: none can; the hint is a command that can measure these models as they lie here.
    """
    try:
        require_any([(way.backend, way.device) for way in axes.ways() if why_senseless(way) is None])
    except UnavailableError as error:
        raise UnavailableError(error.message, hint=_instead(names, root)) from error


def _instead(names: Sequence[str], root: Path) -> str:
    try:
        models = find_models(names, root=root)
    except SlrbenchError as error:
        return f"{error.message}: {error.hint}" if error.hint else error.message
    what = shlex.join(["python", "-m", "slrbench", "bench", *names])
    usable = [backend for backend in CPU_BACKENDS if availability(backend).available]
    if measurable := [backend for backend in usable if all(_is_measurable(model, backend) for model in models)]:
        light = [backend for backend in measurable if backend in ("onnx", "openvino")]
        return f"{what} --backend {','.join(light or measurable)}    ({_DOCTOR})"
    if "torch" in usable and not any(is_unpacked(model.folder) for model in models):
        folders = shlex.join(str(model.folder) for model in models)
        return f"python -m slrbench export {folders} makes files that can be measured    ({_DOCTOR})"
    return unless_unpacked(models[0].folder, _DOCTOR) if usable else f"{_DOCTOR}, and how to get it"


def _is_measurable(model: BenchModel, backend: str) -> bool:
    """Whether bench measures that file of the model with no more options."""
    if backend == "torch":
        assert model.card is not None  # found by it
        return model.card.checks_passed is True and (model.folder / WEIGHTS_NAME).is_file()
    entry = model.manifest.find(backend)
    if entry is None or entry.parity_word != "passed" or entry.artifact.built_from_sha256 != model.weights_sha256:
        return False
    return all((model.folder / file.name).is_file() for file in entry.artifact.files)
