"""Puts the packages of the checkout into one package of the wheel.

In the repository `agent`, `tts_service` and `g2p` lie at the top. Installed like that they would take the place of
other people's modules of these names, so the wheel has them inside `pipecat_glm_tts`, with their imports of one
another rewritten. Nothing else changes, not even the number of a line.
"""

from __future__ import annotations

import ast
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PACKAGE = "pipecat_glm_tts"
ROOTS = ("agent", "g2p", "tts_service")
BESIDE = {"configs": "configs"}
"""Folders of the checkout that the packages read, and where they lie in the wheel."""
LEFT_OUT = ("__pycache__", "*.pyc", "training")
_PATH = re.compile(rf"\b(?:{'|'.join(ROOTS)})\.(?:[a-z_]|$)")


class Moved(BuildHookInterface):
    """The hook that hatchling calls; see `[tool.hatch.build.targets.wheel.hooks.custom]`."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Lay out the package in a folder of its own; an editable install uses the checkout as it is."""
        if version == "editable":
            return
        self._folder = tempfile.TemporaryDirectory(prefix="wheel-")
        package = Path(self._folder.name) / PACKAGE
        lay_out(Path(self.root), package)
        build_data["force_include"][str(package)] = PACKAGE

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove the folder."""
        if version != "editable":
            self._folder.cleanup()


def lay_out(checkout: Path, package: Path) -> None:
    """Write the package of the wheel."""
    ignored = shutil.ignore_patterns(*LEFT_OUT)
    shutil.copytree(checkout / PACKAGE, package, ignore=ignored)
    for root in ROOTS:
        shutil.copytree(checkout / root, package / root, ignore=ignored)
    for source, target in BESIDE.items():
        shutil.copytree(checkout / source, package / target, ignore=ignored)
    for path in package.rglob("*.py"):
        path.write_text(moved(path.read_text(encoding="utf-8"), str(path.relative_to(package))), encoding="utf-8")


def moved(source: str, name: str) -> str:
    """A module with its imports of the three packages turned into imports from inside the one.

    Args:
        source: The module's text.
        name: What errors call it.

    Raises:
        ValueError: It names a module in a way that would not be found: `import tts_service.audio` binds another name
            then, and the path in a string is not rewritten.
    """
    tree = ast.parse(source)
    told = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}  # docstrings
    before_a_value = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    lines = source.encode().splitlines(keepends=True)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level == 0 and _is_ours(node.module or ""):
            old, new = f"from {node.module} ", f"from {PACKAGE}.{node.module} "
        elif isinstance(node, ast.Import) and any(_is_ours(alias.name) for alias in node.names):
            (alias,) = node.names
            if alias.asname is None and "." in alias.name:
                raise ValueError(f"{name}:{node.lineno}: write `from ... import ...` instead of `import {alias.name}`")
            old, new = f"import {alias.name}", f"import {PACKAGE}.{alias.name}"
            new += "" if alias.asname else f" as {alias.name}"
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in told:
            if _PATH.search(node.value + ("" if id(node) in before_a_value else " ")):
                raise ValueError(f"{name}:{node.lineno}: {node.value!r} names a module; build it from `__name__`")
            continue
        else:
            continue
        line, at = lines[node.lineno - 1], node.col_offset
        if not line.startswith(old.encode(), at):
            raise ValueError(f"{name}:{node.lineno}: expected {old!r}")
        lines[node.lineno - 1] = line[:at] + new.encode() + line[at + len(old.encode()) :]
    return b"".join(lines).decode()


def _is_ours(module: str) -> bool:
    return module.split(".")[0] in ROOTS
