"""What text each token of a vocabulary stands for, in bytes.

Byte-level BPE: exactly its bytes, so the pieces of a text's tokens are the text. SentencePiece (Unigram,
Llama 2): `▁` is a blank and `<0x0A>` a byte, so the pieces are the normalised text with one blank before it.
BERT and GPT-1 throw blanks away: a token that begins (GPT-1: ends) a word of letters or digits counts one
blank, and punctuation none, which adds up to usual text but not to every text. What is normalised away
is in no piece: case and accents (BERT uncased, GPT-1), runs of blanks and line ends (BERT, GPT-1, T5),
compatibility characters (T5); nor is the text behind an unknown token. Bits per byte of these families are
therefore bits per byte of what the model is asked to predict.
"""

from collections.abc import Callable
from functools import partial

from headstart.folder import JSONObject

BLANK = "▁"  # SentencePiece's sign for a blank


def byte_alphabet() -> dict[str, int]:
    """Byte-level BPE writes each byte as one printable character; this is the way back."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    characters = printable + [256 + index for index in range(len(others))]
    return {chr(character): byte for character, byte in zip(characters, printable + others, strict=True)}


def is_byte_level(part: JSONObject | None) -> bool:
    """Whether a pre-tokenizer or decoder of a `tokenizer.json` is `ByteLevel`, alone or in a sequence."""
    if not part:
        return False
    parts = part.get("pretokenizers") or part.get("decoders") or [part]
    return any(one["type"] == "ByteLevel" for one in parts)


def read_pieces(definition: JSONObject, tokens: list[str], special: frozenset[int]) -> list[bytes]:
    """The bytes of text behind each of `tokens`, the vocabulary of a `tokenizer.json` in the order of ids."""
    model = definition["model"]
    added = {token["content"]: token for token in definition.get("added_tokens") or []}
    piece: Callable[[str], bytes]
    if is_byte_level(definition.get("decoder")):
        piece = partial(_byte_level, alphabet=byte_alphabet())
    elif model["type"] == "WordPiece":
        piece = partial(_wordpiece, prefix=model["continuing_subword_prefix"])
    elif model.get("end_of_word_suffix"):
        piece = partial(_word_end, suffix=model["end_of_word_suffix"])
    else:
        piece = partial(_sentencepiece, byte_fallback=bool(model.get("byte_fallback")))
        # What is looked for in normalised text is written as the vocabulary is.
        added = {content: token for content, token in added.items() if not token.get("normalized")}
    return [
        b"" if index in special else token.encode() if token in added else piece(token)
        for index, token in enumerate(tokens)
    ]


def _byte_level(token: str, alphabet: dict[str, int]) -> bytes:
    return bytes(map(alphabet.__getitem__, token))


def _wordpiece(token: str, prefix: str) -> bytes:
    if token.startswith(prefix) and token != prefix:
        return token.removeprefix(prefix).encode()
    return (" " + token if _is_word(token) else token).encode()


def _word_end(token: str, suffix: str) -> bytes:
    if not token.endswith(suffix):
        return token.encode()
    token = token.removesuffix(suffix)
    return (token + " " if _is_word(token) else token).encode()


def _is_word(token: str) -> bool:
    """Whether blanks usually stand around: letters and digits, but no ideographs."""
    return token[:1].isalnum() and not "\u3400" <= token[0] <= "\u9fff"


def _sentencepiece(token: str, byte_fallback: bool) -> bytes:
    if byte_fallback and len(token) == 6 and token.startswith("<0x") and token.endswith(">"):
        return bytes.fromhex(token[3:5])
    return token.replace(BLANK, " ").encode()
