"""Two real processes on gloo, started by torchrun: what they compute together, and what happens when one dies."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from safetensors.torch import load_file

from slrbench.training.card import read_card
from tests.training.several_processes import CASES, train

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
TORCHRUN = [
    sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--rdzv-backend", "c10d",
    "--rdzv-endpoint", "127.0.0.1:0", "--local-addr", "127.0.0.1",
]  # fmt: skip
SMOKE = [
    "train", "student", "--preset", "smoke", "--no-overfit", "--steps", "6",
    "--set", "train_student.save_every=1", "--set", "train_student.evaluate_every=4",
    "--set", "data=fingerspelling:letters=ABCELT,size=24,clips=16",
]  # fmt: skip


def _environment() -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("TORCHELASTIC", "RANK"))}
    return {**inherited, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}


def _start(arguments: list[str], folder: Path, *options: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [*TORCHRUN, *options, "-m", "slrbench", *arguments],
        cwd=folder,
        env=_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _kill_one_when_training(job: "subprocess.Popen[str]", state: Path) -> str:
    """kill -9 one of the two as soon as there is a state to go on from; returns what was printed until then."""
    said = ""
    assert job.stderr is not None
    for line in job.stderr:
        said += line
        if "training" in line and state.exists():
            break
    assert state.exists(), said
    workers = [p for p in psutil.Process(job.pid).children(recursive=True) if "slrbench" in p.cmdline()]
    victim = next(p for p in workers if p.environ()["RANK"] == "1")
    victim.kill()
    return said


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What two processes gave, for every case."""
    path = tmp_path_factory.mktemp("two") / "found.pt"
    script = str(Path(__file__).with_name("several_processes.py"))
    done = subprocess.run(
        [*TORCHRUN, script, str(path)], env=_environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = torch.load(path, weights_only=True)
    return found


@pytest.mark.parametrize("name", CASES)
def test_two_processes_give_what_one_gives_with_the_same_batch(together: dict[str, Any], name: str):
    two, one = together[name], train(**CASES[name])
    assert (two["processes"], one["processes"]) == (2, 1)
    assert two["losses"] == pytest.approx(one["losses"], abs=1e-4)
    assert two["ctc"] == pytest.approx(one["ctc"], abs=1e-4)
    assert two["norms"] == pytest.approx(one["norms"], rel=1e-4)
    assert two["blanks"] == pytest.approx(one["blanks"], abs=0.01)
    assert two["counts"] == one["counts"], "every clip is evaluated once"
    assert two["wer"] == one["wer"]
    for key, value in one["weights"].items():
        torch.testing.assert_close(
            two["weights"][key], value, rtol=1e-4, atol=1e-4, msg=lambda m, key=key: f"{key}: {m}"
        )


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint of a job of two processes that nothing happened to."""
    folder = tmp_path_factory.mktemp("undisturbed")
    out, err = (job := _start(SMOKE, folder)).communicate()
    assert job.returncode == 0, err
    assert out.count("WER (%)") == 1, "one process speaks"
    assert err.count("checks passed") == 1
    assert not list((folder / "runs").glob("*.state"))
    return folder / "trained_models" / "student-smoke"


def _same_weights(a: Path, b: Path) -> bool:
    ours, theirs = (load_file(folder / "checkpoint.safetensors") for folder in (a, b))
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_a_killed_process_ends_the_job_in_words_and_the_state_is_gone_on_from(undisturbed: Path, tmp_path: Path):
    state = tmp_path / "runs" / "student-smoke.state"
    job = _start(SMOKE, tmp_path)
    said = _kill_one_when_training(job, state)
    _, rest = job.communicate()
    assert job.returncode != 0
    assert "--resume continues from runs/student-smoke.state" in rest, said + rest
    assert "Signal 9 (SIGKILL)" in rest
    assert "a bug in slrbench" not in rest
    assert not (tmp_path / "trained_models" / "student-smoke" / "checkpoint.json").exists()
    resumed = _start([*SMOKE, "--resume"], tmp_path)
    _, err = resumed.communicate()
    assert resumed.returncode == 0, err
    assert "continuing after step" in err
    assert _same_weights(tmp_path / "trained_models" / "student-smoke", undisturbed)


def test_torchrun_restarts_a_job_that_lost_a_process_and_it_goes_on_from_the_state(undisturbed: Path, tmp_path: Path):
    job = _start(SMOKE, tmp_path, "--max-restarts", "1")
    _kill_one_when_training(job, tmp_path / "runs" / "student-smoke.state")
    _, err = job.communicate()
    assert job.returncode == 0, err
    assert "continuing after step" in err
    folder = tmp_path / "trained_models" / "student-smoke"
    assert _same_weights(folder, undisturbed)
    starts = read_card(folder).trained_with["starts"]
    assert [start["processes"] for start in starts] == [2, 2]
    assert starts[1]["from_step"] > 0


def test_an_error_in_every_process_is_said_with_the_process_it_comes_from(tmp_path: Path):
    job = _start(["train", "student", "--preset", "smoke", "--set", "data=fingerspelling:size=3"], tmp_path)
    _, err = job.communicate()
    assert job.returncode != 0
    assert "error: process 0 of 2: size='3' is not an integer" in err
    assert "exitcode  : 2" in err


def test_the_ablation_is_refused_for_several_processes(monkeypatch, tmp_path: Path, capsys):
    from slrbench.cli.app import main

    for name, value in (("LOCAL_RANK", "0"), ("RANK", "0"), ("WORLD_SIZE", "2")):
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    assert main(["train-and-export", "--preset", "smoke", "--ablate-kd", "2"]) == 2
    assert "run it without torchrun" in capsys.readouterr().err
