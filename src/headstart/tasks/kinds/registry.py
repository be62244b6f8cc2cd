"""All kinds of task, by name."""

from typing import get_args

from headstart.errors import HeadstartError, nearest
from headstart.tasks.examples import TaskKind
from headstart.tasks.kinds.chat import Chat
from headstart.tasks.kinds.embedding import Embedding
from headstart.tasks.kinds.generative import Writing
from headstart.tasks.kinds.kind import Kind, Scored
from headstart.tasks.kinds.labels import Classification, MultiLabel, Regression
from headstart.tasks.kinds.multiple_choice import MultipleChoice
from headstart.tasks.kinds.question_answering import QuestionAnswering
from headstart.tasks.kinds.tagging import Tagging
from headstart.tasks.kinds.text_to_text import InWords, TextToText

# Both in the order in which they are tried on a file's columns, the most particular first.
KINDS: dict[TaskKind, Scored] = {
    kind.name: kind
    for kind in (
        QuestionAnswering(),
        Tagging(),
        MultipleChoice(),
        MultiLabel(),
        Regression(),
        Classification(),
        Embedding(),
    )
}
"""Those that a head answers."""
WRITING: dict[TaskKind, Writing] = {kind.name: kind for kind in (Chat(), TextToText())}
"""Those whose answer the model writes."""
ALL: dict[TaskKind, Kind] = {**KINDS, **WRITING}
assert set(ALL) == set(get_args(TaskKind))


def kind_named(name: str) -> Kind:
    """The kind of that name; another name is a `HeadstartError` with the nearest one."""
    for kind, made in ALL.items():
        if kind == name:
            return made
    raise HeadstartError(f"there is no task {name!r}{nearest(name, ALL)}")


def kind_of(task: TaskKind, in_words: bool = False) -> Kind:
    """The kind of a task; `in_words`: its answers are written out as text, whatever they are."""
    return InWords(KINDS[task]) if in_words and task in KINDS else ALL[task]
