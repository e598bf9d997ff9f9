"""The archive that goes from a build machine to a target machine: a zip file, flat, every file named with its hash.

The hashes find damage and mix-ups. They are no signature: whoever can write the archive can write its hashes, so take
archives from where you would take the model from. Loads no runtime.
"""

import errno
import hashlib
import json
import os
import re
import shutil
import stat
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field, ValidationError

from exporters.artifact import (
    MANIFEST_NAME,
    Artifact,
    ExporterError,
    Manifest,
    atomic_path,
    read_manifest,
    sha256_file,
)
from exporters.parity_cases import CASES_NAME, UNREADABLE
from slrbench.data.packed import CLIPS_NAME
from slrbench.errors import BadInputError
from slrbench.records import Record
from slrbench.training.card import CARD_NAME, WEIGHTS_NAME
from slrbench.workflows.wheel import wheel_name

PACK_NAME = "pack.json"
SUFFIX = ".slrpack.zip"
REQUIREMENTS_NAME = "requirements.txt"
README_NAME = "README.txt"
SCHEMA_VERSION = 1

MOST_BYTES = 16 << 30
"""Largest contents of an archive: engines of large networks fit, and a forged size does not fill a disk."""
_MOST_RECORD_BYTES = 1 << 20
_MOST_FILES = 1000
_BLOCK = 1 << 20
_ZIP = b"PK\x03\x04"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
_ALWAYS = {CARD_NAME, MANIFEST_NAME, CASES_NAME, REQUIREMENTS_NAME, README_NAME}
_DATE = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip file can say: the same contents give the same bytes
_PACK_AGAIN = "pack the model again where it was trained, and copy the archive here"
_COPY_AGAIN = "copy the archive again, or pack the model again with python -m slrbench pack MODEL"


class PackedFile(Record):
    """One file of the archive."""

    name: str = Field(pattern=f"^{_NAME.pattern}$")
    sha256: str
    size_bytes: int = Field(ge=0)


class LeftOut(Record):
    """An artifact that was not packed."""

    artifact: str
    reason: str


class PackRecord(Record):
    """pack.json: what the archive holds, and what not."""

    schema_version: int = SCHEMA_VERSION
    model_id: str
    slrbench_version: str
    weights_sha256: str = Field(description="of the checkpoint that everything was built from")
    files: tuple[PackedFile, ...]
    left_out: tuple[LeftOut, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Unpacked:
    """The folder that an archive was unpacked into."""

    folder: Path
    record: PackRecord
    reused: bool


def is_archive(path: Path) -> bool:
    """Whether a path is meant to be an archive: by its name, or by its first bytes where it was renamed."""
    if path.is_dir():
        return False
    return path.name.endswith(".zip") or (path.is_file() and _first_name(path) == PACK_NAME.encode())


def is_zip(path: Path) -> bool:
    """Whether a file begins as zip files do; TorchScript files and NumPy's archives are zip files, too."""
    with path.open("rb") as file:
        return file.read(len(_ZIP)) == _ZIP


def _first_name(path: Path) -> bytes:
    """Name of the first file of a zip file, though its end may be cut off; empty where it is none."""
    with path.open("rb") as file:
        head = file.read(30)
        if len(head) < 30 or not head.startswith(_ZIP):
            return b""
        return file.read(int.from_bytes(head[26:28], "little"))


def is_unpacked(path: Path) -> bool:
    """Whether a path is the folder of an unpacked archive."""
    return (path / PACK_NAME).is_file()


def require_checkpoint(folder: Path) -> None:
    """Return unless the folder was unpacked from an archive, which holds artifacts only.

    Raises:
        BadInputError: it was.
    """
    if is_unpacked(folder) and not (folder / WEIGHTS_NAME).exists():
        raise BadInputError(
            f"{folder} was unpacked from an archive, and holds no checkpoint",
            hint=f"python -m slrbench verify {folder} judges its artifacts",
        )


def unless_unpacked(folder: Path, hint: str, *, damaged: bool = False) -> str:
    """A hint that an export follows, or what helps in an unpacked archive, which cannot be exported from.

    Args:
        folder: the model's folder.
        hint: what helps where the model was trained.
        damaged: whether the archive's own file would help.
    """
    if not is_unpacked(folder):
        return hint
    return f"remove {folder}, and unpack the archive again" if damaged else _PACK_AGAIN


def write_archive(path: Path, files: Mapping[str, Path | bytes], record: PackRecord) -> None:
    """Write the archive, whole or not at all; the same contents give the same bytes.

    Args:
        path: the archive.
        files: name in the archive to file or contents; ``record.files`` describes them.
        record: goes in first, as pack.json.

    Raises:
        OSError: it cannot be written, or the disk is full.
    """
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w", allowZip64=True) as archive:
        everything: dict[str, Path | bytes] = {PACK_NAME: (record.model_dump_json(indent=2) + "\n").encode()}
        everything |= dict(sorted(files.items()))
        for name, content in everything.items():
            info = zipfile.ZipInfo(name, _DATE)
            info.create_system = 3  # Unix, whatever it is written on: the permissions below are its
            info.external_attr = (stat.S_IFREG | 0o644) << 16
            # NumPy's archives are deflated already.
            info.compress_type = zipfile.ZIP_STORED if name.endswith(".npz") else zipfile.ZIP_DEFLATED
            info.file_size = len(content) if isinstance(content, bytes) else content.stat().st_size
            with archive.open(info, "w") as target:
                if isinstance(content, bytes):
                    target.write(content)
                else:
                    with content.open("rb") as source:
                        shutil.copyfileobj(source, target, _BLOCK)


def describe_content(name: str, content: Path | bytes) -> PackedFile:
    """Hash and size of what will be packed."""
    if isinstance(content, bytes):
        return PackedFile(name=name, sha256=hashlib.sha256(content).hexdigest(), size_bytes=len(content))
    return PackedFile(name=name, sha256=sha256_file(content), size_bytes=content.stat().st_size)


def unpack(archive: Path, *, into: Path | None = None) -> Unpacked:
    """Check every name, size and hash of an archive, and unpack it; the folder appears whole or not at all.

    Args:
        archive: the file.
        into: the folder; by default one beside the archive, named like it without ``.slrpack.zip``. A folder that
            holds the same pack is used as it is, with the verdicts that were found since.

    Raises:
        BadInputError: the archive is damaged, is not a pack, or holds what a pack does not; or the folder holds
            something else, or cannot be made.
        OSError: the disk is full.
    """
    folder = into if into is not None else archive.with_name(folder_name(archive))
    with _opened(archive) as (file, record):
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            _require_same(folder, record, archive)
            for entry in record.files:
                _copy(file, entry, None, archive)
            return Unpacked(folder=folder, record=record, reused=True)
        with _scratch_beside(folder, archive) as scratch:
            made = scratch / "pack"  # the scratch folder itself is readable by its owner only
            made.mkdir()
            # The manifest first: what it does not name is refused before it takes room.
            for entry in sorted(record.files, key=lambda each: each.name != MANIFEST_NAME):
                _copy(file, entry, made / entry.name, archive)
                if entry.name == MANIFEST_NAME:
                    _check_contents(made, record, archive)
            (made / PACK_NAME).write_text(record.model_dump_json(indent=2) + "\n", encoding="utf-8")
            with _in_words(folder, archive):
                if folder.exists():
                    folder.rmdir()  # it is empty
                made.rename(folder)
    return Unpacked(folder=folder, record=record, reused=False)


@contextmanager
def _scratch_beside(folder: Path, archive: Path) -> Iterator[Path]:
    with _in_words(folder, archive):
        folder.parent.mkdir(parents=True, exist_ok=True)
        scratch = tempfile.TemporaryDirectory(dir=folder.parent, prefix=".unpack-")
    with scratch as name:
        yield Path(name)


@contextmanager
def _in_words(folder: Path, archive: Path) -> Iterator[None]:
    """Where the folder cannot be made, the one that was asked for is named, not what would have been beside it."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise BadInputError(
            f"{archive} cannot be unpacked into {folder}: {reason[:1].lower()}{reason[1:]}",
            hint=f"name a folder that you may write: python -m slrbench verify {archive} --into FOLDER",
        ) from error


def read_unpacked(folder: Path) -> PackRecord:
    """The record of an unpacked folder, its files known to be those of the pack, the manifest's verdicts aside.

    Raises:
        BadInputError: the record cannot be read, or a file is missing or another one.
    """
    record = _parse((folder / PACK_NAME).read_bytes(), folder)
    for entry in record.files:
        path = folder / entry.name
        if not path.is_file() or (entry.name != MANIFEST_NAME and sha256_file(path) != entry.sha256):
            what = "is not the file that was packed" if path.is_file() else "is missing"
            raise BadInputError(f"{path} {what}", hint=f"remove {folder}, and unpack the archive again")
    _check_contents(folder, record, folder)
    return record


def is_pack(path: Path) -> bool:
    """Whether a path is meant to be an archive, or is the folder of one."""
    return is_archive(path) or is_unpacked(path)


def folder_of_pack(path: Path, *, into: Path | None = None) -> tuple[Path, PackRecord, bool]:
    """The unpacked folder of an archive, or a folder that was unpacked before, with every file checked.

    Raises:
        BadInputError: the archive or the folder cannot be used.
        OSError: the folder cannot be written.
    """
    if is_archive(path):
        unpacked = unpack(path, into=into)
        return unpacked.folder, unpacked.record, unpacked.reused
    if into is not None:
        raise BadInputError(f"{path} is unpacked already: --into goes with an archive", hint="leave --into out")
    return path, read_unpacked(path), True


def folder_name(archive: Path) -> str:
    """What the folder is called that an archive is unpacked into beside it."""
    name = archive.name.removesuffix(SUFFIX) or archive.name if archive.name.endswith(SUFFIX) else archive.stem
    return f"{name}-unpacked" if name == archive.name and not name.endswith(SUFFIX) else name


@contextmanager
def _opened(path: Path) -> Iterator[tuple[zipfile.ZipFile, PackRecord]]:
    """The archive, its names and sizes known to be those of its record; no content but the record's was read."""
    if not path.is_file():
        raise BadInputError(f"there is no file {path}", hint="python -m slrbench pack MODEL writes one")
    try:
        with zipfile.ZipFile(path) as file:
            names = _check_entries(file, path)
            if PACK_NAME not in names:
                raise BadInputError(f"{path} is cut short or not a pack: it holds no {PACK_NAME}", hint=_COPY_AGAIN)
            if names[PACK_NAME].file_size > _MOST_RECORD_BYTES:
                raise BadInputError(f"{path}: {PACK_NAME} has {names[PACK_NAME].file_size} bytes", hint=_COPY_AGAIN)
            with file.open(PACK_NAME) as stream:
                record = _parse(stream.read(_MOST_RECORD_BYTES), path)
            _check_names(names, record, path)
            yield file, record
    except UNREADABLE as error:
        if isinstance(error, OSError) and error.errno != errno.EINVAL:  # a damaged offset is an invalid argument
            raise
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise BadInputError(f"{path} is not a readable archive: {first}", hint=_COPY_AGAIN) from error


def _check_entries(file: zipfile.ZipFile, path: Path) -> dict[str, zipfile.ZipInfo]:
    """Every entry is a plain file in no folder, and no name is there twice."""
    names: dict[str, zipfile.ZipInfo] = {}
    folded: set[str] = set()
    if len(file.infolist()) > _MOST_FILES:
        raise BadInputError(f"{path} holds {len(file.infolist())} files, at most {_MOST_FILES}", hint=_COPY_AGAIN)
    for info in file.infolist():
        # ``filename`` ends at a null byte, which the name in the file need not do.
        if not _NAME.fullmatch(info.filename) or info.orig_filename != info.filename:
            raise BadInputError(f"{path} holds {info.orig_filename!r}: a pack has no folders", hint=_COPY_AGAIN)
        kind = stat.S_IFMT(info.external_attr >> 16)
        if kind not in (0, stat.S_IFREG):
            raise BadInputError(f"{path}: {info.filename} is a link or a device, not a file", hint=_COPY_AGAIN)
        if info.flag_bits & 0x1:
            raise BadInputError(f"{path}: {info.filename} is encrypted", hint=_COPY_AGAIN)
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise BadInputError(f"{path}: {info.filename} is compressed as no pack is", hint=_COPY_AGAIN)
        # On some machines two names that differ in case are one file.
        if info.filename.casefold() in folded:
            raise BadInputError(f"{path} holds {info.filename} twice", hint=_COPY_AGAIN)
        folded.add(info.filename.casefold())
        names[info.filename] = info
    return names


def _check_names(names: Mapping[str, zipfile.ZipInfo], record: PackRecord, path: Path) -> None:
    listed = {entry.name: entry for entry in record.files}
    if len(listed) != len(record.files):
        raise BadInputError(f"{path}: {PACK_NAME} names a file twice", hint=_COPY_AGAIN)
    unknown = sorted(set(names) - set(listed) - {PACK_NAME})
    missing = sorted((set(listed) | _ALWAYS) - set(names))
    if unknown or missing:
        what = f"holds {unknown[0]}, which {PACK_NAME} does not name" if unknown else f"lacks {missing[0]}"
        raise BadInputError(f"{path} {what}", hint=_COPY_AGAIN)
    for name, entry in listed.items():
        if names[name].file_size != entry.size_bytes:
            raise BadInputError(
                f"{path}: {name} has {names[name].file_size} bytes, {PACK_NAME} says {entry.size_bytes}",
                hint=_COPY_AGAIN,
            )
    total = sum(entry.size_bytes for entry in record.files)
    if total > MOST_BYTES:
        raise BadInputError(f"{path} holds {total} bytes, at most {MOST_BYTES} are unpacked", hint=_COPY_AGAIN)


def _parse(content: bytes, path: Path) -> PackRecord:
    try:
        document = json.loads(content)
        found = document.get("schema_version") if isinstance(document, dict) else None
        if found != SCHEMA_VERSION:
            raise BadInputError(
                f"{path}: {PACK_NAME} has schema_version {found!r}, expected {SCHEMA_VERSION}",
                hint="install the version of slrbench that packed it, or pack the model again with this one",
            )
        return PackRecord.model_validate(document)
    except (ValueError, RecursionError) as error:
        first = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error).splitlines()[0]
        raise BadInputError(f"{path}: {PACK_NAME} cannot be read: {first}", hint=_COPY_AGAIN) from error


def _copy(file: zipfile.ZipFile, entry: PackedFile, target: Path | None, path: Path) -> None:
    """One file out of the archive, or only through its hash where there is no target.

    zipfile reads no byte more than the archive's directory states, which was compared with the record.
    """
    digest, size = hashlib.sha256(), 0
    with file.open(entry.name) as source, (target or Path(os.devnull)).open("wb") as sink:
        while block := source.read(_BLOCK):
            size += len(block)
            digest.update(block)
            sink.write(block)
    if size != entry.size_bytes or digest.hexdigest() != entry.sha256:
        raise BadInputError(f"{path}: {entry.name} is not the file that was packed (sha256)", hint=_COPY_AGAIN)


def _check_contents(folder: Path, record: PackRecord, path: Path) -> None:
    """Manifest and record speak of the same files, and there is nothing else."""
    manifest = _manifest_of(folder)
    if not manifest.entries:
        raise BadInputError(f"{path} holds no artifacts: its manifest is empty", hint=_COPY_AGAIN)
    if len({entry.artifact.key for entry in manifest.entries}) < len(manifest.entries):
        raise BadInputError(f"{path}: its manifest names an artifact twice", hint=_COPY_AGAIN)
    hashes = {entry.name: entry.sha256 for entry in record.files}
    files = {file.name: file.sha256 for entry in manifest.entries for file in entry.artifact.files}
    if unknown := sorted(set(hashes) - _ALWAYS - {CLIPS_NAME, wheel_name(record.slrbench_version)} - set(files)):
        raise BadInputError(f"{path} holds {unknown[0]}, which its manifest does not name", hint=_COPY_AGAIN)
    for name, sha256 in files.items():
        if hashes.get(name) != sha256:
            raise BadInputError(f"{path}: {name} is not the file of the manifest (sha256)", hint=_COPY_AGAIN)
    for entry in manifest.entries:
        if entry.artifact.sha256 != _hash_of(entry.artifact):
            raise BadInputError(
                f"{path}: {entry.artifact.path} has other hashes than its artifact's in the manifest", hint=_COPY_AGAIN
            )
        if entry.artifact.built_from_sha256 != record.weights_sha256:
            raise BadInputError(f"{path}: {entry.artifact.path} was built from other weights", hint=_COPY_AGAIN)


def _hash_of(artifact: Artifact) -> str:
    """What the artifact's hash must be by those of its files, see :func:`exporters.artifact.describe_files`."""
    hashes = [file.sha256 for file in artifact.files]
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()


def _manifest_of(folder: Path) -> Manifest:
    try:
        manifest = read_manifest(folder)
    except ExporterError as error:
        raise BadInputError(error.message, hint=_COPY_AGAIN) from error
    if manifest is None:
        raise BadInputError(f"{folder} holds no {MANIFEST_NAME}", hint=_COPY_AGAIN)
    return manifest


def _require_same(folder: Path, record: PackRecord, archive: Path) -> None:
    """Return where the folder holds this very pack, perhaps with other verdicts in its manifest."""
    elsewhere = f"unpack elsewhere: python -m slrbench verify {archive} --into FOLDER; or remove what is there"
    if not is_unpacked(folder):
        raise BadInputError(f"{folder} is in the way: it does not hold an unpacked archive", hint=elsewhere)
    if _parse((folder / PACK_NAME).read_bytes(), folder) != record:
        raise BadInputError(f"{folder} holds another pack than {archive}", hint=elsewhere)
    read_unpacked(folder)
