"""The stages of a corpus, in their order: what the funnel shows row by row.

A stage removes documents, or cuts something out of them. It is a list of steps, each of which runs for all
tasks or for all partitions of some keys; the stage writes, for each task, which documents it removes
(`removals`). What comes before all stages is `prepare`, and behind them `write`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from headstart.corpus import gathering, identities, judge, mix, own_filters, removed_spans
from headstart.corpus.dedup import (
    copies,
    decontaminate,
    documents,
    fingerprint_index,
    groups,
    recall,
    repeated_lines,
    repeated_pages,
    substrings,
)
from headstart.corpus.extensions import OwnFilter, load
from headstart.corpus.filters import urls
from headstart.corpus.recipe import CorpusRecipe
from headstart.corpus.work import Step, Work
from headstart.errors import HeadstartError, nearest

METHOD = 2
"""Changes with what the steps behind the first pass hand to each other: an interrupted run of another version
is not resumed there."""


def tasks(work: Work) -> int:
    """How many tasks there are."""
    return work.tasks


def partitions_of(keys: str, *indexed: str, times: int = 1) -> Callable[[Work], int]:
    """How many partitions the keys of a step are cut into.

    Args:
        keys: the step.
        indexed: kinds of the index of earlier corpora that are read beside them.
        times: how much larger these are in memory.
    """

    def count(work: Work) -> int:
        return work.partition(keys, times * fingerprint_index.size(work.recipe, *indexed))

    return count


@dataclass(frozen=True)
class Pass:
    """A step that runs for the numbers from 0 up to a count: those of all tasks, unless told otherwise."""

    title: str
    step: Step
    over: Callable[[Work], int] = tasks
    wanted: Callable[[CorpusRecipe], bool] = lambda _: True


def gathered(keys: str, wanted: Callable[[CorpusRecipe], bool] = lambda _: True) -> Pass:
    """The files of a step are put together before partitions read them."""
    return Pass("gathering keys", gathering.gather(keys), gathering.bundles_of(keys), wanted)


def arranged(found: str, wanted: Callable[[CorpusRecipe], bool] = lambda _: True) -> Pass:
    """What partitions found is arranged by documents."""
    return Pass("arranging", gathering.arrange(found), Work.ranges, wanted)


@dataclass(frozen=True)
class Rounds:
    """Passes that run again and again, counted from 1, until a round has left nothing to do.

    Attributes:
        name: under which it is noted how many rounds there were.
        passes: of a round.
        settled: whether that was the last one.
    """

    name: str
    passes: Callable[[int], Sequence[Pass]]
    settled: Callable[[Work, int], bool]


@dataclass(frozen=True)
class Stage:
    """A row of the funnel.

    Attributes:
        name: by which documents that it removes are known.
        rules: why it may remove a document.
        passes: what runs, in order; a bare function runs once, in the process that steers.
        wanted: whether a recipe has it.
    """

    name: str
    rules: Callable[[CorpusRecipe], Sequence[str]]
    passes: Sequence[Pass | Rounds | Callable[[Work], None]]
    wanted: Callable[[CorpusRecipe], bool] = field(default=lambda _: True)


def _same_address(recipe: CorpusRecipe) -> bool:
    return bool(recipe.urls.same)


def _per_host(recipe: CorpusRecipe) -> bool:
    return bool(recipe.urls.per_host)


def _always(*rules: str) -> Callable[[CorpusRecipe], Sequence[str]]:
    return lambda _: rules


# Before all stages: ids that are unique over the corpus.
IDENTITIES = (
    Rounds(
        identities.NAMES,
        lambda number: [
            Pass("ids", identities.names(str(number))),
            gathered(f"names {number}"),
            Pass("repeated ids", identities.repeated(str(number)), partitions_of("names 1")),
            arranged(f"repeated names {number}"),
        ],
        identities.settled,
    ),
    Pass("naming", identities.rename, identities.tasks_to_rename),
)

# How documents that share a band are put into groups.
GROUPS = Rounds(
    groups.LINKS,
    lambda number: [
        Pass("grouping", groups.hooked(str(number)), Work.ranges),
        Pass("grouping", groups.labels(str(number)), Work.ranges),
        Pass("grouping", groups.hooks(str(number)), lambda work: len(work.keys(groups.LINKS))),
    ],
    groups.settled,
)
# Behind them: how many documents of the raw data each one stands for.
COPIES = (
    Pass("copies", copies.exact_copies, Work.ranges),
    Pass("copies", copies.stands_for, Work.ranges),
    Pass("copies", copies.near_copies, Work.ranges),
    Pass("copies", copies.copies, Work.ranges),
)

STAGES = (
    Stage(
        judge.BLOCKED,
        _always(*urls.BLOCKS),
        [judge.index_block_lists, Pass("blocked addresses", judge.blocked)],
        lambda recipe: bool(recipe.urls.lists()),
    ),
    Stage(judge.EXTRACT, _always("no_main_text"), [Pass("empty pages", judge.extract)]),
    Stage(
        judge.LANGUAGE,
        _always("unsure", "other_language"),
        [judge.choose_languages, Pass("languages", judge.language)],
    ),
    Stage(
        judge.QUALITY,
        lambda recipe: list(dict.fromkeys(judge.rule_names(recipe))),
        [Pass("rules", judge.quality)],
        lambda recipe: bool(judge.rule_names(recipe)),
    ),
    Stage(
        decontaminate.CONTAMINATION,
        _always("benchmark_text"),
        [decontaminate.index_items, Pass("looking for benchmarks", decontaminate.find_items)],
        lambda recipe: bool(recipe.decontaminate),
    ),
    Stage(
        repeated_pages.PAGES,
        _always("same_address", "host_is_full"),
        [
            Pass("addresses", repeated_pages.address_keys, wanted=_same_address),
            gathered("address_keys", _same_address),
            Pass("one of each", repeated_pages.same_addresses, partitions_of("address_keys"), _same_address),
            arranged("same_addresses", _same_address),
            Pass("hosts", repeated_pages.host_keys, wanted=_per_host),
            gathered("host_keys", _per_host),
            Pass("full hosts", repeated_pages.full_hosts, partitions_of("host_keys"), _per_host),
            arranged("full_hosts", _per_host),
            Pass("repeated pages", repeated_pages.remove_pages),
        ],
        lambda recipe: bool(recipe.urls.same or recipe.urls.per_host),
    ),
    Stage(
        documents.EXACT,
        _always("same_text"),
        [
            Pass("digests", documents.digests),
            gathered("digests"),
            Pass(
                "exact duplicates",
                documents.exact,
                partitions_of("digests", fingerprint_index.DIGESTS, times=2),
            ),
            arranged("exact"),
            Pass("comparing", documents.remove_exact),
            partial(fingerprint_index.keep_keys, kind=fingerprint_index.DIGESTS),
        ],
        lambda recipe: recipe.exact_duplicates,
    ),
    Stage(
        documents.NEAR,
        _always("similar_text"),
        [
            Pass("bands", documents.bands),
            gathered("bands"),
            Pass("links", documents.links, partitions_of("bands", fingerprint_index.BANDS, times=3)),
            Pass("bundling links", groups.bundle, gathering.bundles_of(groups.LINKS)),
            GROUPS,
            Pass("best of each group", groups.best, Work.ranges),
            Pass("best of all", groups.stays, Work.ranges),
            Pass("near duplicates", groups.near, Work.ranges),
            Pass("planting copies", recall.plant_copies),
            Pass("looking for copies", recall.find_copies, lambda work: work.partitions("bands")),
            Pass("comparing", documents.remove_near),
            partial(fingerprint_index.keep_keys, kind=fingerprint_index.BANDS),
        ],
        lambda recipe: recipe.near_duplicates.enabled,
    ),
    Stage(
        removed_spans.LINES,
        _always(*removed_spans.RULES),
        [
            Pass("lines", repeated_lines.count_lines),
            gathered("lines"),
            Pass(
                "repeated lines",
                repeated_lines.repeated,
                partitions_of("lines", fingerprint_index.LINES, fingerprint_index.PARAGRAPHS),
            ),
            Pass("dropping lines", repeated_lines.drop_lines),
        ],
        lambda recipe: recipe.repeated_lines is not None or recipe.repeated_paragraphs is not None,
    ),
    Stage(
        removed_spans.SUBSTRINGS,
        _always(*removed_spans.RULES),
        [
            Pass("picking runs of words", substrings.fingerprint_documents),
            gathered("fingerprints"),
            gathered("picks"),
            Pass(
                "earlier corpora",
                substrings.keep_fingerprints,
                partitions_of("fingerprints", fingerprint_index.RUNS),
            ),
            Pass("picked twice", substrings.picked_twice, partitions_of("picks")),
            Pass("runs of words", substrings.runs),
            gathered("runs"),
            Pass("repeated runs", substrings.repeats, partitions_of("runs")),
            arranged("repeats"),
            Pass("cutting runs", substrings.cut_repeats),
        ],
        lambda recipe: recipe.repeated_substrings is not None,
    ),
    Stage(
        mix.MIX,
        _always("over_share"),
        [Pass("weighing", mix.count_group_bytes), mix.choose_amounts, Pass("drawing", mix.draw_copies)],
    ),
)


def stages_of(recipe: CorpusRecipe) -> list[Stage]:
    """The stages that a recipe wants, in their order, with its own filters among them.

    Raises:
        HeadstartError: a filter is to come behind a stage that there is not, or has the name of one; or a
            stage is named that the recipe does not have.
    """
    every = list(STAGES)
    for own in load(recipe.extensions)[1]:
        names = [stage.name for stage in every]
        if own.name in names:
            raise HeadstartError(f"{own.file}: {own.name!r} is a stage of headstart; rename the filter")
        if own.after not in names or own.after == mix.MIX:
            raise HeadstartError(
                f"{own.file}: the filter {own.name} is to come after {own.after!r}, which is no stage before "
                f"the mix{nearest(own.after, names)}"
            )
        every.insert(names.index(own.after) + 1, _stage_of(own))
    wanted = [stage for stage in every if stage.wanted(recipe)]
    if recipe.stages is None:
        return wanted
    names = [stage.name for stage in wanted]
    for name in recipe.stages:
        if name not in names:
            raise HeadstartError(
                f"stages: there is no {name!r}{nearest(name, names)}; the recipe has {', '.join(names)}, "
                "and some others where their settings are given"
            )
    return [stage for stage in wanted if stage.name in (*recipe.stages, judge.EXTRACT, mix.MIX)]


def _stage_of(own: OwnFilter) -> Stage:
    return Stage(own.name, _always(own.name), [Pass(own.name, own_filters.filter_step(own.name))])
