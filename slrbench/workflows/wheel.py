"""The wheel of this very slrbench that goes into an archive: a target machine needs no source folder and no index.

It holds the modules as they run here. It names no dependencies but its extras': a target installs the few of
``requirements.txt``, not all that training needs.
"""

import base64
import hashlib
import importlib.metadata
import io
import stat
import zipfile
from pathlib import Path

import exporters
import slrbench
from slrbench import __version__

_PACKAGES = (slrbench, exporters)
_SUFFIXES = {".py", ".toml", ".txt", ".typed"}
_DATE = (1980, 1, 1, 0, 0, 0)

EXTRAS = {
    "gpu": ("cuda-python>=13.0", "pycuda>=2025.1", "tensorrt>=10.12"),
    "trt-rtx": ("tensorrt-rtx-cu13-bindings", "tensorrt-rtx-cu13-libs"),
}
"""What runs engines: the project's own extras of these names."""


def wheel_name(version: str = __version__) -> str:
    """What the wheel of a version is called."""
    return f"slrbench-{version.replace('-', '_')}-py3-none-any.whl"


def target_wheel() -> bytes:
    """The wheel; the same sources give the same bytes."""
    contents = _sources()
    folder = f"slrbench-{__version__.replace('-', '_')}.dist-info"
    contents[f"{folder}/METADATA"] = _metadata().encode()
    contents[f"{folder}/WHEEL"] = b"Wheel-Version: 1.0\nGenerator: slrbench\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    contents[f"{folder}/entry_points.txt"] = b"[console_scripts]\nslrbench = slrbench.cli.app:main\n"
    if (license_text := _license()) is not None:
        contents[f"{folder}/licenses/LICENSE"] = license_text
    lines = [f"{name},sha256={_digest(content)},{len(content)}" for name, content in contents.items()]
    contents[f"{folder}/RECORD"] = ("\n".join([*lines, f"{folder}/RECORD,,"]) + "\n").encode()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as wheel:
        for name, content in contents.items():
            info = zipfile.ZipInfo(name, _DATE)
            info.create_system = 3
            info.external_attr = (stat.S_IFREG | 0o644) << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            wheel.writestr(info, content)
    return buffer.getvalue()


def _metadata() -> str:
    lines = [
        "Metadata-Version: 2.1",
        "Name: slrbench",
        f"Version: {__version__}",
        "Summary: slrbench as it was packed for a target machine; requirements.txt beside it says what it needs",
        "Requires-Python: >=3.11",
        "License: MIT",
    ]
    for extra, requirements in EXTRAS.items():
        lines.append(f"Provides-Extra: {extra}")
        lines += [f'Requires-Dist: {requirement}; extra == "{extra}"' for requirement in requirements]
    return "\n".join(lines) + "\n"


def _sources() -> dict[str, bytes]:
    found = {}
    for package in _PACKAGES:
        root = Path(str(package.__file__)).parent
        for path in sorted(root.rglob("*")):
            if path.suffix in _SUFFIXES and path.is_file():
                found[path.relative_to(root.parent).as_posix()] = path.read_bytes()
    return found


def _license() -> bytes | None:
    """The licence's text, which goes with every copy: beside the sources, or where the package was installed."""
    beside = Path(str(slrbench.__file__)).parents[1] / "LICENSE"
    if beside.is_file():
        return beside.read_bytes()
    try:
        text = importlib.metadata.distribution("slrbench").read_text("licenses/LICENSE")
    except importlib.metadata.PackageNotFoundError:
        return None
    return None if text is None else text.encode()


def _digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
