"""Byte-level BPE: nothing is lost, and three engines give the same ids."""

import random

import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from headstart.errors import HeadstartError
from headstart.tokenizer.byte_level import LONG
from headstart.tokenizer.folder import open_tokenizer
from headstart.tokenizer.folder import write_for_transformers as write_hf
from headstart.tokenizer.special import HEADSTART_TOKENS
from headstart.tokenizer.train import TokenizerRecipe, train

AWKWARD = [
    "",
    " ",
    "\x00\x01\x7f",
    "plain words, and the king's   men",
    "tabs\tand\vvertical\ftabs\r\nand \x85 \xa0 \u2028 lines\u3000",
    "a" + " " * 3000 + "b",
    "\n" * 777 + "\t" * 777,
    " \n \n  x  \n",
    "😀👩‍👩‍👧‍👦🏳️‍🌈 ñ n\u0303 ﷽ 𝔘𝔫𝔦𝔠𝔬𝔡𝔢 ½ Ⅷ ٣٤ 一二三",
    "<s> is four characters, </s><mask> <pad>, too",
    "don't 'tis we'll they'VE 'S x'd",
    "עברית العربية हिन्दी ไทย",
    "=" * 1000 + "-=" * 500 + "aaaaaaa" * 300,
    "\ufffd\ufeff\u200b\u00ad",
]


@pytest.fixture(scope="module")
def engine(tokenizer) -> tokenizers.Tokenizer:
    return tokenizers.Tokenizer.from_file(str(tokenizer.path))


@pytest.fixture(scope="module")
def transformers_tokenizer(tokenizer, tmp_path_factory):
    folder = tmp_path_factory.mktemp("hf")
    write_hf(tokenizer, folder, closing=True, context=64)
    return AutoTokenizer.from_pretrained(folder)


def engine_ids(engine: tokenizers.Tokenizer, text: str) -> list[int]:
    """What `tokenizers` makes of a text in which `<s>` is no special token."""
    engine.encode_special_tokens = True
    return engine.encode(text, add_special_tokens=False).ids


@given(st.text())
def test_round_trip(tokenizer, text) -> None:
    assert tokenizer.decode(tokenizer.encode(text)) == text


@pytest.mark.parametrize("text", AWKWARD)
def test_three_engines_agree_on_awkward_text(tokenizer, engine, transformers_tokenizer, text) -> None:
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert ids == engine_ids(engine, text)
    theirs = transformers_tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    assert ids == theirs


def test_engines_agree_on_real_text(tokenizer, engine, transformers_tokenizer, documents) -> None:
    for document in documents[::7]:
        ids = tokenizer.encode(document["text"])
        assert ids == engine_ids(engine, document["text"])
        assert ids == transformers_tokenizer(document["text"], add_special_tokens=False)["input_ids"]


# Letters that the tokenizer has merges for, and every kind of character that the splitting rule tells apart.
CHARACTERS = st.one_of(
    st.sampled_from("theandofT' \n\t\v\r\x85\u2028.,-=019'sé"), st.characters(codec="utf-8")
)


@given(st.text(CHARACTERS, max_size=60))
def test_engines_agree_on_any_text(tokenizer, engine, text) -> None:
    assert tokenizer.encode(text) == engine_ids(engine, text)


def test_specials_stand_around_the_text_for_transformers(tokenizer, transformers_tokenizer, tmp_path) -> None:
    start, end, _, mask = range(4)
    assert transformers_tokenizer("the king")["input_ids"] == [start, *tokenizer.encode("the king"), end]
    assert transformers_tokenizer("the", "king")["input_ids"] == [
        start,
        *tokenizer.encode("the"),
        end,
        *tokenizer.encode("king"),
        end,
    ]
    assert mask in transformers_tokenizer("the <mask> king")["input_ids"]
    assert transformers_tokenizer.decode(tokenizer.encode("the king , ' s")) == "the king , ' s"
    write_hf(tokenizer, tmp_path, closing=False, context=64)
    decoder = AutoTokenizer.from_pretrained(tmp_path)
    assert decoder("the king")["input_ids"] == [start, *tokenizer.encode("the king")]
    assert decoder.model_max_length == 64


def test_specials_are_never_read_out_of_text(tokenizer) -> None:
    assert min(tokenizer.encode("".join(HEADSTART_TOKENS))) >= len(HEADSTART_TOKENS)
    assert tokenizer.decode([0, *tokenizer.encode("x"), 1, 2, 3]) == "x"
    assert [tokenizer.token_text(index) for index in range(4)] == list(HEADSTART_TOKENS)


def test_lone_surrogates_become_question_marks(tokenizer) -> None:
    assert tokenizer.decode(tokenizer.encode("a\ud800b\udfff")) == "a?b?"


def test_bytes_that_are_no_text(tokenizer) -> None:
    half = tokenizer.encode("é")[:1] if len(tokenizer.encode("é")) > 1 else tokenizer.encode("😀")[:1]
    assert tokenizer.decode(half) == "\ufffd"


def test_batch_is_the_same_as_one_by_one(tokenizer, documents) -> None:
    texts = [document["text"] for document in documents[:300]] + AWKWARD
    assert tokenizer.encode_batch(texts) == [tokenizer.encode(text) for text in texts]
    assert tokenizer.encode_batch([]) == []


def test_piece_bytes_count_the_text(tokenizer, documents) -> None:
    for text in [document["text"] for document in documents[:20]] + AWKWARD:
        assert tokenizer.piece_bytes[tokenizer.encode(text)].sum() == len(text.encode())


@pytest.mark.parametrize(
    "text",
    [
        "a" * 1_000_000,
        " " * (LONG + 1),
        "x" + " " * 1_200_000 + "x",
        "\n" * (LONG + 1) + " x",
        "😀" * 300_000,
        "=" * LONG + " " * LONG + "y" + "\t" * (LONG + 1),
        " " * (LONG - 1) + "y" + " " * LONG,
    ],
    ids=["letters", "blanks", "blanks inside", "lines", "emoji", "mixed", "borders"],
)
def test_a_megabyte_without_a_word_in_it(tokenizer, engine, text) -> None:
    """tiktoken's matcher dies of a million blanks in a row; `Tokenizer` must not, and gives the same ids."""
    assert tokenizer.encode(text) == engine_ids(engine, text)


def test_training_is_deterministic(documents, tokenizer, tmp_path) -> None:
    texts = [document["text"] for document in documents]
    again = train(texts, TokenizerRecipe(vocab_size=600), tmp_path / "t")
    assert again.path.read_bytes() == tokenizer.path.read_bytes()
    assert again.sha256 == tokenizer.sha256
    assert again.vocab_size == 600
    assert open_tokenizer(tmp_path / "t").sha256 == again.sha256
    other = train(texts[: len(texts) // 4], TokenizerRecipe(vocab_size=600), tmp_path / "u")
    assert other.sha256 != tokenizer.sha256


def test_training_reads_no_more_than_asked(documents, tmp_path) -> None:
    def endless():
        while True:
            yield random.Random(0).choice(documents)["text"] + documents[0]["text"]

    train(endless(), TokenizerRecipe(vocab_size=270, sample_bytes=5000), tmp_path / "t")


@pytest.mark.parametrize("texts", [[], [""], ["too little text"]])
def test_too_little_text(texts, tmp_path) -> None:
    with pytest.raises(HeadstartError, match="add text or lower vocab_size"):
        train(texts, TokenizerRecipe(vocab_size=600), tmp_path / "t")
    assert not (tmp_path / "t").exists()


def test_too_small_vocabulary(tmp_path) -> None:
    with pytest.raises(HeadstartError, match="leaves no room"):
        train(["text"], TokenizerRecipe(vocab_size=260), tmp_path / "t")
