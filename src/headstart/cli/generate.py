"""`headstart generate`: let a model continue a text, or answer one."""

import sys
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

from headstart.cli.options import Replace
from headstart.cli.settings import settings_option

if TYPE_CHECKING:
    from headstart.generation.config import GenerationConfig
    from headstart.generation.text import Generated, Prompt
    from headstart.interchange.model_folder import LoadedModel


def generate(
    model: Annotated[Path, typer.Argument(help="A model or run folder: a decoder or an encoder-decoder.")],
    prompt: Annotated[
        str | None,
        typer.Argument(
            help="The text to continue or to answer; without it, prompts come from standard input."
        ),
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="Settings, such as temperature=0.7 top_p=0.9."),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            "--file",
            help="Prompts: text (a prompt a line), JSONL, CSV, TSV or Parquet with a column prompt "
            "or text; - reads standard input. Gives JSON lines.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="With --file: write JSON lines here; else to standard output."),
    ] = None,
    max_new_tokens: Annotated[
        int | None, typer.Option(help="Stop after this many tokens; default 60.")
    ] = None,
    temperature: Annotated[
        float | None,
        typer.Option(help="0 always takes the most likely token; default 0.8 for decoders, 0 for others."),
    ] = None,
    top_k: Annotated[
        int | None, typer.Option(help="Sample from this many most likely tokens; default 50; 0: from all.")
    ] = None,
    top_p: Annotated[
        float | None,
        typer.Option(help="Sample from the most likely tokens that reach this probability; default 1."),
    ] = None,
    min_p: Annotated[
        float | None,
        typer.Option(help="Sample from tokens with at least this share of the top probability; default 0."),
    ] = None,
    repetition_penalty: Annotated[
        float | None, typer.Option(help="Above 1: earlier tokens become less likely; default 1.")
    ] = None,
    frequency_penalty: Annotated[
        float | None, typer.Option(help="Subtracted from a token's logit for each occurrence; default 0.")
    ] = None,
    presence_penalty: Annotated[
        float | None, typer.Option(help="The same, once for each token; default 0.")
    ] = None,
    stop: Annotated[
        list[str] | None, typer.Option(help="Stop before this string; may be given several times.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="The same seed gives the same text; default 0.")] = None,
    beams: Annotated[
        int | None, typer.Option(help="More than 1: beam search for the most likely text.")
    ] = None,
    length_penalty: Annotated[
        float | None, typer.Option(help="Beam search: above 0 favours long texts; default 1.")
    ] = None,
    logprobs: Annotated[
        bool, typer.Option("--logprobs", help="With --json or --file: each token's log-probability.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    batch: Annotated[int, typer.Option(min=1, help="With --file: prompts computed at a time.")] = 16,
    chat: Annotated[
        bool | None,
        typer.Option(
            "--chat/--no-chat",
            help="Put the prompt into the chat template; default for a model fine-tuned for chat.",
            show_default=False,
        ),
    ] = None,
    precision: Annotated[str, typer.Option("--precision", help="auto, float32 or bfloat16.")] = "float32",
    replace: Replace = False,
    list_settings: Annotated[bool, settings_option("generate")] = False,
) -> None:
    """Continue a text with a decoder, or answer a text with an encoder-decoder, token by token.

    A model that was fine-tuned for chat gives its most likely answer. Settings that are not given come from
    the model's generation_config.json, or else have the default in the list.
    """
    from headstart.cli.opened_model import open_model
    from headstart.errors import HeadstartError
    from headstart.generation.config import GenerationConfig
    from headstart.generation.text import generate as generate_texts

    prompt, overrides = _prompt_and_settings(prompt, overrides or [], file)
    if prompt is not None and file is not None:
        raise HeadstartError("a prompt and --file were given; leave one of them out")
    if prompt is None and file is None and sys.stdin.isatty():
        raise HeadstartError("there is no prompt; write it after the model, or give --file")
    given = {
        "max_new_tokens": max_new_tokens,
        "temperature": temperature,
        "top_k": top_k,
        "top_p": top_p,
        "min_p": min_p,
        "repetition_penalty": repetition_penalty,
        "frequency_penalty": frequency_penalty,
        "presence_penalty": presence_penalty,
        "stop": tuple(stop) if stop else None,
        "seed": seed,
        "beams": beams,
        "length_penalty": length_penalty,
        "logprobs": logprobs or None,
    }
    given = _settings({name: value for name, value in given.items() if value is not None}, overrides)
    loaded = open_model(model, precision)
    loaded.model.keep_rounded()
    if ignored := loaded.ignored_settings:
        typer.echo(f"headstart: generation_config.json sets {', '.join(ignored)}; not obeyed", err=True)
    if chat is None:
        chat = loaded.metadata.get("task") == "chat"
    if chat:
        given.setdefault("temperature", 0.0)
    config = GenerationConfig.of(loaded, **given)
    if prompt is None:
        _write_file(
            loaded, file or Path("-"), (out, [model, *([file] if file else [])], replace), batch, config, chat
        )
    elif as_json:
        text = generate_texts(loaded, [_read(loaded, prompt, chat)], config)[0]
        typer.echo(orjson.dumps(_answer(prompt, text)))
    else:
        _stream(loaded, prompt, config, chat)


def _prompt_and_settings(
    prompt: str | None, overrides: list[str], file: Path | None
) -> tuple[str | None, list[str]]:
    """The first argument is the prompt, except beside a file of prompts, where it is a setting."""
    from headstart.errors import HeadstartError
    from headstart.generation.config import GenerationConfig
    from headstart.setting_names import WrongKey, find_setting

    if prompt is None or "=" not in prompt:
        return prompt, overrides
    if file is not None:
        return None, [prompt, *overrides]
    try:
        find_setting(GenerationConfig, (prompt.partition("=")[0],))
    except WrongKey:
        return prompt, overrides
    raise HeadstartError(
        f"{prompt!r} is a setting and stands where the prompt belongs; write the prompt before the settings, "
        "or give prompts with --file"
    )


def _settings(options: dict[str, Any], overrides: list[str]) -> dict[str, Any]:
    """The settings of options and of `key=value`.

    Raises:
        HeadstartError: an unknown setting, or one that is given in both ways.
    """
    from headstart.errors import HeadstartError
    from headstart.generation.config import GenerationConfig
    from headstart.overrides import apply_override

    given: dict[str, Any] = {}
    for override in overrides:
        apply_override(given, override, GenerationConfig)
    for name in given.keys() & options.keys():
        raise HeadstartError(f"{name} is given as an option and as {name}=; leave one of them out")
    return options | given


def _read(loaded: "LoadedModel", prompt: str, chat: bool) -> "Prompt":
    """What the model reads: the prompt, or that as the user's turn of a conversation."""
    from headstart.generation.chat import chat_ids

    said = [{"role": "user", "content": prompt}]
    return chat_ids(loaded.tokenizer, said, add_generation_prompt=True) if chat else prompt


def _stream(loaded: "LoadedModel", prompt: str, config: "GenerationConfig", chat: bool) -> None:
    """Print the text as it is written, behind the prompt where it continues that."""
    from headstart.console import exact_output
    from headstart.generation.cpu_decoder import make_decoder
    from headstart.generation.text import stream

    out = exact_output()
    texts = stream(loaded, _read(loaded, prompt, chat), config, make_decoder(loaded.model))
    first = next(texts, "")  # before anything is printed, for the model may not write at all
    if loaded.model.config.architecture == "decoder" and not chat:
        print(prompt, end="", file=out)
    for text in chain([first], texts):
        print(text, end="", file=out, flush=True)
    print(file=out)


def _write_file(
    loaded: "LoadedModel",
    file: Path,
    target: tuple[Path | None, list[Path], bool],
    batch: int,
    config: "GenerationConfig",
    chat: bool,
) -> None:
    """A JSON line for each prompt of a file, in order; `target` is what `written_to` takes."""
    from headstart.cli.predict import written_to
    from headstart.errors import HeadstartError
    from headstart.generation.cpu_decoder import make_decoder
    from headstart.generation.text import generate as generate_texts
    from headstart.progress import ProgressBar

    prompts, decoder = _prompts(file), make_decoder(loaded.model)
    if file == Path("-"):
        first = next(prompts, None)
        if first is None:
            raise HeadstartError("there is no prompt; write it after the model, or give --file")
        prompts = chain([first], prompts)
    with written_to(*target) as stream, ProgressBar("texts", None, "texts") as bar:
        while rows := list(islice(prompts, batch)):
            given = [_read(loaded, prompt, chat) for _, prompt in rows]
            texts = generate_texts(loaded, given, config, decoder)
            for (identity, prompt), text in zip(rows, texts, strict=True):
                line = identity | _answer(prompt, text)
                stream.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))
            bar.advance(len(rows))


def _prompts(file: Path) -> Iterator[tuple[dict[str, Any], str]]:
    """The prompts of a file, each with its row's `id` if it has one."""
    from headstart.errors import HeadstartError
    from headstart.tasks.data.lines import TOO_LONG
    from headstart.tasks.data.rows import read_rows

    for line, row in read_rows(file):
        if row is TOO_LONG:
            raise HeadstartError(f"{file} line {line} is too long for a prompt; split it")
        text = row.get("prompt", row.get("text"))
        if not isinstance(text, str):
            raise HeadstartError(
                f"{file} line {line} has no text under prompt or text; found {', '.join(map(repr, row))}"
            )
        yield ({"id": row["id"]} if "id" in row else {}), text


def _answer(prompt: str, text: "Generated") -> dict[str, Any]:
    answer = {"prompt": prompt, "text": text.text, "finish": text.finish, "ids": text.ids}
    return answer | ({} if text.logprobs is None else {"logprobs": text.logprobs})
