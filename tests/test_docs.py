"""What the docs say is what the code does."""

import ast
import json
import re
import runpy
import shlex
import tomllib
from pathlib import Path

import pytest
from documented import GENERATED, commands, pages, play, shown

import speedup

ROOT = Path(__file__).parents[1]
GALLERY = runpy.run_path(str(ROOT / "docs" / "generate" / "gallery_page.py"))
README = (ROOT / "README.md").read_text()
WRITTEN = pages()
COMMANDS = [command for page in WRITTEN for command in commands(page)]


def name_of(page):
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", GENERATED)
def test_a_generated_page_is_current(page):
    assert (ROOT / "docs" / page).read_text() == GENERATED[page](), "run: python docs/generate"


@pytest.mark.parametrize("one", GALLERY["GALLERY"], ids=lambda one: one.name)
def test_a_line_of_the_gallery_makes_its_figure_and_the_figure_is_there(one):
    assert GALLERY["drawn"](one).layout.title.text
    image = ROOT / "docs" / "figures" / f"gallery_{one.name}.svg"
    assert image.read_text().startswith("<svg")
    assert image.stat().st_size < 300_000


@pytest.mark.parametrize("page", WRITTEN, ids=name_of)
def test_the_commands_of_a_page_print_what_it_shows(page, tmp_path):
    for command, printed in play(page, tmp_path):
        if command.output:
            assert shown(command.output, printed) == command.output.rstrip(), command.line


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: f"{command.page.stem}: {command.line}")
def test_a_documented_command_is_one(command):
    from speedup.cli import app

    for line in re.split(r"&&|\|", command.line):
        words = shlex.split(re.sub(r">.*", "", line))
        if words[0] == "pip":
            extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
            assert {extra for named in re.findall(r"\.\[([\w,]+)\]", line) for extra in named.split(",")} <= set(extras)
        elif words[0] == "make":
            assert f"\n{words[1]}:" in (ROOT / "Makefile").read_text()
        elif "speedup" in words:
            app.parse_args(words[words.index("speedup") + 1 :], exit_on_error=False, print_error=False)


def test_python_that_is_shown_without_being_run_is_python_at_least():
    for page in WRITTEN:
        for block in re.findall(r"```python\n(.*?)```", page.read_text(), flags=re.DOTALL):
            if ">>>" not in block:
                ast.parse(block)


def test_the_readme_opens_with_the_two_commands():
    first, second, *_ = COMMANDS
    assert [first.line, second.line] == ["make demo", "make test"]
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
