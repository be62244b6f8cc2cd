"""Tokenizer folders: `tokenizer.json` and `tokenizer_config.json`, as the ecosystem writes them.

Older files stand in for `tokenizer.json` (`older_files`), and what the folder leaves to transformers' class
is filled in (`published`).
"""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from headstart.errors import HeadstartError
from headstart.folder import MANIFEST, JSONObject, read_json, write_json
from headstart.tokenizer.base import Tokenizer
from headstart.tokenizer.byte_level import ByteLevelTokenizer, Merges
from headstart.tokenizer.engine import EngineTokenizer
from headstart.tokenizer.older_files import older_file, read_older
from headstart.tokenizer.pieces import read_pieces
from headstart.tokenizer.published import (
    CLASSES,
    CONFIG,
    class_of,
    read_config,
    vocabulary_of,
    with_added_tokens,
    with_defaults,
)
from headstart.tokenizer.special import HEADSTART_IDS, HEADSTART_TOKENS, SpecialIds
from headstart.tokenizer.template import BARE, Template, parse_template, read_template

DEFINITION = "tokenizer.json"
MOST_IDS = 10**8
"""Far beyond any vocabulary; a damaged file that says more would take all memory."""

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


def holds_tokenizer(folder: Path) -> bool:
    """Whether there is a tokenizer in a folder."""
    return (folder / DEFINITION).exists() or older_file(folder) is not None


def open_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer of a folder: one that headstart wrote, or any of the Hugging Face ecosystem.

    Raises:
        HeadstartError: no such folder, no tokenizer in it, a damaged one, or special tokens that the
            vocabulary does not have.
    """
    path = folder / DEFINITION
    if not path.exists():
        older = older_file(folder)
        if older is None:
            raise HeadstartError(_what_is_missing(folder))
        path = older
    config = read_config(folder)
    kind = class_of(folder, config)
    read = partial(_read_definition, path, kind, config)
    return tokenizer_of(path, read, config, kind)


def _read_definition(path: Path, kind: str, config: JSONObject) -> JSONObject:
    definition = read_json(path, JSONObject) if path.name == DEFINITION else read_older(path, kind, config)
    return _with_class_settings(with_added_tokens(path.parent, definition, config), kind, config)


def tokenizer_of(path: Path, read: Callable[[], JSONObject], config: JSONObject, kind: str = "") -> Tokenizer:
    """The tokenizer that a `tokenizer.json` describes, wherever it comes from.

    Args:
        path: the file that sentences about it name.
        read: reads the definition, and may be called again.
        config: what `tokenizer_config.json` says.
        kind: transformers' class, whose special tokens stand where `config` names none.
    """
    try:
        definition = read()
        tokens = _tokens(definition)
        config = with_defaults(config, kind, {token: index for index, token in enumerate(tokens) if token})
        special = _special_ids(path, definition, config, tokens)
        template = read_template(definition.get("post_processor"))
        if template == BARE and special == HEADSTART_IDS:
            template = HEADSTART_ENCODER  # older tokenizer folders leave it out
        if not template.fits(len(tokens)):
            raise HeadstartError(
                f"{path} leaves out a text, or frames it with tokens that it does not have (post_processor); "
                "save it again with transformers' save_pretrained"
            )
        pieces = read_pieces(definition, tokens, special.all)
        merges = Merges.read(definition, pieces, special)
        if merges is not None:
            return ByteLevelTokenizer(path, read, merges, config, special, template, tokens, pieces)
        return EngineTokenizer(path, read, definition, config, special, template, tokens, pieces)
    except HeadstartError:
        raise
    except Exception as error:  # `tokenizers` raises a bare Exception for a definition that it cannot read
        raise HeadstartError(
            f"{path} is no tokenizer that can be read ({type(error).__name__}: {error}); "
            "save it again with transformers' save_pretrained"
        ) from None


def _with_class_settings(definition: JSONObject, kind: str, config: Mapping[str, Any]) -> JSONObject:
    """A `tokenizer.json` with what transformers' class takes from `tokenizer_config.json` instead."""
    normalizer = definition.get("normalizer") or {}
    if "[CLS]" in CLASSES.get(kind, {}).values() and normalizer.get("type") == "BertNormalizer":
        settings = {
            "lowercase": config.get("do_lower_case", True),
            "strip_accents": config.get("strip_accents"),
            "handle_chinese_chars": config.get("tokenize_chinese_chars", True),
        }
        return definition | {"normalizer": normalizer | settings}
    first: JSONObject = definition.get("pre_tokenizer") or {"type": None}
    plain = first["type"] == "ByteLevel" and first.get("use_regex", True)
    if plain and "add_prefix_space" in config and kind in CLASSES:
        blank = bool(config["add_prefix_space"])
        return definition | {"pre_tokenizer": first | {"add_prefix_space": blank}}
    return definition


def _what_is_missing(folder: Path) -> str:
    if not folder.is_dir():
        return f"there is no tokenizer folder {folder}; check the path"
    if (folder / MANIFEST).exists():
        return f"{folder} is {read_json(folder / MANIFEST, JSONObject).get('format')}, not a tokenizer folder"
    return f"{folder} has no {DEFINITION}, nor an older vocabulary; it is not a tokenizer folder"


def _tokens(definition: JSONObject) -> list[str]:
    """The token of every id, added tokens included."""
    ids = vocabulary_of(definition)
    ids |= {token["content"]: token["id"] for token in definition.get("added_tokens") or []}
    most = max(ids.values())
    if most >= MOST_IDS:
        raise ValueError(f"an id of {most:,}")
    tokens = [""] * (most + 1)
    for token, index in ids.items():
        tokens[index] = token
    return tokens


def _special_ids(
    path: Path, definition: JSONObject, config: Mapping[str, Any], tokens: list[str]
) -> SpecialIds:
    """Roles from the configuration; every added token that is marked special belongs to `all`.

    A single character is text whatever its role: some models pad with `!`, which people also write.
    """
    added = [token for token in definition.get("added_tokens") or [] if token["special"]]
    if tuple(tokens[:4]) == HEADSTART_TOKENS and sorted(token["id"] for token in added) == [0, 1, 2, 3]:
        return HEADSTART_IDS
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
                f"{path.parent}: {CONFIG} names {token!r} as {role} token, which {path.name} does not have; "
                "they do not belong together"
            )
        found[role] = None if token is None else ids[token]
    sentinels: list[int] = []
    while f"<extra_id_{len(sentinels)}>" in ids:
        sentinels.append(ids[f"<extra_id_{len(sentinels)}>"])
    named = {*(token["id"] for token in added), *found.values(), *sentinels} - {None}
    return SpecialIds(
        **found,
        sentinels=tuple(sentinels),
        all=frozenset(index for index in named if len(tokens[index]) > 1),
        strips_before=frozenset(token["id"] for token in added if token.get("lstrip")),
        strips_behind=frozenset(token["id"] for token in added if token.get("rstrip")),
    )


def make_config(roles: dict[str, str], inputs: Iterable[str], further: Iterable[str] = ()) -> JSONObject:
    """A `tokenizer_config.json`, which leaves everything else to `tokenizer.json`."""
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        **roles,
        "clean_up_tokenization_spaces": False,
        "model_input_names": list(inputs),
    }
    return config | ({"additional_special_tokens": list(further)} if further else {})


def own_template(tokenizer: Tokenizer, closing: bool) -> Template:
    """What a model's texts begin and end with. Of headstart's own tokenizer: encoders close every text with
    `</s>`, decoders go on where it ends; another family has one template, which stays."""
    if not tokenizer.is_headstart:
        return tokenizer.template
    return HEADSTART_ENCODER if closing else HEADSTART_DECODER


def write_for_transformers(tokenizer: Tokenizer, folder: Path, closing: bool, context: int) -> None:
    """Write `tokenizer.json` and `tokenizer_config.json` as `AutoTokenizer` reads them.

    Args:
        closing: see `own_template`.
        context: the longest row that the model saw, in tokens.
    """
    definition = tokenizer.definition | {"truncation": None, "padding": None}
    config = {key: _written(key, value) for key, value in tokenizer.config.items()}
    if tokenizer.path.name != DEFINITION:  # the definition says all that the class would have added
        config["tokenizer_class"] = "PreTrainedTokenizerFast"
    if tokenizer.is_headstart:
        definition["post_processor"] = own_template(tokenizer, closing).processor(tokenizer.tokens)
        roles = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"}
        if closing:
            roles |= {"cls_token": "<s>", "sep_token": "</s>", "mask_token": "<mask>"}
        config = make_config(roles, ("input_ids", "attention_mask"))
        config |= {name: tokenizer.config[name] for name in ("chat_template",) if name in tokenizer.config}
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / DEFINITION, definition)
    write_json(folder / CONFIG, config | {"model_max_length": context})


def _written(key: str, value: Any) -> Any:
    """A setting as `tokenizer_config.json` holds it: tokens by their texts, templates as a list."""
    if key.endswith("_token") and isinstance(value, dict):
        return value.get("content")
    if key == "chat_template" and isinstance(value, dict):
        return [{"name": name, "template": text} for name, text in value.items()]
    return value
