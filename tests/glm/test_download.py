"""Fetching a checkpoint from servers that speak the hubs' protocols, through interruption and corruption."""

import hashlib
import json
import re
import shutil
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from tests.glm.conftest import CHECKPOINT
from tts_service.glm import GLMEngine
from tts_service.glm.doctor import examine
from tts_service.glm.published.download import MODEL, SPEAKER, DownloadError, download


class Hub:
    """A hub with the tiny checkpoint, and the ways in which networks fail."""

    def __init__(self):
        self.files = {
            str(path.relative_to(CHECKPOINT)): path.read_bytes()
            for path in sorted(CHECKPOINT.rglob("*"))
            if path.is_file() and path.parent.name != "frontend"
        }
        self.files["llm/modeling.py"] = b"raise SystemExit('remote code')"
        self.files["README.md"] = b"read me"
        self.speaker = (CHECKPOINT / "frontend" / "campplus.onnx").read_bytes()
        self.break_after = {}
        """File -> bytes after which a connection breaks, once each."""
        self.spoil = {}
        """File -> how many answers are corrupted."""
        self.extra = []
        self.requests = []
        self.ranges = True
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                hub.answer(self)

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def repository(self, name):
        if name in MODEL.values():
            return self.files
        return {"campplus.onnx": self.speaker} if name in SPEAKER.values() else None

    def answer(self, request):
        url = urllib.parse.urlsplit(request.path)
        self.requests.append(url.path)
        for prefix, suffix, listing in (
            ("/api/models/", "/tree/main", self.huggingface),
            ("/api/v1/models/", "/repo/files", self.modelscope),
        ):
            if url.path.startswith(prefix):
                repository = self.repository(url.path.removeprefix(prefix).removesuffix(suffix))
                if repository is None:
                    return request.send_error(404)
                return self.send(request, 200, json.dumps(listing(repository)).encode())
        repository, _, path = url.path.removeprefix("/models").strip("/").partition("/resolve/")
        path = urllib.parse.unquote(path.partition("/")[2])
        content = self.repository(repository)[path]
        start = 0
        if self.ranges and (wanted := request.headers.get("Range")):
            start = int(wanted.removeprefix("bytes=").partition("-")[0])
            if start >= len(content):
                return request.send_error(416)
        body = content[start:]
        if self.spoil.get(path, 0) > 0:
            self.spoil[path] -= 1
            body = bytes([body[0] ^ 255]) + body[1:]
        limit = self.break_after.pop(path, None)
        self.send(request, 206 if start or (self.ranges and "Range" in request.headers) else 200, body, limit)

    def send(self, request, status, body, limit=None):
        request.send_response(status)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body[:limit])
        if limit is not None:
            request.close_connection = True

    def huggingface(self, files):
        entries = [{"type": "directory", "path": "llm", "oid": "0"}]
        for path, content in files.items():
            git = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
            entry = {"type": "file", "path": path, "size": len(content), "oid": git}
            if len(content) > 100_000:
                entry["lfs"] = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content)}
            entries.append(entry)
        return entries + self.extra

    def modelscope(self, files):
        entries = [
            {"Type": "blob", "Path": path, "Size": len(content), "Sha256": hashlib.sha256(content).hexdigest()}
            for path, content in files.items()
        ]
        return {"Code": 200, "Data": {"Files": [{"Type": "tree", "Path": "llm"}, *entries]}}


@pytest.fixture
def hub(monkeypatch):
    hub = Hub()
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    monkeypatch.setenv("MODELSCOPE_ENDPOINT", hub.url)
    yield hub
    hub.close()


def fetched(hub):
    return [path for path in hub.requests if "/resolve/" in path]


@pytest.mark.parametrize("source", ["huggingface", "modelscope"])
def test_a_checkpoint_is_fetched_whole_and_speaks(hub, tmp_path, source):
    seen = []
    size = download(tmp_path, source, lambda name, done, total: seen.append((name, done, total)))
    for path, content in hub.files.items():
        if not path.endswith((".py", ".md")):
            assert (tmp_path / path).read_bytes() == content
    assert (tmp_path / "frontend" / "campplus.onnx").read_bytes() == hub.speaker
    assert not (tmp_path / "llm" / "modeling.py").exists(), "no code is fetched"
    done = [entry[1] for entry in seen]
    assert done == sorted(done)
    assert seen[-1][1] == seen[-1][2] == size
    GLMEngine.load(tmp_path, voices=tmp_path / "voices", device="cpu").close()
    assert all(finding.good for finding in examine(tmp_path))


def test_what_is_there_is_not_fetched_again(hub, tmp_path):
    download(tmp_path)
    hub.requests.clear()
    download(tmp_path)
    assert fetched(hub) == []


@pytest.mark.parametrize("ranges", [True, False])
def test_a_broken_connection_is_taken_up_again(hub, tmp_path, ranges):
    hub.ranges = ranges
    hub.break_after = {"flow/flow.pt": 3_000_000, "llm/config.json": 5}
    download(tmp_path)
    assert (tmp_path / "flow" / "flow.pt").read_bytes() == hub.files["flow/flow.pt"]
    assert (tmp_path / "llm" / "config.json").read_bytes() == hub.files["llm/config.json"]
    assert not list(tmp_path.rglob("*.incomplete"))


def test_an_interrupted_download_goes_on_in_the_next_run(hub, tmp_path):
    def interrupt(name, done, total):
        if name == "flow/flow.pt":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        download(tmp_path, progress=interrupt)
    part = tmp_path / "flow" / "flow.pt.incomplete"
    assert 0 < part.stat().st_size < len(hub.files["flow/flow.pt"])
    served = []
    send = hub.send
    hub.send = lambda request, status, body, limit=None: (served.append(len(body)), send(request, status, body, limit))
    begun = part.stat().st_size
    download(tmp_path)
    assert len(hub.files["flow/flow.pt"]) - begun in served, "only the rest was sent"
    assert (tmp_path / "flow" / "flow.pt").read_bytes() == hub.files["flow/flow.pt"]


@pytest.mark.parametrize("surplus", [0, 1, 1000])
def test_a_part_of_another_file_that_is_too_long_to_go_on_with_is_dropped(hub, tmp_path, surplus):
    part = tmp_path / "hift" / "hift.pt.incomplete"
    part.parent.mkdir()
    part.write_bytes(bytes(len(hub.files["hift/hift.pt"]) + surplus))
    download(tmp_path)
    assert (tmp_path / "hift" / "hift.pt").read_bytes() == hub.files["hift/hift.pt"]
    assert not part.exists()


@pytest.mark.parametrize("path", ["hift/hift.pt", "flow/config.yaml"])
def test_corruption_is_noticed_and_repaired(hub, tmp_path, path):
    hub.spoil = {path: 1}
    download(tmp_path)
    assert (tmp_path / path).read_bytes() == hub.files[path]
    (tmp_path / path).write_bytes(hub.files[path][:-1] + b"?")
    download(tmp_path)
    assert (tmp_path / path).read_bytes() == hub.files[path]


def test_lasting_corruption_is_an_error_and_leaves_no_file(hub, tmp_path):
    hub.spoil = {"hift/hift.pt": 100}
    with pytest.raises(DownloadError, match=r"hift/hift\.pt.*hash"):
        download(tmp_path)
    assert not (tmp_path / "hift" / "hift.pt").exists()


@pytest.mark.parametrize("path", ["../outside.bin", "/etc/passwd", "llm/../../outside.bin", "llm\\..\\outside.bin"])
def test_a_listing_that_points_outside_is_refused(hub, tmp_path, path):
    hub.extra = [{"type": "file", "path": path, "size": 1, "oid": "0"}]
    with pytest.raises(DownloadError, match="outside"):
        download(tmp_path / "inside")
    assert list(tmp_path.rglob("*")) == []


def test_the_message_offline_says_what_can_be_done(hub, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(DownloadError, match=r"cannot be reached.*HF_ENDPOINT.*modelscope"):
        download(tmp_path)


def test_other_failures_are_explained(hub, tmp_path, monkeypatch):
    with pytest.raises(DownloadError, match="huggingface or modelscope"):
        download(tmp_path, "github")
    hub.files = {"README.md": b"moved"}
    with pytest.raises(DownloadError, match="none of the expected"):
        download(tmp_path)
    (tmp_path / "file").write_text("")
    hub.files = {"llm/config.json": b"{}"}
    with pytest.raises(DownloadError, match="cannot be written"):
        download(tmp_path / "file")
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 0})())
    hub.files = {"llm/config.json": b"{}" * 10_000_000}
    with pytest.raises(DownloadError, match="MB free"):
        download(tmp_path / "full")
    monkeypatch.setattr(hub, "repository", lambda name: None)
    with pytest.raises(DownloadError, match="404"):
        download(tmp_path)


def test_the_doctor_names_what_is_missing(tmp_path):
    findings = {finding.subject: finding for finding in examine(tmp_path)}
    bad = [finding for finding in findings.values() if not finding.good]
    assert len(bad) == 6
    assert all("glm-tts download" in finding.detail for finding in bad)


def test_the_doctor_says_which_file_is_a_program():
    assert [finding.detail for finding in examine(CHECKPOINT) if "TorchScript" in finding.detail] != []


@pytest.mark.parametrize(("gigabytes", "good", "room"), [(7, False, 1), (8, True, 1), (12, True, 5), (24, True, 16)])
def test_the_doctor_knows_how_many_can_speak_on_a_gpu(monkeypatch, gigabytes, good, room):
    device = SimpleNamespace(name="Some GPU", total_memory=24 * 10**9)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: device)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda number: (gigabytes * 10**9, device.total_memory))
    gpu = examine(CHECKPOINT)[-1]
    assert gpu.good == good
    assert re.findall(r"[\d.]+", gpu.detail) == ["24.0", f"{gigabytes:.1f}", "7.3", "1.0", str(room)]
    page = (Path(__file__).parents[2] / "docs" / "glm-tts.md").read_text(encoding="utf-8")
    assert "One speaker takes 7.3 GB by reckoning, each further one at most 1.0 GB" in page


def test_the_doctor_finds_a_damaged_weight(tmp_path):
    shutil.copytree(CHECKPOINT, tmp_path / "checkpoint")
    assert all(finding.good for finding in examine(tmp_path / "checkpoint", load=True))
    path = tmp_path / "checkpoint" / "hift" / "hift.pt"
    path.write_bytes(path.read_bytes()[:-2000])
    *healthy, weights = examine(tmp_path / "checkpoint", load=True)
    assert all(finding.good for finding in healthy)
    assert not weights.good
    assert "hift.pt" in weights.detail
