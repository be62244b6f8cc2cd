"""Does pre-training on my own texts pay for my labels? Pre-train for some minutes, then compare.

    python examples/does_pretraining_pay.py TEXTS LABELS --minutes 10 --labels 300

Four systems learn from the same labels: the pre-trained encoder (`full`), the same network with only the
embedding of its static start (`static`: seconds instead of minutes), the same network from random weights
(`random`), and counted words without a network (`counted`). All answer the same test rows, so the
differences are paired.
"""

import subprocess
import sys
from pathlib import Path

import typer

import headstart as hs

BELOW = {"static": "its first seconds", "random": "no pre-training", "counted": "counting words"}


def headstart(*words: object) -> None:
    subprocess.run([sys.executable, "-m", "headstart", *map(str, words)], check=True)


def main(
    texts: Path,
    data: Path,
    out: Path = Path("runs/pays"),
    minutes: float = 10,
    labels: int = 300,
    words: int = 8192,
    recipe: str = "encoder",
) -> None:
    corpus, tokenizer, tokens, encoder = (out / name for name in ("corpus", "tokenizer", "tokens", "encoder"))
    headstart("corpus", texts, "--recipe", "corpus-plain", "--out", corpus)
    headstart("tokenizer", "train", corpus, "--out", tokenizer, f"vocab_size={words}")
    headstart("tokenizer", "encode", corpus, "--tokenizer", tokenizer, "--out", tokens)
    headstart("pretrain", "--recipe", recipe, f"tokens={tokens}", f"minutes={minutes}", "--out", encoder)
    compared = hs.compare(encoder, data, ways=["full", *BELOW], labels=labels)
    print(compared.text())
    for way in compared.ways[1:]:  # their differences are to the first
        low, high = -way.against.high, -way.against.low
        verdict = "pays" if low > 0 else "costs" if high < 0 else "cannot be told from"
        print(f"{minutes:g} minutes against {BELOW[way.adapt]}: {verdict} ({low:+.3f} to {high:+.3f})")


if __name__ == "__main__":
    typer.run(main)
