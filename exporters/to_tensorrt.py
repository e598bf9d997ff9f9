"""From an ONNX file to a TensorRT or TensorRT-RTX engine. Needs one of the two libraries; knows no torch.

Everything is strongly typed: what an engine computes in is what the graph says, and no builder flag changes it. The one
exception is TF32, which lets fp32 layers round their inputs to 10 bits of mantissa: it is off unless asked for.

TensorRT builds for the GPU that it finds. TensorRT-RTX builds ahead of time for stated compute capabilities, on a
machine with no GPU; kernels are compiled on the target at load.
"""

import os
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from exporters.artifact import ExporterError, Precision, atomic_path
from exporters.cuda_driver import current_device
from exporters.engine_options import DEFAULT_RTX_COMPUTE_CAPABILITIES, EngineOptions
from exporters.input_names import INPUT_NAME, OUTPUT_NAME
from exporters.tensorrt_build import Progress, build_plan
from exporters.tensorrt_library import (
    Library,
    LibraryUnavailableError,
    compute_capability_here,
    make_builder,
    plain,
)
from exporters.tensorrt_network import check_types

if TYPE_CHECKING:
    import tensorrt as trt_types


def compute_capabilities_of(library: Library, options: EngineOptions) -> tuple[str, ...]:
    """What an engine of these options is built for.

    Raises:
        LibraryUnavailableError: TensorRT was asked for, and no GPU tells its compute capability.
        ExporterError: the options ask what this library or this GPU cannot do.
    """
    chosen = "which --builder auto takes here" if options.builder == "auto" else ""
    options.check_builder(library.name, chosen=chosen)
    if library.is_rtx:
        asked = options.compute_capabilities or DEFAULT_RTX_COMPUTE_CAPABILITIES
        return tuple(sorted(set(asked), key=lambda text: [int(part) for part in text.split(".")]))
    here = compute_capability_here(options.device)
    if here is None:
        raise LibraryUnavailableError("TensorRT builds for the GPU at hand, and no CUDA device is visible")
    if options.compute_capabilities and options.compute_capabilities != (here,):
        raise ExporterError(
            f"TensorRT builds for the GPU at hand ({here}), not for {', '.join(options.compute_capabilities)}",
            hint="--builder tensorrt-rtx builds for stated compute capabilities",
            bad_input=True,
        )
    if options.hardware_compatibility == "ampere_plus" and int(here.partition(".")[0]) < 8:
        raise ExporterError(
            f"--hardware-compatibility ampere_plus needs a GPU of compute capability 8.0 or later, the one here has "
            f"{here}",
            hint="leave --hardware-compatibility out",
            bad_input=True,
        )
    return (here,)


def engine_from_onnx(
    onnx_path: Path,
    path: Path,
    *,
    library: Library,
    precision: Precision,
    frame_size: tuple[int, int],
    options: EngineOptions,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Build an engine and write it to ``path``, whole or not at all.

    Ctrl-C stops the build at its next step; nothing is written then.

    Args:
        onnx_path: a typed graph: the types in it are what the engine computes in.
        path: the ``.engine`` file.
        library: what builds it; see :func:`exporters.tensorrt_library.find_library`.
        precision: what the graph's layers must be in; ``tf32`` is an fp32 graph with TF32 allowed.
        frame_size: height and width of the frames, pixels.
        options: shapes, targets and the builder's settings.
        progress: told of the build's phases.

    Returns:
        What the engine was built with, and which machines can run it.

    Raises:
        ExporterError: the graph cannot be parsed (the message names node and operator), its types are not those of
            ``precision``, or the build failed.
        LibraryUnavailableError: the library cannot build here.
        OSError: the file cannot be written.
        KeyboardInterrupt: the build was cancelled.
    """
    with current_device(0 if library.is_rtx else options.device):
        return _engine_from_onnx(onnx_path, path, library, precision, frame_size, options, progress)


def _engine_from_onnx(
    onnx_path: Path,
    path: Path,
    library: Library,
    precision: Precision,
    frame_size: tuple[int, int],
    options: EngineOptions,
    progress: Progress | None,
) -> dict[str, Any]:
    capabilities = compute_capabilities_of(library, options)
    builder = make_builder(library)
    trt = library.trt
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser: trt_types.OnnxParser = trt.OnnxParser(network, library.logger)
    _parse(library, parser, onnx_path)
    _check_names(network)
    layers = check_types(network, precision)
    config = builder.create_builder_config()
    _configure(library, config, precision, options)
    channels_last = network.get_input(0).dtype == trt.uint8
    shapes = options.shapes(frame_size, channels_last=channels_last)
    profile = builder.create_optimization_profile()
    profile.set_shape(INPUT_NAME, *shapes)
    if config.add_optimization_profile(profile) < 0:
        raise ExporterError(f"the optimisation profile {shapes} was refused: {library.messages.last_error()}")
    if library.is_rtx:
        _target_rtx(library, config, capabilities)
    cache = None if library.is_rtx else _TimingCache(options.timing_cache, config)
    began = perf_counter()  # for the record; a build is not a measurement
    plan = build_plan(library, builder, network, config, progress, 0 if library.is_rtx else options.device)
    build_s = perf_counter() - began
    with atomic_path(path) as temporary:
        temporary.write_bytes(plan)
    return {
        "builder": library.name,
        "builder_version": library.version,
        "compute_capabilities": list(capabilities),
        "runs_on": _runs_on(library, capabilities, options),
        "profile": {"batch": options.batch.as_list(), "frames": options.frames.as_list()},
        "flags": [name for name in trt.BuilderFlag.__members__ if config.get_flag(getattr(trt.BuilderFlag, name))],
        "strongly_typed": True,
        "tf32": config.get_flag(trt.BuilderFlag.TF32),
        "builder_optimization_level": config.builder_optimization_level,
        "workspace_bytes": config.get_memory_pool_limit(trt.MemoryPoolType.WORKSPACE),
        "max_aux_streams": config.max_aux_streams,
        "hardware_compatibility": options.hardware_compatibility,
        "version_compatible": options.version_compatible,
        "layers_by_type": layers,
        "network_layers": network.num_layers,
        "engine_build_s": round(build_s, 3),
        "timing_cache": "TensorRT-RTX measures no kernels" if cache is None else cache.save(),
        "warnings": list(dict.fromkeys(plain(text) for text in library.messages.warnings))[:10],
    }


def _parse(library: Library, parser: "trt_types.OnnxParser", path: Path) -> None:
    library.messages.clear()
    if parser.parse_from_file(str(path)):
        return
    faults = []
    for index in range(parser.num_errors):
        error = parser.get_error(index)
        node, operator = error.node_name(), error.node_operator()
        where = f"node {node!r} ({operator}): " if operator else ""
        faults.append(where + plain(error.desc()))
    faults = faults or [library.messages.last_error()]
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    raise ExporterError(
        f"{library.name} {library.version} cannot take the graph: {faults[0]}{more}",
        hint="another --precision may have operators that it knows",
    )


def _check_names(network: "trt_types.INetworkDefinition") -> None:
    inputs = [network.get_input(index).name for index in range(network.num_inputs)]
    outputs = [network.get_output(index).name for index in range(network.num_outputs)]
    if inputs != [INPUT_NAME] or outputs != [OUTPUT_NAME]:
        raise ExporterError(
            f"the graph takes {inputs} and gives {outputs}, expected {[INPUT_NAME]} and {[OUTPUT_NAME]}", bad_input=True
        )


def _configure(
    library: Library, config: "trt_types.IBuilderConfig", precision: Precision, options: EngineOptions
) -> None:
    trt = library.trt
    if precision == "tf32":
        config.set_flag(trt.BuilderFlag.TF32)
    else:
        config.clear_flag(trt.BuilderFlag.TF32)  # the library's default is on
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED  # so that the inspector names each layer's type
    if options.builder_optimization_level is not None:
        config.builder_optimization_level = options.builder_optimization_level
    if options.workspace_bytes is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, options.workspace_bytes)
    if options.max_aux_streams is not None:
        config.max_aux_streams = options.max_aux_streams
    if options.version_compatible:
        config.set_flag(trt.BuilderFlag.VERSION_COMPATIBLE)
    if not library.is_rtx:
        _set_hardware_compatibility(library, config, options)


# api: tensorrt
def _set_hardware_compatibility(library: Library, config: "trt_types.IBuilderConfig", options: EngineOptions) -> None:
    trt = library.trt
    config.hardware_compatibility_level = {
        "none": trt.HardwareCompatibilityLevel.NONE,
        "ampere_plus": trt.HardwareCompatibilityLevel.AMPERE_PLUS,
        "same_compute_capability": trt.HardwareCompatibilityLevel.SAME_COMPUTE_CAPABILITY,
    }[options.hardware_compatibility]


# api: tensorrt-rtx
def _target_rtx(library: Library, config: Any, capabilities: tuple[str, ...]) -> None:
    trt = library.trt
    config.num_compute_capabilities = len(capabilities)
    for index, capability in enumerate(capabilities):
        name = f"SM{capability.replace('.', '')}"
        config.set_compute_capability(getattr(trt.ComputeCapability, name), index)


class _TimingCache:
    """TensorRT's measurements of kernels, kept between builds of the same version on the same GPU."""

    def __init__(self, path: Path | None, config: "trt_types.IBuilderConfig") -> None:
        self._path, self._config = path, config
        self._before = b""
        if path is None:
            return
        self._before = path.read_bytes() if path.exists() else b""
        cache = config.create_timing_cache(self._before)
        self._used = bool(cache is not None and config.set_timing_cache(cache, False))
        if not self._used:  # of another version or GPU: start empty, and replace it
            config.set_timing_cache(config.create_timing_cache(b""), False)

    def save(self) -> dict[str, Any] | str:
        """Write what the build added; says for the manifest what was done."""
        if self._path is None:
            return "none"
        cache = self._config.get_timing_cache()
        serialised: Any = cache.serialize() if cache is not None else b""
        blob = bytes(serialised)
        if blob:
            with atomic_path(self._path) as temporary:
                temporary.write_bytes(blob)
        return {"used": self._used and bool(self._before), "bytes_before": len(self._before), "bytes_after": len(blob)}


def _runs_on(library: Library, capabilities: tuple[str, ...], options: EngineOptions) -> str:
    listed = ", ".join(capabilities)
    if library.is_rtx:
        return f"RTX GPUs of compute capability {listed}, with TensorRT-RTX {library.version} exactly"
    version = "this or a later version" if options.version_compatible else "exactly"
    gpus = {
        "none": f"GPUs of the model that it was built on (compute capability {listed})",
        "ampere_plus": "GPUs of compute capability 8.0 and later",
        "same_compute_capability": f"GPUs of compute capability {listed}",
    }[options.hardware_compatibility]
    return f"{gpus}, with TensorRT {library.version} {version}"


def default_timing_cache(library: Library, device: int = 0) -> Path | None:
    """Where TensorRT's measurements are kept by default: in the user's cache folder, by version and GPU."""
    if library.is_rtx:
        return None
    root = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    gpu = (compute_capability_here(device) or "").replace(".", "")
    return root / "slrbench" / f"tensorrt-{library.version}-sm{gpu}.timing-cache"
