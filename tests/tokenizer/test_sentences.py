"""Words and sentences of a corpus."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headstart.errors import HeadstartError
from headstart.folder import write_manifest
from headstart.tokenizer.sentences import count_words, lower_words, read_lines, sentences, write_text
from headstart.tokenizer.shards import is_heldout


@pytest.fixture(scope="module")
def corpus(documents, tmp_path_factory):
    folder = tmp_path_factory.mktemp("words") / "corpus"
    (folder / "documents").mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(documents), folder / "documents" / "part-00000.parquet")
    write_manifest(folder, "corpus", 1, {"funnel": []})
    return folder


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Don't STOP: it’s 3.5 o'clock, x_y!", ["don't", "stop", "it’s", "3", "5", "o'clock", "x", "y"]),
        ("l'été e\u0301te\u0301", ["l'été", "e\u0301te\u0301"]),
        ("नमस्ते दुनिया।", ["नमस्ते", "दुनिया"]),
        ("我爱NLP和ねこ", ["我", "爱", "nlp", "和", "ね", "こ"]),
        ("'quoted' -- and 'so on'", ["quoted", "and", "so", "on"]),
        ("…!?", []),
    ],
)
def test_lower_words(text, words) -> None:
    assert list(lower_words(text)) == [words]


def test_sentences() -> None:
    text = 'He said "No." Then (maybe) she left.\nA heading\n\n  It costs 3.50 today… 你好。 我们？'
    assert [" ".join(words) for words in sentences(text)] == [
        'He said " No . "',
        "Then ( maybe ) she left .",
        "A heading",
        "It costs 3 . 50 today …",
        "你 好 。",
        "我 们 ？",
    ]


@given(st.text())
def test_words_can_stand_in_a_line_of_words_and_nothing_but_space_is_lost(text) -> None:
    found = [word for words in sentences(text) for word in words]
    assert " ".join(found).split() == found
    assert "".join(found) == "".join(character for character in text if not character.isspace())
    for word in next(lower_words(text)):
        assert word.split() == [word]


def test_a_text_folder_holds_every_document_on_its_side(corpus, documents, tmp_path) -> None:
    totals = write_text(corpus, tmp_path / "text", lower_words, heldout_share=0.2)
    for split in ("train", "heldout"):
        expected = [
            next(lower_words(d["text"]))
            for d in documents
            if is_heldout(d["id"], 0.2) == (split == "heldout") and next(lower_words(d["text"]))
        ]
        assert list(read_lines(tmp_path / "text" / f"{split}.txt")) == expected
        assert totals[split] == {"lines": len(expected), "words": sum(map(len, expected))}
    (tmp_path / "text" / "train.txt").write_text("kept\n")
    assert write_text(corpus, tmp_path / "text", lower_words, 0.2) == totals
    assert list(read_lines(tmp_path / "text" / "train.txt")) == [["kept"]]


def test_nothing_held_out_is_a_sentence_unless_asked_for(corpus, tmp_path) -> None:
    with pytest.raises(HeadstartError, match=r"no word .* heldout split"):
        write_text(corpus, tmp_path / "text", lower_words, heldout_share=1e-9)
    assert not (tmp_path / "text").exists()
    assert write_text(corpus, tmp_path / "text", lower_words, heldout_share=0)["heldout"]["words"] == 0


def test_counting(tmp_path) -> None:
    (tmp_path / "text").write_text("b a b\nc a b d\n")
    assert count_words(tmp_path / "text", 1, None) == {"b": 3, "a": 2, "c": 1, "d": 1}
    assert list(count_words(tmp_path / "text", 1, 3)) == ["b", "a", "c"]
    assert count_words(tmp_path / "text", 2, None) == {"b": 3, "a": 2}
    with pytest.raises(HeadstartError, match="occurs 9 times"):
        count_words(tmp_path / "text", 9, None)
