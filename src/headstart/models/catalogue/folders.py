"""Which folders of the Hugging Face hub are read here, from the families themselves."""

from headstart.models.registry import FAMILIES
from headstart.page.markdown import markdown_table

MOST_NAMED = 3


def folders_table() -> str:
    """A Markdown table: `model_type` of a folder, the classes that are read, the family, published sizes."""
    rows = []
    for family in FAMILIES.values():
        if family.model_type is None or family.name.startswith("headstart-"):
            continue
        classes = dict.fromkeys(shape.hf_class for shape in family.heads.values() if shape.hf_class)
        names = list(family.presets)
        sizes = ", ".join(names) if len(names) <= MOST_NAMED else f"{names[0]} … {names[-1]} ({len(names)})"
        rows.append(
            {
                "`model_type`": f"`{family.model_type}`",
                "classes of transformers": ", ".join(classes),
                "family": family.name,
                "published sizes": sizes,
            }
        )
    return markdown_table(sorted(rows, key=lambda row: row["family"]))
