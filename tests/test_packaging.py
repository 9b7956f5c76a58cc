from __future__ import annotations

import ast
import re
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).parents[1]


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def imported(folder: Path) -> set[str]:
    """Top-level names of all modules that the files of a folder import, in functions too."""
    names = set()
    for file in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names.add(str(node.module).partition(".")[0])
    return names


def test_every_direct_import_is_a_declared_dependency():
    declared = re.findall(r'"([\w.-]+)', (ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    declared = {canonical(name) for name in declared}
    providers = packages_distributions()
    foreign = imported(ROOT / "rgmkit") | imported(ROOT / "plugins")
    foreign = {name for name in foreign - set(sys.stdlib_module_names) if not name.startswith("rgmkit")}
    assert {"torch", "tifffile"} <= foreign
    missing = {name for name in foreign if not declared & {canonical(given) for given in providers.get(name, ())}}
    assert not missing
