"""Labelled data as people have it: files to examples, checked and split.

What others use stands in `_HOMES` and is imported when first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headstart.tasks.data.dataset import find_tasks, load_examples
    from headstart.tasks.data.splitting import sample_labels

__all__ = ["find_tasks", "load_examples", "sample_labels"]

_HOMES = {"find_tasks": "dataset", "load_examples": "dataset", "sample_labels": "splitting"}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"headstart.tasks.data.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'headstart.tasks.data' has no attribute {name!r}")
