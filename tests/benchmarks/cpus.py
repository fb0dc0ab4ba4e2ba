"""The embedded voice on processors that are not here: what comes out, and how fast it is.

    python -m tests.benchmarks.cpus --work /tmp/cpus [--only haswell,arm64]
    python -m tests.benchmarks.cpus --work /tmp/cpus --speed
    python -m tests.benchmarks.cpus --work /tmp/cpus --only AVX2 -- python -m tests.benchmarks.agent

An emulator (Debian's `qemu-user`) runs the same Python on another CPU: that shows what is right, not what is fast, and
it knows no AVX-512. For the rest, and for speed, the `cpuid` instructions of a private copy of ONNX Runtime are trapped
and answered without the newer features (`masked_cpuid.c`; needs gcc and objdump): its kernels are then those of a
smaller CPU, at the clock and with the memory of this one. Any command can be run so.

Every CPU computes all 8-bit products of the model with activations that are worse than any speech, which have to be
right to the last bit, and a short sentence. That differs by the order of float sums, and by the 8-bit roundings which
they turn over; a text encoder that applies one 8-bit layer twelve times makes much of little. So the same sentence is
computed here with its first float layer changed in the last bits, and what comes of that is the measure: durations may
differ by as much, and the generator's sound, of the same frames, by twice as much.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

TEXT = "你好。"
DURATIONS = "/encoder/Gather_output_0"
CPUS = {
    "this CPU": ("native", ""),
    "no VNNI": ("masked", "1"),
    "AVX2": ("masked", "2"),
    "SSE4.1": ("masked", "4"),
    "nehalem": ("qemu-x86_64", "Nehalem"),
    "haswell": ("qemu-x86_64", "Haswell"),
    "arm64": ("qemu-aarch64", "max"),
}
NATIVE = "this CPU"
OTHERS = {
    "2": {"ATEN_CPU_CAPABILITY": "avx2", "CT2_FORCE_CPU_ISA": "AVX2", "ONEDNN_MAX_CPU_ISA": "AVX2"},
    "4": {"ATEN_CPU_CAPABILITY": "default", "CT2_FORCE_CPU_ISA": "GENERIC", "ONEDNN_MAX_CPU_ISA": "SSE41"},
}
"""How other libraries are told the same: torch, CTranslate2 (the ears) and oneDNN."""
CHANGES = {f"last bits, {change:+.0e}": 1 + change for change in (1e-6, -1e-6, 2e-6, -2e-6)}
EMBEDDING = "encoder.bert.embeddings.LayerNorm.weight"
ARM64_PACKAGES = (
    "python3.11-minimal libpython3.11-minimal libpython3.11-stdlib libc6 libstdc++6 libgcc-s1 zlib1g libexpat1 "
    "libssl3 libffi8 libbz2-1.0 liblzma5 libuuid1"
)
ARM64_CPUINFO = "processor\t: 0\nFeatures\t: fp asimd asimddp\nCPU implementer\t: 0x41\nCPU part\t: 0xd0c\n\n"
"""ONNX Runtime reads the file and crashes on one of an x86 CPU, which is all that the emulator has."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="a folder for copies and results, kept between runs")
    parser.add_argument("--only", help="names out of the table, separated by commas")
    parser.add_argument("--speed", action="store_true", help="instead, how fast it is here and with AVX2; 5 minutes")
    parser.add_argument("command", nargs="*", help="instead of all that, run this with the kernels of a masked CPU")
    options = parser.parse_args(arguments)
    work = options.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    if options.command:
        how, level = CPUS.get(options.only or "", ("", ""))
        if how != "masked":
            parser.error(
                "a command runs on one of " + ", ".join(name for name, (how, _) in CPUS.items() if how == "masked")
            )
        return subprocess.run(options.command, env=masked(work, level)).returncode
    if options.speed:
        return speed(work)
    prepare(work)
    native = computed(work, NATIVE, *CPUS[NATIVE])
    print(f"{'':>22}{'products':>10}{'durations within':>18}{'log-mel L1':>12}{'seconds':>9}")
    limits = (np.inf, np.inf)
    changed = [row(name, native, computed(work, name, *CPUS[NATIVE], name), limits) for name in CHANGES]
    limits = max(frames for frames, _, _ in changed), 2 * max(mel for _, mel, _ in changed)
    good = True
    for name in options.only.split(",") if options.only else CPUS:
        *_, fine = row(name, native, native if name == NATIVE else computed(work, name, *CPUS[name]), limits)
        good = good and fine
    return 0 if good else 1


def row(name: str, native: dict, result: dict, limits: tuple[float, float]) -> tuple[float, float, bool]:
    """Print a line of the table: the greatest difference of durations, in frames, that of the sound, and whether both
    are within the limits and all products exact."""
    from tests.kokoro.mel import mel_distance

    exact, products = int(result["exact"]), len(native["expected"])
    frames = 2 * float(np.abs(result["durations"] - native["durations"]).max())
    mel = mel_distance(native["audio"], result["audio"])
    fine = exact == products and frames <= limits[0] and mel <= limits[1]
    cells = f"{f'{exact}/{products}':>10}{f'{frames:.0f} frames':>18}{mel:12.4f}{float(result['seconds']):9.1f}"
    print(f"{name:>22}{cells}{'' if fine else '  WRONG'}", flush=True)
    return frames, mel, fine


def prepare(work: Path) -> None:
    """Write what every CPU computes: graphs, products with their activations, and the inputs of a sentence."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    from g2p import analyze
    from g2p.encode.kokoro import encode
    from tests.kokoro.test_saturation import hostile
    from tts_service.cache import cache_directory
    from tts_service.engine import StopSignal
    from tts_service.kokoro import KokoroEngine
    from tts_service.kokoro.derived import derive
    from tts_service.kokoro.model import model_file
    from tts_service.kokoro.symbols import Piece

    cache = cache_directory()
    derived = derive(lambda: model_file(cache), cache, lambda stage, fraction: None)
    shutil.copy(derived.generator, work / "generator.onnx")
    nodes, made, expected = [], [], {}
    for path in (derived.front, derived.generator):
        model = onnx.load(path)
        constants = {tensor.name: tensor for tensor in model.graph.initializer}
        for node in model.graph.node:
            if node.op_type in ("MatMulInteger", "MatMulIntegerToFloat"):
                weight, name = numpy_helper.to_array(constants[node.input[1]]), f"p{len(nodes)}"
                activations = hostile(weight)
                made += [numpy_helper.from_array(activations, f"a{name}"), numpy_helper.from_array(weight, f"w{name}")]
                nodes.append(helper.make_node("MatMulInteger", [f"a{name}", f"w{name}"], [name]))
                expected[name] = (activations.astype(np.float64) @ weight).astype(np.int32)
    outputs = [helper.make_tensor_value_info(name, TensorProto.INT32, None) for name in expected]
    graph = helper.make_graph(nodes, "products", [], outputs, made)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, work / "products.onnx")
    np.savez(work / "expected.npz", **expected)

    engine = KokoroEngine.load(threads=1)
    symbols, voice = encode(analyze(TEXT)), next(iter(engine._voices.values()))
    tokens = Piece(symbols.text, symbols.tokens).tokens()
    style = voice.style(len(tokens) - 2)
    utterance = engine._network.begin(tokens, voice, 1.0, StopSignal())
    count = len(utterance._frames)
    front = onnx.load(derived.front)
    embedding = next(tensor for tensor in front.graph.initializer if tensor.name == EMBEDDING)
    scale = numpy_helper.to_array(embedding)
    for name, change in {NATIVE: 1.0, **CHANGES}.items():
        embedding.CopyFrom(numpy_helper.from_array((scale * change).astype(np.float32), EMBEDDING))
        onnx.save(front, work / f"{name}.front.onnx")
        np.savez(
            work / f"{name}.feeds.npz",
            tokens=tokens[None],
            style=style[None],
            speed=np.ones(1, np.float32),
            frames=(utterance._frames * change).astype(np.float32),
            source=utterance._source,
            inner=np.array([0, count], np.int64),
            affine0=utterance._affines[0],
            affine1=utterance._affines[1],
        )


def computed(work: Path, name: str, how: str, which: str, said: str = NATIVE) -> dict:
    """Let a CPU compute what was prepared as `said`, in a process of its own."""
    target = work / f"{name}.result.npz"
    target.unlink(missing_ok=True)
    command, environment = [sys.executable], {**os.environ, "ORT_DISABLE_TELEMETRY": "1"}
    if how == "qemu-x86_64":
        command = [how, "-cpu", which, sys.executable]
    elif how == "qemu-aarch64":
        command = [how, "-cpu", which, "-L", str(arm64(work)), str(work / "arm64/root/usr/bin/python3.11")]
        environment["PYTHONPATH"] = str(work / "arm64/site")
    elif how == "masked":
        environment = masked(work, which)
    arguments = [__file__, "--child", str(work), said, str(target)]
    subprocess.run([*command, *arguments], env=environment, check=True)
    with np.load(target) as archive:
        return {key: archive[key] for key in archive.files}


def child(work: Path, said: str, target: str) -> None:
    """What runs on the other CPU: only numpy and ONNX Runtime are there."""
    import onnxruntime as ort

    began = time.perf_counter()
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    options.add_session_config_entry("mlas.disable_kleidiai", "1")  # as `open_session` has it

    def run(name: str, outputs: list[str], inputs: dict) -> list[np.ndarray]:
        return ort.InferenceSession(str(work / f"{name}.onnx"), options).run(outputs, inputs)

    with np.load(work / f"{said}.feeds.npz") as archive:
        feeds = {key: archive[key] for key in archive.files}
    durations = run(f"{said}.front", [DURATIONS], {key: feeds.pop(key) for key in ("tokens", "style", "speed")})[0]
    audio = run("generator", ["audio"], feeds)[0]
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    with np.load(work / "expected.npz") as expected:
        names = expected.files
        products = run("products", names, {})
        exact = sum(bool((expected[key] == value).all()) for key, value in zip(names, products, strict=True))
    seconds = time.perf_counter() - began
    np.savez(target, durations=durations, audio=audio, exact=exact, expected=np.array(names), seconds=seconds)


def masked(work: Path, level: str) -> dict[str, str]:
    """An environment in which Python finds the ONNX Runtime that asks us which CPU this is."""
    place, trap = work / "masked", work / "masked" / "trap.so"
    if not trap.exists():
        import onnxruntime

        shutil.copytree(Path(onnxruntime.__file__).parent, place / "onnxruntime", dirs_exist_ok=True)
        library = next((place / "onnxruntime" / "capi").glob("onnxruntime_pybind11_state*.so"))
        library.write_bytes(without_cpuid(library))
        source = Path(__file__).with_name("masked_cpuid.c")
        subprocess.run(["gcc", "-O2", "-shared", "-fPIC", str(source), "-o", str(trap)], check=True)
    path = os.pathsep.join([str(place), *filter(None, sys.path)])
    found = {
        **os.environ,
        "ORT_DISABLE_TELEMETRY": "1",
        "CPUS_MASK": level,
        "LD_PRELOAD": str(trap),
        "PYTHONPATH": path,
    }
    return found | OTHERS.get(level, {})


def without_cpuid(library: Path) -> bytes:
    """The library with `ud2` in place of every `cpuid`; both are two bytes long."""

    def lines(*command: str) -> list[str]:
        return subprocess.run([*command, str(library)], check=True, capture_output=True, text=True).stdout.splitlines()

    segments = [
        [int(number, 16) for number in (fields[1], fields[2], fields[4])]
        for fields in map(str.split, lines("readelf", "-lW"))
        if fields[:1] == ["LOAD"]
    ]
    content = bytearray(library.read_bytes())
    for line in lines("objdump", "-d", "--no-show-raw-insn"):
        address, _, instruction = line.partition(":")
        if instruction.strip() == "cpuid":
            here = int(address, 16)
            offset = next(start + here - virtual for start, virtual, size in segments if 0 <= here - virtual < size)
            assert content[offset : offset + 2] == b"\x0f\xa2"
            content[offset : offset + 2] = b"\x0f\x0b"
    return bytes(content)


def arm64(work: Path) -> Path:
    """A folder with Debian's Python for arm64 and its libraries; the wheels go beside it."""
    place = work / "arm64"
    root, site = place / "root", place / "site"
    if site.exists():
        return root
    state = place / "apt"
    for folder in ("lists/partial", "debs", "cache/archives/partial"):
        (state / folder).mkdir(parents=True, exist_ok=True)
    settings = {
        "APT::Architecture": "arm64",
        "APT::Architectures": "arm64",
        "APT::Sandbox::User": "root",
        "Dir::State::Lists": state / "lists",
        "Dir::Cache": state / "cache",
        "Dir::State::Status": "/dev/null",
    }
    apt = ["apt-get", "-q", *(f"-o{key}={value}" for key, value in settings.items())]
    subprocess.run([*apt, "update"], check=True)
    subprocess.run([*apt, "download", *ARM64_PACKAGES.split()], check=True, cwd=state / "debs")
    for package in (state / "debs").glob("*.deb"):
        subprocess.run(["dpkg", "-x", str(package), str(root)], check=True)
    for path, content in {"proc/cpuinfo": ARM64_CPUINFO, **dict.fromkeys(ARM64_CORES, "0\n")}.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(content)
    wheels = place / "wheels"
    platforms = [f"--platform=manylinux_{minor}_aarch64" for minor in ("2_28", "2_27", "2_17")]
    pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:", "--python-version=311"]
    packages = [f"{name}=={importlib.metadata.version(name)}" for name in ("numpy", "onnxruntime")]
    subprocess.run([*pip, *platforms, "-d", str(wheels), *packages], check=True)
    for wheel in wheels.glob("*.whl"):
        zipfile.ZipFile(wheel).extractall(site)
    return root


ARM64_CORES = [f"sys/devices/system/cpu/{name}" for name in ("possible", "present", "online")]


def speed(work: Path) -> int:
    """What is judged, with this CPU's kernels and with those of AVX2, beside the peers on the same kernels."""
    from tts_service.speech import pace

    command = [sys.executable, "-m", "tests.benchmarks.tts", "--quick", "--only", "table,playback,cancel"]
    for name, level in ((pace.instructions(), "0"), ("AVX2", "2")):
        print(f"\n== kernels of {name}", flush=True)
        subprocess.run(command, env=masked(work, level), check=True)
    print(f"\npublished, not measured here: {'; '.join(PUBLISHED)}")
    return 0


PUBLISHED = (
    "kokoro-pi on a Raspberry Pi 5: first audio 1.59 s, RTF 0.51",
    "pocket-tts on 4 x86 cores, no Chinese: first audio 0.2 to 0.3 s",
)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(Path(sys.argv[2]), sys.argv[3], sys.argv[4])
    else:
        sys.exit(main())
