"""How large an artifact is on the wire."""

import os
import zlib
from pathlib import Path

import pytest

from slrbench.errors import BadInputError
from slrbench.workflows.compressed_size import compressed_bytes


def test_a_file_is_counted_as_zlib_packs_it(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(bytes(3 << 20) + os.urandom(1000))
    found = compressed_bytes(path, "one")
    assert found == pytest.approx(len(zlib.compress(path.read_bytes(), 6)), abs=16)
    assert 1000 < found < 10_000


def test_openvinos_two_files_count_both(tmp_path: Path) -> None:
    path = tmp_path / "model.xml"
    path.write_bytes(os.urandom(500))
    with pytest.raises(BadInputError, match=r"lacks its weights model\.bin"):
        compressed_bytes(path, "two")
    path.with_suffix(".bin").write_bytes(os.urandom(700))
    assert 1200 <= compressed_bytes(path, "two") < 1300


def test_a_content_is_packed_once(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"x" * 100)
    first = compressed_bytes(path, "three")
    path.write_bytes(os.urandom(5000))
    assert compressed_bytes(path, "three") == first
    assert compressed_bytes(path, "four") > 4000
