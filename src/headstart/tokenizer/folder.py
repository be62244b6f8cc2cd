"""Tokenizer folders: `tokenizer.json` and `tokenizer_config.json`, as the ecosystem writes them."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from headstart.errors import HeadstartError
from headstart.folder import MANIFEST, read_json, write_json
from headstart.tokenizer.base import Tokenizer
from headstart.tokenizer.byte_level import ByteLevelTokenizer, Merges
from headstart.tokenizer.engine import EngineTokenizer
from headstart.tokenizer.pieces import read_pieces
from headstart.tokenizer.special import HEADSTART_IDS, HEADSTART_TOKENS, SpecialIds
from headstart.tokenizer.template import BARE, parse_template, read_template

DEFINITION, CONFIG = "tokenizer.json", "tokenizer_config.json"

# Which token of tokenizer_config.json plays which role; of two, the first that is there.
ROLES = {
    "start": ("bos_token", "cls_token"),
    "end": ("eos_token", "sep_token"),
    "pad": ("pad_token",),
    "mask": ("mask_token",),
    "unknown": ("unk_token",),
    "separator": ("sep_token",),
}
_HEADSTART_ROLES = dict(zip(HEADSTART_TOKENS, range(4), strict=True))
HEADSTART_ENCODER = parse_template("<s> A </s>", "<s> A </s> B </s>", _HEADSTART_ROLES)
HEADSTART_DECODER = parse_template("<s> A", "<s> A B", _HEADSTART_ROLES)


def open_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer of a folder: one that headstart wrote, or any of the Hugging Face ecosystem.

    Raises:
        HeadstartError: no such folder, no `tokenizer.json` in it, a damaged one, or special tokens that
            the vocabulary does not have.
    """
    path = folder / DEFINITION
    if not path.exists():
        raise HeadstartError(_what_is_missing(folder))
    definition = read_json(path)
    try:
        tokens = _tokens(definition)
        special, config = _special_ids(path, definition, tokens)
        template = read_template(definition.get("post_processor"))
        if template == BARE and special == HEADSTART_IDS:
            template = HEADSTART_ENCODER  # older tokenizer folders leave it out
        pieces = read_pieces(definition, tokens, special.all)
        merges = Merges.read(definition, pieces, special)
        if merges is not None:
            return ByteLevelTokenizer(path, merges, config, special, template, tokens, pieces)
        return EngineTokenizer(path, definition, config, special, template, tokens, pieces)
    except HeadstartError:
        raise
    except Exception as error:  # `tokenizers` raises a bare Exception for a definition that it cannot read
        raise HeadstartError(
            f"{path} is no tokenizer that can be read ({type(error).__name__}: {error}); "
            "save it again with transformers' save_pretrained"
        ) from None


def _what_is_missing(folder: Path) -> str:
    if not folder.is_dir():
        return f"there is no tokenizer folder {folder}; check the path"
    if (folder / MANIFEST).exists():
        return f"{folder} is {read_json(folder / MANIFEST).get('format')}, not a tokenizer folder"
    older = [
        name
        for name in ("vocab.txt", "vocab.json", "spiece.model", "tokenizer.model")
        if (folder / name).exists()
    ]
    if older:
        return (
            f"{folder} has {older[0]} but no {DEFINITION}; make one with transformers: "
            f"AutoTokenizer.from_pretrained({str(folder)!r}).save_pretrained({str(folder)!r})"
        )
    return f"{folder} has no {DEFINITION}; it is not a tokenizer folder"


def _tokens(definition: dict[str, Any]) -> list[str]:
    """The token of every id, added tokens included."""
    vocabulary = definition["model"]["vocab"]
    if isinstance(vocabulary, dict):
        ids = dict(vocabulary)
    else:
        ids = {token: index for index, (token, _) in enumerate(vocabulary)}
    ids |= {token["content"]: token["id"] for token in definition.get("added_tokens") or []}
    tokens = [""] * (max(ids.values()) + 1)
    for token, index in ids.items():
        tokens[index] = token
    return tokens


def _special_ids(
    path: Path, definition: dict[str, Any], tokens: list[str]
) -> tuple[SpecialIds, dict[str, Any]]:
    """Roles from the configuration; every added token that is marked special belongs to `all`."""
    added = [token["id"] for token in definition.get("added_tokens") or [] if token["special"]]
    config = _read_config(path.parent)
    if tuple(tokens[:4]) == HEADSTART_TOKENS and sorted(added) == [0, 1, 2, 3]:
        return HEADSTART_IDS, config
    if not config:
        raise HeadstartError(
            f"{path.parent} has neither {CONFIG} nor special_tokens_map.json, so nothing says which special "
            "token opens or closes a text; copy them from the model"
        )
    ids = {token: index for index, token in enumerate(tokens) if token}
    found: dict[str, int | None] = {}
    for role, keys in ROLES.items():
        value = next((config[key] for key in keys if config.get(key)), None)
        token = value["content"] if isinstance(value, dict) else value  # older files: {"content": "<s>", ...}
        if token is not None and token not in ids:
            raise HeadstartError(
                f"{path.parent}: {CONFIG} names {token!r} as {role} token, which {DEFINITION} does not have; "
                "they do not belong together"
            )
        found[role] = None if token is None else ids[token]
    sentinels: list[int] = []
    while f"<extra_id_{len(sentinels)}>" in ids:
        sentinels.append(ids[f"<extra_id_{len(sentinels)}>"])
    named = [index for index in found.values() if index is not None]
    special = SpecialIds(**found, sentinels=tuple(sentinels), all=frozenset([*added, *named, *sentinels]))
    return special, config


def _read_config(folder: Path) -> dict[str, Any]:
    """`tokenizer_config.json`, completed by `special_tokens_map.json` and `chat_template.jinja`."""
    config: dict[str, Any] = {}
    for name in ("special_tokens_map.json", CONFIG):
        if (folder / name).exists():
            config |= {key: value for key, value in read_json(folder / name).items() if value is not None}
    chat = folder / "chat_template.jinja"
    if chat.exists():
        config["chat_template"] = chat.read_text(encoding="utf-8")
    return config


def make_config(roles: dict[str, str], inputs: Iterable[str], further: Iterable[str] = ()) -> dict[str, Any]:
    """A `tokenizer_config.json`, which leaves everything else to `tokenizer.json`."""
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        **roles,
        "clean_up_tokenization_spaces": False,
        "model_input_names": list(inputs),
    }
    return config | ({"additional_special_tokens": list(further)} if further else {})


def write_for_transformers(tokenizer: Tokenizer, folder: Path, closing: bool, context: int) -> None:
    """Write `tokenizer.json` and `tokenizer_config.json` as `AutoTokenizer` reads them.

    Args:
        closing: of headstart's own tokenizer: put `</s>` behind every text (encoders); decoders go on where
            the text ends. Another family has one template, which stays.
        context: the longest row that the model saw, in tokens.
    """
    definition = read_json(tokenizer.path) | {"truncation": None, "padding": None}
    config = tokenizer.config
    if tokenizer.is_headstart:
        template = HEADSTART_ENCODER if closing else HEADSTART_DECODER
        definition["post_processor"] = template.processor(tokenizer.tokens)
        roles = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"}
        if closing:
            roles |= {"cls_token": "<s>", "sep_token": "</s>", "mask_token": "<mask>"}
        config = make_config(roles, ("input_ids", "attention_mask"))
        config |= {name: tokenizer.config[name] for name in ("chat_template",) if name in tokenizer.config}
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / DEFINITION, definition)
    write_json(folder / CONFIG, config | {"model_max_length": context})
