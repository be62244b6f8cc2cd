"""Which texts are copies of each other: letters composed or not, programs, texts without words."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest
from raw_files import prose, write_jsonl

from headstart.corpus import CorpusRecipe, build, extract_text
from headstart.corpus.extract.page import composed, normalise
from headstart.corpus.text.words import split_words
from headstart.errors import HeadstartError

OFF = ["rules.defaults=off", "page_rules.defaults=off", "languages=any", "language_score=0"]


def kept(tmp_path: Path, texts: dict[str, str], *overrides: str) -> set[str]:
    rows = [{"id": name, "text": text} for name, text in texts.items()]
    path = write_jsonl(tmp_path / "a.jsonl", rows)
    build([path], tmp_path / "out", CorpusRecipe.load(None, [*OFF, *overrides]), workers=0)
    files = (tmp_path / "out" / "documents").glob("*.parquet")
    return {row["id"] for file in files for row in pq.read_table(file).to_pylist()}


def test_letters_are_composed_and_what_nobody_sees_parts_no_word() -> None:
    assert composed("Gru\u0308\u00dfe, cafe\u0301") == "Grüße, café"
    assert composed("inter\u00adnational\ufeff har\u200bbour") == "international harbour"
    assert composed("\u200fשלום\u200e \u202bמה\u202c x\u2062y a\u034fb") == "שלום מה xy ab"
    assert composed("می\u200cخواهم 👩\u200d🚀") == "می\u200cخواهم 👩\u200d🚀"  # joiners are letters' business
    assert composed("ភាសា\u200bខ្មែរ") == "ភាសា\u200bខ្មែរ"  # and here it is a space
    assert extract_text("<p>inter&shy;national cafe&#769;</p>" * 9).split("\n")[0] == "international café"


def test_what_ends_a_line_parts_words() -> None:
    text = "one\x0ctwo\x0bthree\x85four\u2028five\u2029six\x1eseven\r\neight\rnine\x00\x07"
    assert normalise(text).replace("\n", " ") == "one two three four five six seven eight nine"


def test_copies_with_other_signs_for_the_same_letters(tmp_path: Path) -> None:
    text = "Das große Café über der Brücke öffnet früh. " + prose(1)
    copies = {
        "a": text,
        "decomposed": text.replace("é", "e\u0301").replace("ü", "u\u0308").replace("ö", "o\u0308"),
        "hyphens": text.replace("river", "ri\u00adver").replace("morning", "mor\u00adning"),
        "spaces": text.replace("e", "e\u200b"),
    }
    assert kept(tmp_path, copies, "near_duplicates.enabled=false") == {"a"}


def test_programs_that_differ_by_a_sign_are_not_copies(tmp_path: Path) -> None:
    texts = {sign: f"def f(a, b):\n    return a {sign} b\n" for sign in ("+", "-", "<", "**", ">=", "+ -1 *")}
    texts |= {
        "not": "if (!found) return",
        "if": "if (found) return",
        "sharp": "Learn C# now",
        "C": "Learn C now",
    }
    texts |= {"spaced": "def  f(a,b):\n  return a + b"}
    assert kept(tmp_path, texts, "near_duplicates.enabled=false") == set(texts) - {"spaced"}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("so a ≤ b", "so a ≥ b"),
        ("p ∧ q", "p ∨ q"),
        ("it costs €5", "it costs $5"),
        ("it costs $5", "it costs 5"),
        ("€5 each", "$5 each"),
        ("Prices:\n€5", "Prices:\n5"),
        ("∀x, p", "∃x, p"),
        ("take 5㎏", "take 5㎎"),
        ("from −1 on", "from 1 on"),
        ("a × b", "a ÷ b"),
    ],
)
def test_signs_that_change_what_is_said_count(first: str, second: str) -> None:
    assert split_words(first).digest() != split_words(second).digest()


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("from −1 on", "from -1 on"),
        ("Read more → here", "Read more here"),
        ("A well-known fact, he said.", "a well known FACT — he said!"),
        ("- one\n- two", "* one\n* two"),
        ("- one\n- two", "∙ one\n∙ two"),
        ("“Yes”, she wrote…", "'Yes' she wrote..."),
    ],
)
def test_punctuation_of_prose_does_not_count(first: str, second: str) -> None:
    assert split_words(first).digest() == split_words(second).digest()


def test_exact_duplicates_can_be_switched_off(tmp_path: Path) -> None:
    texts = {"a": prose(1), "b": prose(1)}
    assert kept(tmp_path, texts, "near_duplicates.enabled=false") == {"a"}
    (tmp_path / "other").mkdir()
    off = ["near_duplicates.enabled=false", "exact_duplicates=false"]
    assert kept(tmp_path / "other", texts, *off) == {"a", "b"}
    with pytest.raises(HeadstartError, match="exact_duplicates = off"):
        kept(tmp_path / "other", texts, f"against=[{tmp_path / 'other' / 'out'}]")


def test_texts_without_words_are_no_near_duplicates(tmp_path: Path) -> None:
    texts = {"a": "!!! ***", "b": "??? ---", "c": "(^^)", "d": "A text with words."}
    assert kept(tmp_path, texts) == set(texts)


def test_a_name_in_chinese_is_no_contamination(tmp_path: Path) -> None:
    name = "中华人民共和国全国人民代表大会常务委员会"
    question = f"下列哪一项属于{name}的职权？解释宪法，选举总理，还是领导武装力量。"
    write_jsonl(tmp_path / "eval.jsonl", [{"question": question}])
    texts = {
        "news": f"昨天下午，与会者谈到{name}的工作，也谈到城市绿化、图书馆建设和青年就业。",
        "leak": f"试题：{question}",
    }
    (tmp_path / "in").mkdir()
    assert kept(tmp_path / "in", texts, f"decontaminate=[{tmp_path / 'eval.jsonl'}]") == {"news"}


def test_an_evaluation_with_letters_taken_apart_is_found(tmp_path: Path) -> None:
    question = (
        "Où se trouve le café préféré de l’élève après la rentrée dans la vieille ville près de la forêt"
    )
    apart = question.replace("é", "e\u0301").replace("è", "e\u0300")
    write_jsonl(tmp_path / "eval.jsonl", [{"question": apart}])
    (tmp_path / "in").mkdir()
    texts = {"leak": f"Question : {question} ?", "ok": "Il pleut sur la ville et sur la forêt."}
    assert kept(tmp_path / "in", texts, f"decontaminate=[{tmp_path / 'eval.jsonl'}]") == {"ok"}
