"""Pages as the standards have them: comments, elements that end themselves, listings, tables, formulas."""

import pytest

from headstart.corpus import extract_text
from headstart.corpus.extract.blocks import read_page
from headstart.corpus.extract.inline_marks import marked_lines
from headstart.corpus.extract.json_ld import article_body
from headstart.corpus.extract.main_text import render
from headstart.corpus.extract.markdown import as_markdown
from headstart.corpus.extract.page import normalise

XHTML = (
    '<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml">'
    '<head><title/><script src="a.js"/></head><body>'
)
SENTENCE = (
    "The harbour of the small town has been in use since the twelfth century, and its walls keep storms away."
)


def whole(html: str) -> str:
    """Everything on a page, as if all lines were main text."""
    page = read_page(html)
    return normalise(render(page, list(range(len(page.lines)))))


@pytest.mark.parametrize(
    ("html", "text"),
    [
        # https://html.spec.whatwg.org/multipage/parsing.html: a comment may end where it begins.
        ("a<!-->b", "ab"),
        ("a<!--->b", "ab"),
        ("a<!-- x --!>b", "ab"),
        ("a<!-- x -- > y -->b", "ab"),
        ("<!--[if !IE]><!-->a<!--<![endif]-->b", "ab"),
        # Of SVG and MathML, a slash ends an element.
        ("<p>a</p><svg class=i /><p>b</p>", "a\n\nb"),
        ("<p>a <svg data-x='y'/> b</p><svg><text>no</text></svg><p>c</p>", "a b\n\nc"),
        ("<p>x <math /> y</p><p>z</p>", "x y\n\nz"),
        ("<p>a <math><mi>x</mi></p><p>b</p>", "a x\n\nb"),
        ("<p>Trending on<img src=x>this week<img src=y>.</p>", "Trending on this week."),
        ("<p>a<video src=x /></p><p>b</p><div><audio src=y></div>c<video>no</video>d", "a\n\nb\n\ncd"),
        # Of XHTML, it ends every element.
        (XHTML + "<p>a<a id='p1'/>b</p><iframe src='x'/><p>c</p><textarea/><h2/><p>d</p>", "ab\n\nc\n\nd"),
        (
            XHTML + "<p>a <![CDATA[b & <c> [x]] d]]> e</p><p>f <![CDATA[g</p><p>h</p>",
            "a b & <c> [x]] d e\n\nf\n\nh",
        ),
        (XHTML + "<script>//<![CDATA[\nif (a < b && '<p>no</p>') {}\n//]]></script><p>i</p>", "i"),
    ],
)
def test_nothing_behind_what_ends_is_lost(html: str, text: str) -> None:
    assert whole(html) == text


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<p>港の朝は\n  早い。\r\n船が", "港の朝は早い。船が"),
        ("<p>港の <b>朝</b>\n夜 と\nboats\nと\n<i>海", "港の 朝夜 と boats と海"),
        ("<p>항구의\n아침", "항구의 아침"),
        ("<p>ท่าเรือ\nหมู่บ้าน", "ท่าเรือ หมู่บ้าน"),
        ("<p><a href=x>首页</a>\n<a href=y>关于</a>", "首页 关于"),
        ("<pre>港の\n朝", "港の\n朝"),
    ],
)
def test_a_line_end_of_the_source_is_no_space_between_wide_signs(html: str, text: str) -> None:
    assert whole(html) == text


def test_a_chapter_of_xhtml_has_its_text() -> None:
    assert extract_text(f"{XHTML}<p>{SENTENCE}</p><p>{SENTENCE[:-1]} from the boats.</p></body></html>")


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<pre><div>a {</div><div>  b</div><div>}</div></pre><p>c", "a {\n  b\n}\n\nc"),
        ("<pre><ol class=linenums><li>a {</li><li>  b</li><li>}</li></ol></pre>", "a {\n  b\n}"),
        (
            "<pre><div><code>a {</code></div><div><code>  b</code></div><div><code>}</code></div></pre>",
            "a {\n  b\n}",
        ),
        ("<div><pre>a</div><div>b</div><div>c</div>", "a\n\nb\n\nc"),
        ("<div><pre><div><button>Copy</button></div><code>a {\n}</code></pre>c</div>", "Copy\n\na {\n}\n\nc"),
        ("<pre>a<table><tr><td>b<td>c</table>", "a\n\nb\nc"),
        (
            "<pre><code><table class=rouge-table><tr><td class=gutter><pre class=lineno>1\n2\n</pre></td>"
            "<td class=rouge-code><pre>def f\n  x\n</pre></td></tr></table></code></pre>",
            "def f\n  x",
        ),
        ("<xmp><b>bold</b> & x</xmp>", "<b>bold</b> & x"),
    ],
)
def test_a_listing_keeps_all_its_lines(html: str, text: str) -> None:
    assert whole(html) == text


TABLE = "<table><tr><th>a<th>b<th>c<th>d<tr><td>x<td>✓<td>z<td>—<tr><td>-<td><td>y<td>|</table>"


def test_signs_in_cells_stay_in_their_columns() -> None:
    assert whole(TABLE) == "a | b | c | d\nx | ✓ | z | —\n- | | y"
    page = read_page(TABLE)
    written = as_markdown(page, list(range(len(page.lines))), marked_lines(TABLE, page, ""))
    assert written.endswith("| x | ✓ | z | — |\n| - |  | y |  |")


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<math><mi>x</mi><mo>&le;</mo><mi>y</mi></math>", "$x≤y$"),
        ("<math><mo>{</mo><mi>a</mi><mo>}</mo><mn>5%</mn></math>", r"$\{a\}5\%$"),
        ("<math><mover><mi>x</mi><mo>¯</mo></mover></math>", r"$\bar{x}$"),
        (
            "<math><mi>sin</mi><mi>abc</mi><mtext>if </mtext><mi>x</mi></math>",
            r"$\sin \mathrm{abc}\text{if }x$",
        ),
        (
            "<math><mmultiscripts><mi>C</mi><mn>6</mn><none/><mprescripts/><mn>6</mn><mn>14</mn></mmultiscripts></math>",
            "${}_6^{14}C_6$",
        ),
        ("<math><mi>a</mi><mphantom><mi>b</mi></mphantom></math>", "$a$"),
        ('<img class="tex" alt="x^2"> is', "$x^2$ is"),
        ("Ca<sup>2+</sup>, SO<sub>4</sub><sup>2&minus;</sup>, f<sup>(n)</sup>", "Ca²⁺, SO4²⁻, f^(n)"),
        ("3<sup>1</sup>/<sub>2</sub> feet, <sup>3</sup>&frasl;<sub>4</sub>", "3 1/2 feet, 3/4"),
        ("10<sup>10<sup>10</sup></sup> is not 10<sup>10</sup>", "10^(10¹⁰) is not 10¹⁰"),
        ("<ruby>旧金山<rtc><rp>(</rp>San Francisco<rp>)</rp></rtc></ruby>城", "旧金山城"),
        ("<ruby>漢<rt>かん</rt>字<rt>じ</rt></ruby>だ", "漢字だ"),
    ],
)
def test_formulas_exponents_and_readings(html: str, text: str) -> None:
    assert whole(html) == text


@pytest.mark.parametrize(
    "data",
    [
        '{"articleBody": "%s"}',
        '<!-- {"articleBody": "%s"} -->',
        '//<![CDATA[\n{"articleBody": "%s"}\n//]]>',
        '/*<![CDATA[*/ [{"a": 1}, {"articleBody": "%s"}] /*]]>*/',
        '{"articleBody": "%s"};',
        '{"x": "a\nb", "articleBody": "%s"}',
    ],
)
def test_data_of_a_page_as_it_is_wrapped(data: str) -> None:
    assert article_body(f'<script type="application/ld+json">{data % SENTENCE}</script>') == SENTENCE
