"""Formulas printed to JavaScript say in a browser what Python says."""

from itertools import product

import numpy as np
import pytest
import sympy

from speedup.closed_forms import exchange_formulas, run_formula
from speedup.formulas import CATALOGUE
from speedup.formulas.symbols import D, N, t_net
from speedup.inputs import gather
from speedup.kinds import plan_kinds
from speedup.numeric import numeric
from speedup.plans import COLLECTIVES, SCHEDULES, SERVERS, TRAINING_MODES
from speedup.report.javascript import functions, of_catalogue

POINTS = 1000
COUNTS = ("N", "D", "k", "r", "L", "H", "I", "m_0", "b", "m")
PRACTICES = (
    {},
    {"per_machine": 4, "intra": 0.01},
    {"overlap": "full", "backup": 2, "local_steps": 3},
    {"overlap": "gamma=2.5", "per_machine": 8},
)


def plan_expressions():
    """Return t_train of every mode, server and schedule or collective, with what can be done besides."""
    kinds = plan_kinds(TRAINING_MODES, SERVERS, SCHEDULES, COLLECTIVES)
    found = []
    for practice, up, equal, method in product(PRACTICES, (None, 0.2), (True, False), ("thesis", "exact")):
        inputs = gather(None, t_grad=1.0, t_comm=0.1, t_up=up, **practice)
        for kind in kinds:
            run, _ = run_formula(kind, inputs, method, equal=equal)
            nets = exchange_formulas(kind, inputs, equal=equal)
            found += [run.subs(t_net, one) for one, _ in nets] or [run]
    return list(dict.fromkeys(found))


def points():
    """Return values of every symbol: one worker, many, D that N divides or does not, slow links and fast ones."""
    rng = np.random.default_rng(9)
    names = sorted({symbol.name for one in CATALOGUE.values() for symbol in one.expression.free_symbols} | {"gamma"})
    values = {name: 10 ** rng.uniform(-4, 3, POINTS) for name in names}
    for name in COUNTS:
        values[name] = np.floor(10 ** rng.uniform(0, 4, POINTS))
    n, d = values["N"], values["D"]
    n[:50], n[50:100], n[100:150] = 1, 2 ** np.arange(50) % 65_536 + 1, 100_000
    # Where N divides D, D times 1/N may be below D/N.
    n[200:400], d[200:400] = np.arange(101, 301), np.arange(101, 301) * rng.integers(1, 50, 200)
    values["t_comm"][400:500] = 1e-9 * values["t_grad"][400:500]
    values["t_comm"][500:600] = 1e6 * values["t_grad"][500:600]
    values["a"][::3] = 0.0
    values["r"] = np.floor(10 ** rng.uniform(0, 1.5, POINTS))
    values["B"] = np.floor(rng.uniform(0, 1, POINTS) * n)
    values["f_max"] = 1 / n + rng.uniform(0, 1, POINTS) * (1 - 1 / n)
    values["f_min"] = rng.uniform(0, 1, POINTS) / n
    values["omega"], values["f_back"] = rng.uniform(0, 1, POINTS), rng.uniform(0.01, 1, POINTS)
    values["gamma"] = rng.uniform(1, 20, POINTS)
    values["t_fail"] = 10 ** rng.uniform(5, 8, POINTS)
    values["m_stop"], values["t_train"] = np.ceil(rng.uniform(0, 100, POINTS)), 10 ** rng.uniform(0, 5, POINTS)
    values["k"][:600] = np.ceil(rng.uniform(0, 1, 600) * n[:600])
    values["k"] = np.minimum(values["k"], 1000)
    return values


def worst(open_page, tmp_path, expressions):
    """Return the largest relative difference of JavaScript from Python, over all expressions and points."""
    path, values = tmp_path / "formulas.html", points()
    path.write_text(f"<!DOCTYPE html><script>{functions(expressions)}</script>", encoding="utf-8")
    it = open_page(path)
    columns = {name: value.tolist() for name, value in values.items()}
    rows = it.page.evaluate(
        """(columns) => {
            const names = Object.keys(columns);
            const at = columns.N.map((_, i) => Object.fromEntries(names.map((name) => [name, columns[name][i]])));
            return formulas.map((formula) => at.map((point) => formula(point)));
        }""",
        columns,
    )
    assert it.complaints == []
    found = 0.0
    for expression, row in zip(expressions, rows, strict=True):
        symbols = tuple(sorted(expression.free_symbols, key=str))
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            expected = np.broadcast_to(numeric(expression, symbols)(*(values[one.name] for one in symbols)), POINTS)
        got = np.array(row, dtype=np.float64)
        np.testing.assert_array_equal(np.isfinite(got), np.isfinite(expected), err_msg=str(expression))
        known = np.isfinite(expected) & (expected != 0)
        assert known.mean() > 0.5, expression
        np.testing.assert_array_equal(got[expected == 0], 0)
        error = np.abs(got[known] / expected[known] - 1).max()
        assert error < 1e-9, expression
        found = max(found, float(error))
    return found


@pytest.mark.browser
def test_every_formula_of_a_plan_is_the_same_in_javascript(open_page, tmp_path):
    expressions = plan_expressions()
    assert len(expressions) > 100
    assert worst(open_page, tmp_path, expressions) < 1e-12


@pytest.mark.browser
def test_every_equation_of_the_catalogue_that_is_printed_is_the_same_in_javascript(open_page, tmp_path):
    printed, left_out = of_catalogue()
    expressions = [one for pair in printed.values() for one in pair]
    assert list(left_out) == ["Q.1"]
    assert worst(open_page, tmp_path, expressions) < 1e-9


@pytest.mark.browser
def test_whole_batches_come_out_whole_in_javascript(open_page, tmp_path):
    # 237 * (1/237) is below 1: a printer that shares 1/N between D/N and the rest would lose a round.
    rounds = sympy.floor(D / N)
    path = tmp_path / "rounds.html"
    path.write_text(f"<script>{functions([rounds, CATALOGUE['W.4'].expression])}</script>", encoding="utf-8")
    found = open_page(path).page.evaluate(
        "[...Array(3000).keys()].filter((n) => n && formulas[0]({N: n, D: 7 * n}) !== 7)"
    )
    assert found == []
