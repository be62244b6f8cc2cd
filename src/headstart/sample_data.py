"""The repository's samples, where headstart runs in a clone: a wheel has none."""

from pathlib import Path


def sample_data() -> Path | None:
    """The samples in the working folder, or beside the sources of an editable install."""
    for root in (Path.cwd(), Path(__file__).parents[2]):
        if (root / "samples" / "crawl").is_dir():
            return root / "samples"
    return None
