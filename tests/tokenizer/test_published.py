"""Folders as they are published: what they leave to transformers' classes, and older files."""

import inspect
import json
import os
import shutil

os.environ.setdefault("HF_HUB_OFFLINE", "1")
import pytest
import sentencepiece
import transformers
from transformers.models.auto.tokenization_auto import TOKENIZER_MAPPING_NAMES, tokenizer_class_from_name

from headstart.errors import HeadstartError
from headstart.tokenizer.folder import open_tokenizer, write_for_transformers
from headstart.tokenizer.published import CLASS_OF_MODEL, CLASSES
from headstart.tokenizer.sentencepiece_file import BPE, UNIGRAM, read_sentencepiece

TEXTS = [
    "The King's 1234567 men,\n\n  don't they'VE   x\t\t12 34  5 ½ é.",
    "  Größe  你好 😀 <s></s> naïve ",
    "",
    "a",
    "The quick brown fox jumps over the lazy dog; nobody knew its name.",
]
LINES = [
    f"The quick brown fox number {n} jumps over the lazy dog, naïve and 你好 {n * 37}." for n in range(200)
]


ROLES = {"bos", "eos", "unk", "sep", "pad", "cls", "mask"}


@pytest.mark.parametrize("kind", sorted(CLASSES))
def test_the_defaults_are_those_of_transformers_class(kind) -> None:
    found = tokenizer_class_from_name(kind)
    if found is None or found.__name__ in ("TokenizersBackend", "PreTrainedTokenizerFast"):
        pytest.skip(f"this transformers has no {kind} of its own")
    said = {}
    for one in reversed(found.__mro__):
        if "__init__" in vars(one) and one.__module__.startswith("transformers.models"):
            said |= inspect.signature(one.__init__).parameters
    roles = {
        name: getattr(each.default, "content", each.default)
        for name, each in said.items()
        if name.endswith("_token") and name.split("_")[0] in ROLES
    }
    assert {name: token for name, token in roles.items() if token} == CLASSES[kind]


def test_the_classes_of_models_are_transformers() -> None:
    generic = ("TokenizersBackend", "MistralCommonBackend", "MarianTokenizer", None)
    for model, kind in CLASS_OF_MODEL.items():
        theirs = TOKENIZER_MAPPING_NAMES.get(model)
        assert theirs in (*generic, kind), model


def same(folder, reference=None) -> None:
    """The same ids, special tokens and all, as transformers gives for the folder."""
    ours = open_tokenizer(folder)
    theirs = reference or transformers.AutoTokenizer.from_pretrained(folder)
    for text in TEXTS:
        plain = text.replace("<s></s>", "")  # which are text here, and special tokens there
        assert ours.with_special(ours.encode(plain))[0] == theirs(plain)["input_ids"], plain
    for role in ("pad", "mask", "unk", "sep"):
        name = {"unk": "unknown", "sep": "separator"}.get(role, role)
        assert getattr(ours.special, name) == getattr(theirs, f"{role}_token_id"), role
    end = theirs.eos_token_id if theirs.eos_token_id is not None else theirs.sep_token_id
    assert ours.special.end == end


def publish(kinds, tmp_path, kind, model_type, config, keep=("tokenizer.json",)):
    """A folder with one of our kinds' tokenizer.json, and little beside it."""
    folder = tmp_path / kind
    folder.mkdir()
    for name in keep:
        shutil.copy(kinds[kind].path.parent / name, folder)
    (folder / "config.json").write_text(json.dumps({"model_type": model_type}))
    if config is not None:
        (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize(
    ("kind", "model_type"),
    [("bert", "bert"), ("bert", "distilbert"), ("roberta", "roberta"), ("bart", "bart"), ("gpt2", "gpt2")],
)
@pytest.mark.parametrize("config", [None, {"model_max_length": 512}])
def test_roles_come_from_the_type_of_model(kinds, tmp_path, kind, model_type, config) -> None:
    same(publish(kinds, tmp_path, kind, model_type, config))


@pytest.mark.parametrize(("kind", "model_type"), [("t5", "t5"), ("llama2", "llama")])
def test_roles_of_sentencepiece_models(kinds, tmp_path, kind, model_type) -> None:
    folder = publish(kinds, tmp_path, kind, model_type, {"model_max_length": 512})
    assert open_tokenizer(folder).special == kinds[kind].special


@pytest.mark.parametrize("lower", [True, False])
def test_the_configuration_decides_about_case(kinds, tmp_path, lower) -> None:
    same(publish(kinds, tmp_path, "bert", "bert", {"do_lower_case": lower}))


@pytest.mark.parametrize("kind", ["gpt2", "bert", "t5", "llama2"])
@pytest.mark.parametrize("role", ["pad_token", "unk_token"])
def test_a_sign_with_a_role_is_still_text(kinds, tmp_path, kind, role) -> None:
    """Some models pad with `!`: their texts hold it, too."""
    for file in kinds[kind].path.parent.iterdir():
        shutil.copy(file, tmp_path)
    plain = open_tokenizer(tmp_path)
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config | {role: "!"}))
    ours, text = open_tokenizer(tmp_path), "Stop! Halt !"
    assert {"pad_token": ours.special.pad, "unk_token": ours.special.unknown}[role] == ours.tokens.index("!")
    assert ours.encode(text) == plain.encode(text)
    assert ours.decode(ours.encode(text)) == plain.decode(plain.encode(text))
    theirs = transformers.PreTrainedTokenizerFast.from_pretrained(tmp_path)
    assert ours.encode("Stop!") == theirs("Stop!", add_special_tokens=False)["input_ids"]


def test_added_tokens_of_older_and_newer_files(kinds, tmp_path) -> None:
    folder = publish(kinds, tmp_path, "gpt2", "gpt2", {"pad_token": "[PAD]"})
    size = len(kinds["gpt2"].tokens)
    (folder / "added_tokens.json").write_text(json.dumps({"[PAD]": size, "<think>": size + 1}))
    ours = open_tokenizer(folder)
    assert ours.special.pad == size
    assert ours.vocab_size == size + 2
    assert ours.encode("<think>")[0] == size + 1  # an added word, and no special token
    (folder / "added_tokens.json").unlink()
    said = {"content": "<turn>", "special": True, "rstrip": True, "lstrip": False, "normalized": False}
    config = {"added_tokens_decoder": {str(size): said}}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    ours = open_tokenizer(folder)
    assert ours.tokens[size] == "<turn>"
    assert ours.special.strips_behind == {size}
    assert size not in ours.encode("<turn>")
    (folder / "tokenizer_config.json").write_text('{"added_tokens_decoder": {"x": 3}}')
    with pytest.raises(HeadstartError, match="added_tokens_decoder has 'x'"):
        open_tokenizer(folder)


def older(kinds, tmp_path, kind, model_type, config):
    """The vocabulary of one of our kinds as it was written before tokenizer.json."""
    folder = publish(kinds, tmp_path, kind, model_type, config, keep=())
    model = kinds[kind].definition["model"]
    by_id = sorted(model["vocab"], key=model["vocab"].get)
    if model["type"] == "WordPiece":
        (folder / "vocab.txt").write_text("\n".join(by_id) + "\n", encoding="utf-8")
    else:
        (folder / "vocab.json").write_text(json.dumps(model["vocab"]))
        lines = [" ".join(pair) for pair in model["merges"]]
        (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(lines) + "\n", encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("kind", "model_type", "config"),
    [
        ("bert", "bert", None),
        ("bert", "bert", {"do_lower_case": False}),
        ("bert", "distilbert", {"strip_accents": False}),
        ("roberta", "roberta", None),
        ("bart", "bart", {"add_prefix_space": True}),
        ("gpt2", "gpt2", None),
        ("gpt2", "gpt2", {"add_prefix_space": True}),
        ("gpt2", "qwen2", {"tokenizer_class": "Qwen2Tokenizer"}),
        ("gpt1", "openai-gpt", None),
    ],
)
def test_vocabularies_older_than_tokenizer_json(kinds, tmp_path, kind, model_type, config) -> None:
    folder = older(kinds, tmp_path, kind, model_type, config)
    same(folder)
    write_for_transformers(open_tokenizer(folder), tmp_path / "out", closing=False, context=64)
    shutil.copy(folder / "config.json", tmp_path / "out")
    again, before = open_tokenizer(tmp_path / "out"), open_tokenizer(folder)
    assert again.special == before.special
    assert [again.encode(text) for text in TEXTS] == [before.encode(text) for text in TEXTS]
    same(tmp_path / "out")


def test_damaged_vocabularies(kinds, tmp_path) -> None:
    folder = older(kinds, tmp_path, "gpt2", "gpt2", None)
    (folder / "merges.txt").write_text("#version: 0.2\na b c\n")
    with pytest.raises(HeadstartError, match=r"merges\.txt line 2 is 'a b c'"):
        open_tokenizer(folder)
    (folder / "vocab.json").write_text("[1]")
    with pytest.raises(HeadstartError, match=r"vocab\.json gives no id"):
        open_tokenizer(folder)


SPECIAL = {
    "t5": {"pad_id": 0, "eos_id": 1, "unk_id": 2, "bos_id": -1},
    "xlm-roberta": {"unk_id": 0, "bos_id": 1, "eos_id": 2},
    "llama": {
        "unk_id": 0,
        "bos_id": 1,
        "eos_id": 2,
        "byte_fallback": True,
        "remove_extra_whitespaces": False,
    },
    "gemma": {
        "pad_id": 0,
        "eos_id": 1,
        "bos_id": 2,
        "unk_id": 3,
        "byte_fallback": True,
        "remove_extra_whitespaces": False,
        "add_dummy_prefix": False,
        "pad_piece": "<pad>",
        "eos_piece": "<eos>",
        "bos_piece": "<bos>",
    },
    "deberta-v2": {
        "pad_id": 0,
        "bos_id": 1,
        "eos_id": 2,
        "unk_id": 3,
        "pad_piece": "[PAD]",
        "bos_piece": "[CLS]",
        "eos_piece": "[SEP]",
        "unk_piece": "[UNK]",
    },
}
FILES = {
    "t5": "spiece.model",
    "xlm-roberta": "sentencepiece.bpe.model",
    "llama": "tokenizer.model",
    "gemma": "tokenizer.model",
    "deberta-v2": "spm.model",
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A small SentencePiece model for each model type, trained by the library."""
    made = {}

    def train(model_type, kind, **more):
        key = (model_type, kind, repr(more))
        if key not in made:
            out = tmp_path_factory.mktemp(model_type)
            normal = {"normalization_rule_name": "identity"} if model_type in ("llama", "gemma") else {}
            size = 420 if SPECIAL[model_type].get("byte_fallback") else 160
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=iter(LINES), model_prefix=str(out / "m"), vocab_size=size, minloglevel=2,
                model_type=kind, **SPECIAL[model_type], **normal, **more,
            )  # fmt: skip
            made[key] = out / "m.model"
        return made[key]

    return train


@pytest.mark.parametrize(
    ("model_type", "kind"),
    [("t5", "unigram"), ("llama", "bpe"), ("gemma", "bpe"), ("t5", "bpe"), ("deberta-v2", "unigram")],
)
def test_sentencepiece_gives_the_same_pieces(trained, tmp_path, model_type, kind) -> None:
    """Our reading of the file against the library's."""
    file = trained(model_type, kind)
    shutil.copy(file, tmp_path / FILES[model_type])
    (tmp_path / "config.json").write_text(json.dumps({"model_type": model_type}))
    library = sentencepiece.SentencePieceProcessor(model_file=str(file))
    model = read_sentencepiece(file)
    assert model.tokens == [library.id_to_piece(i) for i in range(len(library))]
    assert model.model == (UNIGRAM if kind == "unigram" else BPE)
    ours = open_tokenizer(tmp_path)
    for text in TEXTS:
        assert ours.encode(text) == library.encode(text), text
    for text in LINES[:5]:
        assert ours.encode(text) == library.encode(text), text
        assert ours.decode(ours.encode(text)) == library.decode(library.encode(text))


@pytest.mark.parametrize("model_type", ["t5", "xlm-roberta", "llama", "deberta-v2"])
def test_sentencepiece_folders_as_transformers_reads_them(trained, tmp_path, model_type) -> None:
    file = trained(model_type, "bpe" if model_type == "llama" else "unigram")
    shutil.copy(file, tmp_path / FILES[model_type])
    (tmp_path / "config.json").write_text(json.dumps({"model_type": model_type}))
    if model_type == "llama":  # transformers 5 adds the start token where it is told to
        (tmp_path / "tokenizer_config.json").write_text(
            '{"tokenizer_class": "LlamaTokenizer", "add_bos_token": true}'
        )
    ours, theirs = open_tokenizer(tmp_path), transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert ours.vocab_size == len(theirs)
    for text in LINES[:5]:
        assert ours.with_special(ours.encode(text))[0] == theirs(text)["input_ids"], text
        one, two = ours.encode(text), ours.encode(LINES[7])
        assert ours.with_special(one, two)[0] == theirs(text, LINES[7])["input_ids"]
    for name, role in [("pad_token_id", "pad"), ("mask_token_id", "mask"), ("eos_token_id", "end")]:
        assert getattr(ours.special, role) == getattr(theirs, name)
    if model_type == "t5":
        assert len(ours.special.sentinels) == 100


def test_pieces_that_the_user_defined(trained, tmp_path) -> None:
    file = trained("llama", "bpe", user_defined_symbols=["<think>"])
    shutil.copy(file, tmp_path / "tokenizer.model")
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    library = sentencepiece.SentencePieceProcessor(model_file=str(file))
    think = library.piece_to_id("<think>")
    assert think in open_tokenizer(tmp_path).encode("<think>The fox")


def test_pieces_of_blanks_that_the_user_defined(trained, tmp_path) -> None:
    """As in Gemma, whose models have a piece for every run of blanks and of line ends."""
    runs = ["▁▁", "▁▁▁▁", "\n\n", "<sep>", "x▁▁y"]
    file = trained("gemma", "bpe", user_defined_symbols=runs)
    shutil.copy(file, tmp_path / "tokenizer.model")
    (tmp_path / "config.json").write_text('{"model_type": "gemma"}')
    library = sentencepiece.SentencePieceProcessor(model_file=str(file))
    ours = open_tokenizer(tmp_path)
    texts = ["The  fox", "    The fox   jumps", "a<sep>b  <sep>", "x  y", "fox\n\n  The", "▁▁ fox", "  ", ""]
    for text in texts:
        ids = ours.encode(text)
        assert ids == library.encode(text), text
        assert ours.decode(ids) == library.decode(ids)
        assert b"".join(ours.pieces[index] for index in ids).decode() == library.decode(ids)
    assert library.piece_to_id("▁▁▁▁") in ours.encode(texts[1])


def test_blanks_that_are_written_otherwise_are_refused(trained, tmp_path) -> None:
    suffixes = trained("t5", "unigram", treat_whitespace_as_suffix=True)
    unwritten = tmp_path / "unwritten.model"  # ModelProto 3, NormalizerSpec 5: false, which no trainer makes
    unwritten.write_bytes(trained("t5", "unigram").read_bytes() + b"\x1a\x02\x28\x00")
    for file in (suffixes, unwritten):
        with pytest.raises(HeadstartError, match="a blank as the first sign of a word"):
            read_sentencepiece(file)


@pytest.mark.parametrize("damage", [b"", b"\x0a\xff", b"hello world", b"\x0a\x03\x0a\x01"])
def test_files_that_are_no_sentencepiece_model(tmp_path, damage) -> None:
    (tmp_path / "spiece.model").write_bytes(damage)
    with pytest.raises(HeadstartError, match=r"spiece\.model is no SentencePiece model"):
        open_tokenizer(tmp_path)
