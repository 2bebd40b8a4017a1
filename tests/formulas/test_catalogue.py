"""The equations: numbers, symbols, and symbolic against numeric."""

import itertools
import random

import numpy as np
import pytest
import sympy
from sympy import Rational

from speedup import CATALOGUE, SpeedupError, formula
from speedup.formulas import QUANTITIES, largest_t_comm, latex
from speedup.formulas.symbols import D, N, f_max, f_min, t_comm, t_grad
from speedup.numeric import numeric

THESIS = [f"4.{number}" for number in range(1, 24)] + ["7.1", "7.2", "7.3"]
MODES = ("sync-join", "sync-split", "async")
SCHEDULES = ("best", "worst", "mean", "semaphore", "fair")


def all_formulas():
    for method, mode in itertools.product(("thesis", "exact"), MODES):
        for schedule in SCHEDULES:
            yield (
                f"{method} {mode} central {schedule}",
                formula(mode, "central", schedule=schedule, method=method),
            )
        for placement in ("equal", "greedy"):
            found = formula(mode, "distributed", method=method, placement=placement)
            yield f"{method} {mode} distributed {placement}", found


# Q.1 is a sum over N terms, for whole N alone; machine_repairman_throughput evaluates it (tests/queueing). F.3 to F.6
# grow exponentially, and are beyond all floats where nothing is known of their symbols (tests/test_failures.py).
ELSEWHERE = {"Q.1", "F.3", "F.4", "F.5", "F.6"}
EXPRESSIONS = [
    *((number, equation.expression) for number, equation in CATALOGUE.items() if number not in ELSEWHERE),
    *all_formulas(),
]


def random_rationals(symbols, seed):
    generator = random.Random(seed)
    return {symbol: Rational(generator.randint(1, 4000), generator.randint(1, 300)) for symbol in symbols}


def test_every_equation_of_the_thesis_is_in_the_catalogue():
    assert set(THESIS) <= set(CATALOGUE)


@pytest.mark.parametrize(("name", "expression"), EXPRESSIONS, ids=[name for name, _ in EXPRESSIONS])
def test_numpy_equals_30_digit_evaluation_at_random_rational_points(name, expression):
    symbols = tuple(sorted(expression.free_symbols, key=str))
    function = numeric(expression, symbols)
    for seed in range(25):
        point = random_rationals(symbols, f"{name}-{seed}")
        exact = expression.subs(point)
        want = [value.evalf(30) for value in exact] if isinstance(exact, sympy.Tuple) else [exact.evalf(30)]
        got = np.atleast_1d(function(*(float(point[symbol]) for symbol in symbols)))
        np.testing.assert_allclose(got, [float(value) for value in want], rtol=1e-12)


@pytest.mark.parametrize("equation", CATALOGUE.values(), ids=CATALOGUE.keys())
def test_every_symbol_has_unit_latex_and_meaning(equation):
    known = {quantity.symbol: quantity for quantity in QUANTITIES}
    for symbol in equation.expression.free_symbols:
        quantity = known[symbol]
        assert quantity.unit in {"1", "s", "1/s"}
        assert quantity.latex
        assert quantity.meaning
        assert symbol.is_nonnegative


@pytest.mark.parametrize("equation", CATALOGUE.values(), ids=CATALOGUE.keys())
def test_every_equation_typesets_with_both_sides(equation):
    text = equation.latex()
    assert r" \in " in text or " = " in text
    assert "_iter_" not in text


def test_best_and_worst_of_server_and_worker_agree_as_the_thesis_says():
    expression = {number: CATALOGUE[number].expression for number in THESIS}
    assert expression["4.6"] == expression["4.4"] == expression["4.5"]
    assert expression["4.9"] == expression["4.7"] == expression["4.8"]
    assert expression["4.18"] == expression["4.16"] == expression["4.17"]
    assert sympy.simplify(expression["7.2"] - N * t_comm) == 0


def test_the_mean_averages_times_not_speedups():
    low, high = CATALOGUE["4.10"].expression
    assert sympy.simplify(CATALOGUE["4.11"].expression - (low + high) / 2) == 0


def test_sync_split_central_mean_is_fastest_at_root_of_two_thirds_of_the_time_ratio():
    t_train = formula("sync-split", "central")
    assert sympy.solve(t_train.diff(N), N) == [sympy.sqrt(6) * sympy.sqrt(t_grad) / (3 * sympy.sqrt(t_comm))]
    assert t_train.diff(N, 2).is_positive


def test_sync_split_central_best_is_fastest_at_root_of_the_time_ratio():
    t_train = formula("sync-split", "central", schedule="best")
    assert sympy.solve(t_train.diff(N), N) == [sympy.sqrt(t_grad) / sympy.sqrt(t_comm)]


def test_central_and_equal_distributed_servers_never_cross():
    for schedule in SCHEDULES:
        difference = formula("sync-join", "central", schedule=schedule) - formula("sync-join", "distributed")
        assert sympy.solve(difference, N) == []


def test_a_skewed_distributed_server_crosses_the_central_mean_at_a_share_of_three_quarters():
    busiest = 2 * (N - 1) * f_max * t_comm + t_grad  # the branch of P.2 that a large share takes
    central = CATALOGUE["4.11"].expression
    (crossover,) = sympy.solve(central - busiest, f_max)
    assert sympy.simplify(crossover - (3 * N + 1) / (4 * (N - 1))) == 0
    assert sympy.limit(crossover, N, sympy.oo) == Rational(3, 4)


@pytest.mark.parametrize("mode", MODES)
def test_unequal_shares_reduce_to_the_printed_form_when_they_are_equal(mode):
    placed = formula(mode, "distributed", placement="greedy").subs({f_max: 1 / N, f_min: 1 / N})
    assert sympy.simplify(placed - formula(mode, "distributed")) == 0


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_whole_batch_forms_equal_the_printed_ones_where_workers_divide_batches(mode, schedule):
    printed = formula(mode, "central", schedule=schedule)
    exact = formula(mode, "central", schedule=schedule, method="exact")
    for workers, batches in ((1, 1), (1, 7), (4, 128), (8, 8), (16, 128)):
        point = {N: workers, D: batches, t_grad: Rational(758, 1000), t_comm: Rational(11, 300)}
        assert printed.subs(point) == exact.subs(point)


@pytest.mark.parametrize(("name", "expression"), list(all_formulas()), ids=[name for name, _ in all_formulas()])
def test_the_longest_transfer_for_a_budget_gives_that_budget_back(name, expression):
    budget = sympy.Symbol("t_budget", positive=True)
    inverse = largest_t_comm(expression, budget)
    point = {N: 8, D: 100, t_grad: Rational(3, 4), f_max: Rational(1, 5), f_min: Rational(1, 20)}
    limit = inverse.subs({**point, budget: 200})
    assert limit > 0
    assert abs(float(expression.subs({**point, t_comm: limit})) - 200) < 1e-9


def test_a_formula_reads_in_latex_with_the_glossary_s_letters():
    assert r"t_{\mathrm{comm}}" in latex(formula("async", "central", schedule="best"))


@pytest.mark.parametrize(
    ("arguments", "options", "said"),
    [
        (("sync", "central"), {}, 'mode = "sync" is unknown'),
        (("async", "sharded"), {}, "Allowed: central, distributed"),
        (("async", "central"), {"schedule": "fare"}, "Allowed: best, worst, mean, semaphore, fair"),
        (("async", "distributed"), {"schedule": "best"}, "belongs to a central server"),
        (("async", "central"), {"placement": "greedy"}, "belongs to a distributed server"),
        (("async", "central"), {"method": "queue"}, "Allowed: thesis, exact"),
    ],
)
def test_a_formula_that_does_not_exist_is_refused_with_what_is_allowed(arguments, options, said):
    with pytest.raises(SpeedupError, match=said):
        formula(*arguments, **options)


def test_an_expression_with_a_foreign_symbol_is_refused():
    with pytest.raises(ValueError, match="no arguments"):
        numeric(N * sympy.Symbol("x"), (N,))
