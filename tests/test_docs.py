"""What the docs say is what the code does."""

import json
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import speedup

ROOT = Path(__file__).parents[1]
PAGES = runpy.run_path(str(ROOT / "docs" / "generate"))["PAGES"]
GALLERY = runpy.run_path(str(ROOT / "docs" / "generate" / "gallery_page.py"))
README = (ROOT / "README.md").read_text()
CONSOLE = re.findall(r"```console\n(.*?)```", README, flags=re.DOTALL)


def commands():
    """Give each command of the README with the output printed under it."""
    for block in CONSOLE:
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            line, _, output = part.partition("\n")
            yield line, output


RUNNABLE = [(line, output) for line, output in commands() if line.startswith("speedup ") and output]


@pytest.mark.parametrize("page", PAGES)
def test_a_generated_page_is_current(page):
    assert (ROOT / "docs" / page).read_text() == PAGES[page](), "run: python docs/generate"


@pytest.mark.parametrize("one", GALLERY["GALLERY"], ids=lambda one: one.name)
def test_a_line_of_the_gallery_makes_its_figure_and_the_figure_is_there(one):
    assert GALLERY["drawn"](one).layout.title.text
    image = ROOT / "docs" / "figures" / f"gallery_{one.name}.svg"
    assert image.read_text().startswith("<svg")
    assert image.stat().st_size < 300_000


@pytest.mark.parametrize(("line", "output"), RUNNABLE, ids=[line for line, _ in RUNNABLE])
def test_a_command_of_the_readme_prints_what_the_readme_shows(line, output):
    words = [sys.executable, "-m", *shlex.split(line)]
    done = subprocess.run(words, capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.rstrip() == output.rstrip()


def test_the_readme_opens_with_the_two_commands():
    first = CONSOLE[0].splitlines()
    assert [line for line in first if "make" in line] == ["$ make demo", "$ make test"]
    targets = (ROOT / "Makefile").read_text()
    assert "\ndemo:" in targets
    assert "\ntest:" in targets
    assert "make test" in (ROOT / ".ci" / "run").read_text()


def test_every_file_that_the_readme_and_docs_link_to_is_there():
    for page in [ROOT / "README.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("*/README.md")]:
        for target in re.findall(r"\]\((?!http)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_every_mode_server_schedule_status_and_provenance_is_in_the_glossary():
    from speedup.memory import Buffers
    from speedup.plans import PlacementRule, Schedule, ServerKind, UpdateMode
    from speedup.prices import Terms
    from speedup.profile import Provenance
    from speedup.tables import Status

    glossary = (ROOT / "docs" / "glossary.md").read_text()
    for words in (UpdateMode, ServerKind, Schedule, PlacementRule, Status, Provenance, Terms, Buffers):
        for word in words:
            assert f"`{word}`" in glossary or f"| {word} |" in glossary, word


def test_every_public_name_has_a_documented_example_or_is_data():
    for name in speedup.__all__:
        text = getattr(speedup, name).__doc__
        assert text, name


def test_notebooks_are_committed_without_outputs():
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        for cell in json.loads(path.read_text())["cells"]:
            assert not cell.get("outputs")
            assert cell.get("execution_count") is None
