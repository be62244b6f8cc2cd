"""What to do about one rule that takes most of a corpus: the setting that keeps what it removes."""

from collections import Counter
from collections.abc import Mapping

from headstart.corpus.recipe import CorpusRecipe

GREAT = 1 / 3
"""Of the documents that were read: so much no single rule is meant to take."""

_SETTINGS = {
    "unsure": "languages=any",
    "other_language": "languages=any",
    "same_text": "exact_duplicates=false",
    "similar_text": "near_duplicates.enabled=false",
}


_MOST = 3  # settings that one sentence names


def great_losses(
    read: int,
    removed: Mapping[str, Mapping[str, int]],
    by_language: Mapping[str, Mapping[str, int]],
    recipe: CorpusRecipe,
) -> list[str]:
    """A sentence for every rule that removed more than a third of the documents.

    Args:
        read: documents at the beginning, long ones in pieces.
        removed: documents by stage and rule.
        by_language: documents by language and rule, of the largest languages.
    """

    def of(rule: str) -> dict[str, int]:
        return {language: rules[rule] for language, rules in by_language.items() if rule in rules}

    return [
        f"{rule} alone removed {count / read:.0%} of the documents{way_on(rule, of(rule), recipe)}"
        for rules in removed.values()
        for rule, count in rules.items()
        if count > GREAT * read
    ]


def way_on(rule: str, languages: Mapping[str, int], recipe: CorpusRecipe) -> str:
    """How to keep what a rule removes, as the end of a sentence; nothing where no setting does.

    Args:
        rule: its name.
        languages: how many documents of each language it removed.
        recipe: by which it did.
    """
    switches = _switches(rule, languages, recipe)
    if not switches:
        return ""
    named = " ".join(switches[:_MOST])
    if len(switches) > _MOST:
        named += f" and so for {len(switches) - _MOST:,} more of the languages"
    return f"; to keep them: {named}, or --recipe corpus-plain for texts that are not web pages"


def _switches(rule: str, languages: Mapping[str, int], recipe: CorpusRecipe) -> list[str]:
    """The settings that keep what a rule removes, those of most documents first: for a language that has a
    rule of that name of its own, the general one says nothing."""
    if rule in _SETTINGS:
        return [_SETTINGS[rule]]
    kept: Counter[str] = Counter()
    for group, rules in zip(("rules", "page_rules"), recipe.quality_rules(), strict=True):
        if rule in rules.names():
            general = f"{group}.{rule}=off"
            for code, count in languages.items():
                own = rule in rules.own.get(code, {})
                kept[f"by_language.{code}.rules.{rule}=off" if own else general] += count
            if not kept:  # of languages that were not counted
                return [general]
    return [switch for switch, _ in kept.most_common()]
