"""Stubs from modules made with Boost.Python (pycuda) and Cython (cuda.bindings)."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from stub_text import (
    ANYTHING,
    HEAD,
    NO_CONSTRUCTOR,
    SELF,
    Parameter,
    Signature,
    TypeNames,
    function_lines,
    is_public,
    python_signature,
)

PYCUDA_TYPES = {
    "Stream.handle": "int",
    "Device.retain_primary_context": "Context",
    "Device.make_context": "Context",
    "Device.compute_capability": "tuple[int, int]",
    "Context.get_device": "Device",
    "Context.get_current": "Context",
    "mem_get_info": "tuple[int, int]",
    "get_version": "tuple[int, int, int]",
}
"""What Boost's docstrings call ``object`` or ``tuple``, or where a property has none; after pycuda's documentation."""

NAMED = {"stream": "Stream | None", "src_context": "Context | None", "dest_context": "Context | None"}
"""Parameters that take objects of one class, whatever they are called with in Boost's docstrings."""

SPECIAL_METHODS = ("__init__", "__int__", "__index__", "__len__", "__getitem__", "__call__")
_PARAMETER = re.compile(r"\(([\w.]+)\)(\w+)")
_BOOST_TYPES = {"int": "SupportsInt", "object": "Any", "tuple": "tuple[Any, ...]", "list": "list[Any]"}


class BoostStub:
    """Writes the stub of a module whose functions, or some of them, are Boost's."""

    def __init__(self, module: ModuleType) -> None:
        """``module`` is the one that users import, ``pycuda.driver``."""
        self._module = module
        names = {name: value for name, value in sorted(vars(module).items()) if is_public(name)}
        self._classes = {
            name: value
            for name, value in names.items()
            if isinstance(value, type) and value.__module__.partition(".")[0] == module.__name__.partition(".")[0]
        }
        self._others = {name: value for name, value in names.items() if name not in self._classes}
        self._types = TypeNames([*self._classes, "SupportsInt"])
        self._names = {value: name for name, value in self._classes.items()}

    def text(self) -> str:
        """The whole stub."""
        lines = [HEAD, "from typing import SupportsInt", ""]
        for name, value in self._others.items():
            if isinstance(value, (int, str)):
                lines.append(f"{name}: {type(value).__name__}")
            elif callable(value) and (getattr(value, "__module__", None) or "pycuda").startswith("pycuda"):
                lines += function_lines(name, self._signatures(name, value, method=False))
        for name, value in self._classes.items():
            lines += ["", *self._class(name, value)]
        return "\n".join(lines) + "\n"

    def _class(self, name: str, owner: type) -> Iterator[str]:
        bases = [self._names[base] for base in owner.__bases__ if base in self._names]
        if issubclass(owner, Exception):
            bases = bases or ["Exception"]
        if issubclass(owner, int):
            bases = ["int"]
        yield f"class {name}({', '.join(bases)}):" if bases else f"class {name}:"
        lines = []
        if (
            "cannot be instantiated" in (owner.__init__.__doc__ or "")  # type: ignore[misc]
            or issubclass(owner, int)
            or vars(owner).get("__init__", 0) is None
        ):
            lines += function_lines("__init__", [NO_CONSTRUCTOR], "    ")
        for attribute, value in sorted(vars(owner).items()):
            if (is_public(attribute) or attribute in SPECIAL_METHODS) and attribute not in ("names", "values"):
                lines += self._attribute(name, owner, attribute, value)
        yield from lines or ["    pass"]

    def _attribute(self, owner_name: str, owner: type, name: str, value: Any) -> list[str]:
        if isinstance(value, property):
            return [f"    {name}: {PYCUDA_TYPES.get(f'{owner_name}.{name}', 'Any')}"]
        if isinstance(value, int):
            return [f"    {name}: ClassVar[{owner_name if isinstance(value, owner) else 'int'}]"]
        if isinstance(value, staticmethod):
            found = self._signatures(name, value.__func__, method=False, owner=owner_name)
            return function_lines(name, found, "    ", static=True)
        if callable(value) and "cannot be instantiated" not in (value.__doc__ or ""):
            return function_lines(name, self._signatures(name, value, method=True, owner=owner_name), "    ")
        return []

    def _signatures(self, name: str, function: Any, *, method: bool, owner: str = "") -> list[Signature]:
        returns = "int" if name == "__index__" else PYCUDA_TYPES.get(f"{owner}.{name}" if owner else name)
        if isinstance(function, FunctionType):
            returns = "None" if name == "__init__" else returns or "Any"
            return [Signature(python_signature(function, self._types).parameters, returns)]
        heads = [line for line in (function.__doc__ or "").splitlines() if line.startswith(f"{name}(")]
        found = []
        for head in heads:
            arguments, _, result = head.partition(") ->")
            parameters = [SELF] if method else []
            optional_from = arguments.find("[") if "[" in arguments else len(arguments)
            for match in list(_PARAMETER.finditer(arguments))[len(parameters) :]:
                unnamed = re.fullmatch(r"arg\d+", match[2]) is not None
                typed = NAMED.get(match[2]) or self._types.known(_BOOST_TYPES.get(match[1], match[1]))
                parameters.append(Parameter(match[2], typed, match.start() > optional_from, positional_only=unnamed))
            plain = result.strip().removesuffix(":").strip()
            plain = "None" if name == "__init__" else _BOOST_TYPES.get(plain, plain).replace("SupportsInt", "int")
            found.append(Signature(parameters, returns or self._types.known(plain)))
        return found or [ANYTHING]


def python_module_stub(path: Path, types: dict[str, str]) -> str:
    """The top-level names of a Python file that cannot be imported here; ``types`` of those that are known."""
    lines = ["from typing import Any", "", "from pycuda.driver import Context, Device", ""]
    names: dict[str, str] = {}
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef) and is_public(node.name):
            node.body, node.decorator_list = [ast.Expr(ast.Constant(...))], []
            for argument in ast.walk(node.args):
                if isinstance(argument, ast.arg):
                    argument.annotation = ast.Name("Any")
            node.args.defaults = [ast.Constant(...) for _ in node.args.defaults]
            node.args.kw_defaults = [value and ast.Constant(...) for value in node.args.kw_defaults]
            node.returns = ast.Name(types.get(node.name, "Any"))
            names[node.name] = ast.unparse(ast.fix_missing_locations(node)).replace("\n    ", " ")
        elif isinstance(node, ast.ClassDef) and is_public(node.name):
            names[node.name] = f"{node.name}: Any"
        elif isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Name) and is_public(target.id):
                    names[target.id] = f"{target.id}: {types.get(target.id, 'Any')}"
    return "\n".join([*lines, *(names[name] for name in sorted(names))]) + "\n"


def cython_stub(module: ModuleType) -> str:
    """The stub of a module of ``cuda.bindings``: functions that give a tuple, enumerations, and structures by name."""
    public = {name: value for name, value in sorted(vars(module).items()) if is_public(name)}
    classes = {
        name: value for name, value in public.items() if isinstance(value, type) and value.__module__ == module.__name__
    }
    types = TypeNames(classes)
    lines = [HEAD]
    for name, value in public.items():
        if name in classes:
            lines += [f"class {name}(int):" if issubclass(value, int) else f"class {name}:"]
            members = getattr(value, "__members__", {})
            lines += [f"    {member}: ClassVar[{name}]" for member in members]
            if members:
                lines += ["    name: str", "    value: int"]
            elif own := [attribute for attribute in sorted(vars(value)) if is_public(attribute)]:
                lines += [f"    {attribute}: Any" for attribute in own]
            else:
                lines += ["    def __init__(self, init_value: int = ..., /, _ptr: int = ...) -> None: ..."]
        elif isinstance(value, (int, str)):
            lines.append(f"{name}: {type(value).__name__}")
        elif type(value).__name__ == "cython_function_or_method":
            lines += function_lines(name, [Signature(python_signature(value, types).parameters, "tuple[Any, ...]")])
    return "\n".join(lines) + "\n"
