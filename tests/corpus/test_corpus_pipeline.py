"""The corpus stage from end to end."""

import errno
import gzip
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from raw_files import page, prose, response, stand_in_for_sbatch, write_jsonl
from typer.testing import CliRunner

from headstart.corpus import CorpusRecipe, build, extract_text, pipeline, prepare
from headstart.corpus.extract.line_classifier import shipped
from headstart.corpus.mix import check_plan, copies, histogram, order, plan_amounts, rebalanced
from headstart.corpus.recipe import Mix
from headstart.corpus_folder import corpus_documents
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
    assert gone["repeats"][:2] == ("quality", "top_3_gram")
    assert gone["empty-page"][:2] == ("extract", "no_main_text")
    assert {row["id"] for row in corpus_documents(out)} == {"kept", "prose-with-braces"}

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
    assert manifest["removed"]["quality"] == {"too_few_words": 1, "top_3_gram": 1, "curly_brackets": 1}
    assert manifest["funnel"][-1]["bytes"] == sum(len(row["text"].encode()) for row in corpus_documents(out))
    assert sum(total["documents"] for total in manifest["domains"].values()) == 2
    assert list(manifest["languages"]) == ["en"]


def test_same_bytes_whatever_the_workers(tmp_path: Path, raw: Path) -> None:
    settings = recipe("piece_characters=5000")
    one = build([raw], tmp_path / "one", settings, workers=1)
    build([raw], tmp_path / "two", settings, workers=2)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    assert one["skipped"] == {"truncated gzip": 1}
    assert one["domains"].keys() == {"web", "notes", "raw"}
    pieces = [row["id"] for row in corpus_documents(tmp_path / "one") if row["domain"] == "raw"]
    assert len(pieces) > 2
    assert all(piece.startswith("raw/c.txt#0") for piece in pieces)
    assert not (tmp_path / "one" / ".work").exists()
    documents = [row["id"] for row in corpus_documents(tmp_path / "one", columns=["id"])]
    assert documents != sorted(documents)


def test_same_bytes_whatever_takes_a_step_together(
    tmp_path: Path, raw: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build([raw], tmp_path / "together", recipe(), workers=0)
    monkeypatch.setattr(prepare, "TOGETHER", 1)
    build([raw], tmp_path / "one by one", recipe(), workers=0)
    assert contents(tmp_path / "together") == contents(tmp_path / "one by one")


def test_killed_and_started_again(tmp_path: Path, raw: Path) -> None:
    build([raw], tmp_path / "whole", recipe(), workers=1)
    out = tmp_path / "killed"
    code = (
        "import sys, time; from pathlib import Path\n"
        "from headstart.corpus import CorpusRecipe, build\n"
        "from headstart.corpus.work import Step\n"
        "original = Step.__call__\n"
        "Step.__call__ = lambda *given: (original(*given), time.sleep(10_000))[0]\n"
        "build([Path(sys.argv[1])], Path(sys.argv[2]), CorpusRecipe(), workers=0)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(raw), str(out)], stderr=subprocess.DEVNULL)
    while not list(out.glob(".work/prepared/*.parquet")):
        assert process.poll() is None
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    done = sorted(out.glob(".work/prepared/*.parquet"))
    assert done
    assert not (out / "manifest.json").exists()
    with pytest.raises(HeadstartError, match="not a finished corpus"):
        list(corpus_documents(out))
    before = done[0].stat().st_mtime_ns
    (out / ".work" / "prepared" / "000001.parquet").write_bytes(b"half written")
    kept: list[int] = []
    original = pipeline._read_back

    def look(work: Any, passed_over: Any) -> Any:
        kept.append(done[0].stat().st_mtime_ns)
        return original(work, passed_over)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "_read_back", look)
        build([raw], out, recipe(), workers=2)
    assert kept == [before]  # the finished task was taken over
    assert contents(out) == contents(tmp_path / "whole")


def test_finished_folder_is_returned_and_never_overwritten(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", [{"text": prose(n)} for n in range(5)])
    first = build([path], tmp_path / "out", recipe(), workers=1)
    assert build([path], tmp_path / "out", recipe(), workers=3) == first
    with pytest.raises(HeadstartError, match=r"other inputs or settings \(seed was 0 and is 1\); choose"):
        build([path], tmp_path / "out", recipe("seed=1"), workers=1)
    write_jsonl(path, [{"text": prose(n)} for n in range(6)])
    with pytest.raises(HeadstartError, match="other inputs or settings; choose"):
        build([path], tmp_path / "out", recipe(), workers=1)
    with pytest.raises(HeadstartError, match="holds other files"):
        build([path], tmp_path, recipe(), workers=1)


def test_rules_may_change_without_a_second_first_pass(tmp_path: Path, raw: Path) -> None:
    (source, *_), _ = pipeline.find_sources([raw])
    (task, *_) = pipeline.plan_tasks([source])
    same = prepare.task_fingerprint(task, recipe("rules.too_few_words=off", "languages=any", "seed=3"))
    assert same == prepare.task_fingerprint(task, recipe())
    assert same != prepare.task_fingerprint(task, recipe("piece_characters=5000"))


def test_another_classifier_under_the_same_name_is_noticed(tmp_path: Path, raw: Path) -> None:
    own = tmp_path / "own.safetensors"
    shipped().save(own)
    (task, *_) = pipeline.plan_tasks(pipeline.find_sources([raw / "a.warc.gz"])[0])
    named = recipe(f"extractor={own}", "languages=any")
    before = prepare.task_fingerprint(task, named), extract_text(page(1), extractor=str(own))
    build([raw / "a.warc.gz"], tmp_path / "out", named, workers=0)
    trees = shipped().second
    opposite = replace(shipped(), second=replace(trees, value=-trees.value, base=-trees.base))
    opposite.save(own)
    after = prepare.task_fingerprint(task, named), extract_text(page(1), extractor=str(own))
    assert before[0] != after[0]
    assert before[1] != after[1]
    with pytest.raises(HeadstartError, match="other inputs or settings"):
        build([raw / "a.warc.gz"], tmp_path / "out", named, workers=0)


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
    assert [row["text"] for row in corpus_documents(tmp_path / "out")] == [prose(1)]
    assert manifest["funnel"][1]["documents"] == 2_501


def test_full_disk_leaves_nothing_that_counts_as_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", [{"text": prose(n)} for n in range(5)])

    def full(*_given: object, **_named: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("headstart.corpus.work.pq.write_table", full)
        with pytest.raises(OSError, match="No space left"):
            build([path], tmp_path / "out", recipe(), workers=1)
    assert not (tmp_path / "out" / "manifest.json").exists()
    assert not (tmp_path / "out" / "documents").exists()
    assert build([path], tmp_path / "out", recipe(), workers=1)["funnel"][-1]["documents"] == 5


def test_a_dying_worker_is_one_sentence(tmp_path: Path, raw: Path) -> None:
    script = tmp_path / "dying.py"
    script.write_text(
        "import os, sys\nfrom pathlib import Path\n"
        "from headstart.corpus import CorpusRecipe, build, engine\n"
        "def die(*given):\n    os.abort()\n"
        "engine.run_step = die\n"
        "if __name__ == '__main__':\n"
        "    build([Path(sys.argv[1])], Path(sys.argv[2]), CorpusRecipe(), workers=2)\n"
    )
    command = [sys.executable, str(script), str(raw), str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert "HeadstartError: worker processes ended before their time" in done.stderr


def test_mix_reaches_its_shares() -> None:
    domains = np.array(["web"] * 80 + ["books"] * 20)
    numbers = np.arange(100)
    available = histogram(domains, np.full(100, 1_000), numbers, seed=0)
    amounts, plan = plan_amounts(available, Mix(shares={"web": 0.5, "books": 0.5}))
    count = copies(domains, numbers, amounts, seed=0)
    assert count[:80].sum() == 50
    assert count[80:].sum() == 50
    assert set(count[80:]) == {2, 3}
    assert plan["books"]["repeats"] == 2.5
    amounts, plan = plan_amounts(available, Mix(shares={"books": 1.0}, bytes=10**6, max_repeats=3))
    assert copies(domains, numbers, amounts, seed=0).tolist() == [0] * 80 + [3] * 20
    assert (plan["books"]["wanted"], plan["books"]["chosen"], plan["books"]["repeats"]) == (10**6, 60_000, 3)
    _, plan = plan_amounts(available, Mix(temperature=0.5))
    assert plan["web"]["wanted"] / plan["books"]["wanted"] == pytest.approx(2, rel=1e-3)
    with pytest.raises(HeadstartError, match="did you mean 'books'"):
        plan_amounts(available, Mix(shares={"book": 1.0}))
    keys = order(np.array([0, 0, 2]), np.array([0, 1, 0]), seed=5)
    assert len(set(keys.tolist())) == 3
    assert (order(np.array([2]), np.array([0]), seed=5) == keys[2]).all()


def test_what_a_group_cannot_give_the_others_do() -> None:
    domains = np.array(["web"] * 80 + ["books"] * 15 + ["maths"] * 5)
    available = histogram(domains, np.full(100, 1_000), np.arange(100), seed=0)
    shares = {"web": 0.5, "books": 0.25, "maths": 0.25}
    _, plan = plan_amounts(available, Mix(shares=shares, bytes=120_000, max_repeats=2))
    assert {name: row["chosen"] for name, row in plan.items()} == {
        "maths": 10_000,  # twice what there is
        "books": 30_000,  # as much again, and no more: its share of the rest would be 36,667
        "web": 80_000,
    }
    with pytest.raises(HeadstartError, match="maths is to give 30,000 bytes and has 5,000; lower the share"):
        plan_amounts(available, Mix(shares=shares, bytes=120_000, max_repeats=2, short="refuse"))
    _, plan = plan_amounts(available, Mix(shares=shares, tokens=10_000, bytes_per_token=5))
    assert sum(row["tokens_chosen"] for row in plan.values()) == pytest.approx(10_000, rel=0.03)
    assert plan["web"]["tokens_available"] == 16_000
    _, plan = plan_amounts(available, Mix(shares=shares | {"code": 0.5}))  # of which there is nothing
    assert plan["code"]["chosen"] == 0
    assert sum(row["chosen"] for row in plan.values()) == pytest.approx(100_000, rel=0.03)
    with pytest.raises(HeadstartError, match="two budgets"):
        recipe("mix.bytes=1", "mix.tokens=1")


@given(
    st.dictionaries(st.sampled_from("abcdef"), st.tuples(st.integers(1, 99), st.integers(1, 99)), min_size=1),
    st.integers(1, 2_000),
)
def test_rebalancing_gives_what_can_be_had(groups: dict[str, tuple[int, int]], total: int) -> None:
    shares = {name: float(share) for name, (share, _) in groups.items()}
    most = {name: float(size) for name, (_, size) in groups.items()}
    targets = rebalanced(shares, most, total)
    assert targets.keys() == groups.keys()
    assert sum(targets.values()) == pytest.approx(min(total, sum(most.values())))
    open_ones = {targets[name] / shares[name] for name in groups if targets[name] < most[name] - 1e-6}
    assert not open_ones or max(open_ones) == pytest.approx(min(open_ones))  # in proportion to their shares
    assert all(targets[name] <= most[name] + 1e-6 for name in groups)


def test_mixes_that_do_not_come_out_are_found() -> None:
    assert check_plan({"a": {"chosen": 5}}, {"a": 5})["a"]["result_share"] == 1
    with pytest.raises(HeadstartError, match="does not hold what the mix planned of a"):
        check_plan({"a": {"chosen": 5}}, {"a": 4})


def test_preset_mix_is_a_recipe() -> None:
    path = Path(__file__).parents[2] / "recipes" / "corpus-mix.yaml"
    shares = CorpusRecipe.load(path, ["mix.tokens=1e9"]).mix.shares
    assert sum(shares.values()) == 100


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
    assert len(list(corpus_documents(tmp_path / "out"))) == manifest["funnel"][-1]["documents"]


def test_command_line(tmp_path: Path) -> None:
    from headstart.cli import app

    path = write_jsonl(tmp_path / "a.jsonl", [{"text": prose(n)} for n in range(5)])
    command = ["corpus", str(path), "languages=[en]", "--out", str(tmp_path / "out"), "--workers", "1"]
    shown = CliRunner().invoke(app, [*command, "--json"])
    assert shown.exit_code == 0, shown.output
    assert json.loads(shown.stdout)["funnel"][-1]["documents"] == 5
    for same in (command, ["corpus", "build", *command[1:]], ["corpus", *command[2:], command[1]]):
        assert "near duplicates" in CliRunner().invoke(app, same).stdout
    assert "INPUT..." in CliRunner().invoke(app, ["corpus", "build", "--help"]).stdout
    assert "build" in CliRunner().invoke(app, ["corpus", "--help"]).stdout


# What is repeated, what was read before, what evaluations ask


def test_lines_of_many_documents_are_dropped(tmp_path: Path) -> None:
    notice = "Subscribe to our newsletter today"
    rows = [{"id": f"d{n}", "text": f"{notice}\n{prose(n)}\n  {notice.upper()} "} for n in range(6)]
    rows += [{"id": "other", "text": prose(50)}, {"id": "only", "text": f"{notice}\n" * 20}]
    path = write_jsonl(tmp_path / "a.jsonl", rows)
    settings = ["repeated_lines=3", "languages=any", "near_duplicates.enabled=false", *_no_rules()]
    manifest = build([path], tmp_path / "out", recipe(*settings), workers=1)
    texts = {row["id"]: row["text"] for row in corpus_documents(tmp_path / "out")}
    assert texts == {f"d{n}": prose(n) for n in range(6)} | {"other": prose(50)}
    assert manifest["removed"]["repeated lines"] == {"nothing_left": 1}
    assert manifest["funnel"][-1]["bytes"] == sum(map(len, texts.values()))
    assert manifest["funnel"][-2]["bytes"] == sum(map(len, texts.values()))  # what was cut is counted


def test_paragraphs_of_many_documents_are_dropped(tmp_path: Path) -> None:
    notice = "All rights reserved.\nAsk before you copy."
    rows = [{"id": f"d{n}", "text": f"{prose(n)}\n\n{notice}\n\n{prose(10 + n)}"} for n in range(4)]
    rows += [{"id": "line", "text": f"All rights reserved.\n{prose(50)}"}]
    path = write_jsonl(tmp_path / "a.jsonl", rows)
    settings = ["repeated_paragraphs=3", "languages=any", "near_duplicates.enabled=false"]
    build([path], tmp_path / "out", recipe(*settings), workers=1)
    texts = {row["id"]: row["text"] for row in corpus_documents(tmp_path / "out")}
    assert texts["line"] == rows[-1]["text"]
    assert texts["d2"] == f"{prose(2)}\n\n{prose(12)}"
    pieces = pq.read_table(tmp_path / "out" / "pieces").to_pylist()
    assert [(one["id"], one["rule"], one["text"]) for one in pieces] == [
        (f"d{n}", "repeated_paragraph", notice) for n in range(4)
    ]


def test_a_document_cut_below_the_least_length_goes(tmp_path: Path) -> None:
    notice = "\n".join(prose(n, 1) for n in range(5))
    rows = [{"id": f"d{n}", "text": f"{notice}\n{prose(100 + n)}"} for n in range(4)]
    rows += [{"id": "rest", "text": f"{notice}\nA few words of its own."}]
    path = write_jsonl(tmp_path / "a.jsonl", rows)
    settings = ["repeated_lines=3", "languages=any", "near_duplicates.enabled=false"]
    manifest = build([path], tmp_path / "out", recipe(*settings), workers=1)
    gone = removed(tmp_path / "out")["rest"]
    assert gone == ("repeated lines", "too_little_left", "6 words are left of it")
    assert manifest["funnel"][-2]["documents"] == 4


def _no_rules() -> list[str]:
    from headstart.corpus.recipe import PAGE_RULES, RULES

    return [f"rules.{name}=off" for name in RULES] + [f"page_rules.{name}=off" for name in PAGE_RULES]


def test_a_new_crawl_does_not_repeat_an_old_one(tmp_path: Path) -> None:
    old = write_jsonl(tmp_path / "old.jsonl", [{"id": f"o{n}", "text": prose(n, 30)} for n in range(8)])
    build([old], tmp_path / "old", recipe(), workers=1)
    changed = prose(2, 30).replace(" valley ", " hollow ", 1)
    rows = [{"id": "same", "text": prose(1, 30)}, {"id": "near", "text": changed}]
    rows += [{"id": f"new{n}", "text": prose(100 + n, 30)} for n in range(3)]
    new = write_jsonl(tmp_path / "new.jsonl", rows)
    before = {path: path.stat().st_atime_ns for path in (tmp_path / "old" / "documents").iterdir()}
    build([new], tmp_path / "new", recipe(f"against=[{tmp_path / 'old'}]"), workers=1)
    gone = removed(tmp_path / "new")
    assert gone["same"][::2] == ("exact duplicates", f"same text as a document of {tmp_path / 'old'}")
    assert gone["near"][0] == "near duplicates"
    assert {row["id"] for row in corpus_documents(tmp_path / "new")} == {"new0", "new1", "new2"}
    assert before == {path: path.stat().st_atime_ns for path in before}
    kept = len(list(corpus_documents(tmp_path / "old", ["id"])))
    digests, bands = (
        np.load(tmp_path / "old" / "index" / f"{name}-00000.npy") for name in ("digests", "bands")
    )
    assert (digests.itemsize, len(digests), bands.itemsize, len(bands)) == (16, kept, 8, kept * 14)
    with pytest.raises(HeadstartError, match="there is no corpus folder"):
        build([new], tmp_path / "third", recipe(f"against=[{tmp_path / 'nowhere'}]"), workers=1)


def test_evaluations_are_kept_out(tmp_path: Path) -> None:
    rows = [{"id": f"d{n}", "text": prose(n, 30)} for n in range(6)]
    path = write_jsonl(tmp_path / "a.jsonl", rows)
    words = prose(3, 30).upper().split()
    item = {"question": " ".join(words[20:40]), "answers": [{"text": "never seen"}]}
    evaluation = write_jsonl(tmp_path / "questions.jsonl", [{"question": "Who?"}, item, {"q": prose(99)}])
    manifest = build([path], tmp_path / "out", recipe(f"decontaminate=[{evaluation}]"), workers=1)
    assert manifest["contamination"] == {"questions.jsonl": {"items": 2, "too_short": 1, "found": 1}}
    assert removed(tmp_path / "out")["d3"] == (
        "decontamination",
        "benchmark_text",
        "shares words with questions.jsonl:2",
    )
    report = json.loads((tmp_path / "out" / "contamination.json").read_text())
    (found,) = report["items"]
    assert (found["item"], found["documents"], found["count"]) == ("questions.jsonl:2", ["d3"], 1)
    assert found["shared"].lower() in item["question"].lower()
    assert found["covered"] == pytest.approx(8 / 10)  # the answer that was never seen spoils two runs


def test_pairs_are_checked_and_the_newest_kept(tmp_path: Path) -> None:
    text = prose(1, 30)
    rows = [
        {"id": "old", "text": text + " One more sentence.", "date": "2020-01-01T00:00:00Z"},
        {"id": "new", "text": text, "date": "2024-05-06"},
    ]
    path = write_jsonl(tmp_path / "a.jsonl", rows)
    build([path], tmp_path / "newest", recipe("near_duplicates.keep=newest"), workers=1)
    assert removed(tmp_path / "newest").keys() == {"old"}
    (kept,) = corpus_documents(tmp_path / "newest")
    assert kept["copies"] == 2
    build([path], tmp_path / "checked", recipe("near_duplicates.check=1.0"), workers=1)
    assert not removed(tmp_path / "checked")
    # What is no duplicate after all is counted once, as itself.
    assert [one["copies"] for one in corpus_documents(tmp_path / "checked")] == [1, 1]


# Engines


def test_a_record_that_kills_its_process_costs_only_itself(tmp_path: Path) -> None:
    rows = [{"id": f"d{n}", "text": prose(n)} for n in range(5)]
    rows[2]["text"] += " fatal"
    path = write_jsonl(tmp_path / "a.jsonl", rows)
    script = tmp_path / "crash.py"
    script.write_text(
        "import os, sys\nfrom pathlib import Path\n"
        "from headstart.corpus import CorpusRecipe, build, engine, prepare\n"
        "normalise = prepare.normalise\n"
        "def fatal(text):\n    return os.abort() if 'fatal' in text else normalise(text)\n"
        "def run_step(*given):\n    prepare.normalise = fatal\n    return original(*given)\n"
        "original, engine.run_step = engine.run_step, run_step\n"
        "if __name__ == '__main__':\n"
        "    build([Path(given) for given in sys.argv[2:]], Path(sys.argv[1]), CorpusRecipe(), workers=2)\n"
    )
    large = write_jsonl(
        tmp_path / "b.jsonl", [{"id": f"x{n}", "text": prose(900 + n, 40)} for n in range(900)]
    )
    command = [sys.executable, str(script), str(tmp_path / "out"), str(path), str(large)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    skipped = (tmp_path / "out" / "skipped.jsonl").read_text()
    assert json.loads(skipped) == {"source": "a.jsonl:3", "reason": "it ended the process twice"}
    ids = {row["id"] for row in corpus_documents(tmp_path / "out")}
    assert {"d0", "d1", "d3", "d4"} <= ids
    assert "d2" not in ids


def test_slurm_arrays_give_the_same(tmp_path: Path, raw: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a stand-in for sbatch that runs the array's tasks one after another."""
    bin_folder = stand_in_for_sbatch(tmp_path)
    path = write_jsonl(tmp_path / "a.jsonl", [{"text": prose(n)} for n in range(30)])
    with pytest.raises(HeadstartError, match="needs sbatch"):
        build([path], tmp_path / "slurm", recipe(), workers=2, on="slurm")
    monkeypatch.setenv("PATH", f"{bin_folder}:{os.environ['PATH']}")
    build([path], tmp_path / "slurm", recipe(), workers=2, on="slurm")
    build([path], tmp_path / "here", recipe(), workers=1)
    assert contents(tmp_path / "slurm") == contents(tmp_path / "here")
