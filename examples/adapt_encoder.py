"""Train an encoder further on your own texts before you fine-tune it, and see whether that helps.

    python examples/adapt_encoder.py TEXTS TRAIN TEST --minutes 10

TEXTS: files or a folder of unlabelled texts like those that you want to classify. TRAIN and TEST: rows with
a text and a label. The encoder is trained further on TEXTS. Then the encoder before and the encoder after
learn from the same labels and answer the same test rows. Every step is a command. If you stop the script,
start it again: it resumes where it was.
"""

import subprocess
import sys
from pathlib import Path

import typer


def headstart(*words: object) -> None:
    subprocess.run([sys.executable, "-m", "headstart", *map(str, words)], check=True)


def main(
    texts: Path,
    train: Path,
    test: Path,
    out: Path = Path("runs/adapted"),
    encoder: str = "headstart-mini",
    minutes: float = 10,
    few: int = 300,
) -> None:
    corpus, tokens, adapted = out / "corpus", out / "tokens", out / "adapted"
    headstart("corpus", texts, "--recipe", "corpus-plain", "--out", corpus)
    headstart("tokenizer", "encode", corpus, "--tokenizer", encoder, "--out", tokens)
    headstart("pretrain", f"start={encoder}", f"tokens={tokens}", f"minutes={minutes}", "--out", adapted)
    for model, name in ((encoder, "before"), (adapted, "after")):
        headstart("finetune", model, "--data", train, "--test", test, "--labels", few, "--out", out / name)
    headstart("evaluate", out / "after", "--beside", out / "before", "--on", f"labels:{test}")


if __name__ == "__main__":
    typer.run(main)
