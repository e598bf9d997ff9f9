"""Checks names and arguments against a surface by reading the code alone.

It follows what is plainly a library's: an imported module, whatever is called ``trt``, variables that are annotated
with or made from the library's classes, and what their methods give. mypy sees more; but nothing turns this off,
neither ``Any`` nor ``type: ignore``.
"""

import ast
import difflib
import importlib.util
from collections.abc import Iterator

from api_sources import MODULES, TENSORRT_NAMES
from api_surface import Class, Function, Instance, Module, Surface, Thing, call_fault

Fault = tuple[int, str]
"""Line, and what is wrong there."""


def check_names(tree: ast.Module, surface: Surface) -> list[Fault]:
    """Every use of a name or argument that the surface does not have."""
    checker = _Checker(surface)
    checker.visit(tree)
    return sorted(set(checker.faults))


class _Checker(ast.NodeVisitor):
    def __init__(self, surface: Surface) -> None:
        self.faults: list[Fault] = []
        self._surface = surface
        self._scopes: list[dict[str, Thing | None]] = [{}]
        self._found: dict[ast.expr, Thing | None] = {}

    # --- what a statement binds ---------------------------------------------------------------------------------------

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            root = alias.name.partition(".")[0]
            if root in MODULES:
                module = self._module(node.lineno, alias.name)
                whole = Module(root) if root in self._surface else None
                self._scopes[-1][alias.asname or root] = module if alias.asname else whole

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        name = node.module or ""
        if node.level == 0 and name.partition(".")[0] in MODULES:
            module = self._module(node.lineno, name)
            for alias in node.names if module is not None else ():
                self._scopes[-1][alias.asname or alias.name] = self._member(node.lineno, module, alias.name)

    def visit_Assign(self, node: ast.Assign) -> None:
        self.generic_visit(node)
        for target in node.targets:
            self._bind(target, self._thing(node.value))

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        self.generic_visit(node)
        self._bind(node.target, self._annotated(node.annotation))

    def visit_For(self, node: ast.For) -> None:
        self._bind(node.target, None)
        self.generic_visit(node)

    def _bind(self, target: ast.expr, thing: Thing | None) -> None:
        if isinstance(target, ast.Name):
            self._scopes[-1][target.id] = thing
        elif isinstance(target, ast.Tuple | ast.List):
            for element in target.elts:
                self._bind(element, None)

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> None:
        arguments = (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
        scope = {each.arg: self._annotated(each.annotation) if each.annotation else None for each in arguments}
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.returns is not None:
            self._annotated(node.returns)
        self._in_scope(node, scope)

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815
    visit_Lambda = visit_FunctionDef  # noqa: N815

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        for base in node.bases:
            thing = self._thing(base)
            if isinstance(thing, Class):
                self._check_overrides(node, thing)
        self._in_scope(node, {})

    def _in_scope(self, node: ast.AST, scope: dict[str, Thing | None]) -> None:
        self._scopes.append(scope)
        self.generic_visit(node)
        self._scopes.pop()

    def _check_overrides(self, node: ast.ClassDef, base: Class) -> None:
        """A public method that the base does not have is one that the library never calls."""
        for method in node.body:
            if not isinstance(method, ast.FunctionDef) or method.name.startswith("_"):
                continue
            function = self._member(method.lineno, Instance(base), method.name)
            if isinstance(function, Function):
                given = len(function.overloads[0].args.posonlyargs) + len(function.overloads[0].args.args)
                most = len(method.args.posonlyargs) + len(method.args.args)
                least = most - len(method.args.defaults)
                if given < least or (given > most and method.args.vararg is None):
                    text = f"{base.node.name}.{method.name} is called with {given - 1} arguments"
                    self.faults.append((method.lineno, text))

    # --- what an expression is ----------------------------------------------------------------------------------------

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self._thing(node)
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        self._thing(node)
        self.generic_visit(node)

    def _thing(self, node: ast.expr) -> Thing | None:
        """What an expression is, where that is plain. Faults are noted on the way, each once."""
        if node not in self._found:
            self._found[node] = self._look_up(node)
        return self._found[node]

    def _look_up(self, node: ast.expr) -> Thing | None:
        match node:
            case ast.Name(id=name):
                bound = next((scope[name] for scope in reversed(self._scopes) if name in scope), None)
                return bound or _by_its_name(name)
            case ast.Attribute(value=value, attr=name):
                owner = self._thing(value)
                return _by_its_name(name) if owner is None else self._member(node.lineno, owner, name)
            case ast.Call(func=ast.Name(id="getattr"), args=[value, ast.Constant(value=str(name))]):
                owner = self._thing(value)
                return None if owner is None else self._member(node.lineno, owner, name)
            case ast.Call():
                return self._called(node)
        return None

    def _called(self, node: ast.Call) -> Thing | None:
        function = self._thing(node.func)
        if isinstance(function, Class):
            constructor = self._surface.constructor(function)
            if constructor is not None:
                self._check_call(node, constructor, function.node.name)
            return Instance(function)
        if isinstance(function, Function):
            self._check_call(node, function, function.name)
            return self._surface.returned(function)
        return None

    def _check_call(self, node: ast.Call, function: Function, name: str) -> None:
        keywords = [keyword.arg for keyword in node.keywords if keyword.arg is not None]
        if len(keywords) < len(node.keywords) or any(isinstance(argument, ast.Starred) for argument in node.args):
            return  # how many there are is not written there
        fault = call_fault(function, len(node.args), keywords)
        if fault is not None:
            self.faults.append((node.lineno, f"{name} {fault}"))

    def _annotated(self, annotation: ast.expr) -> Thing | None:
        """An object of the class that an annotation names, in quotes or not; every name in it is looked up."""
        if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
            try:
                quoted = ast.parse(annotation.value, mode="eval").body
            except SyntaxError:
                return None
            for part in ast.walk(quoted):
                if isinstance(part, ast.expr):
                    part.lineno = annotation.lineno
            annotation = quoted
        for part in ast.walk(annotation):
            if isinstance(part, ast.Attribute):
                self._thing(part)
        named = [side for side in _sides(annotation) if not isinstance(side, ast.Constant)]
        thing = self._thing(named[0]) if len(named) == 1 else None
        return Instance(thing) if isinstance(thing, Class) else None

    def _module(self, line: int, name: str) -> Module | None:
        if name in self._surface:
            return Module(name)
        if name.partition(".")[0] == "cuda":  # the installed package has more modules than are read
            try:
                there = importlib.util.find_spec(name) is not None
            except ModuleNotFoundError:
                there = False
            if there:
                return None
        self.faults.append((line, f"there is no module {name} in the stubs of tests/api"))
        return None

    def _member(self, line: int, owner: Thing | None, name: str) -> Thing | None:
        if owner is None or isinstance(owner, Function) or name.startswith("_"):
            return None
        names = self._surface.names_of(owner)
        if name not in names:
            close = difflib.get_close_matches(name, names, n=1)
            self.faults.append((line, f"{_title(owner)} has no {name}" + (f"; it has {close[0]}" if close else "")))
            return None
        return self._surface.member(owner, name)


def _by_its_name(name: str) -> Module | None:
    return Module("tensorrt") if name in TENSORRT_NAMES else None


def _sides(annotation: ast.expr) -> Iterator[ast.expr]:
    if isinstance(annotation, ast.BinOp) and isinstance(annotation.op, ast.BitOr):
        yield from _sides(annotation.left)
        yield from _sides(annotation.right)
    else:
        yield annotation


def _title(thing: Thing) -> str:
    match thing:
        case Class(node=node):
            return node.name
        case Instance(of=owner):
            return owner.node.name
    return thing.name
