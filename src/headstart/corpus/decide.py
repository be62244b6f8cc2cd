"""What happens to each document: language, rules, duplicates and mix, decided over columns."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from headstart.corpus import deduplicate, mix
from headstart.corpus.prepare import Prepared
from headstart.corpus.read import Skip
from headstart.corpus.recipe import CorpusRecipe
from headstart.corpus.rules import parse_rules
from headstart.corpus.signals import SIGNALS
from headstart.errors import HeadstartError


class Decisions:
    """What happens to each document, decided stage by stage over columns of all documents.

    Attributes:
        stage: per document the stage that removed it, or None.
        rule, detail: why.
        funnel: what was left after each stage.
        removed: documents per stage and rule.
    """

    def __init__(self, prepared: list[Prepared], skipped: list[Skip]) -> None:
        names = [
            "id",
            "domain",
            "language",
            "language_score",
            "page",
            "bytes",
            *SIGNALS,
            "digest",
            "signature",
        ]
        tables = [pq.read_table(one.path, columns=names) for one in prepared]
        table = pa.concat_tables(tables)
        self.rows = [len(one) for one in tables]
        self.columns = {
            name: table[name].to_numpy() for name in ("language_score", "page", "bytes", *SIGNALS)
        }
        self.columns |= {
            name: np.array(table[name].to_pylist(), object) for name in ("id", "domain", "language")
        }
        self.digests = _fixed_bytes(table["digest"], 16)
        self.signatures = _fixed_bytes(table["signature"], table.schema.field("signature").type.byte_width)
        count = len(table)
        self.stage = np.full(count, None, object)
        self.rule = np.full(count, None, object)
        self.detail = np.full(count, None, object)
        self.skipped = skipped
        self.funnel: list[dict[str, Any]] = [
            {
                "stage": "read",
                "documents": sum(one.documents for one in prepared),
                "bytes": sum(one.bytes for one in prepared),
            }
        ]
        self.removed: dict[str, dict[str, int]] = {}

    def alive(self) -> np.ndarray:
        """Indices of the documents that no stage has removed."""
        return np.flatnonzero(self.stage == None)  # noqa: E711  (element by element)

    def remove(self, stage: str, rule: str, gone: np.ndarray, details: Iterable[str]) -> None:
        """Mark documents as removed."""
        if not len(gone):
            return
        self.stage[gone], self.rule[gone] = stage, rule
        self.detail[gone] = list(details)
        self.removed.setdefault(stage, {})[rule] = len(gone)

    def close(self, stage: str) -> None:
        """Note in the funnel what is left after a stage."""
        alive = self.alive()
        self.funnel.append(
            {"stage": stage, "documents": len(alive), "bytes": int(self.columns["bytes"][alive].sum())}
        )

    def decide(self, recipe: CorpusRecipe) -> None:
        """All stages from extraction to near duplicates."""
        empty = self.alive()[self.columns["bytes"] == 0]
        self.remove("extract", "no_main_text", empty, ["the page has no main text"] * len(empty))
        self.close("extract")
        self._languages(recipe)
        self._rules(recipe)
        self._exact_duplicates()
        self._near_duplicates(recipe)

    def _languages(self, recipe: CorpusRecipe) -> None:
        alive = self.alive()
        languages, scores = self.columns["language"], self.columns["language_score"]
        if recipe.languages != "any":
            unsure = alive[scores[alive] < recipe.language_score]
            self.remove(
                "language",
                "unsure",
                unsure,
                (f"{languages[i]} with score {scores[i]:.2f} < {recipe.language_score:g}" for i in unsure),
            )
            alive = self.alive()
            wanted = recipe.languages if isinstance(recipe.languages, list) else self._main_language(alive)
            other = alive[~np.isin(languages[alive].astype(str), wanted)]
            self.remove("language", "other_language", other, (f"language = {languages[i]}" for i in other))
        self.close("language")

    def _main_language(self, among: np.ndarray) -> list[str]:
        """The language with the most bytes."""
        sizes: Counter[str] = Counter()
        for language, size in zip(self.columns["language"][among], self.columns["bytes"][among], strict=True):
            sizes[language] += int(size)
        return [max(sorted(sizes), key=sizes.__getitem__)] if sizes else []

    def _rules(self, recipe: CorpusRecipe) -> None:
        for rules, pages_only in ((recipe.rules, False), (recipe.page_rules, True)):
            for name, rule in parse_rules(rules).items():
                alive = self.alive()
                fires = rule.removes(self.columns)[alive]
                if pages_only:
                    fires &= self.columns["page"][alive]
                gone = alive[fires]
                values = self.columns[rule.signal][gone]
                self.remove("quality", name, gone, (rule.detail(value) for value in values))
        self.close("quality")

    def _exact_duplicates(self) -> None:
        alive = self.alive()
        found = deduplicate.exact(self.digests[alive])
        details = (f"same text as {self.columns['id'][i]}" for i in alive[found.kept])
        self.remove("exact duplicates", "same_text", alive[found.gone], details)
        self.close("exact duplicates")

    def _near_duplicates(self, recipe: CorpusRecipe) -> None:
        settings = recipe.near_duplicates
        if settings.enabled:
            alive = self.alive()
            size = settings.bands * settings.rows
            matrix = self.signatures[alive].view(np.uint32).reshape(len(alive), size)
            found = deduplicate.near(matrix, settings.bands, self.columns["bytes"][alive])
            scores = deduplicate.similarity(matrix, found.gone, found.kept)
            kept = self.columns["id"][alive[found.kept]]
            details = (
                f"near duplicate of {i}, similarity {s:.2f}" for i, s in zip(kept, scores, strict=True)
            )
            self.remove("near duplicates", "similar_text", alive[found.gone], details)
        self.close("near duplicates")

    def mix(self, recipe: CorpusRecipe) -> tuple[np.ndarray, dict[str, Any]]:
        """How often each document goes into the corpus, and the plan per domain."""
        alive = self.alive()
        domains, sizes = self.columns["domain"][alive].astype(str), self.columns["bytes"][alive]
        chosen, plan = mix.choose(domains, sizes, recipe.mix, recipe.seed)
        gone = alive[chosen == 0]
        details = (f"domain {self.columns['domain'][i]} is over its share" for i in gone)
        self.remove("mix", "over_share", gone, details)
        copies = np.zeros(len(self.stage), np.int64)
        copies[alive] = chosen
        total = int((self.columns["bytes"] * copies).sum())
        self.funnel.append({"stage": "mix", "documents": int(copies.sum()), "bytes": total})
        return copies, plan

    def check_something_is_left(self) -> None:
        """Raise a `HeadstartError` that names the greatest loss if no document is left."""
        if len(self.alive()):
            return
        reasons = most_common(skip.reason for skip in self.skipped)
        if not self.funnel[0]["documents"]:
            found = (
                ", ".join(f"{reason} ({count:,})" for reason, count in list(reasons.items())[:3])
                or "no records"
            )
            raise HeadstartError(f"none of the input could be read: {found}; check the files")
        stage = max(self.removed, key=lambda name: sum(self.removed[name].values()))
        rules = self.removed[stage]
        rule = max(rules, key=rules.__getitem__)
        example = self.detail[np.flatnonzero((self.stage == stage) & (self.rule == rule))[0]]
        raise HeadstartError(
            f"no document is left: the stage {stage!r} removed {sum(rules.values()):,}, most by {rule} "
            f"(for one, {example}); relax it in the recipe"
        )

    def totals(self, column: str, entries: np.ndarray) -> dict[str, dict[str, int]]:
        """Documents and bytes per value of a column, the largest first."""
        values, sizes = self.columns[column][entries].astype(str), self.columns["bytes"][entries]
        names, group = np.unique(values, return_inverse=True)
        documents = np.bincount(group, minlength=len(names))
        sums = np.bincount(group, sizes, minlength=len(names)).astype(np.int64)
        by_size = sorted(range(len(names)), key=lambda i: -sums[i])
        return {str(names[i]): {"documents": int(documents[i]), "bytes": int(sums[i])} for i in by_size}


def _fixed_bytes(column: pa.ChunkedArray, width: int) -> np.ndarray:
    """A column of fixed-size binary values as numpy voids, without a Python object for each."""
    content = b"".join(
        memoryview(chunk.buffers()[1])[chunk.offset * width : (chunk.offset + len(chunk)) * width]
        for chunk in column.chunks
        if len(chunk)
    )
    return np.frombuffer(content, np.dtype((np.void, width)))


def most_common(values: Iterable[str]) -> dict[str, int]:
    counts = Counter(values)
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
