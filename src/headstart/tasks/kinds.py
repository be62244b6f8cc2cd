"""All kinds of task, by name."""

from typing import get_args

from headstart.errors import HeadstartError, nearest
from headstart.tasks.embedding import Embedding
from headstart.tasks.examples import TaskKind
from headstart.tasks.kind import Kind
from headstart.tasks.labels import Classification, MultiLabel, Regression
from headstart.tasks.multiple_choice import MultipleChoice
from headstart.tasks.question_answering import QuestionAnswering
from headstart.tasks.tagging import Tagging

# In the order in which they are tried on a file's columns, the most particular first.
KINDS: dict[TaskKind, Kind] = {
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
assert set(KINDS) == set(get_args(TaskKind))


def kind_named(name: str) -> Kind:
    """The kind of that name; another name is a `HeadstartError` with the nearest one."""
    for kind, made in KINDS.items():
        if kind == name:
            return made
    raise HeadstartError(f"there is no task {name!r}{nearest(name, KINDS)}")
