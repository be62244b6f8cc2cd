"""The stage of a filter of one's own: see `extensions`."""

import orjson

from headstart.corpus import removed_spans
from headstart.corpus.extensions import BATCH, Document, OwnFilter, load
from headstart.corpus.removals import Removal, left, removals, removed_by
from headstart.corpus.work import Made, Step, Work

_FIELDS = ("id", "url", "source", "domain", "language", "date", "page")


def filter_step(name: str) -> Step:
    """The step that asks the filter of that name."""

    def ask(work: Work, task: int) -> Made:
        (own,) = (one for one in load(work.recipe.extensions)[1] if one.name == name)
        return removals(_removed(work, task, own))

    return Step(f"{__name__}:filter_step:{name}", ask, removed_by(name), "parquet", risky=True)


def _removed(work: Work, task: int, own: OwnFilter) -> list[Removal]:
    places = left(work, task, own.name)
    gone = []
    for start in range(0, len(places), BATCH):
        some = places[start : start + BATCH]
        signals = work.columns(task, *work.recipe.signals).take(some).to_pylist()
        rows = work.columns(task, *_FIELDS, "metadata").take(some).to_pylist()
        texts = removed_spans.texts(work, task, some, own.name)
        documents = [
            Document(text=text, signals=numbers, metadata=orjson.loads(row.pop("metadata")), **row)
            for text, numbers, row in zip(texts, signals, rows, strict=True)
        ]
        for place, why in zip(some.tolist(), own(documents), strict=True):
            if why is not None:
                gone.append(Removal(place, own.name, why))
    return gone
