"""From tokens to documents to raw records, and back."""

import gzip
import json
from pathlib import Path

import pytest
from raw_files import page, prose, response, write_jsonl
from typer.testing import CliRunner

from headstart.cli.corpus import corpus as command
from headstart.corpus import CorpusRecipe, build
from headstart.corpus.trace import raw_record, trace
from headstart.corpus_folder import corpus_documents
from headstart.errors import HeadstartError
from headstart.folder import read_manifest


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trace")
    records = [response(f"http://h{n}.org/", page(n).encode()) for n in range(4)]
    (folder / "a.warc.gz").write_bytes(
        b"".join(gzip.compress(one, mtime=0) for one in [*records, records[1]])
    )
    notice = "Write to us under this address for the price list of the year."
    rows = [{"id": f"d{n}", "text": f"{notice}\n{prose(100 + n)}"} for n in range(4)]
    rows += [{"id": "short", "text": "Too short for any rule."}, {"id": "long", "text": prose(7, 90)}]
    path = write_jsonl(folder / "b.jsonl", rows)
    (folder / "broken.jsonl").write_text("{\n")
    recipe = CorpusRecipe.load(None, ["repeated_lines=3", "piece_characters=4000", "languages=any"])
    build([folder / "a.warc.gz", path, folder / "broken.jsonl"], folder / "out", recipe, workers=1)
    return folder / "out"


def test_kept_removed_cut_and_skipped(made: Path) -> None:
    (kept,) = trace(made, "d1")
    assert kept["status"] == "kept"
    (place,) = kept["places"]
    names = [row["id"] for row in corpus_documents(made, ["id"])]
    assert names[place["row"]] == "d1"
    assert [(one["rule"], one["start"]) for one in kept["cut"]] == [("repeated_line", 0)]
    (removed,) = trace(made, "short")
    assert (removed["status"], removed["rule"]) == ("removed", "too_few_words")
    assert removed["detail"].startswith("words = 5")
    (skipped,) = trace(made, "broken.jsonl:1")
    assert skipped == {"source": "broken.jsonl:1", "reason": "invalid JSON", "status": "skipped"}
    pieces = trace(made, "long")
    assert [one["id"] for one in pieces] == [f"long#{n:04d}" for n in range(len(pieces))]
    assert len(pieces) > 1
    with pytest.raises(HeadstartError, match="no document with the id"):
        trace(made, "d")


def test_copies_of_an_address_and_their_raw_records(made: Path) -> None:
    first, second = sorted(trace(made, "http://h1.org/"), key=lambda one: one["status"])
    assert (first["status"], second["status"]) == ("kept", "removed")
    assert first["copies"] == 2
    assert [one["id"] for one in first["duplicates"]] == [second["id"]]
    assert first["source"].startswith("a.warc.gz@")
    assert raw_record(made, first["source"]).text == page(1)
    assert raw_record(made, second["source"]).text == page(1)
    assert raw_record(made, "b.jsonl:3").id == "d2"
    path = made.parent / "b.jsonl"
    before = path.read_bytes()
    path.write_bytes(before + b"\n")
    with pytest.raises(HeadstartError, match="has changed since"):
        raw_record(made, "b.jsonl:3")
    path.write_bytes(before)


def test_tokens_and_back(made: Path, tmp_path: Path, tokenizer) -> None:
    from headstart.tokenizer.locate import document_at, places_of
    from headstart.tokenizer.shards import ShardRecipe, corpus_documents, encode

    encode(
        corpus_documents(made), tokenizer, ShardRecipe(heldout_share=0.3, shard_tokens=300), tmp_path / "t"
    )
    seen = 0
    splits = read_manifest(tmp_path / "t", "tokens", 1)["splits"]
    for split in ("train", "heldout"):
        token = 0
        while token < splits[split]["tokens"]:
            one = document_at(tmp_path / "t", split, token)
            assert one["first"] == token
            assert document_at(tmp_path / "t", split, token + one["tokens"] - 1)["id"] == one["id"]
            (place,) = places_of(tmp_path / "t", one["id"])
            assert (place["split"], place["first"], place["tokens"]) == (split, token, one["tokens"])
            token += one["tokens"]
            seen += 1
        with pytest.raises(HeadstartError, match="so no token"):
            document_at(tmp_path / "t", split, token)
    assert seen == len(list(corpus_documents(made, ["id"])))
    given = ["trace", "--corpus", str(made), "--tokens", str(tmp_path / "t"), "--token", "5"]
    shown = CliRunner().invoke(command, [*given, "--json"])
    assert shown.exit_code == 0, shown.output
    (found,) = json.loads(shown.stdout)
    assert found["id"] == document_at(tmp_path / "t", "train", 5)["id"]
    assert "raw record" in CliRunner().invoke(command, given).stdout
    with pytest.raises(HeadstartError, match="no split 'test'"):
        document_at(tmp_path / "t", "test", 0)
