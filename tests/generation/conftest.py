"""Models that headstart and transformers both read."""

import pytest
from twin_models import Twins, make_twins


@pytest.fixture(scope="session")
def twins(documents, tmp_path_factory):
    """Makes the twins of a family; they are made once."""
    made: dict[str, Twins] = {}
    texts = [document["text"] for document in documents[::5]]

    def make(family: str) -> Twins:
        if family not in made:
            made[family] = make_twins(family, texts, tmp_path_factory.mktemp(family))
        return made[family]

    return make
