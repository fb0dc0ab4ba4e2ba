"""Modules that have gone to another place in the house are still found where they were: a published path is a promise.

`moved.tsv` says which, old path and new, without the package that an installed distribution puts around them.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from functools import cache
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_loader
from pathlib import Path
from types import ModuleType

TABLE = Path(__file__).with_name("moved.tsv")
_INSTALLED = f"{__package__}."


class Moved(MetaPathFinder, Loader):
    """Finds a module by its old path, after all others have failed: it is the same module as by the new one."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Whoever asks for a module that moved gets this loader; for all others nothing is known here."""
        return spec_from_loader(fullname, self) if _home(fullname) else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """The module where it is now."""
        home = _home(spec.name)
        assert home is not None
        warnings.warn(f"{spec.name} is {home} now", DeprecationWarning, stacklevel=2)
        module = import_module(home)
        spec.loader_state = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        """It has run already; only its own account of where it comes from is put back."""
        spec = module.__spec__
        assert spec is not None
        module.__spec__ = spec.loader_state


def _home(path: str) -> str | None:
    around = _INSTALLED if path.startswith(_INSTALLED) else ""
    home = _table().get(path.removeprefix(around))
    return home and around + home


@cache
def _table() -> dict[str, str]:
    return dict(line.split("\t") for line in TABLE.read_text(encoding="utf-8").splitlines())


def install() -> None:
    """Let old paths be found, from now on and in this process."""
    if not any(isinstance(finder, Moved) for finder in sys.meta_path):
        sys.meta_path.append(Moved())
