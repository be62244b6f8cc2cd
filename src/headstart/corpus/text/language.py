"""Which language a text is in: fastText's lid.176 model on a few windows, with a vote where they disagree."""

from collections import defaultdict
from functools import cache
from pathlib import Path
from typing import Any

from headstart.corpus.text.fasttext_model import load_fasttext
from headstart.corpus.text.language_codes import language_code

MODEL = Path(__file__).with_name("lid.176.ftz")
"""Not ours: see NOTICE."""
SURE, CLEAR = 0.8, 0.9
MOST = 0.5  # of a mixed text: what is clearly in one language
SHORT = 1_000  # characters that are looked at whole; longer texts by their beginning, middle and end
WINDOW = 350
VOTERS = 20
VOTE = 40  # characters that a paragraph needs to vote


@cache
def _model(path: Path) -> Any:
    return load_fasttext(path)


def identify_language(text: str, declared: str = "", model: Path | None = None) -> tuple[str, float, float]:
    """The language of a text, told from bounded parts of it.

    A short text is looked at whole. Of a longer one beginning and middle decide if they agree and each is
    clear, else beginning, middle and end. If these do not agree, or are not sure, 20 windows spread over the
    text vote, or the lines of a short one: a handbook page with a Danish title and menu over untranslated
    English is English.

    Args:
        text: the text.
        declared: the language that its source gives, as `da`; it holds unless the text is clearly in another.
        model: a fastText model's file; None: lid.176.

    Returns:
        Its ISO 639 code, how sure that is from 0 to 1, and the share of the text that is in other languages.
    """
    language, score, foreign = _identify(text, model or MODEL)
    if declared and (language == declared or score < (MOST if foreign else SURE)):
        return declared, 1.0, foreign if language == declared else 0.0
    return language, score, foreign


def _identify(text: str, model: Path) -> tuple[str, float, float]:
    first, *others = [text] if len(text) <= SHORT else _windows(text, 3)
    found = [_predict(first, model)]
    for part in others:
        found.append(_predict(part, model))
        if found[0][0] == found[1][0] and min(found[0][1], found[1][1]) >= CLEAR:
            break
    language, score = found[0][0], sum(score for _, score in found) / len(found)
    if len({code for code, _ in found}) == 1 and score >= SURE:
        return language, score, 0.0
    if len(text) <= SHORT:
        parts = [line for line in text.split("\n") if len(line) >= VOTE]
    else:
        parts = _windows(text, VOTERS)
    if len(parts) < 2:
        return language, score, 0.0
    votes: dict[str, float] = defaultdict(float)
    heard = doubt = 0.0
    for part in parts:
        vote, confidence = _predict(part, model)
        votes[vote] += confidence * len(part)
        doubt += (1 - confidence) * len(part)
        heard += len(part)
    winner = max(sorted(votes), key=votes.__getitem__)
    return winner, votes[winner] / heard, 1 - (votes[winner] + doubt) / heard


def _windows(text: str, count: int) -> list[str]:
    """Parts of a text at equal distances, from its beginning to its end."""
    last = len(text) - WINDOW
    return [text[place : place + WINDOW] for place in (last * n // (count - 1) for n in range(count))]


def _predict(text: str, model: Path) -> tuple[str, float]:
    if text.isupper():  # the model has hardly seen capitals alone
        text = text.lower()
    labels, scores = _model(model).predict(" ".join(text.split()), k=1)
    if not labels:
        return "", 0.0
    return language_code(labels[0].removeprefix("__label__")), min(float(scores[0]), 1.0)
