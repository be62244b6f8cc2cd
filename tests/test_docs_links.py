"""Every link in the pages leads to a file and a heading that are there; every page is in the navigation."""

import re
from pathlib import Path

import pytest

from headstart.cli.reference import reference

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.glob("*.md"), *(ROOT / "examples").glob("*.md")])
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def text_of(page: Path) -> str:
    """A page without its code, in which brackets are no links."""
    text = page.read_text(encoding="utf-8")
    text = re.sub(r"^(```|~~~).*?^\1$", "", text, flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r"^    .*$", "", text, flags=re.MULTILINE)
    return re.sub(r"`[^`\n]*`", lambda code: code[0] if "](" not in code[0] else "", text)


def anchors(page: Path) -> set[str]:
    """Those of a page's headings, as forges and MyST make them."""
    found: set[str] = set()
    for heading in re.findall(r"^#+ (.+?)\s*$", text_of(page), re.MULTILINE):
        plain = re.sub(r"[*`]|\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        same = sum(slug == one or re.fullmatch(rf"{re.escape(slug)}-\d+", one) is not None for one in found)
        found.add(f"{slug}-{same}" if same else slug)
    return found


def broken(page: Path) -> list[str]:
    """The links of a page that lead nowhere."""
    wrong = []
    for link in LINK.findall(text_of(page)):
        if re.match(r"[a-z]+:", link):  # to another site
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            wrong.append(link)
    return wrong


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page) -> None:
    assert broken(page) == []


def test_a_link_that_leads_nowhere_is_found(tmp_path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# A head, start\n\n[a](#a-head-start) [b](#ahead) [c](none.md) `[d](e.md)`\n")
    assert broken(page) == ["#ahead", "none.md"]


def test_every_page_is_in_the_navigation_once() -> None:
    trees = re.findall(r"```\{toctree\}\n(.*?)```", (DOCS / "index.md").read_text(), re.DOTALL)
    named = [line for tree in trees for line in tree.splitlines() if line and not line.startswith(":")]
    assert sorted(named) == sorted(page.stem for page in DOCS.glob("*.md") if page.stem != "index")
    assert len(trees) == 4, "tutorial, how to, reference, explanation"


def test_the_page_of_commands_is_current() -> None:
    page = (DOCS / "reference-commands.md").read_text(encoding="utf-8")
    assert page == reference(), "a command has changed: run `make reference`"


def test_a_verb_with_subcommands_shows_its_own_options() -> None:
    sections = reference().split("\n## ")
    plan = next(one for one in sections if one.startswith("headstart plan\n"))
    assert "`--compute`" in plan.split("\n### ")[0]
