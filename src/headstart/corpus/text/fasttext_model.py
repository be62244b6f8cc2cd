"""fastText models from their files: languages, and classifiers."""

from pathlib import Path
from typing import Any

from headstart.errors import HeadstartError


def load_fasttext(path: Path) -> Any:
    """A fastText model.

    Raises:
        HeadstartError: the file is none.
    """
    import fasttext

    try:
        return fasttext.load_model(str(path))
    except (ValueError, RuntimeError, MemoryError) as error:
        raise HeadstartError(f"{path} cannot be read as a fastText model ({error}); check the file") from None
