"""Notebooks: numbered, thin, without outputs, and readable without widgets; that they run is tested where they are."""

import ast
import json
import re
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
PUBLIC = {"speedup", "speedup.figures", "speedup.formulas", "speedup.formulas.symbols", "speedup.payloads"}
# What no shorter name leads to: profiles of phases, fits to runs, and published measurements.
DEEPER = {
    "speedup.profile": {"Phase", "Provenance"},
    "speedup.scaling.collectives": {"fit_link", "parse_nccl_tests"},
    "speedup.scaling.evaluation": {"models_for"},
    "speedup.scaling.readers": {"parse_runs"},
    "speedup.scaling.study": {"study"},
    "speedup.published.accuracy": {"check", "sentence"},
    "speedup.published.nominal": {"linear_steps", "nominal_steps", "paleo_steps"},
    "speedup.published.records": {"pollux_aws", "scaling_series"},
    "speedup.published.trials": {"trials"},
}
GUARD = "import ipywidgets"


def name_of(path):
    return path.stem


def cells(path, kind="code"):
    return [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == kind]


def sources(path):
    return ["".join(cell["source"]) for cell in cells(path)]


def parsed(path):
    return [ast.parse(source) for source in sources(path)]


def imports(path):
    """Yield module and name of each import of ours."""
    for node in (node for tree in parsed(path) for node in ast.walk(tree)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.module, alias.name) for alias in node.names)


def draws(tree):
    """Whether the last line of a cell is a figure: ``x.plot()``, ``x_figure(...)``, or one that was put together."""
    last = tree.body[-1] if tree.body else None
    if not isinstance(last, ast.Expr):
        return False
    value = last.value.func if isinstance(last.value, ast.Call) else last.value
    name = value.attr if isinstance(value, ast.Attribute) else getattr(value, "id", "")
    return name == "plot" or name.endswith("figure")


def played(path, monkeypatch):
    """Run the code of a notebook here and return its names."""
    monkeypatch.chdir(FOLDER)
    shown = []
    names = {"shown": shown, "display": shown.append}
    for source in sources(path):
        exec(source, names)
    return names


def elsewhere(slider):
    """Return another value that a slider or a list to choose from may have."""
    if hasattr(slider, "options"):
        return slider.options[-1]
    return slider.base**slider.max if hasattr(slider, "base") else slider.max


def inside(figure):
    """Whether the axis of y, where its range is fixed, has room for everything."""
    top = (figure.layout.yaxis.range or [0, float("inf")])[1]
    return all(max(trace.y) <= top for trace in figure.data)


LIVE = [path for path in NOTEBOOKS if any(GUARD in source for source in sources(path))]


def test_notebooks_are_numbered_without_gaps():
    assert [path.name[:3] for path in NOTEBOOKS] == [f"{number:02}_" for number in range(1, 9)]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name_of)
def test_a_notebook_begins_with_its_title_and_what_one_learns(path):
    first = json.loads(path.read_text())["cells"][0]
    title, _, text = "".join(first["source"]).partition("\n\n")
    assert first["cell_type"] == "markdown"
    assert re.fullmatch(r"# \S.*", title)
    assert 2 <= len(re.findall(r"[.?!:](?:\s|$)", text)) <= 5


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name_of)
def test_a_notebook_imports_public_names_alone(path):
    for module, name in imports(path):
        if module.split(".")[0] == "calibrate":
            import calibrate

            assert module == "calibrate"
            assert name in calibrate.__all__
        elif module.split(".")[0] == "speedup":
            assert module in PUBLIC or name in DEEPER.get(module, ()), f"from {module} import {name}"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name_of)
def test_a_notebook_stores_no_outputs_and_little_else(path):
    document = json.loads(path.read_text())
    assert set(document["metadata"]) == {"kernelspec", "language_info"}
    assert document["metadata"]["language_info"] == {"name": "python"}
    for number, cell in enumerate(document["cells"]):
        assert cell["id"] == f"cell-{number}"
        assert cell["metadata"] == {}
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name_of)
def test_a_notebook_has_a_figure_that_needs_no_widget(path):
    assert any(map(draws, parsed(path)))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name_of)
def test_a_notebook_is_thin(path):
    assert max(source.count("\n") + 1 for source in sources(path)) <= 36
    assert not any(isinstance(node, ast.ClassDef) for tree in parsed(path) for node in ast.walk(tree))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name_of)
def test_what_a_notebook_links_to_is_there(path):
    for cell in cells(path, "markdown"):
        for target in re.findall(r"\]\((?!http)([^)#]+)", "".join(cell["source"])):
            assert (FOLDER / target).exists(), target


@pytest.mark.parametrize("path", LIVE, ids=name_of)
def test_sliders_move_the_figure(path, monkeypatch):
    widgets = pytest.importorskip("ipywidgets")
    names = played(path, monkeypatch)
    (box,) = (one for one in names["shown"] if isinstance(one, widgets.VBox))
    *sliders, live = box.children
    assert sliders
    for slider in sliders:
        before = live.to_json()
        slider.value = elsewhere(slider)
        assert live.to_json() != before, slider.description
        assert inside(live), slider.description


@pytest.mark.parametrize("path", LIVE, ids=name_of)
def test_without_ipywidgets_a_notebook_runs_and_says_what_to_install(path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    assert played(path, monkeypatch)["widgets"] is None
    assert 'pip install "speedup-toolkit[notebook]"' in capsys.readouterr().out
