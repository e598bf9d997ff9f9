"""Archives whose hashes are right and whose contents are not: refused, before they cost memory, disk or time."""

import hashlib
import io
import json
import shutil
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from slrbench.cli.app import main
from slrbench.errors import BadInputError, ExitCode
from slrbench.workflows import archive as module
from slrbench.workflows.archive import read_unpacked, unpack
from slrbench.workflows.verify_pack import verify_pack

Contents = dict[str, bytes]
Rewrite = Callable[[Callable[[Contents], Any]], None]


def hashed(contents: Contents) -> None:
    """Make the record fit everything else."""
    record = json.loads(contents["pack.json"])
    record["files"] = [
        {"name": name, "sha256": hashlib.sha256(content).hexdigest(), "size_bytes": len(content)}
        for name, content in sorted(contents.items())
        if name != "pack.json"
    ]
    contents["pack.json"] = json.dumps(record).encode()


def with_array(stored: bytes, name: str, shape: tuple[int, ...]) -> bytes:
    """The ``.npz`` file with an array that says this shape, and has nothing in it."""
    header, target = io.BytesIO(), io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": shape})
    with zipfile.ZipFile(io.BytesIO(stored)) as source, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as out:
        for each in source.namelist():
            out.writestr(each, header.getvalue() if each == f"{name}.npy" else source.read(each))
    return target.getvalue()


def with_manifest(contents: Contents, change: Callable[[list[Any]], Any]) -> None:
    document = json.loads(contents["manifest.json"])
    change(document["entries"])
    contents["manifest.json"] = json.dumps(document).encode()


def nothing_in_it(contents: Contents) -> None:
    with_manifest(contents, lambda entries: entries.clear())
    for name in [name for name in contents if name.startswith("model.")]:
        del contents[name]


FORGED: dict[str, tuple[Callable[[Contents], Any], str]] = {
    "there is no artifact": (nothing_in_it, "holds no artifacts"),
    "an artifact is there twice": (
        lambda c: with_manifest(c, lambda entries: entries.append(entries[0])), "names an artifact twice"
    ),
    "an artifact's hash is not that of its file": (
        lambda c: with_manifest(c, lambda entries: entries[0]["artifact"].update(sha256="0" * 64)),
        "model.onnx has other hashes than its artifact's",
    ),
    "an artifact has no file": (
        lambda c: with_manifest(c, lambda entries: entries[0]["artifact"].update(files=[])),
        "model.onnx, which its manifest does not name",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", FORGED)
def test_a_manifest_that_contradicts_itself_is_refused(case: str, archive: Path, rewrite: Rewrite) -> None:
    change, words = FORGED[case]

    def forge(contents: Contents) -> None:
        change(contents)
        hashed(contents)

    rewrite(forge)
    with pytest.raises(BadInputError, match=words):
        unpack(archive)
    assert [path.name for path in Path.cwd().iterdir()] == [archive.name]


@pytest.mark.parametrize("shape", [(1, 1 << 40, 4, 4, 3), (1 << 62, 1 << 62, 4, 4, 3), (1, 1, 1, 1, 1, 0)])
@pytest.mark.parametrize(("name", "array"), [("parity.npz", "video_0"), ("test_clips.npz", "frames")])
def test_an_array_that_says_another_size_than_it_has_takes_no_memory(
    name: str, array: str, shape: tuple[int, ...], archive: Path, rewrite: Rewrite, capsys: pytest.CaptureFixture[str]
) -> None:
    def forge(contents: Contents) -> None:
        contents[name] = with_array(contents[name], array, shape)
        hashed(contents)

    rewrite(forge)
    assert main(["verify", str(archive)]) == ExitCode.BAD_INPUT
    assert f"{name} does not hold" in capsys.readouterr().err


def test_arrays_that_would_fill_the_memory_are_not_read(
    archive: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("exporters.parity_cases.MOST_ARRAY_BYTES", 1000)
    assert main(["verify", str(archive)]) == ExitCode.BAD_INPUT
    assert "its arrays have more than 1000 bytes" in capsys.readouterr().err


def test_what_the_manifest_does_not_name_is_not_even_unpacked(
    archive: Path, rewrite: Rewrite, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forge(contents: Contents) -> None:
        contents["a-bomb.bin"] = bytes(1 << 20)
        hashed(contents)

    rewrite(forge)
    copied: list[str] = []
    real = module._copy
    monkeypatch.setattr(
        module, "_copy", lambda file, entry, *rest: (copied.append(entry.name), real(file, entry, *rest))
    )
    with pytest.raises(BadInputError, match=r"a-bomb.bin, which its manifest does not name"):
        unpack(archive)
    assert copied == ["manifest.json"]


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA, 93, 99])
@pytest.mark.parametrize("name", ["pack.json", "model.onnx"])
def test_a_compression_that_no_pack_has_is_refused(name: str, method: int, archive: Path) -> None:
    """bzip2 and LZMA raise errors of their own, at data that is not theirs."""
    content = bytearray(archive.read_bytes())
    with zipfile.ZipFile(archive) as file:
        struct.pack_into("<H", content, file.getinfo(name).header_offset + 8, method)
        position = file.start_dir
    while content[position : position + 4] == b"PK\x01\x02":
        lengths = struct.unpack_from("<HHH", content, position + 28)
        if content[position + 46 : position + 46 + lengths[0]] == name.encode():
            struct.pack_into("<H", content, position + 10, method)
        position += 46 + sum(lengths)
    archive.write_bytes(content)
    with pytest.raises(BadInputError, match=f"{name} is compressed as no pack is"):
        unpack(archive)


def test_an_archive_of_very_many_files_is_refused_at_once(archive: Path, rewrite: Rewrite) -> None:
    rewrite(lambda contents: contents.update({f"n{i}": b"" for i in range(1001)}))
    with pytest.raises(BadInputError, match=r"files, at most 1000"):
        unpack(archive)


def test_an_archive_that_is_called_by_the_suffix_alone_is_refused_in_words(archive: Path) -> None:
    named = archive.rename(".slrpack.zip")
    with pytest.raises(BadInputError, match="is in the way"):
        unpack(named)
    assert unpack(named, into=Path("there")).folder == Path("there")


def test_a_record_that_names_files_elsewhere_is_refused(archive: Path) -> None:
    folder = unpack(archive).folder
    shutil.copy(folder / "README.txt", "README.txt")
    record = json.loads((folder / "pack.json").read_text())
    for described in record["files"]:
        if described["name"] == "README.txt":
            described["name"] = "../README.txt"
    (folder / "pack.json").write_text(json.dumps(record))
    with pytest.raises(BadInputError, match=r"pack.json cannot be read"):
        read_unpacked(folder)
    with pytest.raises(BadInputError, match=r"pack.json cannot be read"):
        verify_pack(folder)


def test_a_wheel_of_another_name_is_refused(archive: Path, rewrite: Rewrite) -> None:
    """The one wheel that an archive may hold is that of the version that packed it."""

    def rename(contents: dict[str, bytes]) -> None:
        record = json.loads(contents["pack.json"])
        (described,) = [each for each in record["files"] if each["name"].endswith(".whl")]
        contents["other-1.0-py3-none-any.whl"] = contents.pop(described["name"])
        described["name"] = "other-1.0-py3-none-any.whl"
        contents["pack.json"] = json.dumps(record).encode()

    rewrite(rename)
    with pytest.raises(BadInputError, match=r"holds other-1\.0-py3-none-any\.whl, which its manifest does not name"):
        unpack(archive)
