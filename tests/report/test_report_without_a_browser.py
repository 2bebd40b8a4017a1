"""What the report is made of, without a browser."""

import os
import re
import subprocess
import sys
from xml.etree import ElementTree as ET

import pytest
import sympy

from speedup import recommend
from speedup.cli import run
from speedup.files import FileError
from speedup.formulas.symbols import N
from speedup.report.javascript import JavaScriptError, function, javascript
from speedup.report.markup import Markup, data, element, inside, script
from speedup.report.mathml import mathml
from speedup.report.model import LiveModel
from speedup.report.page import MOST_ROWS, report_page


def test_what_is_not_known_to_be_printed_rightly_is_refused():
    x = sympy.Symbol("x", positive=True)
    for expression in (sympy.Sum(x, (x, 0, N)), sympy.erf(N), sympy.gamma(N), sympy.Function("f")(N), sympy.sin(N)):
        with pytest.raises(JavaScriptError, match="not known to be printed rightly"):
            javascript(expression)


@pytest.mark.parametrize("name", ["a b", "x;alert(1)", "t_iter^BEST", "</script>", "1x"])
def test_a_symbol_that_is_no_name_is_refused(name):
    with pytest.raises(JavaScriptError, match="no name in JavaScript"):
        function(sympy.Symbol(name) + 1)


def test_text_and_attributes_are_escaped_and_markup_is_not():
    made = element("p", "<b>", element("i", "&"), title='"><script>')
    assert made == '<p title="&quot;&gt;&lt;script&gt;">&lt;b&gt;<i>&amp;</i></p>'
    assert inside("<", Markup("<")) == "&lt;<"


def test_no_text_ends_the_script_that_holds_it():
    held = data("a", ["</script><!--", "\u2028", "&"])
    assert re.search("[<>&\u2028\u2029]", held.partition(">")[2].rpartition("<")[0]) is None
    for code in ("x</script>", "<!-- x"):
        with pytest.raises(ValueError, match="would end it"):
            script(code)


@pytest.mark.parametrize("expression", [N, sympy.Mod(N, 3) + sympy.log(N, 2)])
def test_formulas_are_well_formed_mathml(expression):
    made = mathml("t_net", expression, {N: 3e-7}).replace("&InvisibleTimes;", "")
    assert ET.fromstring(made).tag == "math"


def test_a_report_has_its_sections_in_order_and_the_words_of_the_answer():
    answer = recommend("squeezenet", network="1gbit", price=2.0)
    page = report_page(answer)
    assert re.findall(r'<section id="([a-z-]+)"', page) == [
        "plans",
        "why",
        "sure",
        "money",
        "what-if",
        "formulas",
        "rests-on",
        "downloads",
    ]
    assert str(element("h1", answer.headline)) in page
    for line in (*answer.reasons, *answer.validity, *answer.certainty().sentences()):
        assert element("li", line) in page


def test_what_is_not_plotly_stays_below_a_megabyte():
    import plotly.offline

    answer = recommend("vgg16e", network="10gbit", max_workers=2000, batches=100_000, shards=8, price=3.0)
    page = report_page(answer)
    assert len(answer.table) > MOST_ROWS
    assert len(page.encode()) - len(plotly.offline.get_plotlyjs().encode()) < 1e6
    assert "They hold" in page


def test_the_page_tells_no_time_and_is_the_same_each_time():
    made = {report_page(recommend("squeezenet", max_workers=4)) for _ in range(2)}
    assert len(made) == 1


def test_a_report_is_refused_before_the_work_where_it_cannot_be_written(tmp_path, capsys):
    with pytest.raises(FileError, match="does not exist"):
        recommend("squeezenet", max_workers=2).report(tmp_path / "no" / "report.html")
    assert run(["report", "no-such-profile", "-o", str(tmp_path / "no" / "report.html")]) == 3
    assert "does not exist" in capsys.readouterr().err


def test_the_commands_write_pages_and_name_them(tmp_path, capsys):
    report, explorer = tmp_path / "report.html", tmp_path / "explorer.html"
    assert run(["report", "squeezenet", "--network", "1gbit", "-o", str(report)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == str(report)
    assert run(["explore", "squeezenet", "--no-open", "--network", "1gbit", "-o", str(explorer)]) == 0
    assert capsys.readouterr().out.splitlines() == [str(explorer)]
    assert "Explore squeezenet" in explorer.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"method": "thesis"},
        {"placement": "lpt"},
        {"shards": 3, "t_codec": 0.01, "latency_s": 1e-3},
        {"up": "one_bit", "shards": 2},
        {"staleness": 3, "shards": 2},
        {"speeds": [1.0] * 32},
        {"per_machine": 4, "intra": "300gbit", "overlap": 0.5, "local_steps": 2, "backup": 1, "shards": 5},
        {"overlap": "gamma=3", "collectives": ["ring", "tree", "hierarchical"]},
        {"schedules": ["best", "worst", "fair", "semaphore", "pipelined"], "shards": 4},
    ],
)
def test_the_formula_of_every_kind_of_plan_is_what_the_table_says_of_constant_times(options):
    model = LiveModel.of(recommend("googlenet", network="10gbit", max_workers=12, **options))
    assert model.exact
    assert model.difference < 1e-12


def test_where_times_vary_the_page_says_that_its_formulas_do_not():
    answer = recommend(t_grad=1.0, t_comm=0.1, cv_grad=0.3, max_workers=4)
    assert not LiveModel.of(answer).exact
    page = report_page(answer)
    assert "The formulas do not have: times that vary" in page
    assert "They start at the numbers of the answer" not in page


def test_explore_opens_the_page_it_wrote(tmp_path):
    opened, opener = tmp_path / "opened", tmp_path / "opener"
    opener.write_text(f'#!/bin/sh\necho "$1" > {opened}\n', encoding="utf-8")
    opener.chmod(0o755)
    page = tmp_path / "page.html"
    line = [sys.executable, "-m", "speedup", "explore", "--t-grad", "1", "--t-comm", "0.1", "-o", str(page)]
    subprocess.run(line, check=True, capture_output=True, env={**os.environ, "BROWSER": str(opener)})
    assert opened.read_text(encoding="utf-8").strip() == page.as_uri()
    assert "<h1>Explore times given</h1>" in page.read_text(encoding="utf-8")
