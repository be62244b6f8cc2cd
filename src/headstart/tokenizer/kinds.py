"""The kinds of tokenizer that can be trained: what each family fixes about words and special tokens."""

from collections.abc import Callable
from dataclasses import dataclass, field

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

from headstart.tokenizer.byte_level import GPT2_RULE, LLAMA3_RULE
from headstart.tokenizer.pieces import BLANK

SENTINELS = tuple(f"<extra_id_{number}>" for number in range(100))
BYTES = tuple(f"<0x{byte:02X}>" for byte in range(256))


@dataclass(frozen=True)
class TokenizerKind:
    """One family's tokenizer, before it has seen text."""

    engine: Callable[[], Tokenizer]
    """How text is normalised and cut into words, and which model makes pieces of them."""
    first: tuple[str, ...]
    """Special tokens at the beginning of the vocabulary."""
    last: tuple[str, ...]
    """Special tokens at its end."""
    roles: dict[str, str]
    """Which token is what, in the names of `tokenizer_config.json`."""
    single: str
    pair: str
    """Where special tokens stand around one text and two, in the notation of `template.parse_template`."""
    inputs: tuple[str, ...] = ("input_ids", "attention_mask")
    """What transformers hands to the family's models."""
    words: pre_tokenizers.PreTokenizer | None = field(default=None)
    """How text is cut into words while pieces are learned, where this is finer than at use."""


def byte_level(rule: str, whole_words: bool = False) -> Tokenizer:
    """Byte-level BPE (Radford et al. 2019): words by a splitting rule, pieces of any bytes."""
    engine = Tokenizer(models.BPE(ignore_merges=whole_words))
    engine.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(rule), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    engine.decoder = decoders.ByteLevel()
    return engine


def wordpiece(cased: bool) -> Tokenizer:
    """BERT's (Devlin et al. 2019): words and signs, lower-cased without accents unless `cased`."""
    engine = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    engine.normalizer = normalizers.BertNormalizer(lowercase=not cased)
    engine.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    engine.decoder = decoders.WordPiece()
    return engine


def word_end_bpe() -> Tokenizer:
    """GPT-1's (Sennrich et al. 2016): lower-cased words, whose last piece carries `</w>`."""
    engine = Tokenizer(models.BPE(unk_token="<unk>", end_of_word_suffix="</w>"))
    engine.normalizer = normalizers.BertNormalizer(lowercase=True)
    engine.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    engine.decoder = decoders.BPEDecoder(suffix="</w>")
    return engine


def unigram() -> Tokenizer:
    """T5's SentencePiece (Kudo 2018): compatibility forms are one, runs of blanks and line ends a blank."""
    engine = Tokenizer(models.Unigram())
    engine.normalizer = normalizers.Sequence(
        [
            normalizers.Nmt(),
            normalizers.NFKC(),
            normalizers.Replace(Regex(r"\s+"), " "),
            normalizers.Strip(),
        ]
    )
    engine.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    engine.decoder = decoders.Metaspace(prepend_scheme="always")
    return engine


def sentencepiece_bpe() -> Tokenizer:
    """Llama 1 and 2's SentencePiece: blanks are `▁`, unknown characters become bytes."""
    engine = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    engine.normalizer = normalizers.Sequence([normalizers.Prepend(BLANK), normalizers.Replace(" ", BLANK)])
    engine.decoder = decoders.Sequence(
        [
            decoders.Replace(BLANK, " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(content=" ", left=1),
        ]
    )
    return engine


# Words of Llama 2 while it learns: a run of blanks, a digit, letters, or other signs, a blank before them.
_SENTENCEPIECE_WORDS = pre_tokenizers.Split(
    Regex(
        rf"{BLANK}+(?={BLANK})|\p{{N}}|{BLANK}?[\p{{L}}\p{{M}}]+|{BLANK}?[^{BLANK}\p{{L}}\p{{M}}\p{{N}}]+|{BLANK}+"
    ),
    behavior="isolated",
)

_ROBERTA = TokenizerKind(
    engine=lambda: byte_level(GPT2_RULE),
    first=("<s>", "<pad>", "</s>", "<unk>"),
    last=("<mask>",),
    roles={
        "bos_token": "<s>",
        "eos_token": "</s>",
        "cls_token": "<s>",
        "sep_token": "</s>",
        "pad_token": "<pad>",
        "unk_token": "<unk>",
        "mask_token": "<mask>",
    },
    single="<s> A </s>",
    pair="<s> A </s> </s> B </s>",
)

KINDS = {
    "headstart": TokenizerKind(
        engine=lambda: byte_level(GPT2_RULE),
        first=("<s>", "</s>", "<pad>", "<mask>"),
        last=(),
        roles={
            "bos_token": "<s>",
            "eos_token": "</s>",
            "cls_token": "<s>",
            "sep_token": "</s>",
            "pad_token": "<pad>",
            "mask_token": "<mask>",
        },
        single="<s> A </s>",
        pair="<s> A </s> B </s>",
    ),
    # Vaswani et al. 2017 share one BPE vocabulary between both languages and close every text. Theirs was
    # made of characters; bytes need no unknown token, and a decoder starts from <pad>, as Marian's does.
    "transformer": TokenizerKind(
        engine=lambda: byte_level(GPT2_RULE),
        first=("<pad>", "</s>"),
        last=("<mask>",),
        roles={"eos_token": "</s>", "pad_token": "<pad>", "mask_token": "<mask>"},
        single="A </s>",
        pair="A </s> B </s>",
    ),
    # The three tokens of fine-tuning (Radford et al. 2018, section 3.3) are there from the start.
    "gpt1": TokenizerKind(
        engine=word_end_bpe,
        first=("<unk>",),
        last=("_start_", "_delimiter_", "_classify_"),
        roles={
            "unk_token": "<unk>",
            "bos_token": "_start_",
            "sep_token": "_delimiter_",
            "eos_token": "_classify_",
        },
        single="A",
        pair="A B",
    ),
    "gpt2": TokenizerKind(
        engine=lambda: byte_level(GPT2_RULE),
        first=(),
        last=("<|endoftext|>",),
        roles={"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>"},
        single="A",
        pair="A B",
    ),
    "bert": TokenizerKind(
        engine=lambda: wordpiece(cased=False),
        first=("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"),
        last=(),
        roles={
            "pad_token": "[PAD]",
            "unk_token": "[UNK]",
            "cls_token": "[CLS]",
            "sep_token": "[SEP]",
            "mask_token": "[MASK]",
        },
        single="[CLS] A [SEP]",
        pair="[CLS] A [SEP] B:1 [SEP]:1",
        inputs=("input_ids", "token_type_ids", "attention_mask"),
    ),
    "roberta": _ROBERTA,
    "bart": _ROBERTA,
    "t5": TokenizerKind(
        engine=unigram,
        first=("<pad>", "</s>", "<unk>"),
        last=SENTINELS[::-1],
        roles={"eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"},
        single="A </s>",
        pair="A </s> B </s>",
    ),
    "deberta": TokenizerKind(
        engine=unigram,
        first=("[PAD]", "[CLS]", "[SEP]", "[UNK]"),
        last=("[MASK]",),
        roles={
            "bos_token": "[CLS]",
            "eos_token": "[SEP]",
            "pad_token": "[PAD]",
            "unk_token": "[UNK]",
            "cls_token": "[CLS]",
            "sep_token": "[SEP]",
            "mask_token": "[MASK]",
        },
        single="[CLS] A [SEP]",
        pair="[CLS] A [SEP] B:1 [SEP]:1",
        inputs=("input_ids", "token_type_ids", "attention_mask"),
    ),
    "llama2": TokenizerKind(
        engine=sentencepiece_bpe,
        first=("<unk>", "<s>", "</s>"),
        last=(),
        roles={"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"},
        single="<s> A",
        pair="<s> A <s>:1 B:1",
        words=_SENTENCEPIECE_WORDS,
    ),
    "llama3": TokenizerKind(
        engine=lambda: byte_level(LLAMA3_RULE, whole_words=True),
        first=(),
        last=(
            "<|begin_of_text|>",
            "<|end_of_text|>",
            "<|finetune_right_pad_id|>",
            "<|start_header_id|>",
            "<|end_header_id|>",
            "<|eot_id|>",
        ),
        roles={
            "bos_token": "<|begin_of_text|>",
            "eos_token": "<|end_of_text|>",
            "pad_token": "<|finetune_right_pad_id|>",
        },
        single="<|begin_of_text|> A",
        pair="<|begin_of_text|> A <|begin_of_text|>:1 B:1",
    ),
}
