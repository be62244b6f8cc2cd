"""A smaller vocabulary of a WordPiece tokenizer: its most frequent pieces, in their order.

    python recipes/foundation/vocabulary.py TEACHER OUT 16384

BERT's vocabulary is sorted by frequency in English books and Wikipedia, which is nearer to what people
fine-tune for than any corpus of manuals. A word that goes is cut into pieces that stay: every Latin letter,
digit and sign stays in both of its forms, so that nothing becomes unknown but other scripts.
"""

import json
import shutil
import sys
from pathlib import Path

LAST_LATIN, PUNCTUATION = 0x24F, range(0x2010, 0x2100)
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def wanted(token: str) -> bool:
    """Whether a single letter or sign stays."""
    letter = token.removeprefix("##")
    return len(letter) == 1 and (ord(letter) <= LAST_LATIN or ord(letter) in PUNCTUATION)


def trimmed(vocabulary: dict[str, int], size: int) -> dict[str, int]:
    """The pieces that stay, with new ids in their old order."""
    order = sorted(vocabulary, key=vocabulary.__getitem__)
    kept = {token for token in order if wanted(token)} | set(SPECIAL)
    for token in order:
        if len(kept) == size:
            break
        if len(token.removeprefix("##")) > 1 and not token.startswith("["):
            kept.add(token)
    # Special tokens first, for padding has the id 0.
    others = [token for token in order if token in kept and token not in SPECIAL]
    return {token: index for index, token in enumerate([*SPECIAL, *others])}


def main() -> None:
    """Write the tokenizer's folder."""
    teacher, out, size = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    definition = json.loads((teacher / "tokenizer.json").read_text())
    vocabulary = definition["model"]["vocab"] = trimmed(definition["model"]["vocab"], size)
    for token in definition["added_tokens"]:
        token["id"] = vocabulary[token["content"]]
    for token in definition["post_processor"]["special_tokens"].values():
        token["ids"] = [vocabulary[name] for name in token["tokens"]]
    definition["padding"] = definition["truncation"] = None
    out.mkdir(parents=True, exist_ok=True)
    (out / "tokenizer.json").write_text(json.dumps(definition, ensure_ascii=False))
    shutil.copyfile(teacher / "tokenizer_config.json", out / "tokenizer_config.json")


if __name__ == "__main__":
    main()
