"""Draw mutants: one small change of the code each, made by mutmut's operators."""

from __future__ import annotations

import ast
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import libcst as cst
import libcst.matchers as m
from libcst.metadata import MetadataWrapper, ParentNodeProvider, PositionProvider
from mutmut.mutation.mutators import mutation_operators

# What has no effect, or only on what is said: types, imports, decorators, __all__, assertions for the type checker,
# errors and warnings, texts with a space, zip(strict=True). Calls of len and isinstance fail at once when mutated.
TEXT = m.SimpleString(value=m.MatchRegex(r"(?s).* .*"))
TYPING = m.Name("TYPE_CHECKING") | m.Attribute(attr=m.Name("TYPE_CHECKING"))
ABSTRACT = m.Name("overload") | m.Name("abstractmethod")
QUIET = ("len", "isinstance", "cast", "TypeVar", "warn", "warning", "warn_renamed")
LEFT_OUT = (
    m.Annotation() | m.Import() | m.ImportFrom() | m.Decorator() | m.Assert() | m.Raise() | m.If(test=TYPING) | TEXT
    | m.FormattedString(parts=[m.ZeroOrMore(), m.FormattedStringText(value=m.MatchRegex(".* .*")), m.ZeroOrMore()])
    | m.Call(func=m.OneOf(*(m.Name(name) | m.Attribute(attr=m.Name(name)) for name in QUIET)))
    | m.Assign(targets=[m.AssignTarget(target=m.Name("__all__"))])
    | m.FunctionDef(decorators=[m.ZeroOrMore(), m.Decorator(ABSTRACT), m.ZeroOrMore()])
)  # fmt: skip


@dataclass(frozen=True)
class Mutant:
    """A file with one change: the lines of the changed statement, and the whole text."""

    file: str
    first: int
    last: int
    old: str
    new: str
    text: str


class _Visitor(cst.CSTVisitor):
    METADATA_DEPENDENCIES = (PositionProvider, ParentNodeProvider)

    def __init__(self) -> None:
        super().__init__()
        self.changes: list[tuple[cst.CSTNode, cst.CSTNode, int, int]] = []

    def on_visit(self, node: cst.CSTNode) -> bool:
        if m.matches(node, LEFT_OUT):
            return False
        for kind, operator in mutation_operators:
            if isinstance(node, kind):
                first, last = self._find_lines(node)
                self.changes += [(node, mutated, first, last) for mutated in operator(node)]
        return True

    def _find_lines(self, node: cst.CSTNode) -> tuple[int, int]:
        """Find the lines of the statement, or of the part of a compound statement, that the node is in."""
        parent = self.get_metadata(ParentNodeProvider, node, None)
        while parent and not isinstance(node, cst.BaseSmallStatement):
            if isinstance(parent, (cst.BaseCompoundStatement, cst.Else, cst.ExceptHandler, cst.Param, cst.Parameters)):
                break
            node, parent = parent, self.get_metadata(ParentNodeProvider, parent, None)
        where = self.get_metadata(PositionProvider, node)
        return where.start.line, where.end.line


def draw_mutants(root: Path, packages: list[str], count: int, seed: int) -> list[Mutant]:
    """Draw mutants of the packages, all alike, without those that cannot be compiled or compile to the same."""
    changes, modules = [], {}
    for package in packages:
        for path in sorted((root / package).rglob("*.py")):
            wrapper = MetadataWrapper(cst.parse_module(path.read_text()), unsafe_skip_copy=True)
            visitor = _Visitor()
            modules[path] = wrapper.visit(visitor)
            changes += [(path, *change) for change in visitor.changes]
    print(f"{len(changes)} mutants to draw from")
    random.Random(seed).shuffle(changes)
    return list(_make(root, modules, changes, count))


def _make(root: Path, modules: dict[Path, cst.Module], changes: list, count: int) -> Iterator[Mutant]:
    for path, node, mutated, first, last in changes:
        if not count:
            return
        module = modules[path]
        text = module.deep_replace(node, mutated).code
        try:
            same = ast.dump(ast.parse(text)) == ast.dump(ast.parse(module.code))
            compile(text, str(path), "exec")
        except SyntaxError:
            continue
        if not same and text.count("strict=True") == module.code.count("strict=True"):
            count -= 1
            old, new = (" ".join(module.code_for_node(part).split()) for part in (node, mutated))
            yield Mutant(str(path.relative_to(root)), first, last, old, new, text)
