# Names, arguments and types of pycuda 2026.1, read by tests/api/make_stubs.py out of its _driver,
# compiled from the published source, and out of its Python files.
from typing import Any

from pycuda.driver import Context, Device

context: Context
device: Device
