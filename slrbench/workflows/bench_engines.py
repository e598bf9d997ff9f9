"""Which engine of a model fits the GPU at hand, and how one is made where none does."""

import re
from collections.abc import Callable, Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path

from exporters.artifact import Manifest, ManifestEntry, read_manifest
from exporters.tensorrt_library import compute_capability_here
from slrbench.errors import BadInputError, SlrbenchError, UnavailableError
from slrbench.runners.availability import availability

Progress = Callable[[str, int, int], None]

TARGET = re.compile(r"(?P<library>rtx|trt)\.(?P<capabilities>sm\d+(?:-sm\d+)*)")


def fits(target: str, compute_capability: str | None) -> bool:
    """Whether an engine of that target, such as ``rtx.sm86-sm89``, is built for a GPU of that compute capability."""
    match = TARGET.fullmatch(target)
    if match is None or compute_capability is None:
        return False
    return f"sm{compute_capability.replace('.', '')}" in match["capabilities"].split("-")


def choose_engine(
    manifest: Manifest, precision: str, input_kind: str, *, model: str, folder: Path, compute_capability: str | None
) -> ManifestEntry:
    """The newest engine that fits the GPU; of these, one whose parity passed comes first.

    Raises:
        BadInputError: there is none; the message names the targets that exist.
    """
    found = manifest.find_all("trt", precision, input_kind)
    again = f"python -m slrbench export {folder} --formats trt --precision {precision}"
    again += "" if input_kind == "float32" else f" --input {input_kind}"
    if not found:
        raise BadInputError(f"{model} has no {precision} engine with {input_kind} input", hint=again)
    fitting = [entry for entry in found if fits(entry.artifact.target, compute_capability)]
    if not fitting:
        targets = ", ".join(entry.artifact.target for entry in found)
        here = "no GPU is visible" if compute_capability is None else f"the GPU has {compute_capability}"
        raise BadInputError(f"{model} has {precision} engines for {targets} only, and {here}", hint=again)
    passed = [entry for entry in fitting if entry.parity_word == "passed"]
    return (passed or fitting)[-1]


def outside_profile(entry: ManifestEntry, batch: int, frames: int) -> str | None:
    """What of a shape lies outside of an engine's profile, in words; None where nothing does."""
    profile = entry.artifact.built_with.get("profile", {})
    for name, value in (("batch", batch), ("frames", frames)):
        low, _, high = profile.get(name, (value, value, value))
        if not low <= value <= high:
            return f"{name} {value}, and its profile has {low} to {high}"
    return None


def make_missing_engines(
    models: Iterable[tuple[str, Path, Manifest]],
    precisions: Sequence[str],
    input_kinds: Sequence[str],
    progress: Progress | None,
) -> dict[str, Manifest]:
    """Export the engines that TensorRT can run here and that models lack; what cannot be made is left to planning.

    Returns:
        Model id to its manifest, of the models that got an engine.
    """
    if not availability("trt", "cuda").available or find_spec("torch") is None:
        return {}
    here = compute_capability_here()
    made = {}
    for model, folder, manifest in models:
        missing = [
            precision
            for precision in precisions
            if not any(
                fits(entry.artifact.target, here)
                for kind in input_kinds
                for entry in manifest.find_all("trt", precision, kind)
            )
        ]
        if missing and (folder / "checkpoint.json").exists():
            _export(folder, missing, input_kinds, progress)
            made[model] = read_manifest(folder) or manifest
    return made


def _export(folder: Path, precisions: Sequence[str], input_kinds: Sequence[str], progress: Progress | None) -> None:
    from slrbench.workflows.export import export_model

    try:
        export_model(folder, formats=("trt",), precisions=precisions, input_kinds=input_kinds, progress=progress)
    except UnavailableError:
        raise
    except SlrbenchError as error:
        raise BadInputError(f"no engine could be made of {folder}: {error.message}", hint=error.hint) from error
