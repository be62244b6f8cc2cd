"""What a published tokenizer folder leaves to transformers' class: its special tokens.

`tokenizer_config.json` names a class, or `config.json` a type of model that has one, and what the files do
not say is that class's default. The defaults here are those of transformers' classes; a test compares them.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from headstart.errors import HeadstartError
from headstart.folder import JSONObject, read_json
from headstart.tokenizer.sentencepiece_file import added_token

CONFIG, TOKEN_MAP, ADDED = "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"
SENTINELS = 100
"""How many `<extra_id_N>` a T5 tokenizer has where nothing says it."""

_BERT = {
    "unk_token": "[UNK]",
    "sep_token": "[SEP]",
    "pad_token": "[PAD]",
    "cls_token": "[CLS]",
    "mask_token": "[MASK]",
}
_ROBERTA = {
    "bos_token": "<s>",
    "eos_token": "</s>",
    "sep_token": "</s>",
    "cls_token": "<s>",
    "unk_token": "<unk>",
    "pad_token": "<pad>",
    "mask_token": "<mask>",
}
_END_OF_TEXT = "<|endoftext|>"
_GPT2 = {"unk_token": _END_OF_TEXT, "bos_token": _END_OF_TEXT, "eos_token": _END_OF_TEXT}

CLASSES: dict[str, dict[str, str]] = {
    "BertTokenizer": _BERT,
    "DistilBertTokenizer": _BERT,
    "ElectraTokenizer": _BERT,
    "MobileBertTokenizer": _BERT,
    "RobertaTokenizer": _ROBERTA,
    "BartTokenizer": _ROBERTA,
    "LongformerTokenizer": _ROBERTA,
    "XLMRobertaTokenizer": _ROBERTA,
    "CamembertTokenizer": _ROBERTA,
    "MBartTokenizer": _ROBERTA,
    "MPNetTokenizer": _ROBERTA | {"unk_token": "[UNK]"},
    "GPT2Tokenizer": _GPT2,
    "CodeGenTokenizer": _GPT2,
    "GPTNeoXTokenizer": _GPT2 | {"pad_token": "<|padding|>"},
    "Qwen2Tokenizer": {"unk_token": _END_OF_TEXT, "eos_token": _END_OF_TEXT, "pad_token": _END_OF_TEXT},
    "OpenAIGPTTokenizer": {"unk_token": "<unk>"},
    "T5Tokenizer": {"eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"},
    "MarianTokenizer": {"eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"},
    "LlamaTokenizer": {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"},
    "CodeLlamaTokenizer": {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"},
    "GemmaTokenizer": {
        "unk_token": "<unk>",
        "bos_token": "<bos>",
        "eos_token": "<eos>",
        "pad_token": "<pad>",
        "mask_token": "<mask>",
    },
    "DebertaV2Tokenizer": _BERT | {"bos_token": "[CLS]", "eos_token": "[SEP]"},
}
"""A tokenizer class of transformers, without "Fast": the special tokens where nothing says them."""

CLASS_OF_MODEL = {
    "bert": "BertTokenizer",
    "distilbert": "BertTokenizer",
    "electra": "BertTokenizer",
    "mobilebert": "MobileBertTokenizer",
    "roberta": "RobertaTokenizer",
    "bart": "RobertaTokenizer",
    "longformer": "RobertaTokenizer",
    "xlm-roberta": "XLMRobertaTokenizer",
    "camembert": "CamembertTokenizer",
    "mbart": "MBartTokenizer",
    "mpnet": "MPNetTokenizer",
    "gpt2": "GPT2Tokenizer",
    "gpt_neo": "GPT2Tokenizer",
    "gptj": "GPT2Tokenizer",
    "phi": "GPT2Tokenizer",
    "opt": "GPT2Tokenizer",
    "gpt_neox": "GPTNeoXTokenizer",
    "olmo": "GPTNeoXTokenizer",
    "qwen2": "Qwen2Tokenizer",
    "qwen3": "Qwen2Tokenizer",
    "openai-gpt": "OpenAIGPTTokenizer",
    "t5": "T5Tokenizer",
    "mt5": "T5Tokenizer",
    "marian": "MarianTokenizer",
    "llama": "LlamaTokenizer",
    "mistral": "LlamaTokenizer",
    "phi3": "LlamaTokenizer",
    "gemma": "GemmaTokenizer",
    "gemma2": "GemmaTokenizer",
    "gemma3": "GemmaTokenizer",
    "gemma3_text": "GemmaTokenizer",
    "deberta-v2": "DebertaV2Tokenizer",
}
"""`model_type` of a `config.json`: the class of its tokenizer where no file names one."""

ROLE_KEYS = tuple(dict.fromkeys(key for roles in CLASSES.values() for key in roles))


def read_config(folder: Path) -> JSONObject:
    """`tokenizer_config.json`, completed by `special_tokens_map.json` and the folder's chat templates."""
    config: JSONObject = {}
    for name in (TOKEN_MAP, CONFIG):
        if (folder / name).exists():
            said = read_json(folder / name, JSONObject)
            config |= {key: value for key, value in said.items() if value is not None}
    named = folder.glob("additional_chat_templates/*.jinja")
    templates = {file.stem: file.read_text(encoding="utf-8") for file in named}
    single = folder / "chat_template.jinja"
    if single.exists():
        templates["default"] = single.read_text(encoding="utf-8")
    if set(templates) == {"default"}:
        config["chat_template"] = templates["default"]
    elif templates:
        config["chat_template"] = templates
    return config


def chat_template(config: Mapping[str, Any], with_tools: bool = False) -> str | None:
    """The chat template: of several by name the one for tools where there are tools, else the default."""
    said = config.get("chat_template")
    if isinstance(said, list):
        said = {one.get("name"): one.get("template") for one in said if isinstance(one, dict)}
    if isinstance(said, dict):
        said = said.get("tool_use" if with_tools and "tool_use" in said else "default")
    return said if isinstance(said, str) else None


def class_of(folder: Path, config: Mapping[str, Any]) -> str:
    """The class of a folder's tokenizer, without "Fast"; "" where nothing tells it."""
    said = config.get("tokenizer_class")
    if not said and (folder / "config.json").exists():
        model = read_json(folder / "config.json", object)
        model = model if isinstance(model, dict) else {}
        said = model.get("tokenizer_class") or CLASS_OF_MODEL.get(str(model.get("model_type")))
    return str(said or "").removesuffix("Fast")


def with_defaults(config: JSONObject, kind: str, tokens: Mapping[str, int]) -> JSONObject:
    """The configuration with the special tokens that the class takes, as far as the vocabulary has them."""
    roles = {key: token for key, token in CLASSES.get(kind, {}).items() if token in tokens}
    return roles | config


def with_added_tokens(folder: Path, definition: JSONObject, config: Mapping[str, Any]) -> JSONObject:
    """A `tokenizer.json` with what the older files add to its vocabulary: `added_tokens_decoder`, or before
    there was one `added_tokens.json`, and roles that the vocabulary has as a plain token."""
    vocabulary = vocabulary_of(definition)
    added = {token["id"]: token for token in definition.get("added_tokens") or []}
    names = {token["content"]: token["id"] for token in added.values()}
    known: dict[str, int] = vocabulary | names
    roles = {_content(config[key]): config[key] for key in ROLE_KEYS if config.get(key)}
    roles |= {_content(one): one for one in config.get("additional_special_tokens") or []}
    decoder = config.get("added_tokens_decoder")
    if isinstance(decoder, Mapping):
        for index, said in decoder.items():
            if not isinstance(said, Mapping) or not str(index).isdecimal():
                raise HeadstartError(
                    f"{folder / CONFIG}: added_tokens_decoder has {index!r}: {str(said)[:40]!r}, no token"
                )
            own = known.get(_content(said), int(index))
            added[own] = _token(own, said, special=bool(said.get("special")))
    elif (folder / ADDED).exists():
        for content, index in read_json(folder / ADDED, dict[str, int]).items():
            if content not in names:
                place = known.get(content, index)
                added[place] = _token(place, roles.get(content, content), special=content in roles)
    names = {token["content"]: token["id"] for token in added.values()}
    for content, said in roles.items():
        if content not in names and content in vocabulary:
            added[vocabulary[content]] = _token(vocabulary[content], said, special=True)
    return definition | {"added_tokens": [added[index] for index in sorted(added)]}


def vocabulary_of(definition: Mapping[str, Any]) -> dict[str, int]:
    """The id of every token of the model in a `tokenizer.json`, without those added to it."""
    vocabulary = definition["model"]["vocab"]
    if isinstance(vocabulary, dict):
        return dict(vocabulary)
    return {token: index for index, (token, _) in enumerate(vocabulary)}


def _token(index: int, said: Any, special: bool) -> JSONObject:
    """An added token as `tokenizer.json` has it, from a text or from an entry of `tokenizer_config.json`."""
    flags = ("single_word", "lstrip", "rstrip", "normalized")
    given = {"normalized": not special} | (dict(said) if isinstance(said, Mapping) else {})
    return added_token(
        index, _content(said), special, **{key: bool(given[key]) for key in flags if key in given}
    )


def _content(said: Any) -> str:
    return str(said["content"]) if isinstance(said, Mapping) else str(said)
