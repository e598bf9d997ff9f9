"""What a stub file is written from: functions and parameters, without a word of documentation."""

import ast
import builtins
import inspect
import keyword
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

TYPING_NAMES = ("Any", "Callable", "Sequence", "Iterator", "Iterable", "Optional", "Union", "Buffer", "Never")
HEAD = """\
import builtins
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, ClassVar, Never, Optional, Union, overload

from typing_extensions import Buffer
"""


@dataclass(frozen=True)
class Parameter:
    """One parameter; ``name`` has its stars."""

    name: str
    type: str = "Any"
    has_default: bool = False
    positional_only: bool = False

    def text(self) -> str:
        """As in a ``def``."""
        typed = self.name if self.type == "" else f"{self.name}: {self.type}"
        return typed + (" = ..." if self.has_default else "")


@dataclass(frozen=True)
class Signature:
    """One way to call a function; a method's begins with ``self``."""

    parameters: Sequence[Parameter] = ()
    returns: str = "Any"

    def text(self, name: str) -> str:
        """The ``def`` without what stands before it."""
        # A default before a parameter without one cannot be written down: such a default is dropped.
        plain = [index for index, p in enumerate(self.parameters) if not p.has_default and "*" not in p.name]
        last = plain[-1] if plain else -1
        shown = [
            replace(p, has_default=p.has_default and index > last).text() for index, p in enumerate(self.parameters)
        ]
        positional = [index for index, p in enumerate(self.parameters) if p.positional_only]
        if positional:  # those before it are then positional too, which no call here minds
            shown.insert(positional[-1] + 1, "/")
        return f"def {name}({', '.join(shown)}) -> {self.returns}: ..."


SELF = Parameter("self", type="")
ANYTHING = Signature((Parameter("*args"), Parameter("**kwargs")))
NO_CONSTRUCTOR = Signature((SELF, Parameter("no_constructor", "Never", positional_only=True)), "None")


def function_lines(name: str, signatures: Sequence[Signature], indent: str = "", *, static: bool = False) -> list[str]:
    """A function with all its overloads."""
    lines = []
    for text in dict.fromkeys(signature.text(name) for signature in signatures):
        lines.append(indent + text)
    if len(lines) > 1:
        lines = [part for line in lines for part in (f"{indent}@overload", line)]
    if static:
        lines = [part for line in lines for part in ([f"{indent}@staticmethod", line] if "def " in line else [line])]
    return lines


def python_signature(function: Any, types: "TypeNames") -> Signature:
    """The signature of a function that tells it itself; annotations that name no known type become Any."""
    try:
        found = inspect.signature(function)
    except (TypeError, ValueError):
        return ANYTHING
    parameters = []
    stars: dict[object, str] = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    keyword_only = False
    for parameter in found.parameters.values():
        if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            keyword_only = True
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY and not keyword_only:
            parameters.append(Parameter("*", type=""))
            keyword_only = True
        has_default = parameter.default is not inspect.Parameter.empty
        parameters.append(
            Parameter(stars.get(parameter.kind, "") + parameter.name, types.known(parameter.annotation), has_default)
        )
    return Signature(parameters)


@dataclass
class TypeNames:
    """The names that may stand in annotations of a module's stub."""

    classes: Collection[str]
    """Dotted where nested."""
    shadowed: Collection[str] = field(default_factory=tuple)
    """Names of builtins that the module gives another meaning."""

    def known(self, annotation: object) -> str:
        """The annotation where every name in it is known, otherwise ``Any``."""
        text = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", "")
        try:
            tree = ast.parse(text, mode="eval").body
        except SyntaxError:
            return "Any"
        allowed = {
            *TYPING_NAMES,
            *self.classes,
            "None",
            "int",
            "float",
            "str",
            "bool",
            "bytes",
            "list",
            "tuple",
            "dict",
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and ast.unparse(node) not in self.classes:
                return "Any"
            if isinstance(node, ast.Name) and node.id not in allowed:
                return "Any"
            if isinstance(node, ast.Constant) and node.value is not None:
                return "Any"
        for node in ast.walk(tree):
            if isinstance(node, ast.Name) and node.id in self.shadowed and hasattr(builtins, node.id):
                node.id = f"builtins.{node.id}"
        return ast.unparse(tree)


def is_public(name: str) -> bool:
    """Whether a name is for use from outside and can be written."""
    return name.isidentifier() and not name.startswith("_") and not keyword.iskeyword(name)
