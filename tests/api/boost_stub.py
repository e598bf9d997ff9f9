"""Print the stub of a Boost.Python module, from the signatures in its docstrings: ``python boost_stub.py MODULE``.

mypy's stubgen does not know that form: ``record( (Event)arg1 [, (object)stream=None]) -> Event :``.
"""

import importlib
import re
import sys
from collections.abc import Iterator

PLAIN = {"int", "str", "float", "bool", "tuple", "list", "dict", "None"}
SIGNATURE = re.compile(r"^(?P<name>\w+)\((?P<arguments>.*)\) -> (?P<result>\w+) :$", re.MULTILINE)
ARGUMENT = re.compile(r"\((?P<type>\w+)\)(?P<name>\w+)")


def functions(name: str, value: object, classes: set[str], *, method: bool, static: bool) -> Iterator[str]:
    """One line; ``*args`` where there are several signatures or none."""
    found = SIGNATURE.findall(getattr(value, "__doc__", None) or "")
    decorator = "@staticmethod\n" if static else ""
    first = ["self"] if method and not static else []
    if len(found) != 1:
        yield f"{decorator}def {name}({', '.join([*first, '*args: Any', '**kwargs: Any'])}) -> Any: ..."
        return
    _, text, result = found[0]
    required = len(ARGUMENT.findall(text.partition("[")[0]))
    names = [argument for _, argument in ARGUMENT.findall(text)]
    rest = list(enumerate(names))[1 if first else 0 :]
    arguments = [f"{argument}: Any" if i < required else f"{argument}: Any = ..." for i, argument in rest]
    given = f"{', '.join([*first, *arguments])}"
    # Arguments without a name of their own are called arg1 and so on, and cannot be given by it.
    positional = bool(rest) and all(re.fullmatch(r"arg\d+", argument) for _, argument in rest)
    kind = result if result in PLAIN | classes else "Any"
    yield f"{decorator}def {name}({given}{', /' if positional else ''}) -> {kind}: ..."


def stub(module: object) -> Iterator[str]:
    """Every line of the stub."""
    yield "from typing import Any"
    classes = {name for name, value in vars(module).items() if isinstance(value, type)}
    for name, value in sorted(vars(module).items()):
        if name.startswith("__"):
            continue
        if isinstance(value, type):
            bases = [base.__name__ for base in value.__bases__ if base.__name__ in classes]
            base = bases[0] if bases else "Exception" if issubclass(value, Exception) else "int"
            shown = f"({base})" if bases or issubclass(value, Exception | int) else ""
            yield f"class {name}{shown}:"
            members = [(k, v) for k, v in sorted(vars(value).items()) if _is_public(k)]
            for member, inner in members:
                yield from (f"    {line}" for line in _member(member, inner, classes))
            if not members:
                yield "    pass"
        elif callable(value):
            yield from functions(name, value, classes, method=False, static=False)
        else:
            yield f"{name}: Any"


def _is_public(name: str) -> bool:
    return name.isidentifier() and (name[0] != "_" or name in ("__init__", "__int__"))


def _member(name: str, value: object, classes: set[str]) -> Iterator[str]:
    static = isinstance(value, staticmethod)
    inner = value.__func__ if isinstance(value, staticmethod) else value
    if not callable(inner):
        yield f"{name}: Any"
    elif name == "__init__" and "cannot be instantiated" in (inner.__doc__ or ""):
        yield "def __init__(self, cannot_be_made: None, /) -> None: ..."
    else:
        for text in functions(name, inner, classes, method=True, static=static):
            yield from text.splitlines()


if __name__ == "__main__":
    for line in stub(importlib.import_module(sys.argv[1])):
        print(line)  # noqa: T201 - a script
