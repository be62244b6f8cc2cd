"""The tokenizer report: its sums are those of the corpus, and its ratios those of a count by hand."""

import math
from collections import Counter

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from headstart.cli import app
from headstart.errors import HeadstartError
from headstart.folder import write_manifest
from headstart.tokenizer.report import compare_tokenizers, is_fallback, words_of

GERMAN = "Größe und Schönheit, 12 Bäume.\nÜber allen Gipfeln ist Ruh'"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory, documents):
    folder = tmp_path_factory.mktemp("report") / "corpus"
    (folder / "documents").mkdir(parents=True)
    texts = [document["text"] for document in documents[:200:10]]
    rows = {"text": [*texts, GERMAN, "東京都 ღ"], "language": [*["en"] * len(texts), "de", None]}
    pq.write_table(pa.table(rows), folder / "documents" / "part-00000.parquet")
    write_manifest(folder, "corpus", 1, {})
    return folder


@pytest.fixture(scope="module")
def figures(corpus, kinds):
    return compare_tokenizers({kind: kinds[kind] for kind in ("gpt2", "bert", "llama2")}, corpus, 10**9)


def test_sums_are_those_of_the_corpus(figures, corpus, kinds) -> None:
    texts = pq.read_table(corpus / "documents")["text"].to_pylist()
    assert figures["documents"] == len(texts)
    assert figures["bytes"] == sum(len(text.encode()) for text in texts)
    for kind, one in figures["tokenizers"].items():
        ids = [index for text in texts for index in kinds[kind].encode(text)]
        assert one["tokens"] == len(ids)
        assert one["words"] == sum(len(words_of(text)) for text in texts)
        assert one["bytes_per_token"] == pytest.approx(figures["bytes"] / len(ids))
        assert one["unused"]["entries"] == 700 - len(kinds[kind].special.all | set(ids))
        for key in ("documents", "bytes", "characters", "words", "tokens"):
            assert sum(language[key] for language in one["languages"].values()) == one[key]
        assert list(one["languages"]) == ["en", "de", "unknown"]


def test_fertility_of_one_language_by_hand(figures, kinds) -> None:
    german = figures["tokenizers"]["gpt2"]["languages"]["de"]
    assert german["words"] == 10
    assert german["tokens_per_word"] == len(kinds["gpt2"].encode(GERMAN)) / 10
    assert math.isnan(german["tokens_per_word_error"])  # of one document nothing can be said
    assert figures["tokenizers"]["gpt2"]["tokens_per_word_error"] > 0


def test_bands_hold_every_word_once_and_rare_words_take_more_tokens(figures, corpus, kinds) -> None:
    counts = Counter(
        word for text in pq.read_table(corpus / "documents")["text"].to_pylist() for word in words_of(text)
    )
    assert sum(band["words"] for band in figures["bands"]) == len(counts)
    assert sum(band["occurrences"] for band in figures["bands"]) == counts.total()
    for one in figures["tokenizers"].values():
        ratios = [band["tokens_per_word"] for band in one["bands"].values()]
        assert ratios == sorted(ratios)
        assert ratios[0] < ratios[-1]
    most = [word for word, _ in sorted(counts.items(), key=lambda one: (-one[1], one[0]))[:100]]
    tokens = sum(counts[word] * len(kinds["gpt2"].encode(f" {word}")) for word in most)
    first = figures["tokenizers"]["gpt2"]["bands"]["1-100"]["tokens_per_word"]
    assert first == pytest.approx(tokens / sum(counts[word] for word in most))


def test_fallback_and_coverage(figures, kinds) -> None:
    for kind in ("gpt2", "llama2"):
        flags = is_fallback(kinds[kind])
        assert not flags[kinds[kind].encode("the king")].any()
        assert flags[kinds[kind].encode("\U00010940")].any()
    assert is_fallback(kinds["bert"])[kinds["bert"].special.unknown]
    assert is_fallback(kinds["bert"]).sum() == 1
    unread = figures["tokenizers"]["bert"]["languages"]["unknown"]
    assert unread["unknown_share"] == unread["fallback_share"] > 0
    assert figures["tokenizers"]["gpt2"]["languages"]["unknown"]["unknown_share"] == 0
    for one in figures["tokenizers"].values():
        assert 0 < one["coverage"]["known_characters"] <= one["coverage"]["characters"]
        assert 0.9 < one["coverage"]["share_of_text"] <= 1


def test_command_prints_a_table_and_json(corpus, kinds) -> None:
    folders = [str(kinds[kind].path.parent) for kind in ("gpt2", "t5")]
    shown = CliRunner().invoke(app, ["tokenizer", "report", *folders, str(corpus), "--sample-bytes", "9000"])
    assert shown.exit_code == 0, shown.output
    for expected in ("gpt2", "t5", "tokens a word", "rank 1-100", "entries not used"):
        assert expected in shown.output
    result = CliRunner().invoke(app, ["tokenizer", "report", *folders, str(corpus), "--json"])
    assert set(orjson.loads(result.stdout)["tokenizers"]) == {"gpt2", "t5"}


def test_a_corpus_without_a_word(tmp_path, kinds) -> None:
    (tmp_path / "documents").mkdir()
    pq.write_table(pa.table({"text": ["..."], "language": ["en"]}), tmp_path / "documents" / "a.parquet")
    write_manifest(tmp_path, "corpus", 1, {})
    with pytest.raises(HeadstartError, match="holds not one word"):
        compare_tokenizers({"gpt2": kinds["gpt2"]}, tmp_path, 10)
