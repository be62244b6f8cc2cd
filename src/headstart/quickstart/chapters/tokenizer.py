"""The tokenizer: what it knows, and how it cuts texts."""

from collections.abc import Iterable

from headstart.page.markup import Markup, absent, element, key_facts, prose
from headstart.page.numbers import exact, significant
from headstart.quickstart.facts import Report


def chapter(report: Report) -> Iterable[Markup]:
    facts = report.get("tokenizer") or {}
    if not facts:
        yield absent("No tokenizer was trained in this run.")
        return
    yield prose(
        "A model reads numbers, not letters. The tokenizer learned which pieces of text occur so often in "
        "this corpus that each deserves a number of its own: frequent words are one token, rare words are "
        "several."
    )
    yield key_facts(
        ("Vocabulary", f"{exact(facts.get('vocab_size'))} tokens"),
        ("Bytes per token", significant(facts.get("bytes_per_token"))),
    )
    if leaked := facts.get("leaked"):
        yield prose(
            f"Some documents are held out to measure the models. {exact(leaked)} of them were left out: the "
            "training text contains a part of each, and a loss on training text is too good."
        )
    for example in facts.get("examples") or []:
        pieces = [str(token) for token in example.get("tokens") or []]
        length = len(str(example.get("text") or "").encode(errors="replace"))
        chips = (
            element("span", visible(piece), class_=f"token t{index % 4}")
            for index, piece in enumerate(pieces)
        )
        text = element("p", *chips, class_="tokens", dir="auto")
        yield element(
            "figure", text, element("figcaption", f"{len(pieces)} tokens, {length} bytes"), class_="example"
        )


def visible(token: str) -> str:
    """A token with its spaces and line breaks shown."""
    shown = token.replace("Ġ", " ").replace("Ċ", "\n")
    return shown.replace(" ", "·").replace("\n", "↵").replace("\t", "⇥")
