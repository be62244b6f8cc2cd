"""`headstart tokenizer`: train a tokenizer, and encode a corpus into token shards."""

from collections.abc import Callable
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import orjson
import typer

from headstart.cli.options import RecipeFile, Replace
from headstart.cli.settings import command_with_settings, settings_option

if TYPE_CHECKING:
    from headstart.tokenizer.report import TextFigures, TokenizerFigures, TokenizerReport

FEW_HELD_OUT = 10
"""Fewer documents than this make a held-out loss that another draw of them would change."""

tokenizer = typer.Typer(
    help="Train a tokenizer on a corpus, and encode a corpus with it.", no_args_is_help=True
)

Corpus = Annotated[Path, typer.Argument(help="A corpus folder.")]
Overrides = Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Settings.")]
WORTH_SAYING = 0.005  # of unknown tokens

Json = Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")]


@tokenizer.command(cls=command_with_settings("tokenizer train"))
def train(
    corpus: Corpus,
    out: Annotated[Path, typer.Option("--out", help="The tokenizer folder to write.")],
    overrides: Overrides = None,
    recipe: RecipeFile = None,
    replace: Replace = False,
    list_settings: Annotated[bool, settings_option("tokenizer train")] = False,
    as_json: Json = False,
) -> None:
    """Train a tokenizer of a family's kind on a corpus: kind=gpt2, bert, t5, llama3, ..."""
    from headstart.corpus_folder import corpus_documents
    from headstart.folder import read_manifest
    from headstart.output import identity, output
    from headstart.tokenizer.train import MANIFEST_KIND, VERSION, TokenizerRecipe
    from headstart.tokenizer.train import train as train_tokenizer

    settings = TokenizerRecipe.load(recipe, overrides or [])
    read_manifest(corpus, "corpus", 1)
    made_from = {"recipe": settings.model_dump(mode="json"), "corpus": identity(corpus)}
    with output(out, MANIFEST_KIND, settings=made_from, inputs=[corpus], replace=replace) as claimed:
        if not claimed.finished:
            texts = (document["text"] for document in corpus_documents(corpus, ("text",)))
            train_tokenizer(texts, settings, out)
            claimed.finish(read_manifest(out, MANIFEST_KIND, VERSION))
    figures = claimed.facts
    if as_json:
        typer.echo(orjson.dumps(figures, option=orjson.OPT_INDENT_2).decode())
    else:
        typer.echo(f"{figures['vocab_size']:,} tokens in {out}")


@tokenizer.command(cls=command_with_settings("tokenizer encode"))
def encode(
    corpus: Corpus,
    tokenizer_folder: Annotated[
        Path,
        typer.Option(
            "--tokenizer",
            help="A tokenizer, model or run folder; or headstart-mini.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="The tokens folder to write.")],
    overrides: Overrides = None,
    recipe: RecipeFile = None,
    replace: Replace = False,
    list_settings: Annotated[bool, settings_option("tokenizer encode")] = False,
    as_json: Json = False,
) -> None:
    """Turn a corpus into token shards with document boundaries."""
    from headstart.folder import read_manifest
    from headstart.interchange.box import model_in
    from headstart.output import identity, output
    from headstart.tokenizer.folder import open_tokenizer
    from headstart.tokenizer.shards import KIND, ShardRecipe, encode_corpus

    settings = ShardRecipe.load(recipe, overrides or [])
    read_manifest(corpus, "corpus", 1)
    tokenizer_folder = model_in(tokenizer_folder)
    chosen = open_tokenizer(tokenizer_folder)
    made_from = {
        "recipe": settings.model_dump(mode="json"),
        "corpus": identity(corpus),
        "tokenizer": chosen.sha256,
    }
    read = [corpus, tokenizer_folder]
    with output(out, KIND, settings=made_from, inputs=read, replace=replace) as claimed:
        if not claimed.finished:
            claimed.finish(encode_corpus(corpus, chosen, settings, out))
    figures = claimed.facts
    if as_json:
        typer.echo(orjson.dumps(figures, option=orjson.OPT_INDENT_2).decode())
    else:
        for name, split in figures["splits"].items():
            many = "" if split["documents"] == 1 else "s"
            typer.echo(f"{name}: {split['tokens']:,} tokens in {split['documents']:,} document{many}")
        if figures["splits"]["heldout"]["documents"] < FEW_HELD_OUT:
            typer.echo(
                "the held-out loss rests on few documents; a larger heldout_share "
                f"(now {settings.heldout_share:g}) makes it surer"
            )
        if leaked := figures.get("leaked", {}).get("documents"):
            typer.echo(f"left out: {leaked:,} held-out documents that share text with the training documents")


@tokenizer.command()
def report(
    tokenizers: Annotated[list[Path], typer.Argument(metavar="TOKENIZER...", help="Tokenizer folders.")],
    corpus: Corpus,
    sample_bytes: Annotated[
        int, typer.Option("--sample-bytes", help="Bytes of the corpus that are read.")
    ] = 50_000_000,
    as_json: Json = False,
) -> None:
    """Measure tokenizers on a corpus: compression, fertility by language and word frequency, gaps."""
    from headstart.tokenizer.folder import open_tokenizer
    from headstart.tokenizer.report import compare_tokenizers

    names = _shortest_names(tokenizers)
    opened = {name: open_tokenizer(folder) for name, folder in zip(names, tokenizers, strict=True)}
    figures = compare_tokenizers(opened, corpus, sample_bytes)
    if as_json:
        typer.echo(orjson.dumps(figures, option=orjson.OPT_INDENT_2).decode())
    else:
        _print_report(figures)


def _shortest_names(folders: list[Path]) -> list[str]:
    """The last parts of each path, as many as tell them all apart."""
    paths = [folder.resolve() for folder in dict.fromkeys(folders)]
    for length in range(1, max(len(path.parts) for path in paths) + 1):
        names = ["/".join(path.parts[-length:]) for path in paths]
        if len(set(names)) == len(names):
            break
    return names


def _print_report(figures: "TokenizerReport") -> None:
    from rich import box

    from headstart.console import Console, Table

    found = figures["tokenizers"]
    first = next(iter(found.values()))
    table = Table("", "words", box=box.SIMPLE_HEAD)
    table.columns[0].no_wrap = True
    table.columns[1].justify = "right"
    for name in found:
        table.add_column(name, justify="right")

    def fertility(counts: "TextFigures") -> str:
        text = f"{counts['tokens_per_word']:.2f}"
        if not isnan(counts["tokens_per_word_error"]):
            text += f" ±{counts['tokens_per_word_error']:.2f}"
        return text + (f" {counts['unknown_share']:.0%}?" if counts["unknown_share"] > WORTH_SAYING else "")

    rows: list[tuple[str, Callable[[TokenizerFigures], str]]] = [
        ("entries", lambda one: f"{one['vocab_size']:,}"),
        ("entries not used", lambda one: f"{one['unused']['share']:.1%}"),
        ("bytes a token", lambda one: f"{one['bytes_per_token']:.2f}"),
        ("characters a token", lambda one: f"{one['characters_per_token']:.2f}"),
        ("characters known", lambda one: f"{one['coverage']['share_of_text']:.2%}"),
        ("tokens of fallback", lambda one: f"{one['fallback_share']:.2%}"),
    ]
    for title, cell in rows:
        table.add_row(title, "", *map(cell, found.values()))
    table.add_row("tokens a word", f"{first['words']:,}", *map(fertility, found.values()))
    table.add_section()
    for language, counts in first["languages"].items():
        cells = (fertility(one["languages"][language]) for one in found.values())
        table.add_row(f"  {language}", f"{counts['words']:,}", *cells)
    table.add_section()
    for band in figures["bands"]:
        bands = [one["bands"][band["ranks"]] for one in found.values()]
        table.add_row(
            f"  rank {band['ranks']}",
            f"{band['occurrences']:,}",
            *(f"{cell['tokens_per_word']:.2f} ({cell['share_in_one_token']:.0%})" for cell in bands),
        )
    console = Console()
    console.print(f"{figures['documents']:,} documents, {figures['bytes']:,} bytes")
    console.print(table)
    console.print(
        "Tokens a word (±: 95 % interval over documents), by language, and by the rank of a word's frequency "
        "(in brackets: words that are one token); 30%?: so many of the tokens are unknown. Characters known: "
        "those that need no fallback, which is an unknown token or bytes that are no whole character. "
        "Without blanks each character counts as a word."
    )
