"""Your own signals and filters, from Python files that a recipe names under `extensions`.

A function gets a batch of documents and returns a list with one entry for each document. A signal returns a
number. A filter returns the sentence that says why the document is removed, or None to keep it.

    from headstart.corpus import Document, signal

    @signal
    def digits(documents: list[Document]) -> list[float]:
        "share of characters that are digits"
        return [sum(map(str.isdigit, one.text)) / max(len(one.text), 1) for one in documents]

The name of the function is the name of the signal, for rules, or of the filter's stage and rule.
"""

import hashlib
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any, overload

from headstart.errors import HeadstartError

BATCH = 512  # documents that a function gets at once, at most


@dataclass(frozen=True, slots=True)
class Document:
    """A document in the form that extensions get.

    Attributes:
        page: whether it is a web page.
        metadata: further fields of its source.
        signals: the measured signals; empty for a signal's own function.
    """

    id: str
    text: str
    url: str
    source: str
    domain: str
    language: str
    date: str
    page: bool
    metadata: Mapping[str, Any]
    signals: Mapping[str, float]


SignalFunction = Callable[[list[Document]], Sequence[float]]
FilterFunction = Callable[[list[Document]], Sequence[str | None]]


@dataclass(frozen=True)
class OwnSignal:
    """A signal of an extension; its meaning is the function's docstring."""

    name: str
    meaning: str
    function: SignalFunction
    file: Path

    def __call__(self, documents: list[Document]) -> list[float]:
        """The number of each document."""
        found = _answers(self.function, documents, self.file)
        try:
            return [float(one) for one in found]
        except (TypeError, ValueError):
            raise HeadstartError(
                f"{self.file}: the signal {self.name} gave something that is no number; return a float for "
                "each document"
            ) from None


@dataclass(frozen=True)
class OwnFilter:
    """A filter of an extension, which is a stage: it comes behind the stage `after`."""

    name: str
    after: str
    function: FilterFunction
    file: Path

    def __call__(self, documents: list[Document]) -> list[str | None]:
        """For each document why it goes, or None."""
        found = _answers(self.function, documents, self.file)
        if any(not isinstance(one, str | None) for one in found):
            raise HeadstartError(
                f"{self.file}: the filter {self.name} has to return, for each document, a sentence that says "
                "why it goes or None"
            )
        return [one or None for one in found]


def signal(function: SignalFunction) -> SignalFunction:
    """Make a function a signal."""
    _mark(function, ("signal", ""))
    return function


@overload
def document_filter(function: FilterFunction) -> FilterFunction: ...
@overload
def document_filter(*, after: str = "quality") -> Callable[[FilterFunction], FilterFunction]: ...
def document_filter(function: FilterFunction | None = None, *, after: str = "quality") -> Any:
    """Make a function a filter.

    Args:
        after: the stage after which the filter runs, by its name in the funnel.
    """

    def made(function: FilterFunction) -> FilterFunction:
        _mark(function, ("filter", after))
        return function

    return made if function is None else made(function)


_MARK = "_headstart_extension"


def _mark(function: Callable[..., Any], mark: tuple[str, str]) -> None:
    setattr(function, _MARK, mark)


def load(paths: Iterable[Path]) -> tuple[list[OwnSignal], list[OwnFilter]]:
    """The signals and filters of some files, in their order.

    Raises:
        HeadstartError: a file cannot be read or run, defines nothing, or two have one name.
    """
    signals: list[OwnSignal] = []
    filters: list[OwnFilter] = []
    for path in paths:
        found = _load(path, digest(path))
        signals += [one for one in found if isinstance(one, OwnSignal)]
        filters += [one for one in found if isinstance(one, OwnFilter)]
    names = [*(one.name for one in signals), *(one.name for one in filters)]
    for name in names:
        if names.count(name) > 1:
            raise HeadstartError(f"extensions: two functions are called {name!r}; rename one of them")
    return signals, filters


def digest(path: Path) -> str:
    """Changes with what a file holds."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    except OSError as error:
        raise HeadstartError(
            f"cannot read the extension {path} ({(error.strerror or str(error)).lower()}); check the path"
        ) from None


@lru_cache(maxsize=32)
def _load(path: Path, content: str) -> tuple[OwnSignal | OwnFilter, ...]:
    spec = spec_from_file_location(f"headstart_extension_{content}", path)
    if spec is None or spec.loader is None:
        raise HeadstartError(f"the extension {path} is no Python file; its name has to end in .py")
    module = module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses in the file look themselves up there
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise HeadstartError(f"the extension {path} does not run ({_said(error, path)}); mend it") from error
    found: list[OwnSignal | OwnFilter] = []
    for name, value in vars(module).items():
        kind, after = getattr(value, _MARK, ("", ""))
        if kind == "signal":
            found.append(OwnSignal(name, " ".join((value.__doc__ or "").split()), value, path))
        elif kind == "filter":
            found.append(OwnFilter(name, after, value, path))
    if not found:
        raise HeadstartError(
            f"the extension {path} defines nothing: put @signal or @document_filter before a function"
        )
    return tuple(found)


def _answers(function: Callable[..., Any], documents: list[Document], file: Path) -> list[Any]:
    """What a function says of some documents, of each one thing."""
    name = function.__name__
    try:
        found = list(function(documents))
    except Exception as error:
        raise HeadstartError(f"{file}: {name} failed ({_said(error, file)}); mend it") from error
    if len(found) != len(documents):
        raise HeadstartError(
            f"{file}: {name} gave {len(found)} answers for {len(documents)} documents; return one for each"
        )
    return found


def _said(error: Exception, file: Path) -> str:
    """What went wrong, and in which line of a file."""
    line, trace = 0, error.__traceback__
    while trace:
        line = trace.tb_lineno if trace.tb_frame.f_code.co_filename == str(file) else line
        trace = trace.tb_next
    where = f"line {line}: " if line else ""
    return f"{where}{type(error).__name__}: {error}"
