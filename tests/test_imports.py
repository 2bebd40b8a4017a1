"""What an import costs, and who may know whom."""

import subprocess
import sys

import pytest

import speedup

SLOW = {"jax", "sympy", "pandas", "scipy", "plotly"}


def modules_after(code):
    script = f"import sys\n{code}\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.split("\n")[-2].split())


@pytest.mark.parametrize(
    "line", [["--help"], ["--version"], ["estimate", "--help"], ["recommend", "--help"], ["report", "--help"]]
)
def test_help_loads_nothing_slow(line):
    assert not modules_after(f"from speedup.cli import run\nrun({line!r})") & SLOW


def test_importing_speedup_loads_not_even_numpy():
    assert not modules_after("import speedup") & (SLOW | {"numpy", "pydantic"})


def test_an_estimate_needs_neither_pandas_nor_plotly_nor_scipy():
    loaded = modules_after("import speedup; speedup.estimate(t_grad=1.0, t_comm=1.0).to_csv()")
    assert not loaded & {"pandas", "plotly", "scipy", "jax", "pydantic"}


def test_every_public_name_is_there_and_at_most_twenty():
    assert len(speedup.__all__) <= 20
    for name in speedup.__all__:
        assert getattr(speedup, name).__doc__
    assert set(speedup.__all__) <= set(dir(speedup))
    with pytest.raises(AttributeError, match="nothing"):
        _ = speedup.nothing


def test_functions_stay_functions_after_their_modules_are_loaded():
    # A module speedup.estimate would take the place of the function on the package.
    import speedup.estimates
    import speedup.explanation
    import speedup.recommendation

    assert callable(speedup.estimate)
    assert callable(speedup.explain)
    assert callable(speedup.recommend)
    assert callable(speedup.calibrate)
