"""Shared by all tests: the golden files' option, and the repository's root."""

import os
from collections.abc import Callable
from pathlib import Path

# Before torch is imported anywhere: threads cost tiny networks more than they give, the more so on a loaded machine.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from hypothesis import HealthCheck, settings

# No test may depend on how fast the machine is, or pass today and fail tomorrow on the same tree.
settings.register_profile("house", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("house")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write golden files anew instead of comparing")


@pytest.fixture(scope="session")
def repository() -> Path:
    """The folder that holds pyproject.toml."""
    return Path(__file__).parent.parent


@pytest.fixture
def check_golden(request: pytest.FixtureRequest) -> Callable[[str, Path], None]:
    """Compare a text with a golden file, or write it there under ``--update-golden``."""
    update = bool(request.config.getoption("--update-golden"))

    def check(text: str, golden: Path) -> None:
        if update:
            golden.write_text(text, encoding="utf-8")
        assert text == golden.read_text(encoding="utf-8"), f"differs from {golden}; look, then --update-golden"

    return check
