"""The Hugging Face hub, for addresses that begin with `hf://` alone: models come and go, data come.

`huggingface_hub` does it: what was fetched is kept in its cache and not fetched twice, an interrupted
download goes on, and a login is its own (`hf auth login`). A revision is a branch, a tag or a commit; what it
was is written down.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headstart.errors import HeadstartError

SCHEME = "hf://"
_ADDRESS = re.compile(
    r"hf://(?P<data>datasets/)?(?P<name>[\w.-]+/[\w.-]+)(@(?P<revision>[\w.\-]+))?(?P<file>/.+)?"
)
_CACHED = re.compile(r"/datasets--(?P<name>[^/]+)/snapshots/(?P<commit>[0-9a-f]{40})(?P<file>/.+)?$")
MODEL_FILES = ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja", "README.md"]
"""What is fetched of a model: no pickles, and nothing of other programs' formats."""
OTHER_FORMATS = ["onnx/*", "openvino/*", "coreml/*", "original/*", "*.onnx*", "runs/*"]


@dataclass(frozen=True)
class Address:
    """Where something is on the hub."""

    name: str
    """`organisation/name`."""
    revision: str | None
    """A branch, a tag or a commit; None: the main branch."""
    data: bool = False
    """Whether it is a data set, and no model."""
    file: str | None = None
    """One file, or a pattern of files, of a data set."""

    @classmethod
    def read(cls, text: str) -> "Address":
        """The address that `text` is.

        Raises:
            HeadstartError: it is none.
        """
        found = _ADDRESS.fullmatch(text)
        if found is None or (found["file"] and not found["data"]):
            raise HeadstartError(
                f"{text} is no address on the hub; write hf://organisation/name, with @revision behind it "
                "for one that stays, or hf://datasets/organisation/name/file"
            )
        file = (found["file"] or "").removeprefix("/") or None
        return cls(found["name"], found["revision"], bool(found["data"]), file)


def fetch_model(text: str) -> tuple[Path, str]:
    """The folder of a model on the hub, and its address with the commit that it is.

    Raises:
        HeadstartError: no address of a model, no such model or revision, or no way to the hub.
    """
    address = Address.read(text)
    if address.data:
        raise HeadstartError(f"{text} is a data set, not a model")
    folder = _fetched(address, MODEL_FILES, OTHER_FORMATS)
    return folder, f"{SCHEME}{address.name}@{folder.name}"  # the cache names its folders by commits


def fetch_data(text: str, patterns: list[str]) -> Path:
    """A file or folder of a data set on the hub, fetched into the cache of `huggingface_hub`.

    Args:
        text: `hf://datasets/organisation/name[@revision][/file or folder]`.
        patterns: of the files that are fetched of a folder.

    Raises:
        HeadstartError: no address of data, nothing there, or no way to the hub.
    """
    address = Address.read(text)
    if not address.data:
        raise HeadstartError(f"{text} is a model, not data; data are at hf://datasets/organisation/name")
    wanted = address.file or ""
    asked = [wanted, *(f"{wanted}/{one}" for one in patterns)] if wanted else patterns
    folder = _fetched(address, asked)
    found = folder / wanted
    if not found.exists() or not any(folder.iterdir()):
        raise HeadstartError(f"{text} is not there: the data set has no such file or folder; check the name")
    return found


def data_address(path: Path) -> str | None:
    """The address, with its commit, of data in the cache of `huggingface_hub`; None: it is not from there."""
    found = _CACHED.search(path.as_posix())
    if found is None:
        return None
    name = found["name"].replace("--", "/", 1)
    return f"{SCHEME}datasets/{name}@{found['commit']}{found['file'] or ''}"


def _fetched(address: Address, patterns: list[str], leave: list[str] | None = None) -> Path:
    hub = _package()
    kind = "dataset" if address.data else "model"
    try:
        return Path(
            hub.snapshot_download(
                address.name,
                repo_type=kind,
                revision=address.revision,
                allow_patterns=patterns,
                ignore_patterns=leave,
            )
        )
    except Exception as error:
        raise _refused(f"{SCHEME}{'datasets/' if address.data else ''}{address.name}", error) from None


def push(folder: Path, name: str, message: str) -> str:
    """Hand a model folder in, under a name; what is there becomes a new version of it.

    Args:
        name: `organisation/name`.

    Returns:
        The address with its commit.

    Raises:
        HeadstartError: no login that may write there, or no way to the hub.
    """
    address = Address.read(name if name.startswith(SCHEME) else SCHEME + name)
    if address.data:
        raise HeadstartError(f"{name} is a data set; a model goes to organisation/name")
    hub = _package()
    try:
        api: Any = hub.HfApi()
        api.create_repo(address.name, exist_ok=True)
        made = api.upload_folder(
            repo_id=address.name, folder_path=folder, commit_message=message, revision=address.revision
        )
    except Exception as error:
        raise _refused(f"{SCHEME}{address.name}", error) from None
    return f"{SCHEME}{address.name}@{made.oid}"


def _package() -> Any:
    try:
        import huggingface_hub
    except ImportError:
        raise HeadstartError(
            "hf:// addresses need the huggingface_hub package; install it with: pip install 'headstart[hub]'"
        ) from None
    return huggingface_hub


def _refused(address: str, error: Exception) -> HeadstartError:
    """A failure of the library in one sentence."""
    name = type(error).__name__
    if name in ("RepositoryNotFoundError", "GatedRepoError"):
        return HeadstartError(
            f"{address} is not there, or not for everybody; check the name, or log in with: hf auth login"
        )
    if name == "RevisionNotFoundError":
        return HeadstartError(f"{address} has no such revision; check what stands behind @")
    said = " ".join(str(error).split())[:200]
    return HeadstartError(f"{address} could not be reached ({name}: {said}); try again, which goes on")
