"""Rules as data: `signal op threshold`, evaluated over whole columns of signals."""

import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from headstart.corpus.filters.signals import SIGNALS
from headstart.errors import nearest

OPERATORS: dict[str, Callable[[np.ndarray, float], np.ndarray]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
# What a language's own rule says of a document: it has none, the document stays, the document goes.
NONE, STAYS, GOES = 0, 1, 2
_RULE = re.compile(r"\s*(\w+)\s*(<=|>=|<|>)\s*([-+.\deE]+)\s*")


@dataclass(frozen=True)
class Rule:
    """Removes the documents whose signal stands in relation `op` to the threshold."""

    signal: str
    op: str
    threshold: float

    def removes(self, signals: Mapping[str, np.ndarray]) -> np.ndarray:
        """One boolean a document. A signal that is not defined for a document (NaN) never removes it."""
        return OPERATORS[self.op](signals[self.signal], self.threshold)

    def detail(self, value: float) -> str:
        """Why one document went: its value against the threshold."""
        return f"{self.signal} = {value:.4g} {self.op} {self.threshold:g}"


@dataclass(frozen=True)
class Rules:
    """Rules by name, in order, and for some languages others in their place.

    Attributes:
        general: for all documents; None: switched off.
        own: by language.
    """

    general: Mapping[str, Rule | None]
    own: Mapping[str, Mapping[str, Rule | None]]

    def names(self) -> list[str]:
        """The rules that are switched on for some language."""
        every = dict.fromkeys([*self.general, *(name for rules in self.own.values() for name in rules)])
        sets = [self.general, *self.own.values()]
        return [name for name in every if any(rules.get(name) is not None for rules in sets)]

    def of(self, name: str, language: str) -> Rule | None:
        """The rule of that name as it stands for a language."""
        return self.own.get(language, {}).get(name, self.general.get(name))

    def removes(self, name: str, signals: Mapping[str, np.ndarray], language: np.ndarray) -> np.ndarray:
        """One boolean a document."""
        general, own = self.general.get(name), self.own_verdicts(name, signals, language)
        fires = np.zeros(len(language), bool) if general is None else general.removes(signals)
        return np.where(own == NONE, fires, own == GOES)

    def own_verdicts(self, name: str, signals: Mapping[str, np.ndarray], language: np.ndarray) -> np.ndarray:
        """What the rule of that name of each document's own language says: `NONE`, `STAYS` or `GOES`."""
        said = np.full(len(language), NONE, np.uint8)
        for code in np.unique(language).tolist():
            rules = self.own.get(code, {})
            if name in rules:
                own, here = rules[name], language == code
                said[here] = STAYS if own is None else np.where(own.removes(signals)[here], GOES, STAYS)
        return said


def parse_rule(text: str, signals: Iterable[str] = SIGNALS) -> Rule:
    """Read `signal op threshold`.

    Args:
        text: the rule.
        signals: the names of the known ones.

    Raises:
        ValueError: it is not of that form, or there is no such signal.
    """
    match = _RULE.fullmatch(text)
    if not match:
        raise ValueError(f"the rule {text!r} is not of the form `signal op threshold`, as in `words < 50`")
    signal, op, threshold = match.groups()
    if signal not in (known := list(signals)):
        raise ValueError(f"there is no signal {signal!r}{nearest(signal, known)}")
    return Rule(signal, op, float(threshold))


def parse_rules(
    rules: Mapping[str, str | None],
    by_language: Mapping[str, Mapping[str, str | None]],
    signals: Iterable[str],
) -> Rules:
    """The rules of a recipe."""
    known = list(signals)

    def parsed(given: Mapping[str, str | None]) -> dict[str, Rule | None]:
        return {name: None if rule is None else parse_rule(rule, known) for name, rule in given.items()}

    return Rules(parsed(rules), {language: parsed(own) for language, own in by_language.items()})
