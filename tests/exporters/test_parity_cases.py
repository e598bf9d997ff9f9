"""Stored parity cases: what is written is what is read, and what is no case is refused in words."""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from exporters.artifact import ExporterError
from exporters.comparison import ParityInput
from exporters.parity_cases import CASES_NAME, read_parity_cases, write_parity_cases

Cases = list[tuple[ParityInput, NDArray[np.float32]]]


@st.composite
def stored_cases(draw: st.DrawFn) -> Cases:
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    found: Cases = []
    for _ in range(draw(st.integers(1, 4))):
        batch, frames, steps = draw(st.integers(1, 3)), draw(st.integers(1, 5)), draw(st.integers(1, 3))
        video = generator.integers(0, 256, (batch, frames, draw(st.integers(1, 4)), 2, 3), dtype=np.uint8)
        source = draw(st.sampled_from(["clips", "noise"]))
        item = ParityInput(name=draw(st.text(max_size=20)), video=video, source=source)
        found.append((item, generator.normal(size=(steps, batch, 4)).astype(np.float32)))
    return found


def write(path: Path, cases: Cases) -> Path:
    inputs, outputs = zip(*cases, strict=True)
    write_parity_cases(path, inputs, outputs, reference="torch, eager", built_from_sha256="ab" * 32)
    return path


@given(stored_cases())
def test_what_is_written_is_read_bit_by_bit(tmp_path_factory: pytest.TempPathFactory, cases: Cases) -> None:
    found = read_parity_cases(write(tmp_path_factory.mktemp("cases") / CASES_NAME, cases))
    assert (found.name, found.built_from_sha256) == ("torch, eager", "ab" * 32)
    assert [(item.name, item.source) for item in found.inputs] == [(item.name, item.source) for item, _ in cases]
    for read, (item, output) in zip(found.inputs, cases, strict=True):
        assert read.video.dtype == np.uint8
        assert np.array_equal(read.video, item.video)
        assert found(read.video).tobytes() == output.tobytes()


def one_case() -> Cases:
    video = np.arange(1 * 4 * 2 * 2 * 3, dtype=np.uint8).reshape(1, 4, 2, 2, 3)
    return [(ParityInput(name="one", video=video, source="noise"), np.full((1, 1, 5), -1.5, np.float32))]


def test_a_file_cut_short_anywhere_is_refused(tmp_path: Path) -> None:
    content = write(tmp_path / CASES_NAME, one_case()).read_bytes()
    for length in range(0, len(content), 7):
        (tmp_path / CASES_NAME).write_bytes(content[:length])
        with pytest.raises(ExporterError, match="does not hold parity cases") as caught:
            read_parity_cases(tmp_path / CASES_NAME)
        assert caught.value.bad_input
        assert caught.value.hint


@given(st.data())
def test_an_altered_byte_is_refused_or_changes_nothing(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = write(tmp_path_factory.mktemp("cases") / CASES_NAME, one_case())
    content = bytearray(path.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    ((item, output),) = one_case()
    try:
        found = read_parity_cases(path)
    except ExporterError:  # what else it may raise is a bug
        return
    assert np.array_equal(found.inputs[0].video, item.video)
    assert np.array_equal(found(found.inputs[0].video), output)


def rewritten(tmp_path: Path, **changes: Any) -> Path:
    """The file of one case with other arrays; ``about`` is changed field by field."""
    path = write(tmp_path / CASES_NAME, one_case())
    with np.load(path) as stored:
        arrays = dict(stored)
    about = json.loads(str(arrays["about"])) | changes.pop("about", {})
    np.savez(path, **(arrays | {"about": np.array(json.dumps(about))} | changes))
    return path


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"about": {"schema_version": 2}}, "has schema_version 2, expected 1"),
        ({"about": {"cases": []}}, "there is no case"),
        ({"about": {"cases": [{"name": "one", "source": "thin air"}]}}, "source is 'thin air'"),
        ({"about": {"cases": [{"name": "one", "source": "noise"}] * 2}}, "video_1"),
        ({"video_0": np.zeros((1, 4, 2, 2, 3), np.float32)}, "expected uint8"),
        ({"video_0": np.zeros((4, 2, 2, 3), np.uint8)}, "expected uint8"),
        ({"log_probs_0": np.zeros((1, 2, 5), np.float32)}, "expected float32"),
        ({"log_probs_0": np.zeros((1, 1, 5), np.float64)}, "expected float32"),
        ({"log_probs_0": np.full((1, 1, 5), np.nan, np.float32)}, "not finite"),
    ],
)
def test_what_is_no_case_is_refused(changes: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(ExporterError, match=words) as caught:
        read_parity_cases(rewritten(tmp_path, **changes))
    assert caught.value.bad_input


def test_an_object_in_the_file_is_never_loaded(tmp_path: Path) -> None:
    path = write(tmp_path / CASES_NAME, one_case())
    buffer = io.BytesIO()
    np.save(buffer, np.array([print], dtype=object), allow_pickle=True)
    with zipfile.ZipFile(path) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in (contents | {"video_0.npy": buffer.getvalue()}).items():
            archive.writestr(name, content)
    with pytest.raises(ExporterError, match="allow_pickle=False"):
        read_parity_cases(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ExporterError, match="there are no parity cases at"):
        read_parity_cases(tmp_path / CASES_NAME)
