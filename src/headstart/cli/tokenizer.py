"""`headstart tokenizer`: train a tokenizer, and encode a corpus into token shards."""

from pathlib import Path
from typing import Annotated

import orjson
import typer

tokenizer = typer.Typer(
    help="Train a tokenizer on a corpus, and encode a corpus with it.", no_args_is_help=True
)

Corpus = Annotated[Path, typer.Argument(help="A corpus folder.")]
Recipe = Annotated[Path | None, typer.Option("--recipe", help="A YAML file of settings.")]
Overrides = Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Settings.")]
Json = Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")]


@tokenizer.command()
def train(
    corpus: Corpus,
    out: Annotated[Path, typer.Option("--out", help="The tokenizer folder to write.")],
    overrides: Overrides = None,
    recipe: Recipe = None,
    as_json: Json = False,
) -> None:
    """Learn a vocabulary from a corpus, in the manner of a family: kind=gpt2, bert, t5, llama3, ..."""
    from headstart.folder import read_manifest
    from headstart.tokenizer.shards import corpus_documents
    from headstart.tokenizer.train import MANIFEST_KIND, VERSION, TokenizerRecipe
    from headstart.tokenizer.train import train as train_tokenizer

    settings = TokenizerRecipe.load(recipe, overrides or [])
    texts = (document["text"] for document in corpus_documents(corpus, ("text",)))
    made = train_tokenizer(texts, settings, out)
    if as_json:
        typer.echo(
            orjson.dumps(read_manifest(out, MANIFEST_KIND, VERSION), option=orjson.OPT_INDENT_2).decode()
        )
    else:
        typer.echo(f"{made.vocab_size:,} tokens in {out}")


@tokenizer.command()
def encode(
    corpus: Corpus,
    tokenizer_folder: Annotated[Path, typer.Option("--tokenizer", help="A tokenizer folder.")],
    out: Annotated[Path, typer.Option("--out", help="The tokens folder to write.")],
    overrides: Overrides = None,
    recipe: Recipe = None,
    as_json: Json = False,
) -> None:
    """Turn a corpus into token shards with document boundaries."""
    from headstart.tokenizer.folder import open_tokenizer
    from headstart.tokenizer.shards import ShardRecipe, corpus_documents
    from headstart.tokenizer.shards import encode as encode_documents

    settings = ShardRecipe.load(recipe, overrides or [])
    figures = encode_documents(corpus_documents(corpus), open_tokenizer(tokenizer_folder), settings, out)
    if as_json:
        typer.echo(orjson.dumps(figures, option=orjson.OPT_INDENT_2).decode())
    else:
        for name, split in figures["splits"].items():
            typer.echo(f"{name}: {split['tokens']:,} tokens in {split['documents']:,} documents")
