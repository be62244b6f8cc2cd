"""What to do about one rule that takes most of a corpus: the setting that keeps what it removes."""

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


def great_losses(read: int, removed: Mapping[str, Mapping[str, int]], recipe: CorpusRecipe) -> list[str]:
    """A sentence for every rule that removed more than a third of the documents.

    Args:
        read: documents at the beginning, long ones in pieces.
        removed: documents by stage and rule.
    """
    return [
        f"{rule} alone removed {count / read:.0%} of the documents{way_on(rule, recipe)}"
        for rules in removed.values()
        for rule, count in rules.items()
        if count > GREAT * read
    ]


def way_on(rule: str, recipe: CorpusRecipe) -> str:
    """How to keep what a rule removes, as the end of a sentence; nothing where no setting does."""
    switch = _SETTINGS.get(rule)
    for group in ("rules", "page_rules"):
        if rule in getattr(recipe, group):
            switch = f"{group}.{rule}=off"
    if switch is None:
        return ""
    return f"; to keep them: {switch}, or --recipe corpus-plain for texts that are not web pages"
