"""Templates: where a family puts its special tokens around one text or a pair of texts."""

from collections.abc import Iterable
from dataclasses import dataclass

from headstart.errors import HeadstartError
from headstart.folder import JSONObject


@dataclass(frozen=True)
class Place:
    """One place of a template: a special token, or one of the two texts."""

    content: int | str
    """The id of a special token; "A" or "B" for the first or the second text."""
    type: int
    """The token type: 0, or 1 for what belongs to the second text (BERT)."""


@dataclass(frozen=True)
class Template:
    """How one text (`single`) and two (`pair`) are framed, as the post-processor of `tokenizer.json` says."""

    single: tuple[Place, ...]
    pair: tuple[Place, ...]

    def fill(self, ids: list[int], pair: list[int] | None) -> tuple[list[int], list[int]]:
        """Ids with special tokens in their places, and each one's token type."""
        texts = {"A": ids, "B": pair or []}
        filled: list[int] = []
        types: list[int] = []
        for place in self.single if pair is None else self.pair:
            content = texts[place.content] if isinstance(place.content, str) else [place.content]
            filled += content
            types += [place.type] * len(content)
        return filled, types

    def fits(self, size: int) -> bool:
        """Whether the texts have their places, and every other place is one of `size` tokens."""
        places = (*self.single, *self.pair)
        texts = [place.content for place in places if place.content in ("A", "B")]
        tokens = [place.content for place in places if place.content not in ("A", "B")]
        return (
            texts == ["A", "A", "B"]
            and all(isinstance(place.type, int) for place in places)
            and all(isinstance(token, int) and 0 <= token < size for token in tokens)
        )

    def processor(self, tokens: list[str]) -> JSONObject:
        """The post-processor to write into a `tokenizer.json` with this vocabulary."""
        ids = {place.content for place in (*self.single, *self.pair) if isinstance(place.content, int)}
        return {
            "type": "TemplateProcessing",
            "single": [_part(place, tokens) for place in self.single],
            "pair": [_part(place, tokens) for place in self.pair],
            "special_tokens": {
                tokens[index]: {"id": tokens[index], "ids": [index], "tokens": [tokens[index]]}
                for index in sorted(ids)
            },
        }


def _part(place: Place, tokens: list[str]) -> JSONObject:
    if isinstance(place.content, str):
        return {"Sequence": {"id": place.content, "type_id": place.type}}
    return {"SpecialToken": {"id": tokens[place.content], "type_id": place.type}}


def parse_template(single: str, pair: str, ids: dict[str, int]) -> Template:
    """A template from its notation: `A` and `B` are the texts, `:1` behind a place gives it type 1."""

    def places(notation: str) -> Iterable[Place]:
        for part in notation.split():
            content, _, number = part.partition(":")
            yield Place(content if content in ("A", "B") else ids[content], int(number or 0))

    return Template(tuple(places(single)), tuple(places(pair)))


BARE = Template((Place("A", 0),), (Place("A", 0), Place("B", 0)))


def read_template(processor: JSONObject | None) -> Template:
    """The template in the post-processor of a `tokenizer.json`; without one, texts stand bare.

    Raises:
        HeadstartError: a post-processor of a kind that is not known here.
    """
    if processor is None:
        return BARE
    match processor["type"]:
        case "ByteLevel":
            return BARE
        case "Sequence":
            found = [read_template(part) for part in processor["processors"]]
            return next((template for template in found if template != BARE), BARE)
        case "TemplateProcessing":
            ids = {name: token["ids"] for name, token in processor["special_tokens"].items()}
            return Template(
                *(tuple(_places(processor[number], ids)) for number in ("single", "pair")),
            )
        case "BertProcessing":
            first, last = Place(processor["cls"][1], 0), Place(processor["sep"][1], 0)
            single = (first, Place("A", 0), last)
            return Template(single, (*single, Place("B", 1), Place(last.content, 1)))
        case "RobertaProcessing":
            first, last = Place(processor["cls"][1], 0), Place(processor["sep"][1], 0)
            single = (first, Place("A", 0), last)
            return Template(single, (*single, last, Place("B", 0), last))
    raise HeadstartError(
        f"a tokenizer.json with the post-processor {processor['type']} is not known here; "
        "save the tokenizer again with a TemplateProcessing"
    )


def _places(parts: list[JSONObject], ids: dict[str, list[int]]) -> Iterable[Place]:
    for part in parts:
        if "Sequence" in part:
            yield Place(part["Sequence"]["id"], part["Sequence"]["type_id"])
        else:
            for index in ids[part["SpecialToken"]["id"]]:
                yield Place(index, part["SpecialToken"]["type_id"])
