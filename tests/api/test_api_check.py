"""The check of names and arguments itself: each kind of fault is found, with file and line."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

CHECK = Path(__file__).parent / "api_check.py"
STUBS = Path(__file__).parent / "stubs"

SAMPLE = """
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import tensorrt as trt_types


class Library:
    trt: "trt_types._Module"
    logger: "trt_types.ILogger"


def configure(library: Library, builder: "trt_types.Builder") -> bytes:
    trt = library.trt
    config = builder.create_builder_config()
    config.set_flag(trt.BuilderFlag.TF32)
    config.builder_optimization_level = 3
    profile = builder.create_optimization_profile()
    profile.set_shape("video", (1, 3, 8, 32, 32), (1, 3, 16, 32, 32), (1, 3, 64, 32, 32))
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, library.logger)
    parser.parse_from_file("model.onnx")
    plan = builder.build_serialized_network(network, config)
    return bytes(plan)


def untyped(library, trt, engine: "trt_types.ICudaEngine"):
    wanted = trt.ILogger.Severity.WARNING
    sizes = [engine.get_tensor_shape(name) for name in ("video",)]
    return trt.float16, wanted, sizes, getattr(library.trt, "Runtime")


def monitor(library: Library) -> Any:
    if TYPE_CHECKING:
        import tensorrt as trt
    else:
        trt = library.trt

    class Monitor(trt.IProgressMonitor):
        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None: ...

        def step_complete(self, phase_name: str, step: int) -> bool:
            return True

        def phase_finish(self, phase_name: str) -> None: ...

    return Monitor()


# api: tensorrt
def of_tensorrt_only(trt: Any, config: "trt_types.IBuilderConfig") -> None:
    config.hardware_compatibility_level = trt.HardwareCompatibilityLevel.NONE
    config.set_timing_cache(config.create_timing_cache(b""), ignore_mismatch=False)


# api: tensorrt-rtx
def of_rtx_only(trt: Any, config: "trt_types.IBuilderConfig") -> None:
    config.num_compute_capabilities = 1
    config.set_compute_capability(trt.ComputeCapability.SM89, 0)


def in_one_line(trt: Any, is_rtx: bool, old: bool) -> Any:
    if is_rtx:  # api: tensorrt-rtx
        return trt.CudaGraphStrategy.DISABLED
    return trt.TacticSource.CUDNN if old else None  # api: tensorrt-10


def copy(target: int, source: Any) -> None:
    import pycuda.autoprimaryctx
    import pycuda.driver as cuda
    from cuda.bindings import runtime as cudart

    stream = cuda.Stream(1)
    cuda.memcpy_htod_async(target, source, stream)
    cuda.Event(cuda.event_flags.DEFAULT).record(stream)
    cudart.cudaGraphLaunch(None, stream.handle)
    pycuda.autoprimaryctx.context.synchronize()
"""

ALL = ("tensorrt 10", "tensorrt 11", "tensorrt-rtx")
TENSORRT = ("tensorrt 10", "tensorrt 11")
SINCE_11 = ("tensorrt 11", "tensorrt-rtx")

# What is written, what is written instead, what the check must say, and for which libraries.
FAULTS: dict[str, tuple[str, str, str, tuple[str, ...]]] = {
    "method": ("create_builder_config()", "create_builder_confg()", "create_builder_confg", ALL),
    "flag": ("BuilderFlag.TF32", "BuilderFlag.TF23", "has no TF23", ALL),
    "flag that 11 removed": ("BuilderFlag.TF32", "BuilderFlag.FP16", "has no FP16", SINCE_11),
    "explicit batch": ("CreationFlag.STRONGLY_TYPED", "CreationFlag.EXPLICIT_BATCH", "has no EXPLICIT_BATCH", SINCE_11),
    "keyword": ("ignore_mismatch=False", "ignore_mismatches=False", "ignore_mismatches", TENSORRT),
    "missing argument": (', ignore_mismatch=False)', ")", "ignore_mismatch", TENSORRT),
    "constructor's missing argument": ("OnnxParser(network, library.logger)", "OnnxParser(network)", "logger", ALL),
    "constructor's keyword": ("(network, library.logger)", "(network, loger=library.logger)", "loger", ALL),
    "argument of another type": ("set_flag(trt.BuilderFlag.TF32)", "set_flag(trt.float16)", '"DataType"', ALL),
    "property": ("builder_optimization_level", "builder_optimisation_level", "builder_optimisation_level", ALL),
    "method of what a method gave": ("profile.set_shape", "profile.set_shapes", "set_shapes", ALL),
    "method of what a constructor gave": ("parser.parse_from_file", "parser.parse_from_files", "parse_from_files", ALL),
    "nested name": ("Severity.WARNING", "Severity.WARNNG", "Severity has no WARNNG", ALL),
    "constant in untyped code": ("trt.float16", "trt.float61", "has no float61", ALL),
    "method in untyped code": ("engine.get_tensor_shape", "engine.get_tensor_shap", "has no get_tensor_shap", ALL),
    "name in getattr": ('"Runtime"', '"Runtme"', "has no Runtme", ALL),
    "method that the library never calls": ("def phase_finish", "def phase_finsh", "has no phase_finsh", ALL),
    "method with fewer arguments": ("def step_complete(self, ", "def step_complete(", "IProgressMonitor", ALL),
    "what only RTX has": ("# api: tensorrt-rtx\ndef", "def", "has no ComputeCapability", TENSORRT),
    "what only 10 has": ("  # api: tensorrt-10", "", "has no CUDNN", SINCE_11),
    "type": ('builder: "trt_types.Builder"', 'builder: "trt_types.Bilder"', "has no Bilder", ALL),
    "function of pycuda": ("memcpy_htod_async", "memcpy_htod_asinc", "has no memcpy_htod_asinc", ALL),
    "keyword of pycuda": (".record(stream)", ".record(steam=stream)", "'steam'", ALL),
    "too few arguments for pycuda": ("(target, source, stream)", "(target)", "'src'", ALL),
    "attribute of pycuda": ("stream.handle", "stream.handel", "has no handel", ALL),
    "module of pycuda": ("import pycuda.driver as", "import pycuda.drivr as", "no module pycuda.drivr", ALL),
    "name in another module of pycuda": ("autoprimaryctx.context", "autoprimaryctx.contxt", "has no contxt", ALL),
    "function of cuda-python": ("cudaGraphLaunch", "cudaGraphLunch", "has no cudaGraphLunch", ALL),
    "missing argument of cuda-python": ("Launch(None, stream.handle)", "Launch(None)", "'stream'", ALL),
}  # fmt: skip

FILES = {name: f"case_{index:02}.py" for index, name in enumerate(FAULTS)}
RIGHT = "right.py"


def broken(name: str) -> str:
    """The sample with one fault, in its first place."""
    right, wrong, *_ = FAULTS[name]
    assert right in SAMPLE
    return SAMPLE.replace(right, wrong, 1)


def run(root: Path) -> subprocess.CompletedProcess[str]:
    """The check as a command."""
    return subprocess.run([sys.executable, str(CHECK), str(root)], capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What the check says of a tree that holds every broken sample and the right one."""
    root = tmp_path_factory.mktemp("tree")
    folder = root / "anywhere"
    folder.mkdir()
    (folder / RIGHT).write_text(SAMPLE, encoding="utf-8")
    for name, file in FILES.items():
        (folder / file).write_text(broken(name), encoding="utf-8")
    (root / "tests/gpu").mkdir(parents=True)
    for name in ("tests/of_a_stand_in.py", "tests/gpu/of_the_real_one.py"):
        (root / name).write_text("def allow(library):\n    library.trt.fails = True\n", encoding="utf-8")
    done = run(root)
    assert not done.stderr
    assert done.returncode == 1
    return done.stdout.splitlines()


def test_right_code_passes(output: list[str]) -> None:
    assert [line for line in output if RIGHT in line] == []


def test_a_stand_in_of_a_test_is_not_taken_for_the_library(output: list[str]) -> None:
    assert [line.partition(" [")[0] for line in output if "fails" in line] == ["tests/gpu/of_the_real_one.py:2:"]


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_found_with_its_file_and_line_and_libraries(output: list[str], name: str) -> None:
    right, _, expected, libraries = FAULTS[name]
    found = [line for line in output if line.startswith(f"anywhere/{FILES[name]}:")]
    telling = [line for line in found if expected in line]
    assert telling, found
    # A mark that was taken away shows its fault further down than where it stood.
    first = SAMPLE[: SAMPLE.index(right)].count("\n") + 1
    lines = {int(line.split(":")[1]) for line in telling}
    assert first <= min(lines) <= first + (2 if "api:" in right else 0)
    titles = {title for line in telling for title in line[line.index("[") + 1 : line.index("]")].split(", ")}
    assert {title.partition(".")[0].removesuffix(" 1") for title in titles} == set(libraries)


@pytest.mark.parametrize(
    ("mark", "reason"),
    [("# api: tensorrt_rtx\n", "unknown library 'tensorrt_rtx'"), ("x = 1\n# api: tensorrt\n", "about no statement")],
)
def test_a_mark_that_cannot_be_followed_is_a_fault(tmp_path: Path, mark: str, reason: str) -> None:
    (tmp_path / "marked.py").write_text(f"import tensorrt\n{mark}", encoding="utf-8")
    done = run(tmp_path)
    assert done.returncode == 1
    assert f"marked.py:{mark.count(chr(10)) + 1}: " in done.stdout
    assert reason in done.stdout


def test_a_mark_at_the_head_of_a_file_is_about_all_of_it(tmp_path: Path) -> None:
    code = '"""About RTX."""\n\nimport tensorrt as trt\n\nprint(trt.ComputeCapability.SM89)\n'
    (tmp_path / "unmarked.py").write_text(code, encoding="utf-8")
    (tmp_path / "marked.py").write_text(f"# api: tensorrt-rtx\n{code}", encoding="utf-8")
    done = run(tmp_path)
    assert "unmarked.py:5: " in done.stdout
    assert "\nmarked.py" not in f"\n{done.stdout}"


def test_the_tree_itself_passes(repository: Path) -> None:
    done = run(repository)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 faults" in done.stdout


@pytest.mark.parametrize("path", sorted(STUBS.rglob("*.pyi")), ids=lambda path: path.relative_to(STUBS).as_posix())
def test_a_committed_stub_says_where_it_is_from_and_holds_no_documentation(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    version = path.relative_to(STUBS).parts[0].rpartition("-")[2]
    assert version in text.splitlines()[0]
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef)
    documented = [node for node in ast.walk(ast.parse(text)) if isinstance(node, kinds) and ast.get_docstring(node)]
    assert documented == []


def test_the_test_tools_bring_no_tensorrt_that_would_replace_an_installed_one(repository: Path) -> None:
    project = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    tools = project["optional-dependencies"]["test"]
    assert [name for name in tools if name.startswith("tensorrt") and not name.startswith("tensorrt-rtx")] == []
