"""The models that come with headstart, by name: each is a folder of the package."""

import hashlib
from functools import cache
from pathlib import Path

from headstart.errors import HeadstartError
from headstart.folder import read_json, write_json

BOX = Path(__file__).parents[1] / "foundation"
"""One folder a model, each a Hugging Face folder."""
HASHES = "hashes.json"
"""In each of them: the SHA-256 of its files."""


def names() -> list[str]:
    """The models in the box."""
    return sorted(place.parent.name for place in BOX.glob(f"*/{HASHES}"))


def named(source: Path) -> Path | None:
    """The folder of the model that a mere name means; None: it is none's, or there is such a file or folder.

    Raises:
        HeadstartError: the folder is not as it was packed.
    """
    if len(source.parts) != 1 or source.exists() or source.name not in names():
        return None
    return _verified(BOX / source.name)


def model_in(source: Path) -> Path:
    """The model folder that is meant by a run folder, or by the name of a model that comes with us; else
    the folder itself."""
    if (packed := named(source)) is not None:
        return packed
    run = (source / "model").is_dir() and not (source / "config.json").exists()
    return source / "model" if run else source


@cache
def _verified(folder: Path) -> Path:
    for name, wanted in read_json(folder / HASHES, dict[str, str]).items():
        file = folder / name
        found = hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else "nothing"
        if found != wanted:
            raise HeadstartError(
                f"the model {folder.name} in the box is damaged: {file} is not what was packed; install "
                "headstart again"
            )
    return folder


def pack(folder: Path) -> None:
    """Write the hashes of a folder's files, so that it can be a model of the box."""
    files = [file for file in sorted(folder.rglob("*")) if file.is_file() and file.name != HASHES]
    hashes = {
        file.relative_to(folder).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest() for file in files
    }
    write_json(folder / HASHES, hashes)
