"""Stages that look at one document at a time: block lists, extraction, language and the rules on quality."""

from collections import Counter

import numpy as np
import pyarrow.compute as pc

from headstart.corpus.filters import urls
from headstart.corpus.recipe import CorpusRecipe
from headstart.corpus.removals import Removal, left, removals, removed_by
from headstart.corpus.work import Made, Work, load, save, step

BLOCKED, EXTRACT, LANGUAGE, QUALITY = "blocked addresses", "extract", "language", "quality"


def index_block_lists(work: Work) -> None:
    """Keep the hosts and addresses of the block lists where all workers can map them from the disk."""
    save(work.folder / "blocked_hosts.npy", urls.listed_hashes(work.recipe.urls.domains, urls.host))
    save(work.folder / "blocked_addresses.npy", urls.listed_hashes(work.recipe.urls.addresses, urls.bare))


@step(removed_by(BLOCKED), "parquet")
def blocked(work: Work, task: int) -> Made:
    """Documents whose address is on a block list."""
    wanted = work.recipe.urls
    lists = urls.BlockLists(
        load(work.folder / "blocked_hosts.npy"),
        load(work.folder / "blocked_addresses.npy"),
        tuple(wanted.words),
        tuple(wanted.soft_words),
        tuple(wanted.parts),
    )
    addresses = work.columns(task, "url")["url"].to_pylist()
    found = lists.find(addresses)
    return removals(
        Removal(place, urls.BLOCKS[found[place] - 1], f"{addresses[place]} is on a list")
        for place in np.flatnonzero(found).tolist()
    )


@step(removed_by(EXTRACT), "parquet")
def extract(work: Work, task: int) -> Made:
    """Pages without text: they have no main text, or `lines` dropped every line of it."""
    empty = work.columns(task, "bytes")["bytes"].to_numpy() == 0
    return removals(
        Removal(place, "no_main_text", "the page has no main text, or `lines` dropped all of it")
        for place in np.flatnonzero(empty).tolist()
    )


@step(removed_by(LANGUAGE), "parquet")
def language(work: Work, task: int) -> Made:
    """Documents in another language than is wanted, or in one that is not sure."""
    wanted = work.noted("languages")
    if wanted is None:
        return removals([])
    table = work.columns(task, "language", "language_score")
    codes = table["language"].to_numpy(zero_copy_only=False).astype(str)
    scores = table["language_score"].to_numpy()
    least = _least_scores(work.recipe, codes)
    gone = []
    for place in np.flatnonzero((scores < least) | ~np.isin(codes, wanted)).tolist():
        if scores[place] < least[place]:
            detail = f"{codes[place]} with score {scores[place]:.2f} < {least[place]:g}"
            gone.append(Removal(place, "unsure", detail))
        else:
            gone.append(Removal(place, "other_language", f"language = {codes[place]}"))
    return removals(gone)


def _least_scores(recipe: CorpusRecipe, codes: np.ndarray) -> np.ndarray:
    """How sure each document's language has to be."""
    least = {code: recipe.least_score(code) for code in np.unique(codes).tolist()}
    return np.array([least[code] for code in codes.tolist()], np.float32)


def choose_languages(work: Work) -> None:
    """Note the languages that stay; None: all. `auto` is the one with most bytes among sure documents."""
    wanted = work.recipe.languages
    if wanted == "auto":
        sizes = _bytes_by_language(work)
        work.note("languages", [max(sorted(sizes), key=sizes.__getitem__)] if sizes.total() else [])
    else:
        work.note("languages", None if wanted == "any" else list(wanted))


def _bytes_by_language(work: Work) -> Counter[str]:
    sizes: Counter[str] = Counter()
    for task in range(work.tasks):
        table = work.columns(task, "bytes", "language", "language_score")
        sure = table.filter(pc.field("language_score") >= work.recipe.language_score)
        summed = sure.group_by("language").aggregate([("bytes", "sum")])
        names, counts = (column.to_pylist() for column in summed.select(["language", "bytes_sum"]))
        sizes.update(dict(zip(names, counts, strict=True)))
    return sizes


@step(removed_by(QUALITY), "parquet")
def quality(work: Work, task: int) -> Made:
    """Documents that break a rule; each counts under the first one."""
    signals = work.recipe.signals
    table = work.columns(task, "page", "language", *signals)
    columns = {name: table[name].to_numpy() for name in ("page", *signals)}
    codes = table["language"].to_numpy(zero_copy_only=False).astype(str)
    fires = broken_rules(work.recipe, columns, codes)
    stays = left(work, task, QUALITY)
    names, (for_all, for_pages) = rule_names(work.recipe), work.recipe.quality_rules()
    gone = []
    for place in stays[fires[:, stays].any(axis=0)].tolist():
        name = names[int(fires[:, place].argmax())]
        rule = for_all.of(name, codes[place]) or for_pages.of(name, codes[place])
        assert rule is not None
        gone.append(Removal(place, name, rule.detail(columns[rule.signal][place])))
    return removals(gone)


def rule_names(recipe: CorpusRecipe) -> list[str]:
    """The rules on quality that are switched on, in order: those for all documents, then those for pages."""
    return [name for rules in recipe.quality_rules() for name in rules.names()]


def broken_rules(recipe: CorpusRecipe, columns: dict[str, np.ndarray], codes: np.ndarray) -> np.ndarray:
    """Which rules, as `rule_names` has them, which documents break, `[rules, N]`.

    Args:
        recipe: the settings.
        columns: the signals, and `page`.
        codes: each document's language.
    """
    for_all, for_pages = recipe.quality_rules()
    fires = [for_all.removes(name, columns, codes) for name in for_all.names()]
    fires += [for_pages.removes(name, columns, codes) & columns["page"] for name in for_pages.names()]
    return np.array(fires, bool).reshape(len(fires), len(codes))
