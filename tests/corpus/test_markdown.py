"""Pages as Markdown: known ones, and any page's words as another program reads them from its Markdown."""

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from raw_files import prose, write_jsonl

from headstart.corpus import CorpusRecipe, build, extract_text
from headstart.corpus.extract.blocks import read_page
from headstart.corpus.extract.inline_marks import marked_lines
from headstart.corpus.extract.markdown import as_markdown
from headstart.corpus_folder import corpus_documents
from headstart.errors import HeadstartError


def markdown(html: str, url: str = "http://a.org/d/") -> str:
    """All lines of a page as Markdown."""
    page = read_page(html)
    return as_markdown(page, list(range(len(page.lines))), marked_lines(html, page, url))


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ("<h1>A <em>title</em></h1><h3>Below</h3>", "# A *title*\n\n### Below"),
        ("<p>So <b>bold, <i>both</i></b>, <strong><a href=x>it</a></strong></p>",
         "So **bold, *both***, **[it](http://a.org/d/x)**"),
        ('<p><a href="/x?a=1&amp;b=(2)">one</a> <a href="#n">two</a> <a href="javascript:f()">three</a></p>',
         "[one](http://a.org/x?a=1&b=%282%29) two three"),
        ("<p>Run <code>a*b</code>, <code>`c`</code> and <kbd>Tab</kbd></p>",
         "Run `a*b`, `` `c` `` and `Tab`"),
        ("<ul><li>one<li>two<ul><li>in</ul><li>three</ul>", "- one\n- two\n  - in\n- three"),
        ("<ol start=9><li>nine<li>ten<p>more</p></ol>", "9. nine\n10. ten\n\n    more"),
        ("<blockquote><p>said</p><p>he</p><ul><li>q</li></ul></blockquote><p>x</p>",
         "> said\n>\n> he\n>\n> - q\n\nx"),
        ("<div class='highlight-python'><pre>def f():\n    return 1 * 2</pre></div>",
         "```python\ndef f():\n    return 1 * 2\n```"),
        ("<pre>a ``` b</pre>", "````\na ``` b\n````"),
        ("<p>港の\n<b>朝</b>\n夜 x", "港の**朝**夜 x"),
        ("<table><tr><th>A<th>B<tr><td>1 | 2<td><b>x</b><tr><td><td>z</table>",
         "| A | B |\n| --- | --- |\n| 1 \\| 2 | **x** |\n|  | z |"),
        ("<p># no 3 * 4 a_b _c_ [d] <br>1. no list<br>- none<br>a &lt;b&gt; &amp;amp; `</p>",
         "\\# no 3 \\* 4 a_b \\_c\\_ \\[d\\]\n1\\. no list\n\\- none\na \\<b> \\&amp; \\`"),
        ("<p>Wow!<a href=b>x</a></p>", "Wow\\![x](http://a.org/d/b)"),
        ("<a href=c><h3>Head</h3><p>para</p></a>", "### Head\n\npara"),
        ("<p><b>open <p>and <i>never</b> closed", "**open**\n\nand *never closed*"),
        ("<p>un<b>\"so\"</b>happy</p>", 'un"so"happy'),
    ],
)  # fmt: skip
def test_known_pages(html: str, expected: str) -> None:
    assert markdown(html) == expected


text = st.text(st.sampled_from("ab 12*_`#->[]()!&<.~|\\=+\n日"), max_size=12)
_NAMES = "b i em strong a code p div li ul ol blockquote pre h2 td tr table span"
tags = st.sampled_from([*_NAMES.split(), *(f"/{name}" for name in _NAMES.split()), "br", "a href='/x y'"])
pages = st.lists(
    tags.map("<{}>".format) | text.map(lambda one: one.replace("&", "&amp;").replace("<", "&lt;")),
    max_size=14,
).map("".join)


def words(html: str) -> list[str]:
    return re.findall(r"[^\W_]+", " ".join(read_page(html).lines))


@settings(max_examples=150)
@given(pages)
def test_another_program_reads_the_same_words(html: str) -> None:
    shown = MarkdownIt("commonmark").enable("table").render(markdown(html))
    assert words(shown) == words(html)


@settings(max_examples=100)
@given(pages)
def test_lines_are_those_of_the_page_without_marks(html: str) -> None:
    page = read_page(html)
    assert len(marked_lines(html, page, "")) == len(page.lines)


def test_a_page_of_nothing_but_tags_takes_no_time() -> None:
    assert markdown("<b>" * 200_000 + "x") == "**x**"
    assert markdown("<a href=x>a</a> <b>b</b> " * 20_000).count("](http://a.org/d/x)") == 20_000
    assert markdown("<b><a href=x>" * 20_000 + "x" + "</a></b>" * 20_000)


def test_a_corpus_of_pages_is_markdown(tmp_path: Path) -> None:
    paragraphs = "".join(f"<p>{prose(n, 5)} <b>It is so.</b></p>" for n in range(4))
    main = f"<main><h1>The harbour</h1>{paragraphs}</main>"
    html = f"<html><body><nav><a href=/>Home</a></nav>{main}</body></html>"
    plain, written = extract_text(html, "http://a.org/"), extract_text(html, "http://a.org/", markdown=True)
    assert written == plain.replace("The harbour", "# The harbour").replace("It is so.", "**It is so.**")
    source = write_jsonl(tmp_path / "a.jsonl", [{"html": html, "url": "http://a.org/"}])
    settings = CorpusRecipe.load(None, ["markdown=true", "languages=any", "rules=off", "page_rules=off"])
    build([source], tmp_path / "out", settings, workers=0)
    assert [row["text"] for row in corpus_documents(tmp_path / "out")] == [written]
    with pytest.raises(HeadstartError, match="resiliparse' writes no Markdown"):
        CorpusRecipe.load(None, ["markdown=true", "extractor=resiliparse"])
    with pytest.raises(HeadstartError, match="writes no Markdown"):
        extract_text(html, extractor="resiliparse", markdown=True)
