"""Records of one content, computed on two processors."""

from typing import Any

import pytest


def assert_alike(found: Any, expected: Any) -> None:
    """The same but for the last bit of a float, which is another on a processor with other vector instructions."""
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for key, value in expected.items():
            assert_alike(found[key], value)
    elif isinstance(expected, list | tuple):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert_alike(one, other)
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, rel=1e-12, abs=0.0, nan_ok=True)
    else:
        assert found == expected
