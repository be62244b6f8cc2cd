"""What the machine refuses is one sentence, whoever says so; and standard streams may be closed or full."""

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from safetensors import SafetensorError

from headstart.cli import GONE, OUTPUTS, app, main
from headstart.errors import HeadstartError, explain, gives_up_in_words
from headstart.folder import atomic, checked, read_json

Panic = type("PanicException", (BaseException,), {})


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "x"), "the disk is full while writing x"),
        (OSError(errno.EDQUOT, "Quota exceeded"), "the disk is full"),
        (OSError(errno.EFBIG, "File too large", "x"), "no file may grow as large here as x"),
        (OSError("35437 requested and 9936 written"), "the disk is full"),
        (SafetensorError("Error: I/O error: No space left on device (os error 28)"), "the disk is full"),
        (OSError(errno.EMFILE, "Too many open files"), "too many files are open"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "not enough memory"),
        (MemoryError(), "not enough memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), "not enough memory"),
        (RuntimeError("can't start new thread"), "not enough memory"),
        (UnicodeEncodeError("utf-8", "\udcff", 0, 1, "surrogates not allowed"), "is no UTF-8"),
        (TypeError("str is not valid UTF-8: surrogates not allowed"), "is no UTF-8"),
        (TypeError("a bug"), None),
        (Panic("retry-limit-in-match over"), "a native library gave up (retry-limit"),
        (RuntimeError("a bug"), None),
        (KeyError("a bug"), None),
    ],
)  # fmt: skip
def test_what_the_machine_refuses(error, sentence) -> None:
    said = explain(error)
    assert said is None if sentence is None else sentence in said


def test_whoever_meets_a_full_disk_the_file_is_named(tmp_path) -> None:
    script = (
        "import resource, sys; from pathlib import Path; import numpy, torch\n"
        "from safetensors.torch import save_file; from headstart.folder import atomic\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "ways = {'numpy': lambda path: numpy.save(path.open('wb'), numpy.zeros(9999)),\n"
        "        'safetensors': lambda path: save_file({'x': torch.zeros(9999)}, path),\n"
        "        'plain': lambda path: path.write_bytes(bytes(9999))}\n"
        "for name, write in ways.items():\n"
        "    try:\n"
        "        with atomic(Path(sys.argv[1]) / name) as temporary: write(temporary)\n"
        "    except OSError as error: print(name, error.errno, error.filename)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True
    )
    for line, name in zip(done.stdout.splitlines(), ("numpy", "safetensors", "plain"), strict=True):
        found, number, file = line.split()
        assert (found, file) == (name, str(tmp_path / name))
        assert int(number) in (errno.EFBIG, errno.ENOSPC)
    assert list(tmp_path.iterdir()) == []


def test_a_panic_is_a_sentence_and_other_errors_stay() -> None:
    def fail(error: BaseException) -> None:
        raise error

    guarded = gives_up_in_words(fail)
    with pytest.raises(HeadstartError, match="gave up on a text"):
        guarded(Panic("too long"))
    for other in (KeyError, KeyboardInterrupt):
        with pytest.raises(other):
            guarded(other())


def plan(**streams) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "headstart", "plan", "--compute", "1e21"]
    return subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False, **streams)


def test_standard_output_that_takes_nothing() -> None:
    with Path("/dev/full").open("w") as full:
        done = plan(stdout=full)
    assert done.returncode == 2
    assert done.stderr.startswith("headstart: the disk is full")
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


def test_standard_output_that_is_closed() -> None:
    done = plan(preexec_fn=lambda: os.close(1))
    assert done.returncode == 2
    assert done.stderr.startswith("headstart: standard output is closed")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("content", "of", "said"),
    [
        ("[]", dict, "what it holds, [], is wrong"),
        ('{"a": {"b": "x"}}', dict[str, dict[str, int]], "a.b = 'x' is wrong"),
        ('{"a": true}', dict[str, int], "a = True is wrong"),
        ('{"a": 1}', dict[str, str], "a = 1 is wrong"),
        ("{", dict, "is not valid JSON"),
        ("[" * 5000, list, "is not valid JSON"),
    ],
)
def test_json_is_checked_where_it_is_read(tmp_path, content, of, said) -> None:
    path = tmp_path / "file.json"
    path.write_text(content)
    with pytest.raises(HeadstartError) as caught:
        read_json(path, of)
    assert said in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_json_of_the_right_type_passes() -> None:
    assert checked({"a": 1}, dict[str, float], Path("x")) == {"a": 1.0}


def test_devices_are_written_to_as_they_are() -> None:
    with atomic(Path("/dev/null")) as place:
        assert place == Path("/dev/null")
        place.write_text("gone")
    assert not Path("/dev/null").is_file()


def test_the_help_lists_the_verbs_in_the_order_of_life() -> None:
    from typer.testing import CliRunner

    from headstart.cli import VERBS, app

    shown = CliRunner().invoke(app, ["--help"]).stdout
    listed = [line.split()[1] for line in shown.splitlines() if line.startswith("│ ") and line[2].isalpha()]
    assert tuple(listed) == VERBS


def test_a_notebook_completes_what_headstart_offers() -> None:
    import headstart

    assert {"load", "finetune", "compare", "distill"} < set(dir(headstart))
    assert all(hasattr(headstart, name) for name in dir(headstart))


@pytest.fixture
def ended(monkeypatch, capsys):
    """Runs a command as `headstart` does; its exit code and what it said on standard error."""

    def run(*words: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["headstart", *words])
        monkeypatch.setattr("headstart.cli._leave_standard_output", lambda: None)
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0), capsys.readouterr().err

    return run


def test_every_verb_says_that_its_working_folder_is_gone(tmp_path, monkeypatch, ended) -> None:
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    here.rmdir()
    for path in commands(typer.main.get_command(app)):
        code, said = ended(*path)
        assert code == 2, path
        assert said == f"headstart: {GONE}\n", path


@pytest.mark.parametrize(
    ("error", "found"),
    [(HeadstartError("a mistake"), 2), (FileNotFoundError("x"), 2), (RuntimeError("a bug"), 2), (None, 0)],
)
def test_a_working_folder_that_goes_meanwhile(tmp_path, monkeypatch, ended, error, found) -> None:
    """Whatever fails then is laid to it; what ends well has ended well."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)

    def work() -> None:
        here.rmdir()
        if error is not None:
            raise error
        raise SystemExit(0)

    monkeypatch.setattr("headstart.cli.app", work)
    assert ended() == (found, f"headstart: {GONE}\n" if found else "")


@pytest.mark.parametrize("width", ["60", "80", "140"])
def test_no_figure_of_the_models_is_cut(monkeypatch, width) -> None:
    from typer.testing import CliRunner

    from headstart.cli import app

    monkeypatch.setenv("COLUMNS", width)
    shown = CliRunner().invoke(app, ["models", "gpt2", "bert", "llama"]).stdout
    assert "…" not in shown
    assert "1,557,611,200" in shown
    assert ("no room for paper" in shown) == (width != "140")


def commands(group, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Every verb and sub-verb of the command line."""
    found = []
    for name, command in group.commands.items():
        found.append((*path, name))
        found += commands(command, (*path, name)) if hasattr(command, "commands") else []
    return found


def test_every_help_can_be_read() -> None:
    """What a help text says is not taken for rich's markup."""
    from typer.main import get_command
    from typer.testing import CliRunner

    from headstart.cli import app

    for path in commands(get_command(app)):
        shown = CliRunner().invoke(app, [*path, "--help"])
        assert shown.exit_code == 0, path
        assert "--help" in shown.stdout, path


def test_a_report_of_a_fault_can_name_the_versions() -> None:
    from importlib.metadata import version as torch_version

    from typer.testing import CliRunner

    from headstart import __version__

    said = CliRunner().invoke(app, ["version"]).output
    assert said.startswith(f"headstart {__version__}, Python 3.")
    assert f"torch {torch_version('torch')}" in said


def test_an_output_without_a_name_is_not_the_folder_in_which_one_is(ended) -> None:
    for option in OUTPUTS:
        for words in ((option, ""), (f"{option}=",), (option, "", "--replace"), ("x", option, "")):
            code, said = ended("export", *words)
            assert (code, said) == (
                2,
                f"headstart: {option} is followed by an empty name; name a file or a folder\n",
            )


STOPS = """
import os, signal, sys, time
import headstart.cli as cli
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # as a terminal has it; under nohup it is ignored
def work():
    try:
        os.kill(os.getpid(), signal.{name})
        time.sleep(60)
    finally:
        print("saved", flush=True)
def complain(*_, complain=cli._complain):
    os.kill(os.getpid(), signal.SIGTERM)  # one more, at the worst moment
    complain(*_)
cli.app, cli._complain = work, complain
sys.argv = ["headstart"]
cli.main()
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_stops_in_order_and_a_second_one_changes_nothing(name) -> None:
    done = subprocess.run([sys.executable, "-c", STOPS.format(name=name)], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (130, "saved\n")
    said = "SIGTERM" if name == "SIGHUP" else name
    assert done.stderr == f"headstart: stopped by {said}; start the same command again to go on\n"


def test_nohup_is_obeyed() -> None:
    lines = "import os, signal, sys, headstart.cli as cli; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
    lines += "cli.app = lambda: os.kill(os.getpid(), signal.SIGHUP) or print('done')\ncli.main()"
    done = subprocess.run([sys.executable, "-c", lines], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "done\n")


def test_help_breaks_where_the_terminal_ends() -> None:
    from typer.main import get_command

    from headstart.cli import app

    def helps(command: Any) -> Iterator[str]:
        yield command.help or ""
        for one in getattr(command, "commands", {}).values():
            yield from helps(one)

    texts = list(helps(get_command(app)))
    assert len(texts) > 30
    assert not [text for text in texts if "\n" in text.replace("\n\n", "")]
