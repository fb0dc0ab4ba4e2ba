"""Who may import whom. The drawing is in docs/architecture.md; this keeps it true."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("pipecat_glm_tts", "g2p", "tts_service", "agent")
MAY_KNOW = {
    "pipecat_glm_tts": set(),
    "g2p": {"pipecat_glm_tts"},
    "tts_service": {"pipecat_glm_tts", "g2p"},
    "agent": {"pipecat_glm_tts", "g2p", "tts_service"},
}
ENGINES = ("tts_service.kokoro", "tts_service.glm", "tts_service.remote")
BELOW_ENGINES = ("tts_service.engine", "tts_service.files", "tts_service.audio", "tts_service.pitch")
"""What an engine may use of the rest of `tts_service`,"""
RECORDINGS = ("tts_service.voices", "tts_service.reference", "tts_service.recogniser")
"""and to make a voice of a recording."""
PIPECAT_FREE = ("tts_service.cli", "tts_service.batch", "tts_service.studio", "tts_service.synthesizer", *ENGINES)
"""Parts that are used without Pipecat."""


def modules():
    found = {}
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            if "training" not in path.parts:
                found[".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")] = path
    return found


MODULES = modules()


def imports(tree, deferred, typed=False):
    """Statements that import, those inside functions too if `deferred`, those that a type checker sees if `typed`."""
    for node in ast.iter_child_nodes(tree):
        if not typed and isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif deferred or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from imports(node, deferred, typed)


def graph(deferred, typed=False):
    """Module -> the modules of the project that it imports."""
    known = {}
    for module, path in MODULES.items():
        names = set()
        for node in imports(ast.parse(path.read_text(encoding="utf-8")), deferred, typed):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            else:
                assert node.level == 0, f"{module}: a relative import"
                inside = {f"{node.module}.{alias.name}" for alias in node.names}
                names |= {name if name in MODULES else node.module for name in inside}
        known[module] = {name for name in names if name.partition(".")[0] in PACKAGES}
    return known


AT_ONCE, AT_ALL = graph(deferred=False), graph(deferred=True)


def test_the_graph_sees_what_it_should():
    assert "tts_service.segmenter" in AT_ONCE["tts_service.synthesizer"]
    assert "tts_service.synthesizer" in AT_ALL["tts_service"]
    assert "tts_service.synthesizer" not in AT_ONCE["tts_service"]


@pytest.mark.parametrize("package", [package for package in PACKAGES if package != "pipecat_glm_tts"])
def test_packages_know_only_those_below(package):
    for module, known in AT_ALL.items():
        if module.partition(".")[0] == package:
            strangers = {name for name in known if name.partition(".")[0] not in MAY_KNOW[package] | {package}}
            assert not strangers, f"{module} imports {sorted(strangers)}"


def test_no_circles():
    """None at all: neither through imports inside functions nor through those for a type checker."""
    known, done, path = graph(deferred=True, typed=True), set(), []

    def visit(module):
        assert module not in path, " -> ".join([*path[path.index(module) :], module])
        if module in done:
            return
        path.append(module)
        for name in known[module] - {module}:
            visit(name)
        path.pop()
        done.add(module)

    for module in MODULES:
        visit(module)


@pytest.mark.parametrize("engine", ENGINES)
def test_an_engine_knows_the_contract_and_nothing_of_who_uses_it(engine):
    for module, known in AT_ONCE.items():
        if module.startswith(engine):
            allowed = (engine, *BELOW_ENGINES, *RECORDINGS)
            strangers = {name for name in known if name.startswith("tts_service") and not name.startswith(allowed)}
            assert not strangers, f"{module} imports {sorted(strangers)}"


@pytest.mark.parametrize("part", PIPECAT_FREE)
def test_pipecat_is_needed_by_the_service_only(part):
    for module, path in MODULES.items():
        if module.startswith(part):
            for node in imports(ast.parse(path.read_text(encoding="utf-8")), deferred=True):
                names = [node.module] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
                assert not [name for name in names if name.partition(".")[0] == "pipecat"], module
