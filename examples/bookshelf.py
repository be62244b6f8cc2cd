"""Train a small language model on a shelf of books, serve it, and ask it with OpenAI's client.

    pip install openai
    python examples/bookshelf.py samples/books --minutes 10 --prompt "It was a"

Every step is a command; a stopped script goes on where it was. After ten minutes the model writes words and
the rhythm of sentences, not sense. Hours and more books make it better.
"""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer
from openai import OpenAI

HEADSTART = [sys.executable, "-m", "headstart"]


def headstart(*words: object) -> None:
    subprocess.run([*HEADSTART, *map(str, words)], check=True)


@contextmanager
def served(model: Path) -> Iterator[str]:
    """The URL at which `headstart serve` answers while the block runs."""
    command = [*HEADSTART, "serve", str(model), "--port", "0", "--no-access-log"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            yield server.stdout.readline().split()[-1]
        finally:
            server.terminate()


def main(
    books: Path,
    out: Path = Path("runs/bookshelf"),
    minutes: float = 10,
    prompt: str = "It was a",
    words: int = 4096,
    recipe: str = "decoder",
) -> None:
    corpus, tokenizer, tokens, model = (out / name for name in ("corpus", "tokenizer", "tokens", "bookshelf"))
    headstart("corpus", books, "--out", corpus)
    headstart("tokenizer", "train", corpus, "--out", tokenizer, f"vocab_size={words}")
    headstart("tokenizer", "encode", corpus, "--tokenizer", tokenizer, "--out", tokens)
    headstart("pretrain", "--recipe", recipe, f"tokens={tokens}", f"minutes={minutes}", "--out", model)
    with served(model) as url:
        client = OpenAI(base_url=f"{url}/v1", api_key="none")
        name = client.models.list().data[0].id
        answer = client.completions.create(model=name, prompt=prompt, max_tokens=60, temperature=0.7)
        print(f"{name}: {prompt}{answer.choices[0].text}")


if __name__ == "__main__":
    typer.run(main)
