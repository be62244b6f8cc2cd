"""Modules that have moved: scripts that import them by their former names go on working, with a warning.

The table holds the names that stood in documentation and scripts. `import headstart` installs the finder.
"""

import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_loader
from types import ModuleType

MOVED = {
    "headstart.models.static_vectors": "headstart.models.vectors.static_vectors",
    "headstart.models.word_vectors": "headstart.models.vectors.word_vectors",
    "headstart.tasks.api": "headstart.api",
    "headstart.tasks.chat": "headstart.tasks.kinds.chat",
    "headstart.tasks.finetune": "headstart.tasks.finetuning.finetune",
    "headstart.tasks.finetune_recipe": "headstart.tasks.finetuning.finetune_recipe",
    "headstart.tasks.learning": "headstart.tasks.finetuning.learn",
    "headstart.tasks.packing": "headstart.tasks.kinds.packing",
    "headstart.training.feed": "headstart.training.data_loader",
}


class FormerNames(MetaPathFinder, Loader):
    """Finds a moved module under its former name: the same module object, not a second one."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return spec_from_loader(fullname, self) if fullname in MOVED else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        new = MOVED[spec.name]
        warnings.warn(f"{spec.name} is now {new}", DeprecationWarning, stacklevel=2)
        module = import_module(new)
        spec.loader_state = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Nothing is left to run. Python has put the former name's spec on the module; its own comes back."""
        if module.__spec__ is not None:
            module.__spec__ = module.__spec__.loader_state


def install() -> None:
    """Let Python find moved modules; a second call changes nothing."""
    if not any(isinstance(finder, FormerNames) for finder in sys.meta_path):
        sys.meta_path.append(FormerNames())
