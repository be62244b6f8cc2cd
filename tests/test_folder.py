"""Writing is atomic: an error or a kill leaves what was there before."""

import ast
import errno
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import headstart
from headstart.errors import HeadstartError, explain_os_error, nearest
from headstart.folder import (
    atomic,
    fingerprint,
    read_json,
    read_json_lines,
    read_manifest,
    remove,
    write_json,
    write_manifest,
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_file(tmp_path) -> None:
    path = tmp_path / "deep" / "file.txt"
    for text in ("one", "two"):
        with atomic(path) as temporary:
            temporary.write_text(text)
            assert not path.exists() or path.read_text() != text
        assert path.read_text() == text
    assert names(path.parent) == ["file.txt"]


def test_folder(tmp_path) -> None:
    path = tmp_path / "folder"
    for text in ("one", "two"):
        with atomic(path) as temporary:
            (temporary / "sub").mkdir(parents=True)
            (temporary / "sub" / text).write_text(text)
        assert names(path / "sub") == [text]
    assert names(tmp_path) == ["folder"]


@pytest.mark.parametrize("kind", ["file", "folder"])
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_error_leaves_the_old(tmp_path, kind, error) -> None:
    path = tmp_path / "it"

    def write(temporary: Path, text: str) -> None:
        if kind == "folder":
            temporary.mkdir()
            temporary = temporary / "inner"
        temporary.write_text(text)

    with atomic(path) as temporary:
        write(temporary, "old")
    with pytest.raises(error), atomic(path) as temporary:  # noqa: PT012
        write(temporary, "new")
        raise error
    assert (path / "inner" if kind == "folder" else path).read_text() == "old"
    assert names(tmp_path) == ["it"]


def test_error_while_taking_the_place_brings_the_old_back(tmp_path, monkeypatch) -> None:
    path = tmp_path / "it"
    with atomic(path) as temporary:
        temporary.mkdir()
        (temporary / "old").touch()

    def refuse(self: Path, target: Path) -> None:
        raise OSError(errno.EIO, "broken disk")

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(OSError, match="broken disk"), atomic(path) as temporary:
        temporary.mkdir()
    assert names(path) == ["old"]
    assert names(tmp_path) == ["it"]


KILLED = """
import sys, time
from pathlib import Path
from headstart.folder import atomic
with atomic(Path(sys.argv[1])) as folder:
    folder.mkdir()
    (folder / "half").write_text("half")
    print("ready", flush=True)
    time.sleep(60)
"""


def test_killed_writer_leaves_nothing_that_counts_and_its_rest_is_swept(tmp_path) -> None:
    path = tmp_path / "it"
    writer = subprocess.Popen([sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    assert writer.stdout.readline() == "ready\n"
    with atomic(path) as temporary:  # another writer's unfinished work is left alone while it lives
        temporary.mkdir()
    assert len(names(tmp_path)) == 2
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    assert names(path) == []
    with atomic(path) as temporary:
        temporary.mkdir()
        (temporary / "whole").touch()
    assert names(path) == ["whole"]
    assert names(tmp_path) == ["it"]


def test_full_disk(tmp_path) -> None:
    """A file size limit stands for a full disk: the write is refused half-way."""
    path = tmp_path / "data"
    path.write_text("old")
    code = """
import resource, signal, sys
from pathlib import Path
from headstart.folder import atomic
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    with atomic(Path(sys.argv[1])) as temporary, temporary.open("wb") as file:
        for _ in range(100):
            file.write(b"x" * 10_000)
except OSError as error:
    print(error.errno)
"""
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert int(done.stdout) == errno.EFBIG
    assert path.read_text() == "old"
    assert names(tmp_path) == ["data"]
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 100_000


def test_manifest_comes_back(tmp_path) -> None:
    write_manifest(tmp_path, "corpus", 1, {"documents": 3})
    manifest = read_manifest(tmp_path, "corpus", 1)
    assert manifest["format"] == "headstart.corpus"
    assert manifest["documents"] == 3


def test_manifest_errors(tmp_path) -> None:
    def complaint(kind: str = "corpus", version: int = 1, folder: Path = tmp_path) -> str:
        with pytest.raises(HeadstartError) as caught:
            read_manifest(folder, kind, version)
        return str(caught.value)

    assert "there is no corpus folder" in complaint(folder=tmp_path / "none")
    assert "not a finished corpus folder" in complaint()
    for damaged in ("", "{", "\xff", "[1]", "null", '{"a": 1}'):
        (tmp_path / "manifest.json").write_text(damaged, encoding="latin-1")
        assert str(tmp_path) in complaint()
    write_manifest(tmp_path, "corpus", 2, {})
    assert "format 2; this headstart reads 1" in complaint()
    assert "is headstart.corpus, not a tokens folder" in complaint(kind="tokens")


def test_json(tmp_path) -> None:
    write_json(tmp_path / "a.json", {"é": [1.5, None]})
    assert read_json(tmp_path / "a.json") == {"é": [1.5, None]}
    with pytest.raises(HeadstartError, match="there is no"):
        read_json(tmp_path / "b.json")


def test_remove_takes_links_not_what_they_point_to(tmp_path) -> None:
    (tmp_path / "target").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "target")
    remove(tmp_path / "link")
    remove(tmp_path / "nothing")
    assert names(tmp_path) == ["target"]


def test_fingerprint_ignores_order_of_keys() -> None:
    assert fingerprint({"a": 1, "b": Path("x")}) == fingerprint({"b": Path("x"), "a": 1})
    assert fingerprint({"a": 1}) != fingerprint({"a": 2})


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EDQUOT, "the disk is full"),
        (errno.EACCES, "no permission"),
        (errno.EROFS, "no permission"),
        (errno.ENOENT, "there is no"),
        (errno.ENOTDIR, "choose another path"),
        (errno.EIO, os.strerror(errno.EIO)),
    ],
)
def test_os_errors_in_one_sentence(number, words) -> None:
    for error in (OSError(number, os.strerror(number), "/some/where"), OSError(number, os.strerror(number))):
        sentence = explain_os_error(error)
        assert words in sentence
        assert ("/some/where" in sentence) == (error.filename is not None)
        assert "\n" not in sentence


def test_nearest() -> None:
    assert nearest("lerning_rate", ["learning_rate", "steps"]) == "; did you mean 'learning_rate'?"
    assert nearest("xyz", ["b", "a"]) == "; known: a, b"
    assert nearest("xyz", []) == ""


def test_a_kill_at_any_moment_never_leaves_a_half_folder(tmp_path) -> None:
    """A writer that replaces a folder of two equal files over and over; killed, the two are still equal."""
    code = """
import sys
from pathlib import Path
from headstart.folder import atomic
for number in range(10**6):
    with atomic(Path(sys.argv[1])) as folder:
        folder.mkdir()
        for name in "ab":
            (folder / name).write_text(str(number))
"""
    path = tmp_path / "it"
    for wait in (0.0, 0.013, 0.031, 0.057):
        writer = subprocess.Popen([sys.executable, "-c", code, str(path)])
        while not path.exists():
            assert writer.poll() is None
            time.sleep(0.001)
        time.sleep(wait)
        writer.kill()
        writer.wait()
        if path.exists():
            assert names(path) == ["a", "b"]
            assert (path / "a").read_text() == (path / "b").read_text()


def test_a_file_whose_folder_is_moved_on_as_soon_as_it_is_there(tmp_path, monkeypatch):
    """As by the process that gathers the pieces of a checkpoint."""

    def replace_and_move(self, target):
        self.rename(target)
        target.parent.rename(tmp_path / "moved")

    monkeypatch.setattr(Path, "replace", replace_and_move)
    write_json(tmp_path / "made" / "pieces.json", {"a": 1})
    assert read_json(tmp_path / "moved" / "pieces.json") == {"a": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["moved"]


def test_what_a_kill_left_moved_out_of_the_way_comes_back(tmp_path) -> None:
    """Killed between the two moves by which a folder takes the place of another."""
    path, gone = tmp_path / "it", 2**22 + 1
    (tmp_path / f".it.{gone}.old").mkdir()
    (tmp_path / f".it.{gone}.old" / "mine").touch()
    (tmp_path / f".it.{gone}.tmp").mkdir()
    with pytest.raises(OSError, match="broken disk"), atomic(path):
        raise OSError(errno.EIO, "broken disk")
    assert names(path) == ["mine"]
    assert names(tmp_path) == ["it"]


def test_lines_of_json(tmp_path) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_bytes(b'{"a": 1}\n{"a": 2}\n')
    assert read_json_lines(path, dict[str, int]) == [{"a": 1}, {"a": 2}]
    for content, words in ((b"\0\0\n", "not valid JSON"), (b"[1]\n", "is wrong"), (None, "there is no")):
        path.write_bytes(content) if content else path.unlink()
        with pytest.raises(HeadstartError, match=words):
            read_json_lines(path, dict[str, int])


def test_whoever_reads_json_says_what_it_has_to_hold() -> None:
    source = Path(headstart.__file__).parent
    untyped = [
        f"{file.relative_to(source)} line {node.lineno}"
        for file in source.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "read_json"
        and len(node.args) + len(node.keywords) < 2
    ]
    assert not untyped


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/x']"), "TMPDIR"),
        (OSError("AF_UNIX path too long"), "TMPDIR"),
    ],
)
def test_folders_for_temporary_files(error, words) -> None:
    assert words in explain_os_error(error)
