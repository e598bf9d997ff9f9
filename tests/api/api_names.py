"""Which names of a library a stub file declares: classes with their members, functions, constants. Reads text only."""

import ast
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Names:
    """Names of one library's module: each with its members; None where it has none to check."""

    members: dict[str, set[str] | None] = field(default_factory=dict)
    bases: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def has(self, chain: tuple[str, ...]) -> bool:
        """Whether ``Name`` or ``Name.member`` is declared; what follows a member is not known."""
        if chain[0] not in self.members:
            return False
        members = self.members[chain[0]]
        return len(chain) == 1 or members is None or self._has_member(chain[0], chain[1])

    def _has_member(self, name: str, member: str) -> bool:
        members = self.members.get(name)
        if members is None or member in members:
            return name in self.members
        return any(self._has_member(base, member) for base in self.bases[name])


def read_names(stub: Path) -> Names:
    """The names of a ``.pyi``. Every class has what Python itself gives it."""
    members: dict[str, set[str] | None] = {}
    bases: dict[str, tuple[str, ...]] = {}
    for node in ast.parse(stub.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef):
            members[node.name] = {name for each in node.body for name in _declared(each)} | set(dir(object))
            bases[node.name] = tuple(base.id for base in node.bases if isinstance(base, ast.Name))
        else:
            members |= dict.fromkeys(_declared(node))
    return Names(members, bases)


def _declared(node: ast.stmt) -> list[str]:
    match node:
        case ast.FunctionDef() | ast.ClassDef():
            return [node.name]
        case ast.AnnAssign(target=ast.Name(id=name)):
            return [name]
        case ast.Assign():
            return [target.id for target in node.targets if isinstance(target, ast.Name)]
        case ast.ImportFrom():
            return [alias.asname or alias.name for alias in node.names]
    return []
