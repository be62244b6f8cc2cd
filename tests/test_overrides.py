"""What is typed behind `key=` is read by the type of the setting, and never as YAML."""

from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import Field

from headstart.errors import HeadstartError
from headstart.recipe import Recipe

NAMES = [
    "exp #1/x", "2024", "true", "null/x", "a: b", "no", "1e3", "0x1f", "1:30", "[x]", "{x", "-", "'q'",
    "a, b", "*a", "&a", "!x", "%x", "@x", "x ", " x", "a\tb", "#", "~x", "2024-01-01", "x: [y",
]  # fmt: skip


class Rule(Recipe):
    name: str
    limit: int = 3


class Settings(Recipe):
    tokens: Path = Path()
    title: str = ""
    start: Literal["random"] | Path = "random"
    stop: str | None = "x"
    folder: Path | None = None
    steps: int = 0
    rate: float | None = 0.5
    small: bool = False
    kind: Literal["2024", "on"] = "on"
    folders: list[Path] = []
    shares: dict[str, float] = {}
    places: dict[str, Path] = {}
    rules: list[Rule] = []
    betas: tuple[float, float] = (0.9, 0.95)
    languages: Literal["auto"] | list[str] = "auto"
    search: dict[str, list[Any]] = {}
    number_or_word: float | str = Field(default=0.0, union_mode="left_to_right")


@pytest.mark.parametrize("name", NAMES)
def test_paths_and_strings_are_taken_as_they_stand(name) -> None:
    for key in ("title", "stop"):
        assert getattr(Settings.load(None, [f"{key}={name}"]), key) == name
    for key in ("tokens", "start", "folder"):
        assert getattr(Settings.load(None, [f"{key}={name}"]), key) == Path(name)
    assert Settings.load(None, [f"places.web={name}"]).places == {"web": Path(name)}


@pytest.mark.parametrize(
    ("override", "key", "value"),
    [
        ("steps=1e3", "steps", 1000),
        ("steps=010", "steps", 10),
        ("steps=1_000", "steps", 1000),
        ("rate=1e-3", "rate", 0.001),
        ("rate=.5", "rate", 0.5),
        ("rate=null", "rate", None),
        ("rate=", "rate", None),
        ("stop=null", "stop", None),
        ("title=null", "title", "null"),
        ("small=yes", "small", True),
        ("small=1", "small", True),
        ("kind=2024", "kind", "2024"),
        ("kind=on", "kind", "on"),
        ("start=random", "start", "random"),
        ("folders=[exp #1/x, 2024]", "folders", [Path("exp #1/x"), Path("2024")]),
        ("folders=['a, b', \"c]\"]", "folders", [Path("a, b"), Path("c]")]),
        ("folders=[]", "folders", []),
        ("languages=[no, en]", "languages", ["no", "en"]),
        ("languages=auto", "languages", "auto"),
        ("shares={no: 0.5, 'a: b': 1e-1}", "shares", {"no": 0.5, "a: b": 0.1}),
        ("shares.no=1", "shares", {"no": 1.0}),
        ("places={web: http://x/y#z}", "places", {"web": Path("http://x/y#z")}),
        ("rules=[{name: no, limit: 4}, {name: 3}]", "rules", [Rule(name="no", limit=4), Rule(name="3")]),
        ("betas=[0.8, 1]", "betas", (0.8, 1.0)),
        ("search={a: [1e-3, auto, null, true, '1']}", "search", {"a": [0.001, "auto", None, True, "1"]}),
        ("number_or_word=3", "number_or_word", 3.0),
        ("number_or_word=three", "number_or_word", "three"),
    ],
)  # fmt: skip
def test_values_by_the_type_of_the_setting(override, key, value) -> None:
    assert getattr(Settings.load(None, [override]), key) == value


@pytest.mark.parametrize(
    ("override", "why"),
    [
        ("steps=true", "steps = 'true' is wrong"),
        ("steps=[1]", "steps = '[1]' is wrong"),
        ("folders=a", "folders = 'a' is wrong"),
        ("folders=[a", "a ']' is missing"),
        ("folders=['a]", "is not closed"),
        ("folders=[a] b", "something stands behind"),
        ("shares={a}", "has no value"),
        ("small=maybe", "small = 'maybe' is wrong"),
        ("steps.x=1", "steps = {'x'"),
        ("=1", "not of the form key=value"),
    ],
)
def test_what_does_not_fit_is_a_sentence(override, why) -> None:
    with pytest.raises(HeadstartError, match=None) as caught:
        Settings.load(None, [override])
    assert why in str(caught.value)


def test_a_recipe_with_aliases_is_read_and_a_bomb_is_not(tmp_path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text("shares: &a {x: 0.5}\nplaces: {}\nsearch: {rate: [1]}\n")
    assert Settings.load(path, []).shares == {"x": 0.5}
    path.write_text(
        "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 40))
    )
    with pytest.raises(HeadstartError, match="aliases counted"):
        Settings.load(path, [])
    path.write_text("a: &a {x: 1}\n" + "".join(f"b{n}: {{<<: [*a, *a]}}\n" for n in range(9_000)))
    with pytest.raises(HeadstartError, match="aliases counted"):
        Settings.load(path, [])
    for text in ("steps: &a [*a]\n", "steps: &a {x: *a}\n"):
        path.write_text(text)
        with pytest.raises(HeadstartError, match="aliases counted"):
            Settings.load(path, [])
    path.write_text("steps: " + "[" * 5000)
    with pytest.raises(HeadstartError, match="nested too deeply"):
        Settings.load(path, [])
    path.write_text("title: " + "x" * 2_000_000)
    with pytest.raises(HeadstartError, match="longer than"):
        Settings.load(path, [])
