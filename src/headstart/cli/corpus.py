"""`headstart corpus`: make a clean corpus from raw files; and the verbs beside it."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import orjson
import typer
from typer.core import TyperGroup

from headstart.cli.options import AsJSON, RecipeFile, Replace
from headstart.cli.settings import command_with_settings, settings_option
from headstart.console import Console, Table
from headstart.errors import HeadstartError
from headstart.folder import JSONObject
from headstart.output import identity, output, output_file

if TYPE_CHECKING:
    from headstart.corpus import CorpusRecipe
    from headstart.corpus.filters.quality_report import QualityReport
    from headstart.corpus.trace import Traced
    from headstart.corpus_folder import CorpusManifest

BUILD = "build"
MOST_DOMAINS, MOST_CHANGES = 12, 20
"""Domains that are listed when a corpus is whole (the report has all), and settings that differ."""
_SETTING = re.compile(r"[A-Za-z_][\w.-]*=")


class _BuildsByDefault(TyperGroup):
    """A group whose verb may be left out: `corpus FILES --out DIR` is `corpus build FILES --out DIR`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in (*self.commands, *ctx.help_option_names):
            args = [BUILD, *args]
        return super().parse_args(ctx, args)


corpus = typer.Typer(
    cls=_BuildsByDefault,
    help="Make a clean corpus: `headstart corpus FILES... --out DIR`, short for `headstart corpus build`.",
    no_args_is_help=True,
)


@corpus.command(BUILD, cls=command_with_settings("corpus"))
def build(
    inputs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="INPUT... [KEY=VALUE...]",
            help="Files, folders or patterns: WARC, WET, ARC, HTML, text, Markdown, JSONL, CSV, Parquet, "
            "MediaWiki dumps, a .zip of them; settings, such as languages=any.",
            show_default=False,
        ),
    ] = None,
    *,
    out: Annotated[Path, typer.Option("--out", help="The corpus folder to write.")],
    go_on_from: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="CORPUS",
            help="A finished corpus whose files are inputs too; they are read again only if they changed.",
        ),
    ] = None,
    recipe: RecipeFile = None,
    list_settings: Annotated[bool, settings_option("corpus")] = False,
    workers: Annotated[
        int | None,
        typer.Option("--workers", min=1, help="Number of processes; by default the number of cores."),
    ] = None,
    engine: Annotated[
        str,
        typer.Option(
            "--engine", help="Where the stages run: local, ray (a Ray cluster), slurm (job arrays)."
        ),
    ] = "local",
    replace: Replace = False,
    as_json: AsJSON = False,
) -> None:
    """Read raw text, clean it, remove duplicates, mix it, and record the fate of every document."""
    from headstart.corpus import CorpusRecipe
    from headstart.corpus import build as build_corpus
    from headstart.corpus.engine import engine_named

    overrides = [given for given in inputs or () if _SETTING.match(given) and not Path(given).exists()]
    files = [given for given in inputs or () if given not in overrides]
    if not files and go_on_from is None:
        raise HeadstartError("nothing to read was given; name files, folders or patterns, or --from CORPUS")
    settings = CorpusRecipe.load(recipe, overrides)
    manifest = build_corpus(files, out, settings, workers, engine_named(engine), replace, go_on_from)
    if as_json:
        typer.echo(orjson.dumps(manifest, option=orjson.OPT_INDENT_2).decode())
    else:
        _print(manifest, settings, out)
        if go_on_from is not None:
            _print_changes(go_on_from, settings)


@corpus.command("export")
def export(
    folder: Annotated[Path, typer.Argument(metavar="CORPUS", help="The corpus folder.")],
    out: Annotated[
        str, typer.Option("--out", help="A folder, or a URL that fsspec knows, such as s3://bucket/corpus.")
    ],
    form: Annotated[
        str, typer.Option("--as", help="jsonl.zst (JSON lines), or parquet, as in the corpus.")
    ] = "jsonl.zst",
    replace: Replace = False,
    as_json: AsJSON = False,
) -> None:
    """Write the documents of a corpus for other tools, to a folder or a remote URL."""
    from headstart.corpus.export import export as export_corpus
    from headstart.corpus.export import form_named

    exported = export_corpus(folder, out, form_named(form), replace)
    if as_json:
        typer.echo(orjson.dumps(exported, option=orjson.OPT_INDENT_2).decode())
    else:
        files = "1 file" if exported["files"] == 1 else f"{exported['files']:,} files"
        typer.echo(f"{exported['documents']:,} documents in {files} in {out}")


@corpus.command("train-quality")
def train_quality(
    out: Annotated[Path, typer.Option("--out", help="The model folder to write.")],
    positive: Annotated[
        list[Path] | None, typer.Option("--positive", help="Files or folders of good texts; repeatable.")
    ] = None,
    negative: Annotated[
        list[Path] | None, typer.Option("--negative", help="Files or folders of bad texts; repeatable.")
    ] = None,
    scored: Annotated[
        list[Path] | None, typer.Option("--scored", help="Files of texts with scores 0 to 5; repeatable.")
    ] = None,
    field: Annotated[str, typer.Option("--field", help="The field that holds the score.")] = "score",
    threshold: Annotated[
        str, typer.Option("--threshold", help="How the threshold is chosen: f1, precision=0.9 or keep=0.1.")
    ] = "f1",
    seed: Annotated[int, typer.Option("--seed", help="Random seed of the division into parts.")] = 0,
    replace: Replace = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Train, calibrate and test a model of text quality, for `quality_models` in a recipe."""
    from headstart.corpus.filters.quality_model import KIND, save_model
    from headstart.corpus.filters.train_quality import hash_examples, labelled, train
    from headstart.corpus.filters.train_quality import scored as scored_examples

    if bool(scored) == bool(positive or negative) or bool(positive) != bool(negative):
        raise HeadstartError("give either --positive and --negative, or --scored")
    examples = (
        scored_examples(scored, field) if scored else labelled(list(positive or ()), list(negative or ()))
    )
    given = {"positive": positive, "negative": negative, "scored": scored}
    made_from: JSONObject = {"field": field, "threshold": threshold, "seed": seed}
    made_from |= {name: [identity(path) for path in paths or ()] for name, paths in given.items()}
    read = [path for paths in given.values() for path in paths or ()]
    with output(out, KIND, settings=made_from, inputs=read, replace=replace) as claimed:
        if not claimed.finished:
            model, report = train(hash_examples(examples, seed), threshold)
            save_model(out, model, report)
            claimed.finish(report)
    report = cast("QualityReport", claimed.facts)
    if as_json:
        typer.echo(orjson.dumps(report, option=orjson.OPT_INDENT_2).decode())
    else:
        _print_quality(report, out)


def _print_quality(report: "QualityReport", out: Path) -> None:
    test, console = report["test"], Console()
    for name, count in report["examples"].items():
        console.print(f"{name}: {count['good']:,} good and {count['bad']:,} bad examples")
    low, high = test["f1_95"]
    console.print(
        f"on {test['n']:,} texts not seen before, kept from {report['threshold']:.3f} on "
        f"({report['threshold_rule']}):\n"
        f"  precision {test['precision']:.3f}, recall {test['recall']:.3f}, F1 {test['f1']:.3f} "
        f"({low:.3f} to {high:.3f}), {test['kept']:.1%} kept\n"
        f"  area under ROC {test['area_under_roc']:.3f}, average precision {test['average_precision']:.3f}, "
        f"calibration error {test['calibration_error']:.3f}, Brier {test['brier']:.3f}"
    )
    table = Table("score", "n", "mean score", "share good", title="Calibration", title_justify="left")
    for row in test["calibration"]:
        table.add_row(
            f"{int(row['score'] * 10) / 10:.1f}",
            f"{row['n']:,}",
            f"{row['score']:.3f}",
            f"{row['target']:.3f}",
        )
    console.print(table)
    console.print(f"precision and recall at every threshold, most confident errors: {out / 'report.html'}")
    rule = f"good < {report['threshold']:.3f}"
    console.print(f"in a recipe:  quality_models: {{good: {out}}}   rules: {{low_quality: {rule}}}")


@corpus.command("trace")
def trace(
    folder: Annotated[Path, typer.Option("--corpus", help="The corpus folder.")],
    named: Annotated[
        str | None,
        typer.Argument(metavar="[ID]", help="A document's id, URL or source."),
    ] = None,
    tokens: Annotated[Path | None, typer.Option("--tokens", help="The folder of token shards.")] = None,
    token: Annotated[
        int | None, typer.Option("--token", min=0, help="The token's position in its split, from 0.")
    ] = None,
    split: Annotated[
        str, typer.Option("--split", help="The split of the token: train or heldout.")
    ] = "train",
    raw: Annotated[bool, typer.Option("--raw", help="Print the raw record, read again.")] = False,
    as_json: AsJSON = False,
) -> None:
    """Show the origin of a document or token, and what the stages did with it."""
    from headstart.corpus.trace import raw_record
    from headstart.corpus.trace import trace as trace_document
    from headstart.tokenizer.locate import document_at, places_of

    if (named is None) == (token is None) or (token is not None and tokens is None):
        raise HeadstartError("give a document's id, or --tokens FOLDER with --token N")
    if token is not None and tokens is not None:
        named = document_at(tokens, split, token)["id"]
    found = trace_document(folder, str(named))
    beside: list[JSONObject] = [{} for _ in found]
    for one, more in zip(found, beside, strict=True):
        if tokens is not None and "id" in one:
            more["tokens"] = places_of(tokens, one["id"])
        if raw and one["status"] != "skipped":
            more["raw"] = raw_record(folder, one["source"]).text
    if as_json:
        shown = [{**one, **more} for one, more in zip(found, beside, strict=True)]
        typer.echo(orjson.dumps(shown, option=orjson.OPT_INDENT_2).decode())
    else:
        for one, more in zip(found, beside, strict=True):
            _print_trace(one, more)


def _print_trace(one: "Traced", beside: JSONObject) -> None:
    console = Console(soft_wrap=True)
    if one["status"] == "skipped":
        console.print(f"{one['source']}: could not be read: {one['reason']}")
        return
    console.print(one["id"])
    for name in ("url", "domain", "language", "date"):
        if one[name]:
            console.print(f"  {name}: {one[name]}")
    console.print(f"  raw record: {one['source']}")
    if one["status"] == "removed":
        console.print(f"  removed by {one['stage']}, {one['rule']}: {one['detail']}")
    else:
        places = ", ".join(f"{place['file']} row {place['row']}" for place in one["places"])
        copies = f"; stands for {one['copies']:,} documents of the raw data" if one["copies"] > 1 else ""
        console.print(f"  kept, in {places}{copies}")
    for piece in one["cut"]:
        kept_in = f", which stays in {piece['kept_in']}" if piece["kept_in"] else ""
        text = " ".join(piece["text"].split())
        shown = text if len(text) <= 80 else f"{text[:77]}..."
        console.print(f"  cut at character {piece['start']:,} by {piece['rule']}{kept_in}: {shown}")
    for other in one["duplicates"]:
        console.print(f"  replaced by {other['id']}: {other['detail']}")
    for place in beside.get("tokens", []):
        last = place["first"] + place["tokens"] - 1
        console.print(
            f"  tokens {place['first']:,} to {last:,} of {place['split']} "
            f"({place['shard']} from {place['start']:,})"
        )
    if "raw" in beside:
        console.print(beside["raw"])


@corpus.command("train-extractor")
def train_extractor(
    pages: Annotated[
        list[Path],
        typer.Argument(help="JSON lines, plain or gzip, with `html`, `url` and the wanted `text` of pages."),
    ],
    out: Annotated[Path, typer.Option("--out", help="The file to write: NAME.safetensors.")],
    score: Annotated[
        bool,
        typer.Option(
            "--score/--no-score", help="First train without a quarter of the sites, and score on these."
        ),
    ] = True,
    replace: Replace = False,
    as_json: AsJSON = False,
) -> None:
    """Train the line classifier of the extractor on pages with a known main text."""
    from headstart.corpus.extract.page import TRAINED
    from headstart.corpus.extract.train_extractor import held_out_scores, read_labelled, train

    if out.suffix != TRAINED:
        raise HeadstartError(f"--out {out} has to end in {TRAINED}: that is how `extractor=` knows it")
    with output_file(out, inputs=pages, replace=replace) as place:
        labelled = read_labelled(pages)
        scores = held_out_scores(labelled) if score else {}
        train(labelled).save(place)
    figures = {"pages": len(labelled), "bytes": out.stat().st_size, "held_out": scores}
    if as_json:
        typer.echo(orjson.dumps(figures, option=orjson.OPT_INDENT_2).decode())
        return
    typer.echo(f"{out}: {figures['bytes']:,} bytes, trained on {len(labelled):,} pages")
    for name, value in scores.items():
        typer.echo(f"  {name}: {value:.4g}")
    typer.echo(f"use it with extractor={out}")


def _print_changes(earlier: Path, recipe: "CorpusRecipe") -> None:
    from headstart.corpus.changed_settings import changed_settings

    changed = changed_settings(earlier, recipe)
    console = Console()
    differ = "1 setting differs" if len(changed) == 1 else f"{len(changed)} settings differ"
    console.print(f"{differ} from those of {earlier}:" if changed else f"settings as in {earlier}")
    for line in changed[:MOST_CHANGES]:
        console.print(f"  {line}")
    if len(changed) > MOST_CHANGES:
        console.print(f"  and {len(changed) - MOST_CHANGES:,} more: compare the two recipe.yaml")


def _print(manifest: "CorpusManifest", recipe: "CorpusRecipe", out: Path) -> None:
    from headstart.corpus.great_losses import great_losses
    from headstart.corpus.report.schema import read_report

    table = Table(title="What became of the documents", title_justify="left")
    for column in ("stage", "documents", "bytes", "of read", "removed most by"):
        table.add_column(column, justify="left" if column in ("stage", "removed most by") else "right")
    read = manifest["funnel"][0]["bytes"]
    for row in manifest["funnel"]:
        reasons = sorted(manifest["removed"].get(row["stage"], {}).items(), key=lambda item: -item[1])
        table.add_row(
            row["stage"],
            f"{row['documents']:,}",
            f"{row['bytes']:,}",
            f"{row['bytes'] / max(read, 1):.1%}",
            ", ".join(f"{rule} {count:,}" for rule, count in reasons[:3]),
        )
    console = Console()
    console.print(table)
    for reason, count in manifest["skipped"].items():
        console.print(f"skipped {count:,}: {reason}")
    begun, whole = (row["documents"] for row in manifest["funnel"][:2])
    if whole > begun:
        console.print(
            f"long documents were cut into pieces: {begun:,} became {whole:,} "
            f"(piece_characters={recipe.piece_characters})"
        )
    if renamed := manifest.get("renamed"):
        console.print(
            f"{renamed:,} documents had the id of another record; they are called ID@PLACE, "
            "PLACE being the file and line of their record"
        )
    by_language = read_report(out)["removed_by_language"] if (out / "report.json").exists() else {}
    for loss in great_losses(max(begun, whole), manifest["removed"], by_language, recipe):
        console.print(loss)
    domains = sorted(manifest["domains"].items(), key=lambda item: -item[1]["bytes"])
    for name, total in domains[:MOST_DOMAINS]:
        console.print(f"{name}: {total['documents']:,} documents, {total['bytes']:,} bytes")
    if len(domains) > MOST_DOMAINS:
        console.print(f"and {len(domains) - MOST_DOMAINS:,} domains more, all in the report")
    for name, mixed in manifest["mix"].items():
        asked, got = mixed["share"], mixed["result_share"]
        console.print(
            f"mix: {name} {got:.1%} (asked {asked:.1%}), {mixed['repeats']:.2f} epochs",
        )
    console.print(f"corpus in {out}, report in {out / 'report.html'}")
