"""Which files of a folder belong together: the training, validation and test part of each task in it.

train.csv, test.csv                           mails.train.jsonl, mails.test.jsonl.gz
data/train-00000-of-00002.parquet, ...        train/0000.parquet        (repositories of the Hub)
train/data-00000-of-00001.arrow, ...          (save_to_disk)
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from headstart.errors import HeadstartError
from headstart.interchange.hub import SCHEME, fetch_data
from headstart.tasks.data.rows import FORMATS, format_of, is_class_folder, labelled_text

PARTS = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
    "testa": "validation",
    "testb": "test",
    "eval": "eval",
}
"""What names call a part; `eval` is the validation part beside a test part, else the test part. CoNLL-2003
has `eng.train`, `eng.testa` and `eng.testb`."""
DESCRIPTIONS = {
    "dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json", "config.json",
    "hashes.json",
}  # fmt: skip
"""JSON files that describe data and hold none."""
_WORD = re.compile(rf"(?:^|(?<=[-._ ]))({'|'.join(sorted(PARTS, key=len, reverse=True))})(?=[-._ ]|$)")
_SHARD = re.compile(r"-\d{5}-of-\d{5}(?:-[0-9a-f]+)?$|[-_. ](?:part|shard|chunk)[-_. ]?\d+$")
NAMELESS = re.compile(r"|data|part[-_]?\d*|\d+|matched")
"""Names of files that name no task; `matched` is MNLI's."""

Parts = dict[str, list[Path]]
"""Part to its files: several where it is cut into shards, one folder where each class has one. "" is a file
that names no part."""


def local_data(source: str | Path) -> Path:
    """Where labelled data lie; those at `hf://datasets/organisation/name` are fetched first."""
    if not str(source).startswith(SCHEME):
        return Path(source)
    patterns = [f"*{ending}{packed}" for ending in FORMATS for packed in ("", ".gz")]
    return fetch_data(str(source), [*patterns, *DESCRIPTIONS, "README.md"])


def find_parts(path: Path) -> dict[str, Parts]:
    """The tasks in a file or folder, by name.

    Raises:
        HeadstartError: nothing there, or nothing that is labelled data.
    """
    if is_class_folder(path / "train"):
        found = {
            PARTS.get(one.name, one.name): [one] for one in sorted(path.iterdir()) if is_class_folder(one)
        }
        return {path.name: _with_eval(found)}
    if is_class_folder(path):
        return {path.name: {"": [path]}}
    if path.is_dir():
        files = data_files(path)
        if not files:
            raise HeadstartError(
                f"{path} holds no labelled data; wanted files such as NAME.train.jsonl and NAME.test.jsonl"
            )
        root = path
    elif path.exists():
        root = path.parent
        name, part = _name_and_part(path, root)
        files = [
            file for file in data_files(root, 0) if part == "train" and _name_and_part(file, root)[0] == name
        ]
        files = files or [path]
    else:
        raise HeadstartError(f"there is no file or folder {path}; check the path")
    tasks: dict[str, Parts] = defaultdict(dict)
    for file in files:
        name, part = _name_and_part(file, root)
        own = tasks[name].setdefault(part, [])
        if not own or _is_shard_of(file, own[0]):
            own.append(file)
    if any("train" in parts for parts in tasks.values()):  # what has no training part is something else
        tasks = {name: parts for name, parts in tasks.items() if "train" in parts}
    return {name: _with_eval(parts) for name, parts in tasks.items()}


def _with_eval(parts: Parts) -> Parts:
    """The part `eval` under the name of what it is; beside a test and a validation part it is neither."""
    free = next((part for part in ("test", "validation") if part not in parts), "eval")
    return {free if part == "eval" else part: files for part, files in parts.items() if free != part}


def left_out(path: Path, tasks: dict[str, Parts]) -> list[str]:
    """A sentence on files of a folder that hold data and are no part of its tasks: of others, or second
    files of one."""
    if not path.is_dir() or is_class_folder(path) or is_class_folder(path / "train"):
        return []
    read = {file for parts in tasks.values() for files in parts.values() for file in files}
    unread = [file.relative_to(path).as_posix() for file in data_files(path) if file not in read]
    more = f" and {len(unread) - 8:,} more" if len(unread) > 8 else ""
    return [f"not read, for they are no part of a task here: {', '.join(unread[:8])}{more}"] if unread else []


def names_parts(cells: Iterable[Any]) -> bool:
    """Whether cells of a column say which part a row belongs to; the first rows may all be for training."""
    seen = {str(cell).strip().lower() for cell in cells}
    return "train" in seen and seen <= set(PARTS)


def data_files(folder: Path, depth: int = 2) -> list[Path]:
    """Files that can hold labels, of the folders below where a folder itself has none: plain text without
    tags is more likely a readme."""
    own = sorted(
        file
        for file in folder.iterdir()
        if file.is_file()
        and (format_of(file) not in (None, "text") or (format_of(file) == "text" and labelled_text(file)))
        and file.name not in DESCRIPTIONS
        and not file.name.startswith((".", "cache-"))
    )
    if own or not depth:
        return own
    below = [one for one in sorted(folder.iterdir()) if one.is_dir() and not one.name.startswith(".")]
    return [file for one in below for file in data_files(one, depth - 1)]


def _name_and_part(file: Path, root: Path) -> tuple[str, str]:
    """`spam.train.jsonl.gz` is the part `train` of `spam`, `train.csv` that of its folder, `a/test/0.parquet`
    the part `test` of `a`."""
    name = file.name.lower().removesuffix(".gz")
    stem = _SHARD.sub("", name if Path(name).suffix[1:] in PARTS else Path(name).stem)
    folders = [one.name for one in file.absolute().relative_to(root.absolute()).parents if one.name]
    words = list(_WORD.finditer(stem))
    if words:
        part = PARTS[words[-1][1]]
        stem = (stem[: words[-1].start()] + stem[words[-1].end() :]).strip("-._ ")
        stem = re.sub(r"[-._ ]{2,}", "-", stem)
    else:
        part = next((PARTS[folder.lower()] for folder in folders if folder.lower() in PARTS), "")
    if part or _is_shard(file):
        above = [folder for folder in folders if folder.lower() not in PARTS and folder.lower() != "data"]
        if NAMELESS.fullmatch(stem):
            return (above[0] if above else root.absolute().name), part
        return file.name[: len(stem)] if file.name.lower().startswith(stem) else stem, part
    return file.name[: len(stem)], part


def _is_shard(file: Path) -> bool:
    return bool(_SHARD.search(Path(file.name.removesuffix(".gz")).stem)) or Path(file.name).stem.isdecimal()


def _is_shard_of(file: Path, first: Path) -> bool:
    """Whether two files are pieces of one."""
    return (
        file.suffixes == first.suffixes
        and file.parent == first.parent
        and _is_shard(file)
        and _is_shard(first)
    )


def described(files: Sequence[Path]) -> str:
    """A part in words."""
    return files[0].name if len(files) == 1 else f"{files[0].name} and {len(files) - 1} more"
