"""headstart's own extractor: a page's lines, what is kept of them, how they are written."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from raw_files import prose

from headstart.corpus import CorpusRecipe, extract_text
from headstart.corpus.extract.blocks import FLAG, FLAGS, TAGS, read_page
from headstart.corpus.extract.line_classifier import SHIPPED, best_choice, had_before, load, shipped
from headstart.corpus.extract.line_features import NameWeights, names_of
from headstart.corpus.extract.main_text import innermost, render
from headstart.corpus.extract.page import union
from headstart.errors import HeadstartError

PARAGRAPHS = [prose(seed, 4) for seed in range(6)]


def whole(html: str) -> str:
    """Everything on a page, as if all lines were main text."""
    page = read_page(html)
    return render(page, list(range(len(page.lines))))


def article(inside: str = "") -> str:
    """A page with a menu, an article and a footer; `inside` stands in the middle of the article."""
    menu = "".join(
        f'<li><a href="/{name}">{name}</a>' for name in ("Home", "Shop", "Blog", "Careers", "Login")
    )
    paragraphs = [f"<p>{text}</p>" for text in PARAGRAPHS]
    body = "".join(paragraphs[:3]) + inside + "".join(paragraphs[3:])
    return (
        f"<html><head><title>Of ships - A site</title></head><body><nav class=menu><ul>{menu}</ul></nav>"
        f'<article class="post-content"><h1>Of ships</h1>{body}</article>'
        '<footer class="site-footer"><p><a href="/t">Terms</a> <a href="/p">Privacy</a> © A site</p></footer>'
    )


def test_article_without_its_surroundings() -> None:
    text = extract_text(article())
    assert [one for one in text.split("\n\n") if one != "Of ships"] == PARAGRAPHS
    assert "Careers" not in text
    assert "Privacy" not in text


def test_lists_tables_and_code_of_an_article_stay_readable() -> None:
    items = [prose(seed, 4) for seed in (6, 7)]
    inside = (
        f"<ul><li>{items[0]}<li>{items[1]}</ul>"
        "<table><tr><th>Ship</th><th>Tons of grain</th></tr>"
        "<tr><td>Anna Maria</td><td>1200 in 1884</td></tr></table>"
        "<pre>def sail(ship):\n    for wind in ship:\n        yield wind\n</pre>"
    )
    text = extract_text(article(inside))
    assert f"- {items[0]}\n- {items[1]}" in text
    assert "Ship | Tons of grain\nAnna Maria | 1200 in 1884" in text
    assert "def sail(ship):\n    for wind in ship:\n        yield wind" in text


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<p>one<p>two", "one\n\ntwo"),
        ("<ul><li>one<li>two</ul>three", "- one\n- two\n\nthree"),
        ("<ul><li><p>one</p><p>more</p></li><li>two", "- one\nmore\n- two"),
        ("<ul><li>one</ul><ul><li>two</ul>", "- one\n\n- two"),
        ("<table><tr><td>a<td>b<tr><td>c<td><p>d</p></table>", "a | b\nc | d"),
        ("<table><tr><td><p>a</p><p>b</p><td>c", "a b | c"),
        ("<table><tr><td>a<td><td>c<tr><td><td>b", "a |  | c\n| b"),
        ("<table><tr><td>a<td><ul><li>b<li>c</ul>", "a | b c"),
        (
            "<p>10<sup>6</sup> m<sup>-3</sup>, the 19<sup>th</sup><sup><a href=#n>2</a></sup>",
            "10⁶ m⁻³, the 19th2",
        ),
        ("a <del>b</del><ins>c</ins> <s>d</s>e", "a c e"),
        ("<ruby>港<rp>(</rp><rt>みなと</rt><rp>)</rp></ruby>は", "港は"),
        ("he said <q>no</q>.", "he said “no”."),
        ("a &#55357;&#56832; &#xD83D;&#xDE00; &#x1F600;", "a 😀 😀 😀"),
        ("<math alttext='a+b'><mi>a</mi></math> <math><mi>x</mi><mo>=</mo><mn>1</mn></math>", "$a+b$ $x=1$"),
        ("<x-y><template shadowrootmode=open><p>yes</template></x-y><template>no</template>", "yes"),
        ("<pre><code><div>a {</div><div>  b</div><div>}</div></code></pre>c", "a {\n  b\n}\n\nc"),
        ("<table class=highlight><tr><td>1<td>a {<tr><td><td>}</table>", "1a {\n}"),
        ("<table><tr><td class=linenos><pre>1\n2</pre><td><pre>a\nb</pre></table>", "a\nb"),
        ("<pre>if x:\n    y  &lt; z</pre>", "if x:\n    y  < z"),
        ("a<br>b<br><br>c", "a\nb\n\nc"),
        ("a <b>b</b>c <i>d</i>", "a bc d"),
        ("<a href=1>one</a><a href=2>two</a>, three", "one two, three"),
        ("<dl><dt>term<dd>meaning</dl>", "term\nmeaning"),
        ("1 < 2 and 3 > 2 &amp; so on &eacute;&#233;&bogus;", "1 < 2 and 3 > 2 & so on éé&bogus;"),
        ("<p title=\"a > b\" data-x='<p>no</p>'>yes", "yes"),
        ("<script>if (a<b) '<p>no</p>'</script><style>p{}</style><!-- <p>no --->yes", "yes"),
        ("yes<script>no", "yes"),
        ("<P>ONE<BR>TWO</P><SCRIPT>no</SCRIPT>", "ONE\nTWO"),
        ("<svg><text>no</text></svg><noscript>no</noscript>yes", "yes"),
        ("a\x00b", "ab"),
        ("<p>•</p><p>|</p>", ""),
        ("", ""),
    ],
)
def test_what_is_read_and_how_it_is_written(html: str, text: str) -> None:
    assert whole(html) == text


@pytest.mark.parametrize("tag", ["noscript", "NOSCRIPT"])
def test_noscript_is_read_where_there_is_next_to_no_other_text(tag: str) -> None:
    held = f"<{tag} data-path='/t'><p>{PARAGRAPHS[0]}</p><p>{PARAGRAPHS[1]}</p></{tag}>"
    assert whole(f"<p>Forum</p>{held}") == f"Forum\n\n{PARAGRAPHS[0]}\n\n{PARAGRAPHS[1]}"
    assert PARAGRAPHS[0] in extract_text(held)
    much = f"<p>{PARAGRAPHS[2]}</p><p>{PARAGRAPHS[3]}</p>"
    assert whole(much + held) == f"{PARAGRAPHS[2]}\n\n{PARAGRAPHS[3]}"
    notice = f"<p>App</p><{tag}>You need to enable JavaScript to run this app.</{tag}>"
    assert whole(notice) == "App"


def test_lines_know_their_elements() -> None:
    page = read_page(
        "<title>T &amp; U</title><nav><a href=x>one</a> two</nav>"
        "<div hidden><p>three</div><h1>four</h1></p></div>five"
    )
    assert page.title == "T & U"
    assert page.lines == ["one two", "three", "four", "five"]
    assert [TAGS[page.tag[element]] for element in page.element] == ["nav", "p", "h1", "body"]
    marks = [{name for bit, name in enumerate(FLAGS) if page.flags[e] >> bit & 1} for e in page.element]
    assert marks == [{"nav"}, {"hidden"}, {"heading"}, set()]
    assert page.linked[0] == pytest.approx(3 / 7)
    assert (page.first[0], page.last[0]) == (0, 4)


@pytest.mark.parametrize(
    ("attributes", "hidden"),
    [
        ("hidden", True),
        ('class="x" hidden=""', True),
        ('hidden = "false"', False),
        ('class="hidden"', True),
        ('class="hidden-xs un-hidden"', False),
        ('aria-hidden="true"', True),
        ('aria-hidden="false"', False),
        ('style="display : none"', True),
        ('style="display:block" data-x="none"', False),
    ],
)
def test_what_is_hidden_is_marked(attributes: str, hidden: bool) -> None:
    page = read_page(f"<div {attributes}><p>word")
    assert bool(page.flags[page.element[0]] & FLAG["hidden"]) == hidden


def test_names_weigh_with_those_of_all_elements_around() -> None:
    names = {"good": 1.5, "main": 0.25, "bad": -2.0, "worse": -3.0}
    draw = np.random.default_rng(0)
    html = ""
    for _ in range(300):
        chosen = " ".join(draw.choice([*names, "Bad", "other"], draw.integers(0, 3)))
        html += draw.choice([f'<div class="{chosen}">x', f"<div id='{chosen}'>x", "</div>", "<p>y</p>"])
    page = read_page(html)
    own, total, least, most = NameWeights(names).of(page, names_of(page))
    assert {-3.0, 0.0, 1.5} <= set(own)
    for element in range(len(page.tag)):
        path = [element]
        while path[-1]:
            path.append(page.parent[path[-1]])
        assert (total[element], least[element], most[element]) == (
            own[path].sum(),
            own[path].min(),
            own[path].max(),
        )
        assert page.depth[element] == len(path) - 1


def test_a_long_line_is_main_text_once() -> None:
    twice = f'<p>{PARAGRAPHS[1]}</p><div class="mobile"><p>{PARAGRAPHS[0]}</p></div>'
    assert extract_text(article(twice)).count(PARAGRAPHS[0]) == 1
    assert had_before(["ab" * 40, "c", "c", "ab" * 40]).tolist() == [False, False, False, True]


@given(
    st.lists(
        st.sampled_from(
            [
                *"<>/='\"&;!-",
                "div",
                "p",
                "</",
                "<p>",
                "</div>",
                "<a href=",
                "<pre>",
                "<!--",
                "<td>",
                " x ",
                "<br>",
            ]
        )
    )
)
def test_any_string_is_a_page(pieces: list[str]) -> None:
    page = read_page("".join(pieces))
    assert (page.first <= page.last).all()
    assert (page.parent[1:] < np.arange(1, len(page.tag))).all()
    for at, element in enumerate(page.element):
        assert page.first[element] <= at < page.last[element]
    assert isinstance(extract_text("".join(pieces)), str)


@pytest.mark.parametrize(
    "html",
    [
        "<div>" * 200_000 + "x",
        "<sup>" * 100_000 + "<b>one two" * 100_000 + "</sup>" * 100_000,
        "<math>" * 100_000,
        "latex" + "<xmp>" * 100_000,
        "<script type=math/tex>" * 50_000,
        "<span class=katex-html>" * 50_000,
        "<a href=x><b>" * 100_000 + "x",
        "<p>" * 1_000_000,
        "<p " * 200_000,
        '<p a="' * 100_000,
        "<p a='\"" * 100_000,
        "<script>" * 100_000,
        "<!--" * 100_000,
        "<!-" * 100_000,
        "&" * 1_000_000,
        "&#" * 500_000,
        "<div>" * 50_000 + "</b>" * 50_000 + "</div></i>" * 50_000,
        "<table><tr><td>x" * 20_000,
        "\x00" * 1_000_000,
    ],
    ids=lambda html: html[:12],
)
def test_time_grows_with_size_alone(html: str) -> None:
    """Each of these takes a second or so; reading again and again what was read would take hours."""
    assert len(extract_text(html)) <= len(html)


def test_best_choice_has_the_highest_expected_f1() -> None:
    draw = np.random.default_rng(0)
    for _ in range(20):
        chance, size = draw.random(6), draw.integers(1, 50, 6)
        wanted = (chance * size).sum()

        def f1(
            keep: np.ndarray, chance: np.ndarray = chance, size: np.ndarray = size, wanted: float = wanted
        ) -> float:
            return float(2 * (chance * size)[keep].sum() / (size[keep].sum() + wanted))

        subsets = [np.array([n >> bit & 1 for bit in range(6)], bool) for n in range(1, 64)]
        assert f1(best_choice(chance, size)) == pytest.approx(max(map(f1, subsets)))


def test_the_shipped_classifier_is_small_and_no_other_file_is_taken_for_one(tmp_path: Path) -> None:
    assert SHIPPED.stat().st_size < 300_000
    copy = tmp_path / "copy.safetensors"
    shipped().save(copy)
    page = read_page(article())
    assert (load(copy).chances(page) == shipped().chances(page)).all()
    (tmp_path / "bad.safetensors").write_bytes(b"no")
    with pytest.raises(HeadstartError, match="cannot be read as a line classifier"):
        load(tmp_path / "bad.safetensors")


def test_union_adds_what_is_missing_in_its_place() -> None:
    first, second = "A title\n\nOne.\n\n- Two.\n\nFour.", "One.\n• Two.\nThree.\nFour.\nA title"
    assert union([first, second]) == "A title\n\nOne.\n\n- Two.\nThree.\n\nFour."
    assert union([first, first]) == first
    assert union(["", "a\nb"]) == "a\nb"


def test_extractors_are_chosen_by_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert PARAGRAPHS[0] in extract_text(article(), extractor="resiliparse")
    with pytest.raises(
        HeadstartError, match="there is no extractor 'resilliparse'; did you mean 'resiliparse'"
    ):
        extract_text("<p>x", extractor="resilliparse")
    monkeypatch.setattr("headstart.corpus.extract.page.find_spec", lambda _: None)
    with pytest.raises(HeadstartError, match=r"needs trafilatura: pip install 'headstart\[trafilatura\]'"):
        extract_text("<p>x", extractor="union")
    with pytest.raises(HeadstartError, match=r"extractor.*pip install 'headstart\[trafilatura\]'"):
        CorpusRecipe.load(None, ["extractor=trafilatura"])
    with pytest.raises(HeadstartError, match=r"extractor.*none\.safetensors cannot be read .*No such file"):
        CorpusRecipe.load(None, [f"extractor={tmp_path / 'none.safetensors'}"])
    copy = tmp_path / "mine.safetensors"
    copy.write_bytes(SHIPPED.read_bytes()[:-1])
    with pytest.raises(HeadstartError, match=r"extractor.*mine\.safetensors cannot be read as a line"):
        CorpusRecipe.load(None, [f"extractor={copy}"])
    shipped().save(copy)
    assert extract_text(article(), extractor=str(copy)) == extract_text(article())


@given(st.data())
def test_the_innermost_element_of_a_kind(data):
    """Found for all elements in one pass, as going up from each of them finds it."""
    count = data.draw(st.integers(1, 40))
    parent = [0, *(data.draw(st.integers(0, child - 1)) for child in range(1, count))]
    tag = [0, *(data.draw(st.integers(1, 4)) for _ in range(1, count))]
    kinds = frozenset({1, 3})

    def walked(element: int) -> int:
        return element if not element or tag[element] in kinds else walked(parent[element])

    assert innermost(kinds, parent, tag) == [walked(element) for element in range(count)]


KATEX = (
    '<span class="katex"><span class="katex-mathml"><math><semantics><mrow><mi>x</mi></mrow>'
    '<annotation encoding="application/x-tex">x^2</annotation></semantics></math></span>'
    '<span class="katex-html" aria-hidden="true"><span>x</span><span>2</span></span></span>'
)
MATHJAX = (
    '<mjx-container><mjx-math aria-hidden="true"><mjx-c>x</mjx-c></mjx-math><mjx-assistive-mml><math><msup>'
    "<mi>x</mi><mn>2</mn></msup></math></mjx-assistive-mml></mjx-container>"
)


@pytest.mark.parametrize(
    ("html", "text"),
    [
        (f"We have {KATEX} here.", "We have $x^2$ here."),
        (f"We have {MATHJAX} here.", "We have $x^2$ here."),
        (
            'So <span class=MathJax_Preview>x2</span><script type="math/tex">a < b</script> ends.',
            "So $a < b$ ends.",
        ),
        ('So <img class="latex" src=x alt="x^2+y"> ends.', "So $x^2+y$ ends."),
        (
            "<math><mfrac><mi>a</mi><mn>12</mn></mfrac><mo>=</mo><msqrt><mi>x</mi></msqrt></math>",
            r"$\frac{a}{12}=\sqrt{x}$",
        ),
        ("<m:math><m:msubsup><m:mi>x</m:mi><m:mi>i</m:mi><m:mn>2</m:mn></m:msubsup></m:math>", "$x_i^2$"),
        ("<math><mi>a</mi><mo>+</mo><mi>b</math>", "a + b"),
        (
            "10<sup>12.5</sup> x<sup>2n</sup> e<sup>x</sup> 2<sup>n+1</sup> 10<sup>&minus;6</sup>",
            "10^(12.5) x^(2n) e^x 2^(n+1) 10⁻⁶",
        ),
        (
            "19<sup>th</sup> M<sup>me</sup> said<sup>[1]</sup> said<sup>1,2</sup> M<sup>e</sup>",
            "19th Mme said[1] said1,2 Me",
        ),
        ("H<sub>2</sub>O, 101<sub>2</sub>", "H2O, 101₂"),
        ("<table><tr><th>A<th>B<th>C<tr><td colspan=2>x<td>y</table>", "A | B | C\nx |  | y"),
        ("<table><tr><td rowspan=2>x<td>y<tr><td>v<tr><td>a<td>b</table>", "x | y\n| v\na | b"),
        ("<table><tr><td>a<br>b<td>c</table>", "a b | c"),
        (
            "<pre><span class=linenos>1</span>if x:\n<span class=linenos>2</span>    y</pre>",
            "if x:\n    y",
        ),
        (
            "<table><tr><td class=gutter><div>1</div><div>2</div><td class=code>"
            "<div><div><code>if x:</code></div><div><code>&nbsp; </code><code>y</code></div></div></table>",
            "if x:\n  y",
        ),
    ],
)
def test_formulas_listings_and_tables_as_pages_draw_them(html: str, text: str) -> None:
    assert whole(html) == text
