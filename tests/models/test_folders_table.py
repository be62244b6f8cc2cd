"""The table of folders in the documents is what the families say."""

from pathlib import Path

from headstart.models.catalogue.folders import folders_table
from headstart.models.registry import FAMILIES

DOCS = Path(__file__).parents[2] / "docs" / "models.md"


def test_the_documents_have_the_table_of_today() -> None:
    """After a new family: put what `headstart models --folders` prints into docs/models.md."""
    assert folders_table().strip() in DOCS.read_text(encoding="utf-8")


def test_every_class_of_the_table_is_one_of_transformers() -> None:
    import transformers

    for family in FAMILIES.values():
        for shape in family.heads.values():
            assert shape.hf_class is None or hasattr(transformers, shape.hf_class), shape.hf_class
