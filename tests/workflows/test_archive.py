"""Archives: refused where anything in them is not what was packed, before anything of them is used."""

import errno
import hashlib
import json
import shutil
import stat
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slrbench.cli.app import main
from slrbench.errors import BadInputError
from slrbench.workflows import archive as module
from slrbench.workflows.archive import folder_name, folder_of_pack, is_archive, read_unpacked, unpack

Contents = dict[str, bytes]


def test_an_archive_unpacks_beside_itself_and_is_used_again(archive: Path) -> None:
    first = unpack(archive)
    assert (first.folder, first.reused) == (Path("tiny"), False)
    names = {path.name for path in first.folder.iterdir()}
    assert names == {entry.name for entry in first.record.files} | {"pack.json"}
    assert {"checkpoint.json", "manifest.json", "parity.npz", "test_clips.npz", "requirements.txt"} <= names
    assert "checkpoint.safetensors" not in names
    again = unpack(archive)
    assert (again.folder, again.reused, again.record) == (first.folder, True, first.record)
    assert read_unpacked(first.folder) == first.record
    assert sorted(path.name for path in Path.cwd().iterdir()) == ["tiny", "tiny.slrpack.zip"]


def test_an_archive_unpacks_where_it_is_told_to(archive: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "deep" / "new", tmp_path / "empty"):
        assert unpack(archive, into=folder).folder == folder
        read_unpacked(folder)


@pytest.mark.parametrize(("name", "folder"), [("renamed.bin", "renamed"), ("renamed", "renamed-unpacked")])
def test_a_renamed_archive_is_known_by_its_content(
    name: str, folder: str, archive: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    renamed = archive.rename(name)
    assert is_archive(renamed)
    renamed.write_bytes(renamed.read_bytes()[:2000])  # cut off, it is still meant to be one
    assert main(["verify", name]) == 2
    assert f"{name} is not a readable archive" in capsys.readouterr().err
    assert main(["verify", name, "--into", "there"]) == 2
    assert sorted(path.name for path in Path.cwd().iterdir()) == [name]
    assert folder_name(renamed) == folder


def test_a_renamed_archive_unpacks(archive: Path) -> None:
    renamed = archive.rename("renamed.bin")
    assert folder_of_pack(renamed)[0] == Path("renamed")
    with pytest.raises(BadInputError, match="there is no file"):
        unpack(archive)


def test_another_zip_file_is_told_what_an_archive_is_called(archive: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("other.bin", "other.dat"):
        with zipfile.ZipFile(name, "w") as file:
            file.writestr("notes.txt", "not packed")
        assert not is_archive(Path(name))
        assert main(["verify", name]) == 2
        captured = capsys.readouterr()
        assert "an archive of pack ends in .zip" in captured.err
        assert ".xml" not in captured.err


@pytest.mark.parametrize("into", ["/proc/slr", "a-file/slr"])
def test_a_folder_that_cannot_be_made_is_named_as_it_was_asked_for(
    into: str, archive: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("a-file").write_text("a file")
    assert main(["verify", str(archive), "--into", into]) == 2
    err = capsys.readouterr().err
    assert f"{archive} cannot be unpacked into {into}: " in err
    assert "hint: name a folder that you may write: python -m slrbench verify" in err
    assert ".unpack-" not in err
    assert sorted(path.name for path in Path.cwd().iterdir()) == ["a-file", archive.name]


def test_a_full_disk_is_still_said_as_one(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: Any, **options: Any) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(Path, "rename", full)
    with pytest.raises(OSError, match="full"):
        unpack(archive, into=Path("there"))


def altered(name: str) -> Callable[[Contents], None]:
    def change(contents: Contents) -> None:
        content = bytearray(contents[name])
        content[len(content) // 2] ^= 1
        contents[name] = bytes(content)

    return change


def record_of(contents: Contents, **changes: Any) -> None:
    contents["pack.json"] = json.dumps(json.loads(contents["pack.json"]) | changes).encode()


def listed(contents: Contents, name: str, content: bytes) -> None:
    """Put a file into the archive and into its record, as somebody would who knows the format."""
    contents[name] = content
    files = [f for f in json.loads(contents["pack.json"])["files"] if f["name"] != name]
    described = {"name": name, "sha256": hashlib.sha256(content).hexdigest(), "size_bytes": len(content)}
    record_of(contents, files=[*files, described])


def other_model_listed(contents: Contents) -> None:
    listed(contents, "model.onnx", b"something else")


def other_weights(contents: Contents) -> None:
    record_of(contents, weights_sha256="0" * 64)


def grown(contents: Contents) -> None:
    contents["model.onnx"] += b"more"


def huge_record(contents: Contents) -> None:
    contents["pack.json"] += b" " * (2 << 20)


TAMPERED: dict[str, tuple[Callable[[Contents], Any], str]] = {
    "an artifact is altered": (altered("model.onnx"), "model.onnx is not the file that was packed"),
    "the weights beside a graph are altered": (altered("model.openvino.bin"), "model.openvino.bin is not the file"),
    "the cases are altered": (altered("parity.npz"), "parity.npz is not the file that was packed"),
    "the manifest is altered": (altered("manifest.json"), "manifest.json is not the file that was packed"),
    "a file is longer": (grown, "model.onnx has .* bytes, pack.json says"),
    "an artifact and its record are replaced": (other_model_listed, "model.onnx is not the file of the manifest"),
    "a file is unknown": (lambda c: c.update({"extra.py": b"print()"}), "extra.py, which pack.json does not name"),
    "a file is known to the record only": (
        lambda c: listed(c, "sitecustomize.py", b"print()"), "sitecustomize.py, which its manifest does not name"
    ),
    "a file is missing": (lambda c: c.pop("model.onnx"), "lacks model.onnx"),
    "there is no record": (lambda c: c.pop("pack.json"), "cut short or not a pack: it holds no pack.json"),
    "the record is no record": (lambda c: c.update({"pack.json": b"[]"}), "has schema_version None, expected 1"),
    "the record is no JSON": (lambda c: c.update({"pack.json": b"{"}), "pack.json cannot be read"),
    "the record is huge": (huge_record, "pack.json has [0-9]+ bytes"),
    "the record is of another schema": (lambda c: record_of(c, schema_version=2), "has schema_version 2, expected 1"),
    "the record is of other weights": (other_weights, "was built from other weights"),
    "a name leads out": (lambda c: c.update({"../evil": b"x"}), "'../evil': a pack has no folders"),
    "a listed name leads out": (lambda c: listed(c, "../evil", b"x"), "'../evil': a pack has no folders"),
    "a name is absolute": (lambda c: c.update({"/tmp/evil": b"x"}), "'/tmp/evil': a pack has no folders"),
    "a name is of another system": (lambda c: c.update({"..\\evil": b"x"}), "a pack has no folders"),
    "a name is a drive": (lambda c: c.update({"C:evil": b"x"}), "a pack has no folders"),
    "a name is hidden": (lambda c: c.update({".evil": b"x"}), "a pack has no folders"),
    "there is a folder": (lambda c: c.update({"folder/": b""}), "a pack has no folders"),
    "two names differ in case": (lambda c: c.update({"Model.onnx": b"x"}), "holds Model.onnx twice"),
}  # fmt: skip


@pytest.mark.parametrize("case", TAMPERED)
def test_a_tampered_archive_is_refused_and_leaves_nothing(
    case: str, archive: Path, rewrite: Callable[[Callable[[Contents], Any]], None]
) -> None:
    change, words = TAMPERED[case]
    rewrite(change)
    with pytest.raises(BadInputError, match=words) as caught:
        unpack(archive)
    assert caught.value.hint
    assert [path.name for path in Path.cwd().iterdir()] == [archive.name]
    assert not (Path.cwd().parent / "evil").exists()


def test_a_tampered_archive_is_refused_though_it_was_unpacked_before(
    archive: Path, rewrite: Callable[[Callable[[Contents], Any]], None]
) -> None:
    unpack(archive)
    rewrite(altered("model.onnx"))
    with pytest.raises(BadInputError, match=r"model\.onnx is not the file that was packed"):
        unpack(archive)


def test_an_archive_that_was_cut_or_is_none_is_refused(archive: Path) -> None:
    content = archive.read_bytes()
    for damaged in (b"", b"nonsense", content[:-1000], content[: len(content) // 2]):
        archive.write_bytes(damaged)
        with pytest.raises(BadInputError, match="is not a readable archive"):
            unpack(archive)
    archive.unlink()
    with pytest.raises(BadInputError, match="there is no file"):
        unpack(archive)


def appended(archive: Path, info: zipfile.ZipInfo, content: bytes) -> None:
    with zipfile.ZipFile(archive, "a") as file:
        file.writestr(info, content)


def test_a_link_is_refused(archive: Path) -> None:
    info = zipfile.ZipInfo("link")
    info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    appended(archive, info, b"/etc/passwd")
    with pytest.raises(BadInputError, match="link is a link or a device"):
        unpack(archive)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_that_is_there_twice_is_refused(archive: Path) -> None:
    appended(archive, zipfile.ZipInfo("README.txt"), b"another")
    with pytest.raises(BadInputError, match=r"holds README.txt twice"):
        unpack(archive)


def test_an_encrypted_file_is_refused(archive: Path) -> None:
    content = bytearray(archive.read_bytes())
    entry = content.rindex(b"PK\x01\x02")  # the last entry of the central directory
    flags = struct.unpack_from("<H", content, entry + 8)[0]
    struct.pack_into("<H", content, entry + 8, flags | 1)
    archive.write_bytes(content)
    with pytest.raises(BadInputError, match="is encrypted"):
        unpack(archive)


def test_a_file_that_is_larger_than_it_says_is_not_unpacked(archive: Path) -> None:
    """The sizes of directory and record agree, what is compressed is more: a bomb."""
    name, size = "README.txt", 10
    with zipfile.ZipFile(archive) as file:
        contents = {each: file.read(each) for each in file.namelist()}
    record = json.loads(contents["pack.json"])
    for described in record["files"]:
        if described["name"] == name:
            described["size_bytes"] = size
    contents["pack.json"] = json.dumps(record).encode()
    contents[name] = b"x" * (1 << 20)
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for each, content in contents.items():
            file.writestr(each, content)
    content = bytearray(archive.read_bytes())
    entry = content.rindex(b"PK\x01\x02", 0, content.rindex(name.encode()))
    struct.pack_into("<I", content, entry + 24, size)
    archive.write_bytes(content)
    with pytest.raises(BadInputError, match=r"not the file that was packed|not a readable archive"):
        unpack(archive)
    assert not Path("tiny").exists()


def test_contents_that_would_fill_the_disk_are_refused(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_BYTES", 1000)
    with pytest.raises(BadInputError, match="at most 1000 are unpacked"):
        unpack(archive)


def test_a_folder_that_holds_something_else_is_left_alone(archive: Path) -> None:
    Path("tiny").mkdir()
    Path("tiny/notes.txt").write_text("mine")
    with pytest.raises(BadInputError, match="tiny is in the way") as caught:
        unpack(archive)
    assert "--into" in str(caught.value.hint)
    assert [path.name for path in Path("tiny").iterdir()] == ["notes.txt"]
    shutil.rmtree("tiny")
    Path("tiny").write_text("a file")
    with pytest.raises(BadInputError, match="tiny is in the way"):
        unpack(archive)


@pytest.mark.parametrize("name", ["model.onnx", "parity.npz", "checkpoint.json"])
def test_an_unpacked_folder_whose_file_was_altered_is_refused(name: str, archive: Path) -> None:
    path = unpack(archive).folder / name
    content = path.read_bytes()
    path.write_bytes(content + b" ")
    with pytest.raises(BadInputError, match=f"{name} is not the file that was packed"):
        unpack(archive)
    path.unlink()
    with pytest.raises(BadInputError, match=f"{name} is missing"):
        unpack(archive)


def test_the_folder_of_another_pack_is_refused(
    archive: Path, rewrite: Callable[[Callable[[Contents], Any]], None]
) -> None:
    unpack(archive)
    rewrite(lambda contents: listed(contents, "README.txt", b"another text"))
    with pytest.raises(BadInputError, match="tiny holds another pack than"):
        unpack(archive)


def test_an_interrupted_unpacking_leaves_nothing(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = module._copy
    copied = []

    def interrupted(*arguments: Any) -> None:
        copied.append(arguments)
        if len(copied) == 4:
            raise KeyboardInterrupt
        real(*arguments)

    monkeypatch.setattr(module, "_copy", interrupted)
    with pytest.raises(KeyboardInterrupt):
        unpack(archive)
    assert [path.name for path in Path.cwd().iterdir()] == [archive.name]
