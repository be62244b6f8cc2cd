"""Block lists, one page of an address, so many of a host."""

import gzip
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from raw_files import page, prose, write_jsonl

from headstart.corpus import CorpusRecipe, build
from headstart.corpus.filters.urls import bare, host
from headstart.corpus_folder import corpus_documents
from headstart.errors import HeadstartError


def built(
    folder: Path, rows: list[dict], *overrides: str
) -> tuple[set[str], dict[str, tuple[str, str]], dict]:
    """Ids of what stays, stage and rule of what goes, and the manifest."""
    path = write_jsonl(folder / "a.jsonl", rows)
    out = folder / "out"
    manifest = build([path], out, CorpusRecipe.load(None, list(overrides)), workers=1)
    removed = [row for path in out.glob("removed/*") for row in pq.read_table(path).to_pylist()]
    return (
        {row["id"] for row in corpus_documents(out)},
        {row["id"]: (row["stage"], row["rule"]) for row in removed},
        manifest,
    )


@pytest.mark.parametrize(
    ("url", "as_host", "as_bare"),
    [
        ("https://www.Example.org/a/", "example.org", "example.org/a"),
        ("http://sub.example.org:8080/?q=1#top", "sub.example.org", "sub.example.org:8080/?q=1"),
        ("example.org", "example.org", "example.org"),
        ("http://[::1", "", "[::1"),
        ("", "", ""),
    ],
)
def test_parts_of_an_address(url: str, as_host: str, as_bare: str) -> None:
    assert (host(url), bare(url)) == (as_host, as_bare)


def test_block_lists(tmp_path: Path) -> None:
    (tmp_path / "domains.txt.gz").write_bytes(gzip.compress(b"# remarks\nBad.example\n\nco.uk\n"))
    (tmp_path / "addresses.txt").write_text("https://www.good.example/bad-page/\n")
    (tmp_path / "words.txt").write_text("casino\n")
    (tmp_path / "soft.txt").write_text("win\nmoney\n")
    (tmp_path / "parts.txt").write_text("xxx\n")
    urls = {
        "domain": "http://bad.example/x",
        "below": "https://a.b.bad.example",
        "suffix": "http://shop.co.uk/",
        "beside": "http://notbad.example/",
        "address": "http://good.example/bad-page",
        "longer": "http://good.example/bad-page/more",
        "word": "http://good.example/online-casino",
        "not-word": "http://good.example/casinos",
        "soft": "http://good.example/win/money",
        "one-soft": "http://good.example/win",
        "part": "http://goodxxx.example/",
        "none": "",
    }
    rows = [{"id": name, "text": prose(n), "url": url} for n, (name, url) in enumerate(urls.items())]
    files = {
        "domains": "domains.txt.gz",
        "addresses": "addresses.txt",
        "words": "words.txt",
        "soft_words": "soft.txt",
        "parts": "parts.txt",
    }
    lists = [f"urls.{kind}=[{tmp_path / name}]" for kind, name in files.items()]
    kept, gone, manifest = built(tmp_path, rows, *lists)
    assert kept == {"beside", "longer", "not-word", "one-soft", "none"}
    assert {name: rule for name, (_, rule) in gone.items()} == {
        "domain": "blocked_domain",
        "below": "blocked_domain",
        "suffix": "blocked_domain",
        "address": "blocked_address",
        "word": "blocked_word",
        "soft": "blocked_soft_words",
        "part": "blocked_part",
    }
    assert manifest["funnel"][1] == {"stage": "blocked addresses", "documents": 5} | manifest["funnel"][1]
    (tmp_path / "words.txt").write_text("casinos\n")
    with pytest.raises(HeadstartError, match="other inputs or settings"):
        built(tmp_path, rows, *lists)


def test_a_missing_list_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(HeadstartError, match="there is no list nowhere"):
        built(tmp_path, [{"text": prose(1)}], "urls.words=[nowhere.txt]")


@pytest.mark.parametrize(("which", "stays"), [("earliest", {"a1", "b"}), ("latest", {"a2", "b"})])
def test_one_page_of_each_address(tmp_path: Path, which: str, stays: set[str]) -> None:
    rows = [
        {"id": "a1", "text": prose(1), "url": "http://x.org/a", "date": "2020-01-01"},
        {"id": "a2", "text": prose(2), "url": "https://www.x.org/a/", "date": "2021-01-01T10:00:00Z"},
        {"id": "a3", "text": "Page not found.", "url": "http://x.org/a", "date": "2022-01-01"},
        {"id": "a0", "text": "Under construction.", "url": "http://x.org/a", "date": "2019-01-01"},
        {"id": "b", "text": prose(4), "url": "http://x.org/b"},
    ]
    kept, gone, _ = built(tmp_path, rows, f"urls.same={which}")
    assert kept == stays
    assert Counter(gone.values()) == {("repeated pages", "same_address"): 1, ("quality", "too_few_words"): 2}


def test_a_host_has_so_many_pages_and_a_long_page_counts_once(tmp_path: Path) -> None:
    rows = [{"id": f"x{n}", "text": prose(n), "url": f"http://x.org/{n}"} for n in range(9)]
    rows += [{"id": "x0-again", "text": prose(50), "url": "http://x.org/0"}]
    rows += [{"id": "long", "text": "\n\n".join(prose(60 + n, 5) for n in range(9)), "url": "http://y.org/"}]
    settings = ["urls={per_host: 4, same: earliest}", "piece_characters=1000", "page_rules={defaults: off}"]
    kept, gone, _ = built(tmp_path, rows, *settings)
    assert len([name for name in kept if name.startswith("long#")]) > 4
    pages = {name.partition("#")[0] for name in kept}
    assert len(pages) == 5
    left_out = {name.partition("#")[0]: rule for name, (_, rule) in gone.items()}
    assert pages.isdisjoint(left_out)
    assert Counter(left_out.values()) == {"host_is_full": 5, "same_address": 1}


def test_personal_data_is_replaced_and_counted(tmp_path: Path) -> None:
    rows = [{"id": "a", "text": prose(1) + " Write to a@b.org."}, {"id": "b", "html": page(3)}]
    rows[0]["text"] += " Or call +49 30 1234567."
    path = write_jsonl(tmp_path / "a.jsonl", rows)
    recipe = CorpusRecipe.load(None, ["personal_data=[email, phone]"])
    manifest = build([path], tmp_path / "out", recipe, workers=1)
    (text,) = [row["text"] for row in corpus_documents(tmp_path / "out") if row["id"] == "a"]
    assert text.endswith("Write to <EMAIL>. Or call <PHONE>.")
    assert manifest["personal_data"] == {"email": 1, "phone": 1}
