"""doctor on this machine."""

import json
import re
import sys

import pytest

from slrbench.cli.app import main
from slrbench.runners import availability as module
from slrbench.runners.gpu_libraries import NAMES


def test_doctor_tries_every_backend_and_says_what_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    states = {(b["backend"], b["device"]): b for b in found["backends"]}
    for backend in ("torch", "torchscript", "onnx", "openvino"):
        assert states[backend, "cpu"]["available"]
    assert set(states) == {(b, d) for b in ("torch", "torchscript", "onnx", "openvino") for d in ("cpu", "cuda")} | {
        ("trt", "cuda")
    }
    assert all(state["available"] or (state["why_not"] and state["how_to_get"]) for state in states.values())
    assert found["environment"]["versions"]["openvino"]
    if found["cuda_devices"] == 0:
        assert states["trt", "cuda"]["why_not"] == "no CUDA device is visible"
    libraries = {one["name"]: one for one in found["gpu_libraries"]}
    assert list(libraries) == list(NAMES)
    assert all(one["available"] or (one["why_not"] and one["how_to_get"]) for one in libraries.values())

    assert main(["doctor"]) == 0  # for people; the imports were tried above and are remembered
    shown = capsys.readouterr()
    assert "Available" in shown.out
    assert "CPU: " in shown.out
    paragraphs = re.split(r"\n(?! )", shown.out)  # wrapped lines are indented
    for name in NAMES:
        (said,) = [" ".join(each.split()) for each in paragraphs if each.startswith((f"{name}:", f"{name} "))]
        assert ": available" in said or ("not available: " in said and "how to get it: " in said)
    assert max(map(len, shown.out.splitlines())) <= 100
    for state in found["backends"]:
        row = next(line for line in shown.out.splitlines() if line.split()[:2] == [state["backend"], state["device"]])
        assert row.split()[2] == ("yes" if state["available"] else "no")
        if not state["available"]:
            (said,) = [each for each in paragraphs if f"{state['backend']} on {state['device']}" in each]
            assert state["how_to_get"].split()[-1] in said
    assert ("nothing was run on a GPU here" in shown.out) == (found["cuda_devices"] == 0)
    if not found["environment"]["gpus"]:
        assert "no GPU here: nothing GPU-related was verified" in shown.out
    assert "next: python -m slrbench bench --backend torch,torchscript,onnx,openvino" in shown.err


def test_doctor_finds_a_runtime_that_is_installed_and_does_not_load(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(module._RUNTIMES, "openvino", module._Runtime("no_such_runtime", ("openvino",), "broken"))
    monkeypatch.setattr(module, "find_spec", lambda name: sys)
    assert main(["doctor", "--json"]) == 0
    states = {(b["backend"], b["device"]): b for b in json.loads(capsys.readouterr().out)["backends"]}
    assert not states["openvino", "cpu"]["available"]
    assert "does not load: ModuleNotFoundError" in states["openvino", "cpu"]["why_not"]
    assert states["openvino", "cpu"]["how_to_get"] == "pip install --force-reinstall openvino"
