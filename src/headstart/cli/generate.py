"""`headstart generate`: let a causal model continue a text."""

from pathlib import Path
from typing import Annotated

import typer


def generate(
    model: Annotated[Path, typer.Argument(help="A model or run folder.")],
    prompt: Annotated[str, typer.Argument(help="The text to continue.")],
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Stop after this many tokens.")] = 60,
    temperature: Annotated[float, typer.Option(min=0, help="0 takes the likeliest token every time.")] = 0.8,
    top_k: Annotated[int, typer.Option(min=1, help="Draw from that many likeliest tokens.")] = 50,
    seed: Annotated[int, typer.Option(help="The same seed draws the same text.")] = 0,
) -> None:
    """Continue a text with a pre-trained decoder."""
    from headstart.generation.text import generate as generate_text
    from headstart.interchange.model_folder import load_model

    loaded = load_model(model)
    text = generate_text(loaded.model, loaded.tokenizer, prompt, max_new_tokens, temperature, top_k, seed)
    typer.echo(prompt + text)
