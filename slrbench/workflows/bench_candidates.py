"""From what a person asks to measure to candidates, and to a reason for everything that cannot be one.

Only files whose parity verdict passed, for the very bytes that lie there, become candidates; ``allow_unverified`` lets
the others in, and their rows say so. A file that passed on the CPU and is to run in another way (on a GPU, in half
precision, compiled) is let in as not run: the benchmark itself judges it. A file whose hash is not its manifest's is
refused always.
"""

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import Any

from exporters.artifact import ExporterError, Manifest, read_manifest
from slrbench.errors import BadInputError, SlrbenchError
from slrbench.models.spec import ModelSpec
from slrbench.records import Candidate, ParityWord, Skipped
from slrbench.runners.availability import require
from slrbench.training.card import CARD_NAME, CheckpointCard, locate, read_card
from slrbench.workflows.archive import folder_of_pack, is_pack, unless_unpacked
from slrbench.workflows.bench_axes import Axes, Way, why_senseless
from slrbench.workflows.bench_engines import Engines, outside_profile
from slrbench.workflows.bench_files import BenchFile, find_file, require_verified
from slrbench.workflows.compressed_size import compress_all, compressed_bytes

MODELS_FOLDER = Path("trained_models")


@dataclass(frozen=True, kw_only=True)
class BenchModel:
    """A network whose files may be measured."""

    model_id: str
    folder: Path
    spec: ModelSpec
    frame_size: tuple[int, int]
    parameters: int
    weights_sha256: str
    manifest: Manifest
    card: CheckpointCard | None = None
    """None for a network with random weights."""


@dataclass
class Plan:
    """What will be measured, and what will not: for each refused row the error that stands behind it."""

    candidates: list[Candidate] = field(default_factory=list)
    refused: list[tuple[Skipped, SlrbenchError]] = field(default_factory=list)
    to_judge: dict[Candidate, Path] = field(default_factory=dict)
    """Candidates whose parity this benchmark checks, to the folder of their parity cases."""


def find_models(names: Sequence[str], *, root: Path = MODELS_FOLDER) -> list[BenchModel]:
    """Models by id, by path, or by role (``teacher``, ``student``: all of that kind); every model where none is named.

    An archive is unpacked beside itself.

    Raises:
        BadInputError: there is no such model, or its card or manifest cannot be read.
    """
    known = {path.parent.name: path.parent for path in sorted(root.glob(f"*/{CARD_NAME}"))}
    if not known and not names:
        raise BadInputError(
            f"there is no model in {root}", hint="python -m slrbench train-and-export makes one; or name a folder"
        )
    folders: list[Path] = list(known.values()) if not names else []
    for name in names:
        if name in known:
            folders.append(known[name])
        elif name in ("teacher", "student"):
            folders += _of_role(name, list(known.values()), root)
        elif is_pack(Path(name)):
            folders.append(folder_of_pack(Path(name))[0])
        elif Path(name).exists():
            folders.append(locate(Path(name))[0].parent)
        else:
            near = difflib.get_close_matches(name, known, n=1)
            raise BadInputError(
                f"there is no model {name!r}, neither in {root} nor as a path",
                hint=f"did you mean {near[0]!r}?" if near else "python -m slrbench list models",
            )
    models = [_load(folder) for folder in dict.fromkeys(_from_here(folder) for folder in folders)]
    for index, model in enumerate(models):
        if twin := next((other for other in models[:index] if other.model_id == model.model_id), None):
            raise BadInputError(
                f"{twin.folder} and {model.folder} both hold a model called {model.model_id!r}",
                hint="measure them one at a time: rows are told apart by the model's id",
            )
    return models


def _from_here(path: Path) -> Path:
    """Relative to the current folder where it lies in it, so that a report can be shared; absolute elsewhere."""
    path = path.resolve()
    here = Path.cwd().resolve()
    return path.relative_to(here) if path.is_relative_to(here) else path


def _of_role(role: str, folders: Sequence[Path], root: Path) -> list[Path]:
    found = [folder for folder in folders if read_card(folder).role == role]
    if not found:
        raise BadInputError(f"there is no {role} in {root}", hint="python -m slrbench list models")
    return found


def _load(folder: Path) -> BenchModel:
    card = read_card(folder)
    try:
        manifest = read_manifest(folder)
    except ExporterError as error:
        raise BadInputError(error.message, hint=error.hint) from error
    return BenchModel(
        model_id=card.model_id,
        folder=folder,
        spec=card.spec,
        frame_size=card.frame_size,
        parameters=card.parameters,
        weights_sha256=card.weights_sha256,
        manifest=manifest or Manifest(model_id=card.model_id),
        card=card,
    )


def plan_candidates(
    models: Sequence[BenchModel], axes: Axes, *, allow_unverified: bool = False, engines: Engines | None = None
) -> Plan:
    """Every combination of models and axes, as a candidate or as a refused row with its reason.

    Args:
        models: what to measure.
        axes: how.
        allow_unverified: whether files without a passed verdict are measured, too.
        engines: why engines could not be made.
    """
    found = [
        each
        for model, way in product(models, axes.ways())
        for each in _found_files(model, way, axes.input_kinds, engines or {}, allow_unverified=allow_unverified)
    ]
    compress_all({each.file.sha256: each.file.path for each in found if isinstance(each, _Found)})
    plan = Plan()
    for each in found:
        if isinstance(each, _Found):
            _add_shapes(plan, each, axes)
        else:
            _refuse(plan, *each)
    return plan


@dataclass(frozen=True, kw_only=True)
class _Found:
    """A file that may be measured."""

    model: BenchModel
    way: Way
    input_kind: str
    file: BenchFile


_Refused = tuple[Skipped, SlrbenchError]


def _found_files(
    model: BenchModel, way: Way, input_kinds: Sequence[str], engines: Engines, *, allow_unverified: bool
) -> Iterator[_Found | _Refused]:
    """The file of each kind of input that the way opens, or why there is none to measure."""
    try:
        if (senseless := why_senseless(way)) is not None:
            raise BadInputError(senseless, hint="python -m slrbench bench --help says what there is")
        require(way.backend, way.device)
    except SlrbenchError as error:
        yield _row(model, way, error.message), error
        return
    for input_kind in input_kinds:
        parity: ParityWord | None = None
        try:
            file = find_file(model, way, input_kind, engines)
            parity = file.parity
            require_verified(model, file, allow_unverified=allow_unverified)
        except SlrbenchError as error:
            row = _row(model, way, _of_kind(input_kind, error.message))
            yield row.model_copy(update={"parity": parity}), error
        else:
            yield _Found(model=model, way=way, input_kind=input_kind, file=file)


def _of_kind(input_kind: str, reason: str) -> str:
    """A reason with the kind of input in front, unless that is the usual one or named."""
    return reason if input_kind == "float32" or f" {input_kind} " in reason else f"{input_kind} input: {reason}"


def _add_shapes(plan: Plan, found: _Found, axes: Axes) -> None:
    """A candidate for each shape that the file takes, a refused row for any other."""
    model, way, input_kind, file = found.model, found.way, found.input_kind, found.file

    def refuse(error: SlrbenchError) -> None:
        _refuse(plan, _row(model, way, _of_kind(input_kind, error.message)), error)

    sizes = [(size, size) for size in axes.sizes] or [model.frame_size]
    for threads, batch, frames, (height, width) in product(axes.threads, axes.batches, axes.frames, sizes):
        shape = (batch, frames, height, width)
        clash = next((f"{name} {only}, not {shape[i]}" for name, i, only in file.fixed if shape[i] != only), None)
        if clash is not None:
            refuse(BadInputError(f"{file.path.name} takes {clash}", hint="leave --size out, or export at that size"))
            continue
        outside = outside_profile(file.engine, batch, frames) if file.engine is not None else None
        if outside is not None:
            hint = f"python -m slrbench export {model.folder} --formats trt --batch 1:{batch} --frames 1:{frames}"
            refuse(BadInputError(f"{file.path.name} was asked for {outside}", hint=unless_unpacked(model.folder, hint)))
            continue
        macs, traffic_bytes = _cost(model.spec, batch, frames, height, width)
        values: dict[str, Any] = {
            "model": model.model_id, "backend": way.backend, "format": file.format, "precision": way.precision,
            "variant": way.variant, "device": way.device, "threads": threads, "batch": batch, "frames": frames,
            "height": height, "width": width, "input_kind": input_kind, "path": str(file.path),
            "artifact_sha256": file.sha256, "size_bytes": file.size_bytes,
            "compressed_bytes": compressed_bytes(file.path, file.sha256), "parameters": model.parameters,
            "macs": macs, "traffic_bytes": traffic_bytes, "parity": file.parity, "untrained": model.card is None,
        }  # fmt: skip
        plan.candidates.append(Candidate(**values))
        if file.judge_here:
            plan.to_judge[plan.candidates[-1]] = model.folder


def _refuse(plan: Plan, row: Skipped, error: SlrbenchError) -> None:
    if all(row != known for known, _ in plan.refused):  # a fixed axis is the same clash at every other axis' values
        plan.refused.append((row, error))


def _row(model: BenchModel, way: Way, reason: str) -> Skipped:
    return Skipped(
        model=model.model_id,
        backend=way.backend,
        precision=way.precision,
        variant=way.variant,
        device=way.device,
        reason=reason,
    )


@cache
def _cost(spec: ModelSpec, batch: int, frames: int, height: int, width: int) -> tuple[int | None, int | None]:
    """Multiply-accumulates and bytes moved of one call; None where torch, which counts them, is not installed."""
    if find_spec("torch") is None:
        return None, None
    from slrbench.models.cost import count_cost

    return count_cost(spec, batch=batch, frames=frames, height=height, width=width)
