"""Who may import whom. The drawing is in docs/architecture.md; this keeps it true."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from pipecat_glm_tts.moved import TABLE

ROOT = Path(__file__).parent.parent
PACKAGES = ("pipecat_glm_tts", "g2p", "tts_service", "agent")
CONTRACT = "tts_service.engine tts_service.audio tts_service.files tts_service.cache".split()
FLOOR = [f"pipecat_glm_tts.{name}" for name in ("silence", "wording", "errors", "extras", "folders")]
ROOMS = {
    "pipecat_glm_tts": [],
    "g2p.normalization": ["g2p.mandarin"],
    "g2p.polyphones": [],
    "g2p": ["g2p.normalization", "g2p.polyphones"],
    "tts_service": ["g2p", "tts_service.speech"],
    "tts_service.speech": ["g2p", *CONTRACT],
    "tts_service.voices": CONTRACT,
    "tts_service.workshop": ["g2p", "tts_service.speech", "tts_service.voices", *CONTRACT],
    "tts_service.serving": ["tts_service.speech", "tts_service.voices", "tts_service.workshop", *CONTRACT],
    "tts_service.studio": [
        "g2p",
        "tts_service.memory",
        "tts_service.speech",
        "tts_service.voices",
        "tts_service.workshop",
        "tts_service.kokoro.matching",
        *CONTRACT,
    ],
    "tts_service.cli": ["tts_service", "g2p"],
    "tts_service.kokoro": ["g2p", "tts_service.kokoro.graphs", "tts_service.voices", *CONTRACT],
    "tts_service.kokoro.graphs": [],
    "tts_service.glm": ["g2p", "tts_service.glm", "tts_service.voices", *CONTRACT],
    "tts_service.glm.device": ["tts_service.engine"],
    "tts_service.glm.published": CONTRACT,
    "tts_service.glm.language_model": ["tts_service.glm.device", "tts_service.glm.published"],
    "tts_service.glm.flow_matching": [
        "tts_service.engine",
        "tts_service.glm.device",
        "tts_service.glm.published",
        "tts_service.glm.language_model",
    ],
    "tts_service.glm.vocoding": ["tts_service.engine", "tts_service.glm.device", "tts_service.glm.published"],
    "tts_service.glm.listening": [
        "tts_service.glm.device",
        "tts_service.glm.published",
        "tts_service.voices",
        *CONTRACT,
    ],
    "agent": ["agent", "g2p", "tts_service"],
    "agent.brain": ["agent.settings", "g2p", "tts_service.service", "tts_service.rehearsal"],
    "agent.ears": ["agent.turns", "tts_service.voices", "tts_service.engine"],
    "agent.turns": ["agent.settings", "g2p"],
    "agent.realtime": ["agent.pipeline", "agent.settings", "agent.brain", "tts_service"],
    "agent.transports.sip": ["agent.transports.resample"],
}
"""What may be known, when it is imported, by what lies in a room; beside the room itself, and `FLOOR`."""
FEW = 12
"""Modules in one folder, that a stranger still reads the names of."""
PIPECAT_FREE = (
    "tts_service.cli",
    "tts_service.studio",
    "tts_service.serving",
    "tts_service.workshop",
    "tts_service.speech",
    "tts_service.voices",
    "tts_service.kokoro",
    "tts_service.glm",
)
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


def within(module, place):
    return module == place or module.startswith(f"{place}.")


def room(module):
    return max((name for name in ROOMS if within(module, name)), key=len)


def test_the_graph_sees_what_it_should():
    assert "tts_service.speech.segmenter" in AT_ONCE["tts_service.speech.synthesizer"]
    assert "tts_service.speech.synthesizer" in AT_ALL["tts_service"]
    assert "tts_service.speech.synthesizer" not in AT_ONCE["tts_service"]


@pytest.mark.parametrize("name", ROOMS)
def test_a_room_knows_only_what_it_may(name):
    assert any(room(module) == name for module in MODULES), "nothing lies there any more"
    for module, known in AT_ONCE.items():
        if room(module) == name:
            others = {one for one in known if room(one) != name and one not in FLOOR}
            strangers = {one for one in others if not any(within(one, place) for place in ROOMS[name])}
            assert not strangers, f"{module} imports {sorted(strangers)}"


@pytest.mark.parametrize("package", [package for package in PACKAGES if package != "pipecat_glm_tts"])
def test_even_later_no_package_knows_one_above_it(package):
    above = PACKAGES[PACKAGES.index(package) + 1 :]
    for module, known in AT_ALL.items():
        if within(module, package):
            assert not [name for name in known if name.partition(".")[0] in above], module


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


@pytest.mark.parametrize("folder", sorted({path.parent for path in MODULES.values()}), ids=lambda path: path.name)
def test_a_folder_is_read_at_a_glance(folder):
    inside = [path.name for path in MODULES.values() if path.parent == folder and not path.name.startswith("__")]
    assert len(inside) <= FEW, sorted(inside)


def test_every_package_says_what_lives_there():
    for module, path in MODULES.items():
        if path.name == "__init__.py":
            assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), module


@pytest.mark.parametrize("part", PIPECAT_FREE)
def test_pipecat_is_needed_by_the_service_only(part):
    for module, path in MODULES.items():
        if within(module, part):
            for node in imports(ast.parse(path.read_text(encoding="utf-8")), deferred=True):
                names = [node.module] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
                assert not [name for name in names if name.partition(".")[0] == "pipecat"], module


def test_what_moved_is_found_where_it_was():
    pairs = [line.split("\t") for line in TABLE.read_text(encoding="utf-8").splitlines()]
    assert all(new in MODULES and old not in MODULES for old, new in pairs)
    script = (
        "import sys, warnings; warnings.simplefilter('error')\n"
        "from tts_service.speech import segmenter\n"
        "try:\n    import tts_service.segmenter\n"
        "except DeprecationWarning as said: assert 'tts_service.speech.segmenter' in str(said)\n"
        "else: raise SystemExit('no warning')\n"
        "warnings.simplefilter('ignore')\n"
        "import tts_service.segmenter as old\n"
        "from tts_service import segmenter as also\n"
        "assert old is also is segmenter and segmenter.__spec__.name == 'tts_service.speech.segmenter'\n"
        "from tts_service.voices import Library\n"
        "try:\n    import tts_service.nowhere\n"
        "except ModuleNotFoundError as error: assert error.name == 'tts_service.nowhere'\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=ROOT)
