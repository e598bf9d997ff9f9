"""What stubs say that a library has: members of modules and classes, and how functions are called. Reads text only."""

import ast
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

Node = ast.ClassDef | ast.FunctionDef | ast.AnnAssign | ast.Assign | ast.alias


@dataclass(frozen=True)
class Module:
    """A module of the library."""

    name: str


@dataclass(frozen=True)
class Class:
    """A class itself."""

    module: str
    node: ast.ClassDef


@dataclass(frozen=True)
class Instance:
    """An object of a class."""

    of: Class


@dataclass(frozen=True)
class Function:
    """A function with its overloads; ``is_bound`` where ``self`` is already given."""

    module: str
    name: str
    overloads: tuple[ast.FunctionDef, ...]
    is_bound: bool


Thing = Module | Class | Instance | Function


class Surface:
    """All modules below a folder of stubs."""

    def __init__(self, folder: Path) -> None:
        """Reads every stub in it."""
        self._modules: dict[str, dict[str, list[Node]]] = {}
        for path in sorted(folder.rglob("*.pyi")):
            parts = path.relative_to(folder).with_suffix("").parts
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            self._modules[name] = _members(ast.parse(path.read_text(encoding="utf-8")).body)

    def __contains__(self, module: str) -> bool:
        """Whether a module is known."""
        return module in self._modules

    def names_of(self, thing: Thing) -> list[str]:
        """All names that a module, a class or an object has."""
        if isinstance(thing, Module):
            below = [name.removeprefix(f"{thing.name}.") for name in self._modules if name.startswith(f"{thing.name}.")]
            return [*self._modules[thing.name], *(name for name in below if "." not in name)]
        if isinstance(thing, Class):
            return [name for owner in self._lineage(thing) for name in _members(owner.node.body)]
        return self.names_of(thing.of) if isinstance(thing, Instance) else []

    def member(self, thing: Thing, name: str) -> Thing | None:
        """What ``thing.name`` is; None where the stub says no more than that it is there."""
        if isinstance(thing, Module):
            if f"{thing.name}.{name}" in self._modules:
                return Module(f"{thing.name}.{name}")
            return self._thing(thing.name, self._modules[thing.name].get(name, []), bound=False)
        if isinstance(thing, Function):
            return None
        for owner in self._lineage(thing.of if isinstance(thing, Instance) else thing):
            nodes = _members(owner.node.body).get(name)
            if nodes:
                return self._thing(owner.module, nodes, bound=isinstance(thing, Instance))
        return None

    def returned(self, function: Function) -> Thing | None:
        """An object of what a function returns, where that is one class."""
        found = {ast.unparse(overload.returns) for overload in function.overloads if overload.returns}
        return self.instance(function.module, found.pop()) if len(found) == 1 else None

    def instance(self, module: str, annotation: str) -> Instance | None:
        """An object of the class that an annotation in that module names; ``| None`` is left out."""
        named = [part.strip() for part in annotation.split("|") if part.strip() != "None"]
        thing: Thing | None = Module(module)
        for name in named[0].split(".") if len(named) == 1 else []:
            thing = self.member(thing, name) if isinstance(thing, Module | Class) else None
        return Instance(thing) if isinstance(thing, Class) else None

    def constructor(self, owner: Class) -> Function | None:
        """How objects of a class are made."""
        found = self.member(Instance(owner), "__init__")
        return found if isinstance(found, Function) else None

    def _thing(self, module: str, nodes: list[Node], *, bound: bool) -> Thing | None:
        functions = tuple(node for node in nodes if isinstance(node, ast.FunctionDef))
        if functions:
            decorators = [ast.unparse(decorator) for decorator in functions[0].decorator_list]
            if "property" in decorators:
                return self.returned(Function(module, functions[0].name, functions, bound))
            return Function(module, functions[0].name, functions, bound and "staticmethod" not in decorators)
        match nodes:
            case [ast.ClassDef() as node]:
                return Class(module, node)
            case [ast.AnnAssign(annotation=annotation)]:
                return self.instance(module, ast.unparse(annotation).removeprefix("ClassVar[").removesuffix("]"))
            case [ast.Assign(value=value)]:  # another name of a class
                found = self.instance(module, ast.unparse(value))
                return found.of if found else None
        return None

    def _lineage(self, owner: Class) -> Iterator[Class]:
        yield owner
        for base in owner.node.bases:
            found = self.instance(owner.module, ast.unparse(base))
            if found is not None:
                yield from self._lineage(found.of)


def _members(body: Sequence[ast.stmt]) -> dict[str, list[Node]]:
    found: dict[str, list[Node]] = {}
    for node in body:
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name):
                found.setdefault(name, []).append(node)
            case ast.AnnAssign(target=ast.Name(id=name)) | ast.Assign(targets=[ast.Name(id=name)]):
                found.setdefault(name, []).append(node)
    return found


def call_fault(function: Function, positional: int, keywords: Iterable[str]) -> str | None:
    """What is wrong with a call of so many positional arguments and these keywords; None where an overload takes it."""
    given = list(keywords)
    faults = [_overload_fault(overload, function.is_bound, positional, given) for overload in function.overloads]
    return None if None in faults else faults[0]


def _overload_fault(overload: ast.FunctionDef, is_bound: bool, positional: int, keywords: list[str]) -> str | None:
    arguments = overload.args
    named = [*arguments.posonlyargs, *arguments.args]
    required = [argument.arg for argument in named[: len(named) - len(arguments.defaults)]][is_bound:]
    most = len(named) - is_bound
    by_keyword = {argument.arg for argument in (*arguments.args, *arguments.kwonlyargs)}
    unknown = [] if arguments.kwarg else [keyword for keyword in keywords if keyword not in by_keyword]
    if unknown:
        return f"has no argument {unknown[0]!r}"
    if positional > most and arguments.vararg is None:
        return f"takes {most} arguments, not {positional}"
    missing = [name for name in required[positional:] if name not in keywords]
    return f"lacks argument {missing[0]!r}" if missing else None
