"""The site that is built from the docs: complete, closed in itself, and without a network."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import calibrate
import speedup
from speedup.profile import read_profile, shipped_paths

ROOT = Path(__file__).parents[1]
LOADED = {"script": "src", "link": "href", "img": "src", "iframe": "src", "source": "src", "object": "data"}


class Page(HTMLParser):
    """What a page links to, what it loads, and the places in it."""

    def __init__(self, path):
        super().__init__()
        self.links, self.loads, self.places, self.tags = [], [], set(), []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.tags.append(tag)
        self.places |= {found.get("id"), found.get("name")} - {None}
        if tag == "a" and found.get("href"):
            self.links.append(found["href"])
        if tag in LOADED and found.get(LOADED[tag]):
            self.loads.append(found[LOADED[tag]])


def read_site(site):
    return {path: Page(path) for path in site.rglob("*.html") if "_static" not in path.parts}


def sources():
    docs = ROOT / "docs"
    for path in docs.rglob("*.md"):
        if "_build" not in path.parts:
            yield path.relative_to(docs).with_suffix(".html")
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        yield Path("notebooks") / f"{path.stem}.html"


def test_every_page_and_every_notebook_is_in_the_site(site):
    assert [str(page) for page in sources() if not (site / page).exists()] == []


def test_every_link_inside_the_site_leads_somewhere(site):
    pages = read_site(site)
    broken = []
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            place = unquote(parts.fragment)
            if not target.exists() or (place and target in pages and place not in pages[target].places):
                broken.append(f"{path.name}: {link}")
    assert broken == []


def test_no_page_or_style_loads_anything_from_another_host(site):
    assert [load for page in read_site(site).values() for load in page.loads if urlsplit(load).netloc] == []
    for style in site.rglob("*.css"):
        assert re.findall(r"(?:url\(|@import)\s*[\"']?(?:https?:)?//[^)\s]*", style.read_text(encoding="utf-8")) == []


def test_every_equation_is_there_as_mathml(site):
    text = (site / "equations.html").read_text(encoding="utf-8")
    blocks = re.findall(r'<div class="equation.*?<math[^>]*display="block"', text, flags=re.DOTALL)
    assert len(blocks) == len(speedup.CATALOGUE)
    assert not re.search(r">\\[a-z]+<", text), "a command of LaTeX that nobody understood"


def test_no_page_has_maths_that_was_left_in_latex(site):
    for path in site.rglob("*.html"):
        for words in re.findall(r"<math.*?</math>", path.read_text(encoding="utf-8"), flags=re.DOTALL):
            assert "\\" not in re.sub(r"<annotation.*?</annotation>", "", words), path.name


def test_every_public_name_has_its_place_in_the_reference(site):
    from sphinx.util.inventory import InventoryFile

    with (site / "objects.inv").open("rb") as file:
        inventory = InventoryFile.load(file, "", lambda base, path: path)
    known = {name for kind, names in inventory.items() if kind.startswith("py:") for name in names}
    wanted = {f"{one.__name__}.{name}" for one in (speedup, calibrate) for name in one.__all__}
    assert wanted - known == set()


def test_a_notebook_shows_what_it_computed(site):
    text = (site / "notebooks" / "01_first_answer.html").read_text(encoding="utf-8")
    assert "plotly-graph-div" in text
    assert "How sure" in text
    assert "plotly.min.js" in text
    assert (site / "_static" / "plotly.min.js").stat().st_size > 1_000_000


def test_pages_without_a_figure_do_not_load_plotly(site):
    assert "plotly" not in (site / "index.html").read_text(encoding="utf-8")


def test_the_schema_of_a_profile_takes_what_the_reader_takes():
    import jsonschema

    schema = json.loads((ROOT / "docs" / "schemas" / "profile.json").read_text())
    check = jsonschema.Draft202012Validator(schema)
    check.check_schema(schema)
    for path in shipped_paths().values():
        document = json.loads(path.read_text())
        check.validate(document)
        check.validate(json.loads(read_profile(path).to_json()))
        assert not check.is_valid(document | {"workloat": {}})
        assert not check.is_valid(document | {"schema": "speedup.profile/2"})
