"""The Tokenizer view: what the product's own tokenizers, report and token shards say."""

import shutil

import numpy as np
import pytest

from headstart.tokenizer.folder import open_tokenizer
from headstart.tokenizer.report import compare_tokenizers
from headstart.tokenizer.shards import TokenRows

API = "/api/v1"


def test_a_cut_text_is_what_the_tokenizer_gives(studio, corpus_root) -> None:
    text = "The <s> Żółć, unbelievable.\n"
    answer = studio.post(f"{API}/tokenizer/cut", json={"at": "corpus-tokens", "text": text}).json()
    tokenizer = open_tokenizer(corpus_root / "corpus-tokens")
    assert [one["id"] for one in answer["tokens"]] == tokenizer.encode(text)
    assert "".join(text[one["start"] : one["end"]] for one in answer["tokens"] if one["text"].isascii())
    assert answer["opening"] == ["<s>"]
    assert answer["typed"] == ["<s>"]
    assert answer["decoded"] == text
    assert answer["lost"] == []
    ends = [word["first"] + len(word["tokens"]) for word in answer["steps"]]
    assert [word["first"] for word in answer["steps"]] == [0, *ends[:-1]]
    assert ends[-1] == len(answer["tokens"])
    mini = studio.post(f"{API}/tokenizer/cut", json={"at": "model:headstart-mini", "text": "The Café"}).json()
    assert mini["manner"] == "WordPiece"
    assert mini["lost"]
    run = studio.post(f"{API}/tokenizer/cut", json={"at": "run", "text": text}).json()
    assert [one["id"] for one in run["tokens"]] == tokenizer.encode(text)


def test_costs_and_counts_are_those_of_the_files(studio, corpus_root) -> None:
    body = {"tokenizers": ["corpus-tokens", "model:headstart-mini"], "corpus": "corpus", "megabytes": 0.05}
    first, second = studio.post(f"{API}/tokenizer/compare", json=body).json()
    tokenizer = open_tokenizer(corpus_root / "corpus-tokens")
    report = compare_tokenizers({"its": tokenizer}, corpus_root / "corpus", 50_000)["tokenizers"]["its"]
    assert first["whole"]["bytes_per_token"] == pytest.approx(report["bytes_per_token"])
    assert sum(one["tokens"] for one in first["domains"]) == first["whole"]["tokens"]
    assert {one["name"] for one in second["domains"]} == set(report["domains"])
    found = studio.get(f"{API}/tokenizer/vocabulary", params={"at": "corpus-tokens", "order": "often"}).json()
    rows = TokenRows(corpus_root / "corpus-tokens", "train", 1)
    ids, _ = rows.beginning(len(rows))
    counts = np.bincount(ids, minlength=tokenizer.vocab_size)
    assert [one["count"] for one in found["entries"]] == sorted(counts.tolist(), reverse=True)[:100]
    assert found["counted"] == found["of"] == len(ids)
    some = studio.get(f"{API}/tokenizer/vocabulary", params={"at": "corpus-tokens", "search": " the"}).json()
    assert some["entries"]
    assert all(" the" in one["text"] for one in some["entries"])


def test_a_damaged_tokenizer_is_a_sentence(studio, corpus_root) -> None:
    place = corpus_root / "damaged-tokenizer"
    place.mkdir()
    (place / "tokenizer.json").write_text('{"model": {', encoding="utf-8")
    try:
        answer = studio.post(f"{API}/tokenizer/cut", json={"at": "damaged-tokenizer", "text": "a"})
        assert answer.status_code == 400
        assert "tokenizer.json" in answer.json()["error"]["message"]
    finally:
        shutil.rmtree(place)
