"""A corpus for other tools: JSON lines and Parquet, in folders and at addresses."""

from pathlib import Path

import fsspec
import orjson
import pyarrow.parquet as pq
import pytest
import zstandard
from raw_files import prose, rules_off, write_jsonl

from headstart.corpus import CorpusRecipe, build
from headstart.corpus.export import export, form_named
from headstart.corpus_folder import corpus_documents
from headstart.errors import HeadstartError

ROWS = [
    {
        "id": f"d{n}",
        "text": prose(n),
        "url": f"http://a.org/{n}",
        "date": "2024-05-06",
        "lang": "en",
        "stars": n,
    }
    for n in range(12)
]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported")
    settings = [*rules_off(), "languages=any", "shard_bytes=5000"]
    build([write_jsonl(folder / "a.jsonl", ROWS)], folder / "corpus", CorpusRecipe.load(None, settings), 0)
    return folder / "corpus"


def documents(folder: Path) -> list[dict]:
    return [{**row} for row in corpus_documents(folder)]


def test_json_lines_hold_the_documents_in_their_order(corpus: Path, tmp_path: Path) -> None:
    exported = export(corpus, str(tmp_path / "out"))
    files = sorted((tmp_path / "out").glob("*.jsonl.zst"))
    assert exported["files"] == len(files) > 1
    packed = [zstandard.ZstdDecompressor().stream_reader(path.read_bytes()).read() for path in files]
    rows = [orjson.loads(line) for content in packed for line in content.splitlines()]
    assert {row["metadata"]["stars"] for row in rows} == set(range(12))
    assert [{**row, "metadata": orjson.dumps(row["metadata"]).decode()} for row in rows] == documents(corpus)
    before = {path: path.stat().st_mtime_ns for path in files}
    assert export(corpus, str(tmp_path / "out")) == exported
    assert {path: path.stat().st_mtime_ns for path in files} == before


@pytest.mark.parametrize("form", ["jsonl.zst", "parquet"])
def test_an_address_holds_a_corpus_that_is_read_from_there(corpus: Path, tmp_path: Path, form: str) -> None:
    address = f"memory://{tmp_path.name}/corpus"
    exported = export(corpus, address, form_named(form))
    system = fsspec.filesystem("memory")
    names = sorted(Path(one).name for one in system.ls(f"/{tmp_path.name}/corpus", detail=False))
    assert len(names) == 1 + exported["files"]
    gone = f"/{tmp_path.name}/corpus/{names[0]}"
    content = system.cat_file(gone)
    system.rm(gone)
    system.pipe_file(f"/{tmp_path.name}/corpus/{names[1]}", b"untouched")
    export(corpus, address, form_named(form))  # goes on
    assert system.cat_file(gone) == content
    assert system.cat_file(f"/{tmp_path.name}/corpus/{names[1]}") == b"untouched"
    export(corpus, f"{address}-2", form_named(form))
    again = CorpusRecipe.load(None, [*rules_off(), "languages=any"])
    build([f"{address}-2/*.{form}"], tmp_path / "again", again, workers=0)
    read = {row["id"]: (row["text"], row["url"], row["date"], row["language"]) for row in documents(corpus)}
    assert read == {
        row["id"]: (row["text"], row["url"], row["date"], row["language"])
        for row in documents(tmp_path / "again")
    }


def test_what_an_address_holds_is_not_overwritten(corpus: Path, tmp_path: Path) -> None:
    address, system = f"memory://{tmp_path.name}", fsspec.filesystem("memory")
    system.pipe_file(f"/{tmp_path.name}/mine.txt", b"my only copy")
    with pytest.raises(HeadstartError, match=r"holds other files \(mine.txt\)"):
        export(corpus, address)
    export(corpus, address, replace=True)
    assert not system.exists(f"/{tmp_path.name}/mine.txt")
    with pytest.raises(HeadstartError, match="holds other files"):
        export(corpus, address, "parquet")
    with pytest.raises(HeadstartError, match=r"jsonl.zst or parquet, not as 'csv'"):
        form_named("csv")


def test_a_file_address_is_a_folder(corpus: Path, tmp_path: Path) -> None:
    export(corpus, f"file://{tmp_path}/out", "parquet")
    (first, *_) = sorted((tmp_path / "out").glob("*.parquet"))
    assert pq.read_table(first).equals(pq.read_table(corpus / "documents" / first.name))
    with pytest.raises(HeadstartError, match="is what is read"):
        export(corpus, f"file://{corpus}")
