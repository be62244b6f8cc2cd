"""The corpus stage from end to end."""

import errno
import gzip
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from raw_files import page, prose, response, write_jsonl
from typer.testing import CliRunner

from headstart.corpus import CorpusRecipe, build, pipeline, prepare, read_documents
from headstart.corpus.mix import choose, order
from headstart.corpus.recipe import Mix
from headstart.errors import HeadstartError


def recipe(*overrides: str) -> CorpusRecipe:
    return CorpusRecipe.load(None, list(overrides))


def contents(out: Path) -> dict[str, bytes]:
    """Every byte of the corpus but for the manifest, which holds times."""
    files = [*out.glob("documents/*"), *out.glob("removed/*"), out / "skipped.jsonl", out / "recipe.yaml"]
    return {str(path.relative_to(out)): path.read_bytes() for path in files}


def removed(out: Path) -> dict[str, tuple[str, str, str]]:
    rows = [row for path in sorted(out.glob("removed/*")) for row in pq.read_table(path).to_pylist()]
    return {row["id"]: (row["stage"], row["rule"], row["detail"]) for row in rows}


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """A little of everything, in three files large enough for several tasks."""
    folder = tmp_path / "raw"
    folder.mkdir()
    records = [gzip.compress(response(f"http://h{n}.org/", page(n).encode()), mtime=0) for n in range(40)]
    (folder / "a.warc.gz").write_bytes(b"".join(records) + records[0][:-30])
    notes = [{"id": f"b{n}", "text": prose(10_000 + n, 25), "domain": "notes"} for n in range(900)]
    write_jsonl(folder / "b.jsonl", notes)
    (folder / "c.txt").write_text("\n\n".join(prose(20_000 + n) for n in range(40)))
    return folder


def test_each_loss_has_its_stage_rule_and_detail(tmp_path: Path) -> None:
    text = prose(1, 30)
    changed = text.replace(" valley ", " hollow ", 1)
    german = "Der Hund und die Katze sind nicht mit dem Auto zu der Stadt gefahren, weil es regnet."
    rows = [
        {"id": "kept", "text": text + " One more sentence."},
        {"id": "exact", "text": text.upper().replace(".", ". ") + "\n one MORE sentence"},
        {"id": "near", "text": changed},
        {"id": "short", "text": "A few words of English that are all there is to the text."},
        {"id": "german", "text": german},
        {"id": "braces", "text": prose(2) + " {", "url": "http://a.org"},
        {"id": "prose-with-braces", "text": prose(3) + " {"},
        {"id": "repeats", "text": prose(4, 3) + " " + " ".join(["the same words over and over again"] * 20)},
        {"id": "empty-page", "html": "<html><body><script>x</script></body></html>"},
    ]
    out = tmp_path / "out"
    manifest = build([write_jsonl(tmp_path / "a.jsonl", rows)], out, recipe(), workers=1)
    gone = removed(out)
    assert gone["exact"] == ("exact duplicates", "same_text", "same text as kept")
    assert gone["near"][:2] == ("near duplicates", "similar_text")
    assert gone["near"][2].startswith("near duplicate of kept, similarity 0.9")
    assert gone["short"] == ("quality", "too_few_words", "words = 13 < 50")
    assert gone["german"] == ("language", "other_language", "language = de")
    assert gone["braces"] == ("quality", "curly_brackets", "curly_brackets = 1 > 0")
    assert gone["repeats"][:2] == ("quality", "top_2_gram")
    assert gone["empty-page"][:2] == ("extract", "no_main_text")
    assert {row["id"] for row in read_documents(out)} == {"kept", "prose-with-braces"}

    funnel = {row["stage"]: row["documents"] for row in manifest["funnel"]}
    assert funnel == {
        "read": 9,
        "extract": 8,
        "language": 7,
        "quality": 4,
        "exact duplicates": 3,
        "near duplicates": 2,
        "mix": 2,
    }
    assert manifest["removed"]["quality"] == {"too_few_words": 1, "top_2_gram": 1, "curly_brackets": 1}
    assert manifest["funnel"][-1]["bytes"] == sum(len(row["text"].encode()) for row in read_documents(out))
    assert sum(total["documents"] for total in manifest["domains"].values()) == 2
    assert list(manifest["languages"]) == ["en"]


def test_same_bytes_whatever_the_workers(tmp_path: Path, raw: Path) -> None:
    settings = recipe("piece_characters=5000")
    one = build([raw], tmp_path / "one", settings, workers=1)
    build([raw], tmp_path / "two", settings, workers=2)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    assert one["skipped"] == {"truncated gzip": 1}
    assert one["domains"].keys() == {"web", "notes", "raw"}
    pieces = [row["id"] for row in read_documents(tmp_path / "one") if row["domain"] == "raw"]
    assert len(pieces) > 2
    assert all(piece.startswith("raw/c.txt#0") for piece in pieces)
    assert not (tmp_path / "one" / ".work").exists()
    documents = [row["id"] for row in read_documents(tmp_path / "one", columns=["id"])]
    assert documents != sorted(documents)


def test_killed_and_started_again(tmp_path: Path, raw: Path) -> None:
    build([raw], tmp_path / "whole", recipe(), workers=1)
    out = tmp_path / "killed"
    code = (
        "import sys, time; from pathlib import Path\n"
        "from headstart.corpus import CorpusRecipe, build, pipeline\n"
        "prepare = pipeline.prepare\n"
        "pipeline.prepare = lambda *given: (prepare(*given), time.sleep(60))[0]\n"
        "build([Path(sys.argv[1])], Path(sys.argv[2]), CorpusRecipe(), workers=1)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(raw), str(out)], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 30
    while not list(out.glob(".work/task-*.parquet")) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    done = sorted(out.glob(".work/task-*.parquet"))
    assert done
    assert not (out / "manifest.json").exists()
    with pytest.raises(HeadstartError, match="not a finished corpus"):
        list(read_documents(out))
    before = done[0].stat().st_mtime_ns
    (out / ".work" / "task-00001.parquet").write_bytes(b"half written")
    kept: list[int] = []
    original = pipeline.write_documents

    def write_and_look(*given: Any) -> None:
        kept.append(done[0].stat().st_mtime_ns)
        original(*given)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "write_documents", write_and_look)
        build([raw], out, recipe(), workers=2)
    assert kept == [before]  # the finished task was taken over
    assert contents(out) == contents(tmp_path / "whole")


def test_finished_folder_is_returned_and_never_overwritten(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", [{"text": prose(n)} for n in range(5)])
    first = build([path], tmp_path / "out", recipe(), workers=1)
    assert build([path], tmp_path / "out", recipe(), workers=3) == first
    with pytest.raises(HeadstartError, match="other inputs or settings"):
        build([path], tmp_path / "out", recipe("seed=1"), workers=1)
    write_jsonl(path, [{"text": prose(n)} for n in range(6)])
    with pytest.raises(HeadstartError, match="other inputs or settings"):
        build([path], tmp_path / "out", recipe(), workers=1)
    with pytest.raises(HeadstartError, match="holds other files"):
        build([path], tmp_path, recipe(), workers=1)


def test_rules_may_change_without_a_second_first_pass(tmp_path: Path, raw: Path) -> None:
    (source, *_), _ = pipeline.find_sources([raw])
    (task, *_) = pipeline.plan_tasks([source])
    same = prepare.task_fingerprint(task, recipe("rules.too_few_words=off", "languages=any", "seed=3"))
    assert same == prepare.task_fingerprint(task, recipe())
    assert same != prepare.task_fingerprint(task, recipe("piece_characters=5000"))


def test_nothing_left_names_the_greatest_loss(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", [{"text": prose(n, 1)} for n in range(5)])
    with pytest.raises(HeadstartError, match="'quality' removed 5, most by too_few_words"):
        build([path], tmp_path / "out", recipe(), workers=1)
    broken = tmp_path / "b.jsonl"
    broken.write_bytes(b"{\n{\n")
    with pytest.raises(HeadstartError, match=r"none of the input could be read: invalid JSON \(2\)"):
        build([broken], tmp_path / "out2", recipe(), workers=1)
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_fifty_megabytes_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"text": "' + b"x" * 50_000_000 + b'"}\n' + json.dumps({"text": prose(1)}).encode())
    manifest = build([path], tmp_path / "out", recipe("languages=any"), workers=1)
    assert [row["text"] for row in read_documents(tmp_path / "out")] == [prose(1)]
    assert manifest["funnel"][1]["documents"] == 2_501


def test_full_disk_leaves_nothing_that_counts_as_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", [{"text": prose(n)} for n in range(5)])

    def full(*_given: object, **_named: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("headstart.corpus.write.pq.write_table", full)
        with pytest.raises(OSError, match="No space left"):
            build([path], tmp_path / "out", recipe(), workers=1)
    assert not (tmp_path / "out" / "manifest.json").exists()
    assert not (tmp_path / "out" / "documents").exists()
    assert build([path], tmp_path / "out", recipe(), workers=1)["funnel"][-1]["documents"] == 5


def test_a_dying_worker_is_one_sentence(tmp_path: Path, raw: Path) -> None:
    script = tmp_path / "dying.py"
    script.write_text(
        "import os, sys\nfrom pathlib import Path\n"
        "from headstart.corpus import CorpusRecipe, build, pipeline\n"
        "def die(*given):\n    os.abort()\n"
        "if __name__ == '__main__':\n    pipeline.prepare = die\n"
        "    build([Path(sys.argv[1])], Path(sys.argv[2]), CorpusRecipe(), workers=2)\n"
    )
    command = [sys.executable, str(script), str(raw), str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert "HeadstartError: a worker process ended before its time" in done.stderr


def test_mix_reaches_its_shares() -> None:
    domains = np.array(["web"] * 80 + ["books"] * 20)
    sizes = np.full(100, 1_000)
    copies, plan = choose(domains, sizes, Mix(shares={"web": 0.5, "books": 0.5}), seed=0)
    assert copies[:80].sum() == 50
    assert copies[80:].sum() == 50
    assert set(copies[80:]) == {2, 3}
    assert plan["books"]["repeats"] == 2.5
    copies, plan = choose(domains, sizes, Mix(shares={"books": 1.0}, bytes=10**6, max_repeats=3), seed=0)
    assert copies.tolist() == [0] * 80 + [3] * 20
    assert plan["books"] == {"available": 20_000, "wanted": 10**6, "chosen": 60_000, "repeats": 3.0}
    with pytest.raises(HeadstartError, match="did you mean 'books'"):
        choose(domains, sizes, Mix(shares={"book": 1.0}), seed=0)
    assert sorted(order(np.array([2, 0, 1]), seed=5).tolist()) == [0, 0, 2]


def test_mix_in_the_corpus(tmp_path: Path) -> None:
    rows = [{"text": prose(n), "domain": "web" if n < 30 else "books"} for n in range(40)]
    path = write_jsonl(tmp_path / "a.jsonl", rows)
    overrides = ["mix.shares={web: 0.5, books: 0.5}", "shard_bytes=4000"]
    manifest = build([path], tmp_path / "out", recipe(*overrides), workers=1)
    assert manifest["domains"]["web"]["bytes"] == pytest.approx(
        manifest["domains"]["books"]["bytes"], rel=0.1
    )
    assert manifest["removed"]["mix"]["over_share"] > 5
    assert len(list((tmp_path / "out" / "documents").iterdir())) > 5
    assert len(list(read_documents(tmp_path / "out"))) == manifest["funnel"][-1]["documents"]


def test_command_line(tmp_path: Path) -> None:
    import typer

    from headstart.cli.corpus import corpus

    app = typer.Typer()
    app.command()(corpus)
    path = write_jsonl(tmp_path / "a.jsonl", [{"text": prose(n)} for n in range(5)])
    command = [str(path), "languages=[en]", "--out", str(tmp_path / "out"), "--workers", "1"]
    shown = CliRunner().invoke(app, [*command, "--json"])
    assert shown.exit_code == 0, shown.output
    assert json.loads(shown.stdout)["funnel"][-1]["documents"] == 5
    assert "near duplicates" in CliRunner().invoke(app, command).stdout
