"""A stub from a module made with pybind11, whose docstrings begin with the signatures."""

import keyword
import re
from collections.abc import Callable, Iterator
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

SPECIAL_METHODS = (
    *("__init__", "__len__", "__getitem__", "__setitem__", "__iter__", "__next__", "__int__", "__index__", "__call__"),
    *("__enter__", "__exit__"),
)
BUFFERS = ("IHostMemory",)
"""Classes that offer the buffer protocol, which their docstrings do not tell."""

MODULE_CLASS = "_Module"
"""A class that the stub has besides: the type of a variable that holds the module, which Python has no word for."""

CONVERTED = {
    "Dims": "Dims | Sequence[int]",
    "Permutation": "Permutation | Sequence[int]",
    "Weights": "Weights | Any",  # a numpy array
}
"""What else is taken where a parameter is of that class."""

REWRITTEN = (
    (r"\b(?:tensorrt\w*\.)+", ""),
    (r"\b(?:typing|typing_extensions|collections\.abc|types)\.", ""),
    # Subclasses are called with int, and overriding SupportsInt by int would be an error.
    (r"\bSupportsInt( \| SupportsIndex)?", "int"),
    (r"\bSupportsFloat( \| SupportsIndex)?", "float"),
    (r"\bList\b", "list"),
    (r"\bDict\b", "dict"),
    (r"\bTuple\b", "tuple"),
    (r"\bbuffer\b", "Buffer"),
    (r"\bNoneType\b", "None"),
)


class PybindStub:
    """Writes the stub of one module."""

    def __init__(self, bindings: ModuleType, package: ModuleType) -> None:
        """``bindings`` is the compiled module, ``package`` what imports it whole and adds to it."""
        self._package = package
        self._classes = {
            name: value for name, value in sorted(vars(bindings).items()) if isinstance(value, type) and is_public(name)
        }
        nested = {
            f"{name}.{inner}": value
            for name, owner in self._classes.items()
            for inner, value in vars(owner).items()
            if isinstance(value, type) and value.__qualname__ == f"{name}.{inner}"
        }
        self._types = TypeNames([*self._classes, *nested], shadowed=[name for name in vars(package) if is_public(name)])
        self._names_of_types = {value: name for name, value in {**nested, **self._classes}.items()}

    def text(self) -> str:
        """The whole stub."""
        lines = [HEAD, "__version__: str"]
        module = ["", f"class {MODULE_CLASS}:", "    __version__: str"]
        for name, value in sorted(vars(self._package).items()):
            if name in self._classes or not is_public(name) or isinstance(value, ModuleType):
                continue
            if type(value) in self._names_of_types:
                constant = f"{name}: {self._names_of_types[type(value)]}"
                lines.append(constant)
                module.append(f"    {constant}")
            elif callable(value):
                signatures = self._signatures(name, value, method=False)
                lines += function_lines(name, signatures)
                module += function_lines(name, signatures, "    ", static=True)
        for name, value in self._classes.items():
            lines += ["", *self._class(name, value, "")]
            module.append(f"    {name}: type[{name}]")
        return "\n".join(lines + module) + "\n"

    def _class(self, name: str, owner: type, indent: str) -> Iterator[str]:
        base = self._names_of_types.get(owner.__mro__[1])
        yield f"{indent}class {name}({base}):" if base else f"{indent}class {name}:"
        inner = indent + "    "
        members = getattr(owner, "__members__", None)
        if members is not None:
            own = self._names_of_types[owner]
            yield f"{inner}__members__: ClassVar[dict[str, {own}]]"
            yield from (f"{inner}{member}: ClassVar[{own}]" for member in members)
        else:
            members = {}
        if owner.__init__ is not owner.__mro__[1].__init__ or "__init__" in vars(owner):  # type: ignore[misc]
            yield from function_lines("__init__", self._constructor(owner), inner)
        if "__getitem__" in vars(owner) and "__iter__" not in vars(owner):
            yield f"{inner}def __iter__(self) -> Iterator[Any]: ..."
        if name in BUFFERS:
            yield f"{inner}def __buffer__(self, flags: int, /) -> memoryview: ..."
        for attribute, value in sorted(vars(owner).items()):
            if attribute in members or attribute == "__init__":
                continue
            if is_public(attribute) or attribute in SPECIAL_METHODS:
                yield from self._attribute(owner, attribute, value, inner)

    def _constructor(self, owner: type) -> list[Signature]:
        found = self._signatures("__init__", owner.__init__, method=True)  # type: ignore[misc]
        return [NO_CONSTRUCTOR] if found == [ANYTHING] else found

    def _attribute(self, owner: type, name: str, value: Any, indent: str) -> Iterator[str]:
        if isinstance(value, type):
            known = self._names_of_types[value]
            if value.__qualname__ == f"{owner.__qualname__}.{name}":
                yield from self._class(name, value, indent)
            else:
                yield f"{indent}{name} = {known}"
        elif isinstance(value, property):
            yield from self._property(name, value, indent)
        elif type(value) in self._names_of_types:
            yield f"{indent}{name}: ClassVar[{self._names_of_types[type(value)]}]"
        elif isinstance(value, staticmethod):
            yield from function_lines(name, self._signatures(name, value.__func__, method=False), indent, static=True)
        elif callable(value):
            yield from function_lines(name, self._signatures(name, value, method=True), indent)

    def _property(self, name: str, value: property, indent: str) -> Iterator[str]:
        match = re.search(r"-> (.+)", getattr(value.fget, "__doc__", None) or "")
        type_name = self._type(match[1]) if match else "Any"
        if value.fset is not None:
            yield f"{indent}{name}: {type_name}"
        else:
            yield f"{indent}@property"
            yield f"{indent}def {name}(self) -> {type_name}: ..."

    def _signatures(self, name: str, function: Callable[..., Any], *, method: bool) -> list[Signature]:
        if isinstance(function, FunctionType):
            return [python_signature(function, self._types)]
        lines = (function.__doc__ or "").splitlines()
        heads = [line for line in lines if re.match(rf"(\d+\. )?{re.escape(name)}\(", line)]
        heads = heads[1:] if "Overloaded function." in lines[:2] else heads[:1]
        return [self._parsed(head, method=method) for head in heads] or [ANYTHING]

    def _parsed(self, head: str, *, method: bool) -> Signature:
        opening = head.index("(")
        closing = _closing(head, opening)
        parts = [part for part in _split(head[opening + 1 : closing]) if part != "/"]
        parameters = [SELF] if method else []
        parameters += [self._parameter(part, index) for index, part in enumerate(parts[len(parameters) :])]
        _, _, returns = head[closing:].partition("-> ")
        return Signature(parameters, self._type(returns))

    def _parameter(self, text: str, index: int) -> Parameter:
        name, _, rest = (part.strip() for part in text.partition(":"))
        if name.startswith("*"):
            return Parameter(name)
        type_text, equals, _ = rest.partition(" = ")
        type_name = self._type(type_text)
        # pybind says arg0 where the binding gave no name; some names cannot be written as keywords.
        unnamed = re.fullmatch(r"arg\d+", name) is not None or not name.isidentifier() or keyword.iskeyword(name)
        return Parameter(
            f"_{index}" if unnamed else name, CONVERTED.get(type_name, type_name), bool(equals), positional_only=unnamed
        )

    def _type(self, text: str) -> str:
        for pattern, replacement in REWRITTEN:
            text = re.sub(pattern, replacement, text)
        return self._types.known(text.strip())


def _closing(text: str, opening: int) -> int:
    depth = 0
    for index in range(opening, len(text)):
        depth += (text[index] == "(") - (text[index] == ")")
        if depth == 0:
            return index
    return len(text)


def _split(text: str) -> list[str]:
    """Parts between commas that no bracket holds."""
    parts, depth = [""], 0
    for character in text:
        depth += (character in "([{<") - (character in ")]}>")
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts if part.strip()]
