"""Teach an encoder to sort mails: train it, score it, ask it, keep it.

    python examples/classify_mails.py samples/labels/spam.train.jsonl.gz --out runs/mails

The file is CSV, TSV, JSON lines or Parquet with a text and a label in each row. A file beside it whose name
says `test` is the test data; otherwise a part of the rows is set apart.
"""

from pathlib import Path

import typer

import headstart as hs

NEW = ["You have won a prize! Click here to claim it.", "Can we move the meeting to Thursday?"]


def main(
    data: Path, out: Path = Path("runs/mails"), labels: int = 300, encoder: str = "headstart-mini"
) -> None:
    model = hs.finetune(encoder, data, labels=labels)
    print(f"on test mails: {model.score}")
    for note in model.notes:
        print(f"note: {note}")
    for mail, answer in zip(NEW, model.predict(NEW), strict=True):
        print(f"{answer['label']:>6} ({answer['probability']:.0%})  {mail}")
    model.save(out)  # `headstart serve`, `headstart predict` and hs.load read it
    print(f"the same after reading {out}: {hs.load(out).predict(NEW[0])['label']}")


if __name__ == "__main__":
    typer.run(main)
