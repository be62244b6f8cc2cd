"""Wikitext as a reader sees it: braces that nest, titles with colons, templates in sentences, histories."""

from pathlib import Path

import pytest

from headstart.corpus.readers.read import read
from headstart.corpus.readers.records import Raw, Skip
from headstart.corpus.readers.sources import Task, find_sources
from headstart.corpus.readers.wiki import dump
from headstart.corpus.readers.wiki.wikitext import plain_text


@pytest.mark.parametrize(
    ("wikitext", "text"),
    [
        ("{{Infobox boat\n| name = Ada\n| flag = {{flag|NO|}}\n| note =|}}\nIt sailed.", "It sailed."),
        ("a {| class=x\n| b {{c|}}\n|} d", "a  d"),
        ("{{x|{| y\n|}}} b", "b"),
        ("{{never closed b", "{{never closed b"),
        (
            "The film [[Alien: Covenant]] and [[Thor: Ragnarok|Ragnarok]].",
            "The film Alien: Covenant and Ragnarok.",
        ),
        (
            "[[File:Boat.jpg|thumb|A [[boat]]]]a[[Category:Films]][[de:Hafen]][[:Category:Ships|ships]]",
            "aships",
        ),
        ("a <math>x^2</math> b, <chem>H2O</chem>", "a $x^2$ b, H2O"),
        ("<nowiki>{{x}} [[y]]</nowiki> and {{{1|given}}} or {{x|{{{1|}}}}}", "{{x}} [[y]] and given or"),
        ("<syntaxhighlight lang=py>\nif x:\n    y = {{a}}\n</syntaxhighlight>", "if x:\n    y = {{a}}"),
        ("{{HMS|Victory}}, {{ship|SS|Great}}, {{flag|France}}", "HMS Victory, SS Great, France"),
        (
            "{{val|1.2|e=5|u=m}} {{US$|5 million}} {{frac|3|1|2}} {{gaps|1|234}}",
            "1.2×10^5 m US$5 million 3 1/2 1234",
        ),
        ("{{convert|5|ft|6|in}} {{nowrap|1=a=b}} {{ordinal|22}} {{unité|12|km}}", "5 ft 6 in a=b 22nd 12 km"),
        ("-{H|zh-cn:a;zh-tw:b}--{T|zh:c}--{R|d}--{A|zh-cn:甲;zh-tw:乙}-", "d甲"),
        ("a\n----\nb", "a\n\nb"),
        ("See [[Wikipedia:About]] and [[wikt:boat|boat]].", "See Wikipedia:About and boat."),
        ("It is {{convert|324|m|ft|0}} tall, {{cvt|3|to|5|km}} off.", "It is 324 m tall, 3 to 5 km off."),
        (
            "She said {{lang|fr|bonjour}} to {{nowrap|12 men}}{{cite web|title=X}}.",
            "She said bonjour to 12 men.",
        ),
        ("{{lang-de|Hafen}} {{abbr|km|kilometre}} {{circa|1500}} {{frac|1|2}}", "Hafen km c. 1500 1/2"),
        ("{{nowrap|[[Hull|the town of Hull]] and {{lang|no|Oslo}}}}", "the town of Hull and Oslo"),
        ("-{zh-hans:计算机; zh-hant:電腦}-和-{字}-", "计算机和字"),
        ("-{zh;zh-hans;zh-hant|字}-", "字"),
        # Apostrophes beside bold and italic, as MediaWiki tells them apart.
        ("L'''Opéra'' est\nl''''art'''\nun d'''Or''", "L'Opéra est\nl'art\nun d'Or"),
        ("dell'''opera'' '''Aida''', rock 'n' roll\n''''x''''", "dell'opera Aida, rock 'n' roll\n'x'"),
        ("__NOTOC__a__KEIN_INHALTSVERZEICHNIS__b__無目錄__ __init__ __FILE__", "ab __init__ __FILE__"),
        (
            "10<sup>6</sup> m<sup>2</sup>, 10{{sup|−3}}, H<sub>2</sub>O, 19<sup>th</sup>",
            "10⁶ m², 10⁻³, H2O, 19th",
        ),
        (
            "<del>old</del><s>old</s>new <ruby>漢<rt>かん</rt></ruby>字<includeonly>no</includeonly>",
            "new 漢字",
        ),
        ("3<sup>1</sup>/<sub>2</sub> or <sup>3</sup>⁄<sub>4</sub>", "3 1/2 or 3/4"),
        ("<div>a</div><div>b</div><table><tr><td>no</td></tr></table>c", "a\n\nb\nc"),
        ("[mailto:a@b.c Mail] [[File:A.jpg|thumb|[http://x y] and [[z]]]]us", "Mail us"),
        ("a\n[[simple:Boat]]\n[[ast:Barcu]]\n[[zh-min-nan:Chûn]]", "a"),
        (
            "{{ruby|漢字|かんじ}} {{仮リンク|対象|en|Object}} {{tsl|en|A|甲}} {{lien|trad=A|fr=B}}",
            "漢字 対象 甲 B",
        ),
        (
            "{{ruby-ja|東|ひがし}}と{{要出典範囲|文|date=2020年1月}}、{{bd|1879年|3月14日|1955年|4月18日}}",
            "東と文、（1879年3月14日—1955年4月18日）",
        ),
        ("{{Nihongo|Tokyo|東京|Tōkyō}}, {{Nihongo|Go}}", "Tokyo (東京, Tōkyō), Go"),
        (
            "Au {{s|XIX|e}} et {{XXe siècle}}, la 2{{e}}, {{p.|5}}, {{M.}} X",
            "Au XIXe siècle et XXe siècle, la 2e, p. 5, M. X",
        ),
        ('{{s|5 км}}, {{нп5|Слово|en|Word}}, {{"|Wort}} ({{enS|word}})', "5 км, Слово, „Wort“ (word)"),
        ("3{{x10^|8}} {{10^|3}} {{e|-5}} {{sqrt|2}} B{{music|flat}}", "3×10^8 10^3 ×10^-5 √2 B♭"),
        ("a {{citation|title=T}}{{citation|mot}} {{quote|1=b}}", "a « mot » b"),
        ("{{columns-list|colwidth=9em|\n* a\n* b}}", "- a\n- b"),
        (
            "'''X''' ({{IPAc-en|x}}; born 1900) (b, {{IPA-en|y}}) (f(a;b), [0;1])",
            "X (born 1900) (b) (f(a;b), [0;1])",
        ),
        ('<maplink zoom=3>{"type": "Point"}</maplink><inputbox>type=search</inputbox>a', "a"),
    ],
)
def test_what_a_reader_sees(wikitext: str, text: str) -> None:
    assert plain_text(wikitext) == text


def test_an_address_before_many_spaces_is_read_once() -> None:
    assert plain_text("[http://a" + " " * 300_000 + "b") == "[http://a" + " " * 300_000 + "b"


def revision(number: int, text: str) -> str:
    date = f"20{number:02}-01-01T00:00:00Z"
    return f"<revision><id>{number}</id><timestamp>{date}</timestamp><text>{text}</text></revision>"


@pytest.mark.parametrize("kept", [1_000, 8_000_000])
def test_of_a_history_the_newest_text_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: int
) -> None:
    monkeypatch.setattr(dump, "_HISTORY", kept)
    monkeypatch.setattr("headstart.corpus.readers.storage._CHUNK", 700)
    revisions = "".join(revision(n, f"The text of the year {n}. " * 20) for n in range(10, 30))
    names = '<namespaces><namespace key="6" case="first-letter">Lêer</namespace></namespaces>'
    pages = [
        f"<page><title>A</title><ns>0</ns><id>1</id>{revisions}</page>",
        f"<page><title>B</title><ns>0</ns><id>2</id>{revision(10, '[[Lêer:x.jpg|kaart]]Next one.')}</page>",
    ]
    path = tmp_path / "a.xml"
    path.write_text(f"<mediawiki><siteinfo>{names}</siteinfo>{''.join(pages)}</mediawiki>")
    (source,), _ = find_sources([path])
    first, second = (one for one in read(Task((source,), 0, 1), {}) if isinstance(one, Raw))
    assert first.text.startswith("The text of the year 29. The")
    assert first.date.startswith("2029")
    assert second.text == "Next one."


@pytest.mark.parametrize(
    "text", ["#REDIRECT [[Harbour]]", "#WEITERLEITUNG[[Hafen]]", "#перенаправление [[Гавань]]"]
)
def test_redirects_of_old_dumps(tmp_path: Path, text: str) -> None:
    page = f"<page><title>T</title><revision><text>{text}</text></revision></page>"
    (tmp_path / "a.xml").write_text(f"<mediawiki>{page}</mediawiki>")
    (source,), _ = find_sources([tmp_path / "a.xml"])
    (found,) = read(Task((source,), 0, 1), {})
    assert not isinstance(found, Raw)
    assert found.reason == "redirect"


def test_old_dumps_say_the_namespace_in_the_title(tmp_path: Path) -> None:
    titles = ["Talk:Boat", "Diskussion:Boot", "Template:X", "Alien: Covenant", "Boat"]
    pages = "".join(
        f"<page><title>{title}</title><id>{n}</id>{revision(n, 'Some text.')}</page>"
        for n, title in enumerate(titles)
    )
    names = '<namespace key="0" /><namespace key="1">Diskussion</namespace>'
    (tmp_path / "a.xml").write_text(
        f"<mediawiki version='0.4'><siteinfo>{names}</siteinfo>{pages}</mediawiki>"
    )
    (source,), _ = find_sources([tmp_path / "a.xml"])
    records = list(read(Task((source,), 0, 1), {}))
    assert [one.metadata["title"] for one in records if isinstance(one, Raw)] == ["Alien: Covenant", "Boat"]
    assert [one.reason for one in records if isinstance(one, Skip)] == ["not an article"] * 3


def test_a_page_that_holds_no_wikitext_is_none(tmp_path: Path) -> None:
    made = revision(1, '{"labels": {}}').replace("<text>", "<model>wikibase-item</model><text>")
    page = f"<page><title>Q1</title><ns>0</ns><id>1</id>{made}</page>"
    (tmp_path / "a.xml").write_text(f"<mediawiki>{page}</mediawiki>")
    (source,), _ = find_sources([tmp_path / "a.xml"])
    assert [*read(Task((source,), 0, 1), {})] == [Skip("a.xml:page 1", "content of the model wikibase-item")]


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"a \x01 b", "a \ufffd b"),
        (b"caf\xe9 b", "caf\ufffd b"),
        (b"caf&eacute; &lt;u&gt;&amp;amp;&lt;/u&gt; &foo; b", "café & &foo; b"),
        (b"a &#1; &#xD800; &#233; b", "a \ufffd \ufffd é b"),
    ],
)
@pytest.mark.parametrize("codec", ["utf-8", "utf-16"])
def test_a_damaged_character_of_a_dump_costs_itself_alone(
    tmp_path: Path, raw: bytes, text: str, codec: str
) -> None:
    dump = (
        b"<mediawiki><page><title>T</title><ns>0</ns><revision><text>%b</text></revision></page></mediawiki>"
    )
    content = dump % raw
    if codec == "utf-16":
        content = content.decode("utf-8", "replace").encode("utf-16")
    (tmp_path / "a.xml").write_bytes(content)
    (source,), _ = find_sources([tmp_path / "a.xml"])
    (found,) = read(Task((source,), 0, 1), {})
    assert isinstance(found, Raw), found
    assert found.text == text
