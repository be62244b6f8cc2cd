"""Folders of others: what is read, when tiktoken may encode, and what is said when something is missing."""

import json
import shutil
from pathlib import Path

import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st

from headstart.errors import HeadstartError
from headstart.tokenizer.byte_level import LONG, ByteLevelTokenizer
from headstart.tokenizer.engine import EngineTokenizer
from headstart.tokenizer.folder import open_tokenizer, write_for_transformers

SPLIT_DIGITS = {
    "type": "Sequence",
    "pretokenizers": [
        {"type": "Digits", "individual_digits": True},
        {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
    ],
}
BUILT_IN = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}


@pytest.fixture
def changed(kinds, tmp_path):
    """Writes a copy of a kind's folder with something else in its files, and opens it."""

    def change(kind: str, config=None, **parts):
        source, folder = kinds[kind].path.parent, tmp_path / kind
        folder.mkdir(exist_ok=True)
        definition = json.loads((source / "tokenizer.json").read_text())
        for key, value in parts.items():
            definition[key] = value(definition[key]) if callable(value) else value
        (folder / "tokenizer.json").write_text(json.dumps(definition))
        if config is None:
            shutil.copy(source / "tokenizer_config.json", folder)
        elif config:
            (folder / "tokenizer_config.json").write_text(json.dumps(config))
        return folder

    return change


def engine(folder: Path) -> tokenizers.Tokenizer:
    made = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    made.encode_special_tokens = True
    return made


TEXT = "The King's 1234567 men,\n\n  don't they'VE   x\t\t12 34  5 ½\u00a0é <s></s> 😀"
CHARACTERS = st.one_of(st.sampled_from("theand' \n\r\t.,19½'sVE\U00011de3"), st.characters(codec="utf-8"))


@pytest.mark.parametrize("rule", [BUILT_IN, SPLIT_DIGITS], ids=["gpt2", "smollm2"])
@given(texts=st.lists(st.text(CHARACTERS, max_size=30), min_size=1, max_size=3))
def test_known_splitting_rules_go_through_tiktoken(kinds, tmp_path_factory, rule, texts) -> None:
    folder = tmp_path_factory.getbasetemp() / f"rule-{rule['type']}"
    if not folder.exists():
        folder.mkdir()
        definition = json.loads(kinds["gpt2"].path.read_text()) | {"pre_tokenizer": rule}
        (folder / "tokenizer.json").write_text(json.dumps(definition))
        shutil.copy(kinds["gpt2"].path.parent / "tokenizer_config.json", folder)
    ours, theirs = open_tokenizer(folder), engine(folder)
    assert isinstance(ours, ByteLevelTokenizer)
    for text in texts:
        assert ours.encode(text) == theirs.encode(text).ids


def test_ids_in_another_order_than_the_merges(changed) -> None:
    """RoBERTa's ids follow fairseq's dictionary, not the merges."""
    folder = changed(
        "roberta",
        model=lambda model: (
            model
            | {
                "vocab": {
                    token: index if index < 4 or index == 699 else 4 + (index * 7) % 695
                    for token, index in model["vocab"].items()
                }
            }
        ),
    )
    tokenizer = open_tokenizer(folder)
    assert isinstance(tokenizer, ByteLevelTokenizer)
    assert tokenizer.encode(TEXT) == engine(folder).encode(TEXT, add_special_tokens=False).ids
    assert tokenizer.decode(tokenizer.encode(TEXT)) == TEXT


@pytest.mark.parametrize(
    "parts",
    [
        {"model": lambda model: model | {"merges": model["merges"][::-1]}},
        {"model": lambda model: model | {"merges": model["merges"][:-1]}},
        {"normalizer": {"type": "NFC"}},
        {"pre_tokenizer": BUILT_IN | {"add_prefix_space": True}},
        {
            "pre_tokenizer": {
                "type": "Sequence",
                "pretokenizers": [
                    {"type": "Split", "pattern": {"Regex": r"\d"}, "behavior": "Isolated", "invert": False},
                    BUILT_IN | {"use_regex": False},
                ],
            }
        },
        {
            "added_tokens": lambda added: [
                *added,
                added[0] | {"id": 700, "content": "don't", "special": False},
            ]
        },
    ],
    ids=["reversed", "without the last", "normalised", "blank before", "other rule", "added word"],
)
def test_whatever_is_not_surely_the_same_goes_through_tokenizers(changed, parts) -> None:
    folder = changed("gpt2", **parts)
    tokenizer = open_tokenizer(folder)
    assert isinstance(tokenizer, EngineTokenizer)
    assert tokenizer.encode(TEXT) == engine(folder).encode(TEXT).ids


def test_a_token_that_its_own_merges_do_not_reach(changed) -> None:
    """`abc` is `ab`+`c`, but `bc` joins first: `tokenizers` never makes it, tiktoken would look it up."""

    def model(old):
        order = [*(token for token in old["vocab"] if len(token) == 1), "bc", "ab", "abc", "<|endoftext|>"]
        return old | {
            "vocab": {token: index for index, token in enumerate(order)},
            "merges": [["b", "c"], ["a", "b"], ["ab", "c"]],
        }

    added = lambda old: [old[0] | {"id": 259}]  # noqa: E731
    folder = changed("gpt2", model=model, added_tokens=added)
    tokenizer = open_tokenizer(folder)
    assert isinstance(tokenizer, EngineTokenizer)
    assert [tokenizer.tokens[index] for index in tokenizer.encode("abc")] == ["a", "bc"]
    whole = open_tokenizer(
        changed("gpt2", model=lambda old: model(old) | {"ignore_merges": True}, added_tokens=added)
    )
    # looking whole words up is what tiktoken does, but the special token could then be read out of a text
    assert isinstance(whole, EngineTokenizer)
    assert [whole.tokens[index] for index in whole.encode("abc")] == ["abc"]


@pytest.mark.parametrize("kind", ["llama3", "gpt2"])
def test_a_very_long_run_of_blanks(kinds, kind) -> None:
    text = "x" + "\n " * LONG + "y" + " " * (LONG - 1) + "z"
    assert (
        kinds[kind].encode(text) == engine(kinds[kind].path.parent).encode(text, add_special_tokens=False).ids
    )


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["gpt2", "llama3", "smollm2"])
def test_both_engines_agree_on_every_character_there_is(kinds, changed, kind) -> None:
    folder = changed("gpt2", pre_tokenizer=SPLIT_DIGITS) if kind == "smollm2" else kinds[kind].path.parent
    ours, theirs = open_tokenizer(folder), engine(folder)
    for first in range(0, 0x110000, 64):
        characters = [chr(point) for point in range(first, first + 64) if not 0xD800 <= point < 0xE000]
        text = "".join(f"a{c}b1{c}2 {c}{c}'{c} \n'{c}s  {c} .{c}." for c in characters)
        assert ours.encode(text) == theirs.encode(text, add_special_tokens=False).ids, hex(first)


def test_special_tokens_as_older_files_write_them(changed) -> None:
    old = {"content": "[MASK]", "lstrip": False, "__type": "AddedToken"}
    roles = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    tokenizer = open_tokenizer(changed("bert", config=roles | {"mask_token": old, "bos_token": None}))
    special = tokenizer.special
    assert (special.pad, special.unknown, special.start, special.end, special.mask) == (0, 1, 2, 3, 4)
    folder = changed("bert", config=roles)
    (folder / "special_tokens_map.json").write_text(json.dumps({"mask_token": old}))
    assert open_tokenizer(folder).special == special
    (folder / "tokenizer_config.json").unlink()
    assert open_tokenizer(folder).special.mask == 4


@pytest.mark.parametrize("last", [["</s>", "x"], ["</s>", -1], ["</s>", 10**9], ["</s>", 2.0]])
def test_a_template_of_tokens_that_are_not_there_is_refused(changed, last) -> None:
    processor = {"type": "RobertaProcessing", "sep": last, "cls": ["<s>", 0]}
    with pytest.raises(HeadstartError, match="frames it with tokens that it does not have"):
        open_tokenizer(changed("roberta", post_processor=processor))


def test_a_template_without_the_text_is_refused(changed) -> None:
    text, token = {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "</s>", "type_id": 0}}
    known = {"</s>": {"id": "</s>", "ids": [2], "tokens": ["</s>"]}}
    for single, pair in ([[], [text, text]], [[token], [text, text]], [[text, text], [text, text]]):
        processor = {"type": "TemplateProcessing", "single": single, "pair": pair, "special_tokens": known}
        with pytest.raises(HeadstartError, match="leaves out a text"):
            open_tokenizer(changed("roberta", post_processor=processor))


@pytest.mark.parametrize(
    ("processor", "kind", "expected"),
    [
        ({"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]}, "bert", [2, 9, 3, 8, 3]),
        (
            {
                "type": "RobertaProcessing",
                "sep": ["</s>", 2],
                "cls": ["<s>", 0],
                "trim_offsets": True,
                "add_prefix_space": False,
            },
            "roberta",
            [0, 9, 2, 2, 8, 2],
        ),
        ({"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True}, "gpt2", [9, 8]),
        (None, "gpt2", [9, 8]),
    ],
)
def test_post_processors_of_older_files(changed, processor, kind, expected) -> None:
    folder = changed(kind, post_processor=processor)
    tokenizer = open_tokenizer(folder)
    ids, types = tokenizer.with_special([9], [8])
    assert ids == expected
    one, two = tokenizer.encode("the king"), tokenizer.encode("men")
    reference = engine(folder).encode("the king", "men")
    if processor:
        assert tokenizer.with_special(one, two) == (
            reference.ids,
            reference.type_ids if kind == "bert" else [0] * len(reference),
        )
    assert len(types) == len(ids)


def test_writing_keeps_what_a_foreign_folder_says(changed, tmp_path) -> None:
    folder = changed("gpt2", config={"eos_token": "<|endoftext|>", "tokenizer_class": "GPT2Tokenizer"})
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    write_for_transformers(open_tokenizer(folder), tmp_path / "out", closing=False, context=77)
    config = json.loads((tmp_path / "out" / "tokenizer_config.json").read_text())
    assert config["tokenizer_class"] == "GPT2Tokenizer"
    assert config["chat_template"] == "{{ messages }}"
    assert config["model_max_length"] == 77
    written = open_tokenizer(tmp_path / "out")
    assert written.encode(TEXT) == open_tokenizer(folder).encode(TEXT)
    assert written.sha256 == open_tokenizer(folder).sha256


def test_headstarts_own_needs_no_configuration(kinds, changed) -> None:
    folder = changed("headstart", config={}, post_processor=None)
    tokenizer = open_tokenizer(folder)
    assert tokenizer.special == kinds["headstart"].special
    assert tokenizer.sha256 == kinds["headstart"].sha256
    assert tokenizer.with_special([9], [8])[0] == [0, 9, 1, 8, 1]


def test_what_is_missing_is_said(changed, tmp_path) -> None:
    with pytest.raises(HeadstartError, match="there is no tokenizer folder"):
        open_tokenizer(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(HeadstartError, match=r"has no tokenizer\.json, nor an older vocabulary; it is not"):
        open_tokenizer(tmp_path / "empty")
    (tmp_path / "empty" / "spiece.model").touch()
    with pytest.raises(HeadstartError, match=r"spiece\.model is no SentencePiece model"):
        open_tokenizer(tmp_path / "empty")
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "manifest.json").write_text('{"format": "headstart.corpus"}')
    with pytest.raises(HeadstartError, match=r"is headstart\.corpus, not a tokenizer folder"):
        open_tokenizer(tmp_path / "corpus")
    with pytest.raises(HeadstartError, match=r"neither tokenizer_config\.json nor special_tokens_map\.json"):
        open_tokenizer(changed("t5", config={}))
    with pytest.raises(HeadstartError, match="names '<none>' as end token, which"):
        open_tokenizer(changed("t5", config={"eos_token": "<none>"}))


@pytest.mark.parametrize(
    "content", ["", "{}", "[]", "null", '{"model": {"vocab": {}, "type": "WordPiece"}}', '{"model": 3}']
)
def test_files_that_are_no_tokenizer(content, tmp_path) -> None:
    (tmp_path / "tokenizer.json").write_text(content)
    (tmp_path / "tokenizer_config.json").write_text("{}")
    with pytest.raises(HeadstartError, match=r"tokenizer\.json"):
        open_tokenizer(tmp_path)
