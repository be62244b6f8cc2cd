"""Signals and filters of one's own, from the example file and from faulty ones."""

import json
import os
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from raw_files import prose, stand_in_for_sbatch, write_jsonl

from headstart.corpus import CorpusRecipe, build, engine
from headstart.corpus.readers import sources
from headstart.corpus.trace import trace
from headstart.corpus_folder import corpus_documents
from headstart.errors import HeadstartError

EXAMPLE = Path(__file__).parents[2] / "examples" / "corpus_extension.py"


def rows() -> list[dict[str, Any]]:
    texts = {
        "plain": prose(1),
        "numbers": prose(2) + " " + "7" * 600,
        "draft": "DRAFT of a letter\n" + prose(3),
        "old": prose(4, 20),
        "new": prose(5, 20),
        "short draft": "DRAFT too short anyway",
    }
    found: list[dict[str, Any]] = [{"id": name, "text": text} for name, text in texts.items()]
    found[3] |= {"url": "http://a.org/1", "date": "2003-02-01"}
    found[4] |= {"url": "http://a.org/2", "date": "2023-02-01"}
    return found + [{"id": f"d{n}", "text": prose(100 + n)} for n in range(700)]


def recipe(*overrides: str, extension: Path = EXAMPLE) -> CorpusRecipe:
    given = [f"extensions=[{extension}]", "languages=any", "language_score=0", "rules.no_stop_words=off"]
    return CorpusRecipe.load(None, [*given, "rules.digits=digits > 0.2", *overrides])


def removed(out: Path) -> dict[str, tuple[str, str, str]]:
    found = [row for path in sorted(out.glob("removed/*")) for row in pq.read_table(path).to_pylist()]
    return {row["id"]: (row["stage"], row["rule"], row["detail"]) for row in found}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("extensions")
    write_jsonl(folder / "a.jsonl", rows())
    build([folder / "a.jsonl"], folder / "out", recipe(), workers=0)
    return folder


def test_what_they_remove_is_in_funnel_trace_and_report_like_any_other(made: Path) -> None:
    out = made / "out"
    assert removed(out) == {
        "numbers": ("quality", "digits", removed(out)["numbers"][2]),
        "draft": ("unfinished", "unfinished", "the first line is 'DRAFT of a letter'"),
        "old": ("old_news", "old_news", "dated 2003-02-01"),
        "short draft": ("quality", "too_few_words", "words = 4 < 50"),
    }
    assert removed(out)["numbers"][2].startswith("digits = 0.")
    manifest = json.loads((out / "manifest.json").read_text())
    stages = [row["stage"] for row in manifest["funnel"]]
    assert stages == [
        "read", "extract", "language", "quality", "unfinished", "exact duplicates", "near duplicates",
        "old_news", "mix",
    ]  # fmt: skip
    documents = [row["documents"] for row in manifest["funnel"]]
    assert documents == [706, 706, 706, 704, 703, 703, 703, 702, 702]
    assert manifest["removed"]["old_news"] == {"old_news": 1}
    (found,) = trace(out, "draft")
    assert (found["stage"], found["rule"]) == ("unfinished", "unfinished")
    report = json.loads((out / "report.json").read_text())
    assert {"unfinished", "old_news", "digits"} <= {one["rule"] for one in report["examples"]}
    (rule,) = (one for one in report["quality"]["rules"] if one["rule"] == "digits")
    assert (rule["fires"], rule["meaning"]) == (1, "share of characters that are digits")
    assert "old_news" in (out / "report.html").read_text()


@pytest.mark.parametrize("on", ["local", "slurm"])
def test_every_engine_gives_the_same(
    made: Path, on: engine.Name, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Started from another folder, so that a relative path would lead nowhere. Ray: test_corpus_ray.py."""
    if on == "local":
        monkeypatch.setattr(sources, "LEAST_PART", 300_000)  # several tasks
    monkeypatch.setenv("PATH", f"{stand_in_for_sbatch(tmp_path)}:{os.environ['PATH']}")
    relative = recipe(extension=Path(os.path.relpath(EXAMPLE)))
    monkeypatch.chdir(tmp_path)
    build([made / "a.jsonl"], tmp_path / "out", relative, workers=2, on=on)
    assert removed(tmp_path / "out") == removed(made / "out")
    ids = [[row["id"] for row in corpus_documents(out)] for out in (tmp_path / "out", made / "out")]
    assert ids[0] == ids[1]


def test_a_changed_file_is_noticed(tmp_path: Path) -> None:
    own = tmp_path / "own.py"
    path = write_jsonl(tmp_path / "a.jsonl", [{"id": f"d{n}", "text": prose(n)} for n in range(3)])
    code = (
        "from headstart.corpus import document_filter\n"
        "@document_filter\n"
        "def named(documents):\n"
        "    return ['it is d1' if one.id == 'd1' else None for one in documents]\n"
    )
    own.write_text(code)
    settings = CorpusRecipe.load(None, [f"extensions=[{own}]"])
    build([path], tmp_path / "out", settings, workers=0)
    own.write_text(code.replace("d1", "d2"))
    with pytest.raises(HeadstartError, match="other inputs or settings"):
        build([path], tmp_path / "out", settings, workers=0)
    build([path], tmp_path / "again", settings, workers=0)
    assert removed(tmp_path / "again") == {"d2": ("named", "named", "it is d2")}


HEAD = "from headstart.corpus import document_filter, signal\n"


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("x = 1\n", "defines nothing"),
        ("1 / 0\n", "does not run (line 2: ZeroDivisionError"),
        ("@signal\ndef words(d):\n    return [0.0] * len(d)\n", "'words' is a signal of headstart"),
        ("@signal\ndef f(d):\n    return [1.0]\n", "f gave 1 answers for 3 documents"),
        ("@signal\ndef f(d):\n    return ['x'] * len(d)\n", "the signal f gave something that is no number"),
        ("@signal\ndef f(d):\n    return [d[9] for _ in d]\n", "f failed (line 4: IndexError"),
        ("@document_filter\ndef f(d):\n    return [True] * len(d)\n", "the filter f has to return"),
        ("@document_filter\ndef mix(d):\n    return [None] * len(d)\n", "'mix' is a stage of headstart"),
        (
            "@document_filter(after='qualty')\ndef f(d):\n    return [None] * len(d)\n",
            "'qualty', which is no stage before the mix; did you mean 'quality'?",
        ),
        ("@signal\ndef f(d): ...\n@document_filter\ndef g(d): ...\n", "f failed"),
    ],
)
def test_a_mistake_in_the_file_is_one_sentence(tmp_path: Path, code: str, said: str) -> None:
    own = tmp_path / "own.py"
    own.write_text(HEAD + code)
    path = write_jsonl(tmp_path / "a.jsonl", [{"text": prose(n)} for n in range(3)])
    with pytest.raises(HeadstartError) as error:
        build([path], tmp_path / "out", CorpusRecipe.load(None, [f"extensions=[{own}]"]), workers=0)
    assert said in str(error.value)
    assert "own.py" in str(error.value)


def test_a_missing_file_is_one_sentence() -> None:
    with pytest.raises(HeadstartError, match="cannot read the extension"):
        CorpusRecipe.load(None, ["extensions=[nowhere.py]"])
