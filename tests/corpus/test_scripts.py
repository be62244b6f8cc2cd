"""Scripts without spaces are judged by rules made for words: what the signals count there."""

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from raw_files import JAPANESE, THAI, write_jsonl

from headstart.corpus import build
from headstart.corpus.filters.published_thresholds import fineweb2
from headstart.corpus.filters.rules import Rule
from headstart.corpus.filters.signals import compute_signals, stop_word_hashes
from headstart.corpus.recipe import CorpusRecipe
from headstart.corpus.text.word_tokens import tokenize
from headstart.corpus.text.words import split_words
from headstart.errors import HeadstartError

CHINESE = (
    "港务局早上五点开门，渔船可以停到晚上八点。船主要先到港务局登记船名和人数，港务局再安排泊位。\n\n"
    "冬天风大，港务局会把小船拖到石墙后面。孩子们喜欢在码头上看船，老人坐在长椅上谈天气和鱼价。"
)
KOREAN = (
    "항구의 하루는 해가 뜨기 전에 시작된다. 배가 들어오면 사람들"
    "은 줄을 받아 매고, 상자에 담긴 생선을 내려 저울에 단다. "
    "값은 그 자리에서 정해지고, 트럭은 곧 도시로 떠난다."
)
ENGLISH = (
    "The harbour opens at five in the morning, and boats may stay until eight. Every captain gives a name to "
    "the office before he looks for a place at the quay. In winter small ones are pulled behind stone walls."
)


def signals(text: str, language: str) -> dict[str, float]:
    words = split_words(text)
    return compute_signals(text, words, words.hashes[:0], language)


@pytest.mark.parametrize(
    ("text", "signs", "ends"),
    [(JAPANESE, 2, False), (CHINESE, 2, False), (THAI, 4, True), (KOREAN, 1, False), (ENGLISH, 1, False)],
)
def test_how_many_signs_a_word_has(text: str, signs: int, ends: bool) -> None:
    assert split_words(text).signs_of_word == signs
    assert split_words(text).without_full_stops == ends


@pytest.mark.parametrize(
    ("text", "language"), [(JAPANESE, "ja"), (CHINESE, "zh"), (THAI, "th"), (KOREAN, "ko"), (ENGLISH, "en")]
)
def test_plain_prose_breaks_no_rule_on_repetition_and_word_length(text: str, language: str) -> None:
    found = signals(text, language)
    for_all, _ = CorpusRecipe().quality_rules()
    columns = {name: np.array([value]) for name, value in found.items()}
    rules = {name: rule for name, rule in for_all.general.items() if rule is not None}
    assert [name for name, rule in rules.items() if rule.signal != "words" and rule.removes(columns)[0]] == []


def test_a_term_is_no_repetition_and_a_repeated_sentence_is() -> None:
    assert signals(JAPANESE, "ja")["duplicate_5_grams"] < 0.15
    assert signals(CHINESE, "zh")["top_4_gram"] < 0.16
    assert signals(JAPANESE * 3, "ja")["duplicate_5_grams"] > 0.5
    assert signals(CHINESE * 3, "zh")["duplicate_10_grams"] > 0.5
    assert signals(THAI * 3, "th")["duplicate_5_grams"] > 0.5


def test_a_language_without_full_stops_is_not_asked_for_them() -> None:
    found = signals(THAI, "th")
    assert math.isnan(found["punctuated_lines"])
    assert math.isnan(found["sentences"])
    assert signals(JAPANESE, "ja")["punctuated_lines"] == 1


def test_a_syllable_of_hangul_has_letters() -> None:
    assert signals("가 각", "ko")["mean_word_length"] == 2.5
    assert 4 < signals(KOREAN, "ko")["mean_word_length"] < 8
    # Japanese among Latin letters: the signs are no words of one letter.
    assert signals("The word 港 means harbour and 船 means ship", "en")["mean_word_length"] > 4


def test_published_thresholds_hold_by_language() -> None:
    known = fineweb2()
    assert len(known) > 1800
    german, japanese = known["de"], known["ja"]
    assert (german.label, german.score) == ("deu_Latn", 0.821)
    assert german.rules["top_2_gram"] == Rule("top_2_gram", ">", 0.169)
    assert german.rules["few_punctuated_lines"] is None
    assert japanese.rules["long_words"] is None  # a sign is no word
    recipe = CorpusRecipe.load(
        None, ["thresholds=fineweb2", "by_language={de: {rules: {top_2_gram: top_2_gram > 0.5}, score: 0.1}}"]
    )
    for_all, for_pages = recipe.quality_rules()
    assert for_all.of("top_2_gram", "de") == Rule("top_2_gram", ">", 0.5)
    assert for_all.of("top_3_gram", "de") == Rule("top_3_gram", ">", 0.153)
    assert for_all.of("top_3_gram", "en") == Rule("top_3_gram", ">", 0.18)
    assert for_pages.of("few_punctuated_lines", "ja") == Rule("punctuated_lines", "<", 0.096)
    assert recipe.least_score("de") == pytest.approx(0.1)
    assert recipe.least_score("da") == pytest.approx(0.3)
    assert recipe.least_score("en") == recipe.language_score
    assert "der" in (recipe.stop_words("de") or "").split()


def test_published_thresholds_decide_and_the_report_says_so_by_language(tmp_path: Path) -> None:
    repeated = "\n".join([f"Der Hafen Nummer {n} und die Boote liegen nicht mit dem Wind." for n in range(6)])
    rows = [
        {"id": "de", "text": repeated + "\n" + "Das ist die Zeile, die wir mit dem Kopf lesen.\n" * 3},
        {"id": "en", "text": ENGLISH},
    ]
    source = write_jsonl(tmp_path / "a.jsonl", rows)
    settings = ["languages=any", "thresholds=fineweb2", "rules.defaults=off", "page_rules.defaults=off"]
    build([source], tmp_path / "out", CorpusRecipe.load(None, settings), workers=0)
    report = json.loads((tmp_path / "out/report.json").read_bytes())
    assert set(report["removed_by_language"]) == {"de", "en"}
    assert sum(report["removed_by_language"]["de"].values()) == 1
    assert report["removed_by_language"]["en"] == {}


# With ICU's dictionaries


def by_words(text: str, language: str, stop_words: str = "") -> dict[str, float]:
    words = split_words(text)
    return compute_signals(text, words, stop_word_hashes(stop_words, True), language, segmenter="icu")


@pytest.mark.parametrize(
    ("text", "language", "expected"),
    [
        ("港口是村里最热闹的地方。", "zh", "港口|是|村里|最|热闹|的|地方|。"),
        ("東京で魚の定食を食べる。", "ja", "東京|で|魚の|定食|を|食べる|。"),
        ("ชาวประมงต้องแจ้งชื่อเรือ", "th", "ชาว|ประมง|ต้อง|แจ้ง|ชื่อ|เรือ"),
        ("ພາສາລາວເປັນພາສາທາງການ", "lo", "ພາສາ|ລາວ|ເປັນ|ພາສາ|ທາງການ"),
        ("𠮷野家で😀魚を食べる", "ja", "𠮷|野家|で|😀|魚|を|食べる"),
        ("The word 港 is no word of one sign", "en", "The|word|港|is|no|word|of|one|sign"),
    ],
)
def test_words_of_scripts_without_spaces(text: str, language: str, expected: str) -> None:
    tokens = tokenize(text, split_words(text), language, "icu")
    cut = [text[start:end] for start, end in zip(tokens.starts, tokens.ends, strict=True)]
    assert "|".join(cut) == expected
    assert tokens.segmented == (language != "en")


@given(st.text(st.characters(codec="utf-8") | st.sampled_from("東京で食べるขคကခ ,.a1😀\ud800\n")))
def test_segmented_tokens_hold_every_sign_in_order(text: str) -> None:
    words = split_words(text)
    tokens = tokenize(text, words, "ja", "icu")
    assert (tokens.ends > tokens.starts).all()
    assert (tokens.starts[1:] >= tokens.ends[:-1]).all()
    inside = np.zeros(len(text), bool)
    for start, end in zip(tokens.starts, tokens.ends, strict=True):
        inside[start:end] = True
    assert inside[words.classes != 0].all()  # 0 is a space


def test_a_word_has_a_length_and_stop_words_are_words() -> None:
    found = by_words(JAPANESE, "ja", "の に です に は")
    assert 1.3 < found["mean_word_length"] < 2.5
    assert found["stop_words"] == 3
    assert found["words"] < signals(JAPANESE, "ja")["words"] / 1.4
    assert found["alphabetic_words"] == 1
    assert by_words(JAPANESE * 3, "ja")["duplicate_5_grams"] > 0.5
    assert by_words("".join(f"{n}番の船は港に着く。" for n in range(40)), "ja")["top_4_gram"] > 0.3


@pytest.mark.parametrize(("text", "language"), [(JAPANESE, "ja"), (CHINESE, "zh"), (THAI, "th")])
def test_plain_prose_breaks_no_rule_over_words(text: str, language: str) -> None:
    columns = {name: np.array([value]) for name, value in by_words(text, language).items()}
    for more in ([], ["thresholds=fineweb2"]):
        for_all, _ = CorpusRecipe.load(None, ["segmenter=icu", *more]).quality_rules()
        rules = {name: for_all.of(name, language) for name in for_all.names()}
        broken = [name for name, rule in rules.items() if rule is not None and rule.removes(columns)[0]]
        assert set(broken) <= {"too_few_words", "no_stop_words"}


def test_thresholds_for_the_length_of_words_need_words() -> None:
    by_icu = CorpusRecipe.load(None, ["thresholds=fineweb2", "segmenter=icu"]).quality_rules()[0]
    published = fineweb2(segmented=True)["ja"].rules["long_words"]
    assert isinstance(published, Rule)
    assert by_icu.of("long_words", "ja") == published
    by_signs = CorpusRecipe.load(None, ["thresholds=fineweb2", "segmenter=signs"]).quality_rules()[0]
    assert by_signs.of("long_words", "ja") is None
    assert CorpusRecipe().quality_rules()[0].of("short_words", "ja") is None


def test_without_icu_signs_are_counted_and_the_report_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_jsonl(tmp_path / "a.jsonl", [{"text": JAPANESE}])
    settings = ["languages=any", "rules.too_few_words=off"]
    assert CorpusRecipe().segmenter == "icu"
    build([source], tmp_path / "icu", CorpusRecipe.load(None, settings), workers=0)
    assert "Words of ja are the words of ICU" in (tmp_path / "icu/report.html").read_text()
    monkeypatch.setattr("headstart.corpus.recipe.installed", lambda: False)
    assert CorpusRecipe().segmenter == "signs"
    with pytest.raises(HeadstartError, match=r"headstart\[segmenter\]"):
        CorpusRecipe.load(None, ["segmenter=icu"])
    build([source], tmp_path / "signs", CorpusRecipe.load(None, settings), workers=0)
    assert "In ja every character counts as a word" in (tmp_path / "signs/report.html").read_text()
    assert "segmenter: signs" in (tmp_path / "signs/recipe.yaml").read_text()


TIBETAN = (
    "འགྲོ་བ་མིའི་རིགས་རྒྱུད་ཡོངས་ལ་སྐྱེས་ཙམ་ཉིད་ནས་ཆེ་མཐོངས་དང༌། ཐོབ་ཐངགི་རང་དབང་འདྲ་མཉམ་དུ་ཡོད་ལ། "
    "ཁོང་ཚོར་རང་བྱུང་གི་བློ་རྩལ་དང་བསམ་ཚུལ་བཟང་པོ་འདོན་པའི་འོས་བབས་ཀྱང་ཡོད།\n\n"
    "དེ་བཞིན་ཕན་ཚུན་གཅིག་གིས་གཅིག་ལ་བུ་སྤུན་གྱི་འདུ་ཤེས་འཛིན་པའི་བྱ་སྤྱོད་ཀྱང་ལག་ལེན་བསྟར་དགོས་པ་ཡིན༎"
)


def test_tibetan_has_words_and_sentences() -> None:
    found = signals(TIBETAN, "bo")
    assert found["words"] == len(re.findall("[\u0f40-\u0fbc]+", TIBETAN)) > 50
    assert found["sentences"] == 4
    assert found["punctuated_lines"] == 1
    assert found["alphabetic_tokens"] > 0.9
    assert found["top_4_gram"] < 0.1


@pytest.mark.parametrize(
    ("text", "language", "tokens"),
    [
        ("རིགས་རྒྱུད། ཐོབ་ཐང༎", "bo", ["རིགས་", "རྒྱུད", "།", "ཐོབ་", "ཐང", "༎"]),
        ("ሰላም፡ለዓለም፡ሁሉ።ነህ", "am", ["ሰላም፡", "ለዓለም፡", "ሁሉ", "።", "ነህ"]),
        ("ठीक है।वह गया", "hi", ["ठीक", "है", "।", "वह", "गया"]),
        ("كلمة،كلمة؟نعم", "ar", ["كلمة", "،", "كلمة", "؟", "نعم"]),
        ("ទូក\u200bនៅ\u200bកំពង់ផែ", "km", [*"ទូកនៅកំពង់ផែ"]),
        ("他说：“好。”她走了。", "zh", ["他", "说", "：", "“", "好", "。", "”", "她", "走", "了", "。"]),
    ],
)
def test_signs_that_part_words_in_their_scripts(text: str, language: str, tokens: list[str]) -> None:
    found = tokenize(text, split_words(text), language)
    assert [text[start:end] for start, end in zip(found.starts, found.ends, strict=True)] == tokens
