"""Which engine of a model fits the GPU at hand, and how one is made where none does."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from exporters.artifact import Artifact, ExporterError, InputKind, Manifest, ManifestEntry, Precision, read_manifest
from exporters.cuda_driver import device_index, device_word
from exporters.engine_options import RTX_COMPUTE_CAPABILITIES, BuilderName, EngineOptions
from exporters.tensorrt_library import PACKAGES, compute_capability_here
from slrbench.errors import BadInputError, RunFailedError, SlrbenchError, UnavailableError
from slrbench.runners.availability import availability
from slrbench.runners.gpu_availability import installed_version
from slrbench.workflows.archive import unless_unpacked
from slrbench.workflows.bench_axes import Axes

if TYPE_CHECKING:
    from slrbench.workflows.bench_candidates import BenchModel

Progress = Callable[[str, int, int], None]
Export = Callable[..., Any]
Engines = dict[tuple[str, str, str], SlrbenchError]
"""Model id, precision and input kind to why an engine could not be made."""

TARGET = re.compile(r"(?P<library>rtx|trt)\.(?P<capabilities>sm\d+(?:-sm\d+)*)")


def fits(target: str, compute_capability: str | None) -> bool:
    """Whether an engine of that target, such as ``rtx.sm86-sm89``, is built for a GPU of that compute capability."""
    match = TARGET.fullmatch(target)
    if match is None or compute_capability is None:
        return False
    return f"sm{compute_capability.replace('.', '')}" in match["capabilities"].split("-")


def runs_on(engine: Artifact, compute_capability: str | None) -> bool:
    """Whether an engine runs on such a GPU with the library that is installed here.

    :func:`fits`, or TensorRT built it for Ampere and everything after it.
    """
    if not library_fits(engine):
        return False
    if engine.target.startswith("trt.") and engine.built_with.get("hardware_compatibility") == "ampere_plus":
        return compute_capability is not None and int(compute_capability.partition(".")[0]) >= 8
    return fits(engine.target, compute_capability)


def library_fits(engine: Artifact) -> bool:
    """Whether the library that built an engine is installed here, in its very version where the engine asks for that.

    An engine of a manifest that does not say what built it is not ruled out: loading it will tell.
    """
    built_by = engine.built_with.get("builder")
    if built_by not in PACKAGES:
        return True
    here = installed_version(PACKAGES[cast(BuilderName, built_by)])
    same = here == engine.built_with.get("builder_version")
    return same or (here is not None and bool(engine.built_with.get("version_compatible")))


def choose_engine(
    manifest: Manifest,
    precision: str,
    input_kind: str,
    *,
    model: str,
    folder: Path,
    compute_capability: str | None,
    failures: Engines | None = None,
) -> ManifestEntry:
    """The newest engine that fits the GPU; of these, one whose parity passed comes first.

    Raises:
        BadInputError: there is none; the message names the targets that exist.
        SlrbenchError: there is none, and one could not be made: what stood in the way, of ``failures``.
    """
    found = manifest.find_all("trt", precision, input_kind)
    again = f"python -m slrbench export {folder} --formats trt --precision {precision}"
    again += "" if input_kind == "float32" else f" --input {input_kind}"
    again = unless_unpacked(folder, again)
    fitting = [entry for entry in found if runs_on(entry.artifact, compute_capability)]
    failure = (failures or {}).get((model, precision, input_kind))
    if not fitting and failure is not None:
        raise failure
    if not found:
        raise BadInputError(f"{model} has no {precision} engine with {input_kind} input", hint=again)
    if not fitting:
        targets = ", ".join(entry.artifact.target for entry in found)
        here = "no GPU is visible" if compute_capability is None else f"the GPU has {compute_capability}"
        if any(fits(entry.artifact.target, compute_capability) for entry in found):
            here += ", and the library that built them is not installed here in that version"
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
    models: Iterable["BenchModel"],
    axes: Axes,
    progress: Progress | None = None,
    *,
    export: Export | None = None,
    cache: Path | None = None,
) -> tuple[dict[str, Manifest], Engines]:
    """Make the engines that TensorRT can run here and that models lack; nothing where it cannot, or is not asked for.

    Only checkpoints that passed their own checks are exported: an engine of another would not be measured anyway.
    Networks with random weights get theirs, too.

    Args:
        models: what is to be measured.
        axes: how.
        progress: told of what is made.
        export: in place of :func:`slrbench.workflows.export.export_model`.
        cache: folder of decoded clips, for corpora of files.

    Returns:
        Model id to its new manifest, of models for which something was made; and why an engine could not be made, which
        is for planning to say.
    """
    made: dict[str, Manifest] = {}
    failures: Engines = {}
    if "trt" not in axes.backends:
        return made, failures
    devices = dict.fromkeys(device_index(device) for device in axes.devices)  # the CPU means the first GPU here
    for device in devices:
        if not availability("trt", device_word(device)).available:
            continue
        here = compute_capability_here(device)
        for model, kind in product(models, axes.input_kinds):
            model = replace(model, manifest=made.get(model.model_id, model.manifest))
            missing = [p for p in axes.precisions if not _has_engine(model.manifest, p, kind, here)]
            if not missing or (model.card is not None and not model.card.checks_passed):
                continue
            options = engine_options(axes, here, device)
            if model.card is None:
                manifest, failed = _untrained(model, missing, kind, options, progress)
            else:
                manifest, failed = _exported(model, missing, kind, options, progress, export, cache)
            made[model.model_id] = manifest
            failures |= failed
    return made, failures


def engine_options(axes: Axes, compute_capability: str | None, device: int = 0) -> EngineOptions:
    """For the GPU at hand; the usual profile, stretched to the shapes that are to be measured."""
    usual = EngineOptions()
    return replace(
        usual,
        batch=replace(usual.batch, max=max(usual.batch.max, *axes.batches)),
        frames=replace(usual.frames, max=max(usual.frames.max, *axes.frames)),
        device=device,
        # TensorRT builds for what it finds; TensorRT-RTX must be told, and knows fewer.
        compute_capabilities=(compute_capability,) if compute_capability in RTX_COMPUTE_CAPABILITIES else (),
    )


def _has_engine(manifest: Manifest, precision: str, kind: str, compute_capability: str | None) -> bool:
    return any(runs_on(entry.artifact, compute_capability) for entry in manifest.find_all("trt", precision, kind))


def _exported(
    model: "BenchModel",
    precisions: Sequence[str],
    kind: str,
    options: EngineOptions,
    progress: Progress | None,
    export: Export | None,
    cache: Path | None,
) -> tuple[Manifest, Engines]:
    try:
        result = (export or _exporter())(
            model.folder,
            formats=("trt",),
            input_kinds=(kind,),
            precisions=precisions,
            engine=options,
            cache=cache,
            progress=progress,
        )
        reasons: dict[str, SlrbenchError] = {
            failure.precision: _not_made(model, failure.precision, failure.reason, None) for failure in result.failed
        }
    except (SlrbenchError, ExporterError) as error:
        reasons = {p: _not_made(model, p, error.message, error.hint, of=error) for p in precisions}
    manifest = read_manifest(model.folder) or model.manifest
    return manifest, {(model.model_id, precision, kind): error for precision, error in reasons.items()}


def _untrained(
    model: "BenchModel",
    precisions: Sequence[str],
    kind: str,
    options: EngineOptions,
    progress: Progress | None,
) -> tuple[Manifest, Engines]:
    manifest, failures = model.manifest, {}
    for done, precision in enumerate(precisions):
        if progress is not None:
            progress(f"building {precision} engines of untrained networks", done, len(precisions))
        try:
            from slrbench.workflows.untrained_typed import untrained_engine

            entry = untrained_engine(model, cast(Precision, precision), cast(InputKind, kind), options)
        except (SlrbenchError, ExporterError) as error:
            failures[model.model_id, precision, kind] = _not_made(model, precision, error.message, error.hint, of=error)
            continue
        manifest = manifest.with_entry(entry)
    return manifest, failures


def _not_made(
    model: "BenchModel", precision: str, reason: str, hint: str | None, *, of: Exception | None = None
) -> SlrbenchError:
    kind = type(of) if isinstance(of, SlrbenchError) else RunFailedError
    return kind(f"{model.model_id} has no {precision} engine for this GPU, and making one failed: {reason}", hint=hint)


def _exporter() -> Export:
    """Raises ``UnavailableError`` where torch, which graphs are exported from, is not installed."""
    if find_spec("torch") is None:
        raise UnavailableError(
            "torch is not installed here", hint="export on a machine with torch: python -m slrbench pack takes it here"
        )
    from slrbench.workflows.export import export_model

    return export_model
