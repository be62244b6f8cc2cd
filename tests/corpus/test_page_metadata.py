"""What a page says of itself, and that it comes into the corpus where asked."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from raw_files import page, response, rules_off

from headstart.corpus import CorpusRecipe, build
from headstart.corpus.extract.blocks import read_page
from headstart.corpus.extract.inline_marks import marked_lines
from headstart.corpus.extract.page_metadata import page_metadata

ALL = ("title", "date", "author", "headings", "links")
HEAD = (
    "<title>Tides &amp; winds | Harbour</title><meta property='og:title' content='Tides &amp; winds'>"
    '<meta name=author content="Ada Berg">'
    "<meta property=article:published_time content='2024-05-06T07:08:09Z'>"
)
DATA = json.dumps(
    {
        "@graph": [
            {"headline": "Data", "author": [{"name": "Ada"}, {"name": "Bo"}], "datePublished": "2023-01-02"}
        ]
    }
)


@pytest.mark.parametrize(
    ("html", "said"),
    [
        (HEAD, {"title": "Tides & winds", "date": "2024-05-06T07:08:09Z", "author": "Ada Berg"}),
        (
            f"{HEAD}<script type='application/ld+json'>{DATA}</script>",
            {"title": "Data", "date": "2023-01-02", "author": "Ada, Bo"},
        ),
        (
            "<title>Only <b>this</b></title><time datetime='2022-02-03'>3 Feb</time>",
            {"title": "Only this", "date": "2022-02-03"},
        ),
        ("<meta name=date content='last week'><meta name=author content='http://x.org/ada'>", {}),
        ("", {}),
    ],
)
def test_title_date_and_author(html: str, said: dict) -> None:
    assert page_metadata(html, "http://a.org/x/", ("title", "date", "author")) == said


def test_several_authors_and_a_date_as_scholars_write_it() -> None:
    names = "".join(f'<meta name="citation_author" content="{name}">' for name in ("A B", "C D", "A B"))
    html = f'{names}<meta name="citation_publication_date" content="2020/05/01">'
    assert page_metadata(html, "", ("author", "date")) == {"author": "A B, C D", "date": "2020-05-01"}


def test_an_author_whose_name_begins_another_one_is_named_too() -> None:
    names = ("Lin, Anna", "Lin, Ann", "Lin, Anna")
    html = "".join(f'<meta name="author" content="{name}">' for name in names)
    assert page_metadata(html, "", ["author"]) == {"author": "Lin, Anna, Lin, Ann"}


def test_links_go_from_where_the_page_says() -> None:
    html = "<base target=_top><base href='/b/'><p><a href='c d'>x</a></p>"
    assert page_metadata(html, "http://a.org/x/", ["links"]) == {"links": ["http://a.org/b/c%20d"]}
    assert marked_lines(html, read_page(html), "http://a.org/x/") == ["[x](http://a.org/b/c%20d)"]


def test_headings_and_links() -> None:
    html = (
        "<h1>A <i>b</i></h1><h2></h2><script>'<h3>no</h3>'</script><!-- <a href=no> -->"
        "<h3>c</h3><a href='y#z'>1</a><a href=y>2</a><a class=k href=\"//b.org/?a=1&amp;b=2\">3</a>"
        "<a href='mailto:x'>4</a>"
    )
    said = page_metadata(html, "http://a.org/x/", ("headings", "links"))
    assert said == {
        "headings": [[1, "A b"], [3, "c"]],
        "links": ["http://a.org/x/y", "http://b.org/?a=1&b=2"],
    }


def test_it_comes_into_the_corpus_where_asked(tmp_path: Path) -> None:
    html = page(1).replace("<title>1</title>", HEAD).encode()
    (tmp_path / "a.warc").write_bytes(response("http://a.org/", html))
    for wanted, names in ("title,links", {"title", "links"}), ("", set()):
        out = tmp_path / f"out-{len(names)}"
        recipe = CorpusRecipe.load(None, [*rules_off(), f"page_metadata=[{wanted}]", "languages=any"])
        build([tmp_path / "a.warc"], out, recipe, workers=0)
        (path,) = (out / "documents").glob("*.parquet")
        (row,) = pq.read_table(path).to_pylist()
        assert set(json.loads(row["metadata"])) == names
