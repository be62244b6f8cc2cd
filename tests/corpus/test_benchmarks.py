"""Evaluation files of every kind, as items."""

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headstart.corpus.dedup.evaluation_sets import items
from headstart.errors import HeadstartError


def test_items_of_every_format(tmp_path: Path) -> None:
    folder = tmp_path / "suite"
    folder.mkdir()
    (folder / "a.jsonl.gz").write_bytes(
        gzip.compress(b'{"q": "one", "options": ["x", "y"], "n": 3}\n\n{"q": "two"}\n')
    )
    (folder / "b.csv").write_text('question,answer\n"one, two",three\n')
    (folder / "c.tsv").write_text("One long sentence stands here.\tyes\n")
    pq.write_table(pa.table({"q": ["p1", "p2"], "label": [1, 2]}), folder / "d.parquet")
    (folder / "e.json").write_text(json.dumps([{"q": "l1"}, {"q": "l2"}]))
    (folder / "f.json").write_text(json.dumps({"version": "1", "data": {"q": "only"}}))
    question = {"id": "q7", "question": "Who?", "answers": [{"text": "Ada", "answer_start": 3}]}
    squad = {"data": [{"title": "t", "paragraphs": [{"context": "A passage.", "qas": [question]}]}]}
    (folder / "g.json").write_text(json.dumps(squad))
    (folder / "h.txt").write_text("First.\n\nSecond.")
    (folder / "notes.unknown").write_text("not looked at")
    assert [(name, text) for _, name, text in items([folder])] == [
        ("suite/a.jsonl.gz:1", "one x y"),
        ("suite/a.jsonl.gz:3", "two"),
        ("suite/b.csv:2", "one, two three"),
        ("suite/c.tsv:1", "One long sentence stands here. yes"),
        ("suite/d.parquet:1", "p1"),
        ("suite/d.parquet:2", "p2"),
        ("suite/e.json:1", "l1"),
        ("suite/e.json:2", "l2"),
        ("suite/f.json:1", "1 only"),
        ("suite/g.json:1.1", "A passage."),
        ("suite/g.json:1.1.q7", "q7 Who? Ada"),
        ("suite/h.txt:1", "First."),
        ("suite/h.txt:2", "Second."),
    ]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", "{", "a.json is not valid JSON"),
        ("a.jsonl", '{"a": "b"}\n{', "a.jsonl:2 is not valid JSON"),
        ("a.parquet", "no", "a.parquet cannot be read"),
    ],
)
def test_broken_files_are_named(tmp_path: Path, name: str, content: str, message: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(HeadstartError, match=message):
        list(items([tmp_path / name]))
    with pytest.raises(HeadstartError, match="there is no"):
        list(items([tmp_path / "nowhere.jsonl"]))


def test_items_as_tools_write_them(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"q": "one"}\n{"q": "two"}\n')  # lines of JSON by another name
    (tmp_path / "b.jsonl").write_text('{"q": "three", "score": NaN}\n{"q": "half \\ud83d"}\n')
    pq.write_table(pa.table({"q": [b"four"], "picture": [b"\xff\xd8"]}), tmp_path / "c.parquet")
    found = [text for name in ("a.json", "b.jsonl", "c.parquet") for _, _, text in items([tmp_path / name])]
    assert found == ["one", "two", "three", "half \ufffd", "four"]
