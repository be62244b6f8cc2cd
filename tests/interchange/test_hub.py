"""Addresses on the hub, against a server on this machine that speaks as the hub does."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import PurePosixPath
from urllib.parse import parse_qs

import pytest
from published_models import make, publish

from headstart.errors import HeadstartError
from headstart.interchange.hub import Address
from headstart.interchange.model_folder import load_model

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def _entries(files):
    """What the hub says of files and the folders that they are in."""
    found = [
        {"type": "file", "path": file, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}
        for file, data in files.items()
    ]
    folders = {parent for file in files for parent in PurePosixPath(file).parents if parent.name}
    return found + [{"type": "directory", "path": str(one), "oid": "0" * 40} for one in sorted(folders)]


class Hub(BaseHTTPRequestHandler):
    """Holds one repository of models and one of data, in `server.files`; takes commits in."""

    def log_message(self, *said) -> None:
        pass

    def _answer(self, status, body=b"", **headers) -> None:
        self.send_response(status)
        for name, value in ({"Content-Length": len(body)} | headers).items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_GET(self) -> None:
        path = self.path.split("?")[0]
        self.server.seen.append(path)
        for repo, files in self.server.files.items():
            kind = "" if repo.startswith("datasets/") else "models/"
            if path == f"/api/{kind}{repo}" or path.startswith(f"/api/{kind}{repo}/revision/"):
                if "/revision/" in path and path.rsplit("/", 1)[1] not in ("main", "v1", COMMIT):
                    return self._answer(404, b"{}", X_Error_Code="RevisionNotFound")
                name = repo.removeprefix("datasets/")
                siblings = [{"rfilename": file, "size": len(data)} for file, data in files.items()]
                body = {"id": name, "sha": COMMIT, "siblings": siblings, "private": False, "tags": []}
                return self._answer(200, json.dumps(body).encode(), Content_Type="application/json")
            if path.startswith(f"/api/{kind}{repo}/tree/"):
                place = PurePosixPath(*path.removeprefix(f"/api/{kind}{repo}/tree/").split("/")[1:])
                deep = "recursive=true" in self.path.lower()
                tree = [
                    one
                    for one in _entries(files)
                    if place == (above := PurePosixPath(one["path"]).parent)
                    or (deep and place in above.parents)
                ]
                return self._answer(200, json.dumps(tree).encode(), Content_Type="application/json")
            head = f"/{repo}/resolve/"
            if path.startswith(head):
                data = files.get(path.removeprefix(head).split("/", 1)[1])
                if data is None:
                    return self._answer(404, b"", X_Error_Code="EntryNotFound")
                tag = f'"{hashlib.sha1(data).hexdigest()}"'
                return self._answer(200, data, X_Repo_Commit=COMMIT, ETag=tag, Accept_Ranges="bytes")
        return self._answer(404, b"{}", X_Error_Code="RepoNotFound")

    do_HEAD = do_GET

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.seen.append(self.path)
        origin = f"http://127.0.0.1:{self.server.server_port}"
        if self.path.endswith("/repos/create"):
            answer = {"url": f"{origin}/org/new", "name": "org/new"}
        elif "/paths-info/" in self.path:
            repo = self.path.split("/paths-info/")[0].removeprefix("/api/")
            asked = parse_qs(body.decode())["paths"] if body[:1] != b"{" else json.loads(body)["paths"]
            answer = [one for one in _entries(self.server.files[repo]) if one["path"] in asked]
        elif "/preupload/" in self.path:
            files = json.loads(body)["files"]
            answer = {
                "files": [{"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in files]
            }
        elif "/commit/" in self.path:
            lines = [json.loads(line) for line in body.splitlines()]
            self.server.committed = [line["value"]["path"] for line in lines if line["key"] == "file"]
            answer = {"success": True, "commitOid": COMMIT, "commitUrl": f"{origin}/org/new/commit/{COMMIT}"}
        else:
            answer = {}
        self._answer(200, json.dumps(answer).encode(), Content_Type="application/json")


@pytest.fixture
def hub(tmp_path):
    """The server, and a way to run headstart with it as the hub."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.files, server.seen, server.committed = {}, [], []
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def run(*arguments):
        environment = os.environ | {
            "HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}",
            "HF_HOME": str(tmp_path / "cache"),
            "HF_TOKEN": "hf_nobody",
            "HF_HUB_OFFLINE": "0",
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        }
        command = [sys.executable, "-m", "headstart", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=600)

    yield server, run
    server.shutdown()


def files_of(folder):
    found = {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    return found | {"pytorch_model.bin": b"a pickle", "onnx/model.onnx": b"something else"}


def test_a_model_is_imported_and_its_commit_written_down(kinds, tmp_path, hub) -> None:
    server, run = hub
    source = publish(tmp_path / "m", *make("gpt2", kinds, "LMHeadModel"))
    server.files["org/tiny"] = files_of(source)
    done = run("import", "hf://org/tiny@v1", "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    fields = json.loads((tmp_path / "out" / "config.json").read_text())
    assert fields["headstart"]["source"] == f"hf://org/tiny@{COMMIT}"
    assert load_model(tmp_path / "out").model.config == load_model(source).model.config
    assert not any("pytorch_model.bin" in path or "onnx" in path for path in server.seen)
    checked = run("import", "hf://org/tiny", "--check")
    assert checked.returncode == 0, checked.stderr
    assert "gpt2 for causal" in checked.stdout


def test_what_is_not_there_is_said_in_a_sentence(kinds, tmp_path, hub) -> None:
    server, run = hub
    server.files["org/tiny"] = {"config.json": b"{}"}
    for address, sentence in (
        ("hf://org/none", "hf://org/none is not there, or not for everybody"),
        ("hf://org/tiny@v9", "hf://org/tiny has no such revision"),
        ("hf://org", "is no address on the hub"),
        ("hf://datasets/org/tiny", "is a data set, not a model"),
        ("hf://org/tiny", "holds no model.safetensors"),
    ):
        done = run("import", address, "--out", tmp_path / "out")
        assert done.returncode == 2
        assert sentence in done.stderr, done.stderr
        assert "Traceback" not in done.stderr


REVIEWS = [f"{'good' if n % 2 else 'bad'} film {n},{'pos' if n % 2 else 'neg'}" for n in range(24)]


def test_labelled_data_are_fetched_and_their_commit_written_down(kinds, tmp_path, hub) -> None:
    server, run = hub
    source = publish(tmp_path / "m", *make("bert", kinds, "ForMaskedLM"))
    server.files["datasets/org/reviews"] = {
        "README.md": b"# Reviews",
        "en/train.csv": "\n".join(["text,label", *REVIEWS]).encode(),
        "en/test.csv": "\n".join(["text,label", *REVIEWS[:6]]).encode(),
        "de/train.csv": b"no,table",
        "pictures/one.png": b"no data",
    }
    out = tmp_path / "run"
    done = run("finetune", source, "--data", "hf://datasets/org/reviews@v1/en", "--out", out, "epochs=1")
    assert done.returncode == 0, done.stderr
    assert json.loads((out / "scores.json").read_text())["test_examples"] == 6
    assert json.loads((out / "run.json").read_text())["data"] == f"hf://datasets/org/reviews@{COMMIT}/en"
    assert not any("de/train" in path or "pictures" in path for path in server.seen)

    address = "hf://datasets/org/reviews/en/test.csv"
    for on in (address, f"labels:{address}"):
        done = run("evaluate", out, "--on", on, "--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["evaluations"][0]["scores"][0]["n"] == 6
    done = run("data", "check", "hf://datasets/org/reviews/en/train.csv")
    assert "24 examples" in done.stdout, done.stderr
    for wrong, sentence in (
        ("hf://datasets/org/none", "is not there, or not for everybody"),
        ("hf://datasets/org/reviews/fr", "no such file or folder"),
        ("hf://org/reviews", "is a model, not data"),
    ):
        done = run("data", "check", wrong)
        assert done.returncode == 2
        assert sentence in done.stderr, done.stderr
        assert "Traceback" not in done.stderr


def test_a_corpus_is_read_from_data_on_the_hub(tmp_path, hub) -> None:
    """Part by part, without a copy of it; which commit it was is in the manifest."""
    server, run = hub
    texts = [
        f"The ship number {n} came home at night, and the whole town was at the harbour." for n in range(9)
    ]
    lines = b"".join(json.dumps({"text": text}).encode() + b"\n" for text in texts)
    server.files["datasets/org/text"] = {
        "data/one.jsonl": lines,
        "data/two.jsonl": lines.replace(b"ship", b"boat"),
    }
    settings = ("rules.defaults=off", "languages=any", "language_score=0")
    for given in ("hf://datasets/org/text", "hf://datasets/org/text@v1/data/*.jsonl"):
        out = tmp_path / given.rsplit("/", 1)[1][:4]
        done = run("corpus", "build", given, "--out", out, *settings)
        assert done.returncode == 0, done.stderr
        manifest = json.loads((out / "manifest.json").read_text())
        assert f"@{COMMIT}/" in json.dumps(manifest), manifest


def test_an_export_is_handed_in(kinds, tmp_path, hub) -> None:
    server, run = hub
    source = publish(tmp_path / "m", *make("bert", kinds, "ForMaskedLM"))
    done = run("export", source, "--out", tmp_path / "out", "--push", "org/new")
    assert done.returncode == 0, done.stderr
    assert f"handed in as hf://org/new@{COMMIT}" in done.stdout
    assert {"config.json", "model.safetensors", "tokenizer.json", "README.md"} <= set(server.committed)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hf://a/b", Address("a/b", None)),
        ("hf://a/b-c.d@v1.0", Address("a/b-c.d", "v1.0")),
        ("hf://datasets/a/b@x/data/train.csv", Address("a/b", "x", True, "data/train.csv")),
    ],
)
def test_addresses(text, expected) -> None:
    assert Address.read(text) == expected


@pytest.mark.parametrize("text", ["hf://a", "hf://a/b/c", "hf://a/b@", "http://a/b"])
def test_what_is_no_address(text) -> None:
    with pytest.raises(HeadstartError, match="no address on the hub"):
        Address.read(text)
