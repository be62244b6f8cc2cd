"""Where a command may write: nothing that is not its own is touched."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from headstart.errors import HeadstartError, Stopped
from headstart.folder import atomic, write_manifest
from headstart.lock import locked
from headstart.output import MARK, MOVING, REPLACED, identity, output, output_file
from headstart.stopping import raise_stopped


def make(out: Path, text: str = "made", settings: object = 1, **how) -> dict:
    """A command that makes one file from its settings; returns its figures."""
    with output(out, "thing", settings=settings, **how) as made:
        if not made.finished:
            with atomic(out) as temporary:
                temporary.mkdir(parents=True)
                (temporary / "file").write_text(text)
                (temporary / "sub").mkdir()
                write_manifest(temporary, "thing", 1, {})
            made.finish({"text": text})
        return made.facts


def killed(out: Path, block: str, replace: bool = False) -> None:
    """Begin to make `out` in a process of its own, which is gone behind the line `block`."""
    lines = f"""
import os
from pathlib import Path
from headstart.output import output
out = Path({str(out)!r})
with output(out, "thing", settings=1, replace={replace}):
    {block}
    os._exit(9)
"""
    assert subprocess.run([sys.executable, "-c", lines]).returncode == 9


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def precious(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "mine.txt").write_text("my only copy")
    return folder


WHOLE = [MARK, "file", "manifest.json", "sub"]


def test_new_empty_and_linked(tmp_path, monkeypatch) -> None:
    make(tmp_path / "deep" / "new")
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "lost+found").mkdir()
    make(tmp_path / "empty")
    (tmp_path / "elsewhere").mkdir()
    for name, target in (("link", "elsewhere"), ("dangling", "nowhere")):
        (tmp_path / name).symlink_to(tmp_path / target)
        make(tmp_path / name)
        assert (tmp_path / name).is_symlink()
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    inode = Path().stat().st_ino
    make(Path())
    assert Path().stat().st_ino == inode
    for made in ("deep/new", "empty", "elsewhere", "nowhere", "here"):
        assert set(WHOLE) <= set(names(tmp_path / made)) <= {*WHOLE, "lost+found"}


def test_the_same_again_is_there_already_and_others_are_refused(tmp_path) -> None:
    out = tmp_path / "out"
    assert make(out, "one") == {"text": "one"}
    assert make(out, "two") == {"text": "one"}
    with pytest.raises(HeadstartError, match="a thing folder made from other inputs or settings"):
        make(out, settings=2)
    with pytest.raises(HeadstartError, match="holds other files"), output(out, "other", settings=1):
        pass
    assert (out / "file").read_text() == "one"
    assert make(out, "two", settings=2, replace=True) == {"text": "two"}
    assert (out / "file").read_text() == "two"
    assert names(out) == WHOLE


def test_files_of_others_stay(tmp_path) -> None:
    folder = precious(tmp_path / "thesis")
    with pytest.raises(HeadstartError, match=r"thesis holds other files \(mine.txt\)"):
        make(folder)
    assert names(folder) == ["mine.txt"]
    (tmp_path / "file").write_text("x")
    with pytest.raises(HeadstartError, match="is a file"):
        make(tmp_path / "file")


def test_replace_says_what_goes_and_keeps_it_until_the_new_is_whole(tmp_path, capsys) -> None:
    folder = precious(tmp_path / "thesis")
    (folder / ".hidden").write_text("too")
    with pytest.raises(KeyError), output(folder, "thing", settings=1, replace=True):  # noqa: PT012
        assert names(folder) == [".lock", MARK, REPLACED]
        raise KeyError
    assert names(folder) == [".hidden", "mine.txt"]
    assert "--replace deletes what" in (said := capsys.readouterr().err)
    assert ".hidden, mine.txt (2 files, 15 bytes)" in said
    make(folder, replace=True)
    assert names(folder) == WHOLE


def test_what_a_killed_replacement_set_aside_comes_back(tmp_path) -> None:
    folder = precious(tmp_path / "thesis")
    killed(folder, "pass", replace=True)
    assert (folder / REPLACED / "mine.txt").exists()
    with pytest.raises(HeadstartError, match="holds other files"):
        make(folder)
    assert names(folder) == ["mine.txt"]


def test_what_is_read_is_never_written(tmp_path) -> None:
    source = precious(tmp_path / "source")
    (tmp_path / "link").symlink_to(source)
    for out, read in (
        (source, source),
        (tmp_path / "link", source),
        (tmp_path, source),
        (source, source / "x"),
    ):
        for replace in (False, True):
            with pytest.raises(HeadstartError, match="read"):
                make(out, inputs=[read], replace=replace)
    make(source / "new", inputs=[source])
    assert (source / "mine.txt").read_text() == "my only copy"


def test_an_error_leaves_nothing_behind(tmp_path) -> None:
    with pytest.raises(KeyError), output(tmp_path / "a" / "b", "thing", settings=1):
        raise KeyError
    assert names(tmp_path) == []


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("fails", [False, True])
def test_a_folder_that_is_deleted_while_it_is_made_is_not_called_made(tmp_path, again, fails) -> None:
    out = tmp_path / "out"

    def make_and_lose() -> None:
        with output(out, "thing", settings=1) as made:
            (out / "file").write_text("made")
            shutil.rmtree(out)
            if again:
                out.mkdir()
                (out / "manifest.json").write_text("{}")
            if fails:
                (out / "missing" / "other").write_text("made")
            made.finish({})

    with pytest.raises(HeadstartError, match=r"out was deleted while it was made"):
        make_and_lose()
    assert out.exists() == again, "nothing is put into it any more"


def test_a_folder_with_a_manifest_of_the_kind_is_its_own(tmp_path) -> None:
    write_manifest(tmp_path / "old", "thing", 1, {})
    with pytest.raises(HeadstartError, match="from other inputs or settings"):
        make(tmp_path / "old")
    with output(tmp_path / "old", "thing") as made:  # a command that compares its settings itself
        assert not made.finished


def test_begun_and_killed_in_the_middle_goes_on(tmp_path) -> None:
    make(tmp_path / "whole")
    killed(tmp_path / "out", "(out / 'file').write_text('half')")
    with pytest.raises(HeadstartError, match="from other inputs or settings"):
        make(tmp_path / "out", settings=2)
    make(tmp_path / "out")
    assert (tmp_path / "out" / "file").read_text() == "made"


def test_home_is_not_replaced(tmp_path, monkeypatch) -> None:
    home = precious(tmp_path / "home")
    monkeypatch.setenv("HOME", str(home))
    for folder in (home, tmp_path):
        with pytest.raises(HeadstartError, match="would delete all of"):
            make(folder, replace=True)
    (tmp_path / "link").symlink_to(home)
    monkeypatch.setenv("HOME", str(tmp_path / "link"))
    for folder in (home, tmp_path / "link", tmp_path):
        with pytest.raises(HeadstartError, match="would delete all of"):
            make(folder, replace=True)
    assert (home / "mine.txt").exists()


def test_files(tmp_path, capsys) -> None:
    out = tmp_path / "deep" / "answers.jsonl"

    def write(text: str, out: Path = out, **how) -> None:
        with output_file(out, **how) as place, atomic(place) as temporary:
            temporary.write_text(text)

    write("one")
    with pytest.raises(HeadstartError, match="is there already"):
        write("two")
    with pytest.raises(HeadstartError, match="is what is read"):
        write("two", inputs=[out], replace=True)
    os.link(out, tmp_path / "twin")
    with pytest.raises(HeadstartError, match="is what is read"):
        write("two", inputs=[tmp_path / "twin"], replace=True)
    with pytest.raises(HeadstartError, match="is a folder"):
        write("two", tmp_path)
    assert out.read_text() == "one"
    write("two", replace=True)
    assert out.read_text() == "two"
    assert f"--replace deletes {out} (3 bytes)" in capsys.readouterr().err
    (tmp_path / "link").symlink_to(tmp_path / "target")
    write("three", tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_text() == "three"
    write("gone", Path("/dev/null"))
    assert not Path("/dev/null").is_file()
    assert names(out.parent) == ["answers.jsonl"]


def test_identity_is_that_of_the_content(tmp_path) -> None:
    one, two = precious(tmp_path / "one"), precious(tmp_path / "two")
    assert identity(one) == identity(two)
    (two / "mine.txt").write_text("my only c0py")
    assert identity(one) != identity(two)
    assert identity(one / "mine.txt") != identity(two / "mine.txt")


def test_what_was_set_aside_outlives_a_second_replacement_that_fails(tmp_path, capsys) -> None:
    folder = precious(tmp_path / "thesis")
    killed(folder, '(out / "half").touch()', replace=True)
    with pytest.raises(KeyError), output(folder, "thing", settings=2, replace=True):  # noqa: PT012
        assert names(folder) == [".lock", MARK, REPLACED]
        raise KeyError
    assert "half, mine.txt (2 files" in capsys.readouterr().err
    assert (folder / REPLACED / "mine.txt").read_text() == "my only copy"
    assert (folder / "half").exists()
    make(folder, replace=True)
    assert names(folder) == WHOLE


@pytest.mark.parametrize("moves", [2, 4, 5, 7])
def test_a_kill_while_things_are_moved_loses_none(tmp_path, monkeypatch, moves) -> None:
    """On the way aside (the first five moves) as on the way back: the next call puts all where it was."""
    folder = precious(tmp_path / "thesis")
    for name in ("a", "b", "c"):
        (folder / name).symlink_to(tmp_path / "nowhere")
    before, rename, moved = names(folder), Path.rename, []

    class Killed(BaseException):
        pass

    def counted(self: Path, target: Path) -> Path:
        if len(moved) == moves:
            raise Killed
        moved.append(self)
        return rename(self, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", counted)
        with pytest.raises(Killed), output(folder, "thing", settings=1, replace=True):
            raise KeyError
    assert names(folder) != before
    with pytest.raises(HeadstartError, match="holds other files"):
        make(folder)
    assert names(folder) == before


def test_what_comes_back_beside_another_of_its_name_loses_neither(tmp_path, capsys) -> None:
    folder = precious(tmp_path / "thesis")
    for name in ("mine.txt", "other.txt"):
        (folder / MOVING).mkdir(exist_ok=True)
        (folder / MOVING / name).write_text("from before")
    (folder / "mine.txt.1").write_text("mine too")
    with pytest.raises(HeadstartError, match="holds other files"):
        make(folder)
    assert names(folder) == ["mine.txt", "mine.txt.1", "mine.txt.2", "other.txt"]
    assert (folder / "mine.txt").read_text() == "my only copy"
    assert (folder / "mine.txt.2").read_text() == (folder / "other.txt").read_text() == "from before"
    said = capsys.readouterr().err
    assert f"mine.txt comes back to {folder} as mine.txt.2, for another mine.txt is there by now" in said
    make(folder, replace=True)
    assert names(folder) == WHOLE


def test_a_second_signal_waits_until_things_are_back(tmp_path, monkeypatch) -> None:
    folder = precious(tmp_path / "thesis")
    (folder / "more.txt").touch()
    rename, before = Path.rename, signal.signal(signal.SIGTERM, raise_stopped)

    def interrupted(self: Path, target: Path) -> Path:
        if target == folder / self.name:
            os.kill(os.getpid(), signal.SIGTERM)
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", interrupted)
    try:
        with pytest.raises(Stopped), output(folder, "thing", settings=1, replace=True):  # noqa: PT012
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert names(folder) == ["mine.txt", "more.txt"]


def test_a_kill_while_the_folder_is_marked(tmp_path) -> None:
    """The half-written mark is nothing new that was made."""
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    folder, empty = tmp_path / "out", tmp_path / "empty"
    precious(folder / REPLACED)
    empty.mkdir()
    for place in (folder, empty):
        (place / f".{MARK}.{gone.pid}.tmp").write_text("{")
    with pytest.raises(HeadstartError, match=r"holds other files \(mine.txt\)"):
        make(folder)
    assert (folder / "mine.txt").exists()
    make(empty)
    assert names(empty) == WHOLE


def test_nobody_knows_the_home(tmp_path, monkeypatch) -> None:
    """As in a container whose user has no entry: there is nothing then that has to be spared."""
    monkeypatch.setattr(Path, "home", lambda: 1 / 0)
    monkeypatch.setattr("os.path.expanduser", lambda path: path)
    make(precious(tmp_path / "thesis"), replace=True)


def test_an_output_inside_an_input_changes_nothing_of_it(tmp_path) -> None:
    source = precious(tmp_path / "source")
    before = identity(source)
    make(source / "made", inputs=[source])
    assert identity(source) == before
    (source / "plain").mkdir()
    (source / "plain" / "file").write_text("theirs")
    assert identity(source) != before


def test_who_reads_the_outputs_in_a_folder_counts_them(tmp_path) -> None:
    """As of texts that were exported into folders of one folder."""
    source = tmp_path / "texts"
    make(source / "exported", "one", settings="one")
    before = identity(source), identity(source, nested=True)
    make(source / "exported", "another", settings="another", replace=True)
    assert identity(source) == before[0]
    assert identity(source, nested=True) != before[1]


def test_what_somebody_puts_into_an_output_stays(tmp_path) -> None:
    """While it is made, and into a finished one, which is finished all the same."""
    out = tmp_path / "out"
    with output(out, "thing", settings=1) as made:
        with atomic(out) as temporary:
            temporary.mkdir(parents=True)
            (temporary / "file").write_text("made")
            (out / "notes.txt").write_text("mine")
        made.finish({})
    (out / "more.txt").write_text("mine")
    with output(out, "thing", settings=1) as made:
        assert made.finished
    (out / "file").write_text("cut")
    make(out)
    assert names(out) == sorted([*WHOLE, "notes.txt", "more.txt"])


def test_nothing_in_an_input_is_replaced_but_outputs(tmp_path) -> None:
    source = tmp_path / "run"
    precious(source / "checkpoints")
    (source / "run.json").write_text("{}")
    make(source / "made", inputs=[source])
    make(source / "made", settings=2, inputs=[source], replace=True)
    with pytest.raises(HeadstartError, match=r"lies in .*run, which is read, and is not replaced"):
        make(source / "checkpoints", inputs=[source], replace=True)
    with (
        pytest.raises(HeadstartError, match="which is read, and is not replaced"),
        output_file(source / "run.json", inputs=[source], replace=True),
    ):
        pass
    with output_file(source / "new", inputs=[source], replace=True):
        pass
    assert (source / "checkpoints" / "mine.txt").exists()


@pytest.mark.parametrize("name", [".lock", ".file.lock"])
def test_what_another_process_writes_is_not_replaced(tmp_path, name) -> None:
    folder = precious(tmp_path / "all" / "theirs")
    with (
        locked(folder / name, folder),
        pytest.raises(HeadstartError, match="theirs is in use by process"),
    ):
        make(tmp_path / "all", replace=True)
    assert names(tmp_path / "all") == ["theirs"]
    make(tmp_path / "all", replace=True)


def test_names_that_are_no_text_are_refused_before_any_work(tmp_path) -> None:
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/o\xff"))
    for out in (odd, odd / "below"):
        with pytest.raises(HeadstartError, match=r"o\\xff.* is no UTF-8"):
            make(out)
        with pytest.raises(HeadstartError, match="is no UTF-8"), output_file(out):
            pass
    assert names(tmp_path) == []
    make(tmp_path / "ünï ☃\n")


def test_a_refusal_says_what_differs(tmp_path) -> None:
    out = tmp_path / "out"
    made = {"recipe": {"epochs": 2, "head": {"rate": 0.1}}, "data": "0123456789abcdef", "labels": None}
    made["beside"] = (tmp_path,)  # what JSON has no form for
    make(out, settings=made)
    other = {"recipe": {"epochs": 3, "head": {"rate": 0.1}}, "data": "fedcba9876543210", "labels": 100}
    other["beside"] = (tmp_path,)
    said = r"settings \(epochs was 2 and is 3, another data, labels was not set and is 100\); choose"
    with pytest.raises(HeadstartError, match=said):
        make(out, settings=other)
    assert make(out, settings=made) == {"text": "made"}
    (out / MARK).write_text((out / MARK).read_text().replace("made_from", "of_an_earlier_version"))
    with pytest.raises(HeadstartError, match="inputs or settings; choose"):
        make(out, settings=other)
