"""The command line: the same numbers, results on stdout alone, exit codes."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import speedup
from speedup.bridge import load_calibrate
from speedup.cli import run

TABLE_6_1 = {"squeezenet": (0.758, 0.033), "googlenet": (0.763, 0.210), "resnet34": (0.821, 0.811)}


@pytest.fixture
def command(capsys):
    def call(line):
        code = run(line if isinstance(line, list) else line.split())
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def started(*arguments, **options):
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False, **options)


@pytest.mark.parametrize(
    ("network", "at_eight"), [("squeezenet", "7.4337"), ("googlenet", "5.3994"), ("resnet34", "2.9318")]
)
def test_table_6_1_through_estimate_csv(command, network, at_eight):
    t_grad, t_comm = TABLE_6_1[network]
    code, out, err = command(
        f"estimate --t-grad {t_grad} --t-comm {t_comm} --type sync-join --server distributed --workers 8 "
        "--batches 128 --output csv"
    )
    rows = list(csv.DictReader(io.StringIO(out)))
    assert (code, err) == (0, "")
    assert [row["workers"] for row in rows] == [str(count) for count in range(1, 9)]
    assert f"{float(rows[-1]['speedup']):.4f}" == at_eight
    assert tuple(rows[0]) == tuple(speedup.estimate(t_grad=1.0, t_comm=1.0).to_frame().columns)


@pytest.mark.parametrize("server", ["central", "distributed"])
@pytest.mark.parametrize("mode", ["sync-join", "sync-split", "async"])
def test_csv_has_one_row_for_each_count_whatever_the_plan(command, mode, server):
    _, out, _ = command(f"estimate --t-grad 1 --t-comm .1 --type {mode} --server {server} --workers 5 --output csv")
    assert len(out.splitlines()) == 6


def test_single_is_the_speedup_at_the_largest_count_alone(command):
    code, out, err = command("estimate resnet34 --server distributed --output single")
    assert (code, err) == (0, "")
    assert float(out) == speedup.estimate("resnet34", workers=8, modes="sync-join", servers="distributed")[0].speedup


def test_greedy_placement_lowers_resnet_to_2_36(command):
    _, out, _ = command("estimate resnet34 --server distributed --placement greedy --output single")
    assert f"{float(out):.2f}" == "2.36"


def test_sync_split_central_mean_of_squeezenet_peaks_at_four(command):
    _, out, _ = command("estimate --t-grad .758 --t-comm .033 --type sync-split --server central --output csv")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert max(rows, key=lambda row: float(row["speedup"]))["workers"] == "4"


def test_json_is_one_document_with_the_numbers_of_the_library(command):
    for line in ("estimate squeezenet --output json", "estimate squeezenet --json"):
        document = json.loads(command(line)[1])
        table = speedup.estimate("squeezenet", modes="sync-join", servers="central", schedules="mean")
        assert document == table.to_dict()
    document = json.loads(command("recommend resnet34 --network 1gbit --max-workers 32 --json")[1])
    assert document == speedup.recommend("resnet34", network="1gbit", max_workers=32).to_dict()


def test_recommend_prints_the_answer_first_and_the_same_as_the_library(command):
    code, out, err = command("recommend vgg16e")
    assert (code, err) == (0, "")
    assert "Use one worker: 128 batches take 92 s." in out
    assert out.rstrip() == str(speedup.recommend("vgg16e"))


def test_explain_puts_the_numbers_into_the_formula(command):
    _, out, _ = command("explain squeezenet -n 8")
    assert "t_train = D*(t_grad + 2*t_comm*(N - 1)/N)/N" in out
    assert "= 128*(0.758 + 2*0.033*(8 - 1)/8)/8" in out
    assert "= 7.4337" in out
    document = json.loads(command("explain squeezenet -n 4 --type async --server central --json")[1])
    assert document["equation"] == "4.20"
    assert r"\max" in document["latex"]
    greedy = command("explain resnet34 --placement greedy")[1]
    assert "f_max  = 0.172676" in greedy


def test_every_explained_value_is_what_its_printed_arithmetic_gives(command):
    names = {"Max": max, "floor": lambda x: x // 1, "Mod": lambda a, b: a % b, "ceiling": lambda x: -(-x // 1)}
    for mode in ("sync-join", "sync-split", "async"):
        for options in ("--server distributed", "--server distributed --placement lpt", "--server central"):
            document = json.loads(command(f"explain googlenet --type {mode} {options} --json")[1])
            arithmetic = document["substituted"].removeprefix("t_train = ")
            assert eval(arithmetic, names) == pytest.approx(document["estimate"]["time_s"], rel=1e-5)


def test_plot_writes_a_page_that_loads_nothing_and_prints_its_path(command, tmp_path):
    path = tmp_path / "figure.html"
    code, out, _ = command(f"estimate squeezenet --output plot --out {path}")
    assert (code, out) == (0, f"{path}\n")
    page = path.read_text()
    assert '<script src="http' not in page
    assert '"remove":["sendChartToCloud",' in page


def test_a_recommendation_is_written_as_a_figure_beside_its_text(command, tmp_path):
    path = tmp_path / "figure.html"
    code, out, _ = command(f"recommend squeezenet --plot {path}")
    assert code == 0
    assert out.endswith(f"{path}\n")
    assert "8 workers: 7.43" in path.read_text()
    code, out, said = command(f"recommend squeezenet --json --plot {path}")
    assert json.loads(out)["headline"].startswith("Use 8 workers")
    assert said == f"{path}\n"
    code, _, said = command(f"recommend squeezenet --plot {tmp_path / 'missing' / 'figure.html'}")
    assert code == 3
    assert "does not exist" in said


def test_profiles_lists_the_shipped_ones(command):
    names = {row["name"] for row in json.loads(command("profiles --json")[1])["profiles"]}
    assert {"vgg16e", "googlenet", "squeezenet", "resnet34"} <= names
    assert all(name in command("profiles")[1] for name in names)


def test_models_lists_what_can_be_calibrated(command):
    rows = {row["name"]: row for row in json.loads(command("models --json")[1])["models"]}
    assert rows["squeezenet"]["parameters"] == 1_248_424
    assert rows["resnet34"]["parameters"] == 21_797_672
    assert rows["nardini_mlp"]["tensors"] == 6
    assert "nardini_mlp" in command("models")[1]


def test_doctor_finds_nothing_in_the_way_here(command):
    code, out, _ = command("doctor --json")
    document = json.loads(out)
    assert (code, document["problems"]) == (0, [])
    assert document["versions"]["jax"]
    assert document["facts"]["device"] == str(load_calibrate().describe_device())


BAD = [
    ("estimate --t-grad -1 --t-comm 1", 2, "t_grad = -1 s; it must be finite and > 0 s."),
    ("estimate --t-grad nan --t-comm 1", 2, "t_grad = nan s; it must be finite and > 0 s."),
    ("estimate --t-grad 1 --t-comm 0", 2, "t_comm = 0 s; it must be finite and > 0 s."),
    ("estimate --t-grad x --t-comm 1", 2, "--t-grad"),
    ("estimate --t-comm 1", 2, "t_grad is missing"),
    ("estimate --t-grad 1 --t-comm 1 --workers 0", 2, "--workers must be at least 1, got 0."),
    ("estimate --t-grad 1 --t-comm 1 --batches 0", 2, "batches = 0; it must be at least 1."),
    ("estimate --t-grad 1 --t-comm 1 --type sync", 2, '"sync"'),
    ("estimate --t-grad 1 --t-comm 1 --server distributed --schedule best", 2, "belongs to a central server"),
    ("estimate --t-grad 1 --t-comm 1 --wrokers 8", 2, "--wrokers"),
    ("recommend resnet33 --network 1gbit", 2, 'unknown profile "resnet33". Did you mean "resnet34"?'),
    ("recommend resnet34 --network 1gb", 2, '"1gb" is ambiguous: 1 Gbit/s or 1 GB/s (8 times more)?'),
    ("recommend resnet34 --network fast", 2, '"fast" is not a bandwidth. Examples: 1gbit'),
    ("recommend resnet34 --max-workers 0", 2, "--max-workers must be at least 1, got 0."),
    ("recommend nowhere/lab.json", 3, "does not exist. Measure one: speedup calibrate NAME -o nowhere/lab.json"),
    ("calibrate resnet33", 2, 'unknown model "resnet33". Did you mean "resnet34"'),
    ("calibrate nardini_mlp --batch 0", 2, "batch = 0; it must be at least 1."),
    ("calibrate nardini_mlp -o nowhere/lab.json", 3, "does not exist. Make it first: mkdir -p nowhere"),
    ("recomend", 2, '"recomend"'),
    ("explain squeezenet -n 0", 2, "must be at least 1"),
]


@pytest.mark.parametrize(("line", "code", "said"), BAD, ids=[line for line, _, _ in BAD])
def test_bad_input_is_one_clear_error_and_writes_nothing(command, tmp_path, monkeypatch, line, code, said):
    monkeypatch.chdir(tmp_path)
    got, out, err = command(line)
    assert (got, out) == (code, "")
    assert err.startswith("error: ")
    assert said in err
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"schema": "speedup.profile/1",', "is not JSON"),
        ('{"schema": "speedup.profile/7"}', "this version reads 1. Upgrade"),
        ('{"schema": "speedup.profile/1", "name": "x"}', 'has no "workload"'),
    ],
)
def test_a_broken_or_newer_profile_file_ends_with_3_and_stays_as_it_is(command, tmp_path, text, said):
    path = tmp_path / "lab.json"
    path.write_text(text)
    code, out, err = command(["recommend", str(path), "--network", "1gbit"])
    assert (code, out) == (3, "")
    assert said in err
    assert path.read_text() == text
    assert [entry.name for entry in tmp_path.iterdir()] == ["lab.json"]


def test_module_and_command_end_with_the_same_code():
    assert started("-m", "speedup", "estimate", "--t-grad", "0", "--t-comm", "1").returncode == 2
    done = started("-m", "speedup", "--version")
    assert (done.returncode, done.stdout.strip()) == (0, speedup.__version__)


def test_a_reader_that_goes_away_is_no_error():
    read, write = os.pipe()
    os.close(read)
    line = [sys.executable, "-m", "speedup", "estimate", "squeezenet", "--workers", "2000", "--output", "csv"]
    done = subprocess.run(line, stdout=write, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (0, "")


def test_without_jax_calibrating_says_what_to_install_and_the_rest_works(tmp_path):
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['jax'] = sys.modules['flax'] = None\n")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = started("-m", "speedup", "calibrate", "nardini_mlp", env=environment, cwd=tmp_path)
    assert done.returncode == 4
    assert 'Run: pip install "speedup-toolkit[calibrate]"' in done.stderr
    assert started("-m", "speedup", "recommend", "squeezenet", env=environment, cwd=tmp_path).returncode == 0


def test_a_file_that_hides_the_calibrate_package_is_named(tmp_path):
    (tmp_path / "calibrate.py").write_text("")
    done = started("-m", "speedup", "calibrate", "nardini_mlp", cwd=tmp_path)
    assert done.returncode == 4
    assert f"{tmp_path / 'calibrate.py'} hides the calibrate package of speedup-toolkit" in done.stderr


@pytest.mark.device
def test_calibrate_measures_this_device_and_recommend_reads_its_file(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = command("calibrate nardini_mlp --batch 64 --max-time-s 8 -o lab.json")
    assert code in {0, 5}
    assert out.endswith("saved lab.json\n")
    assert err.split("\n")[0] == "compile"
    profile = speedup.Profile.load(Path("lab.json"))
    assert profile.workload.parameters == 266_610
    assert profile.t_grad_timing.stable is (code == 0)
    code, out, _ = command("recommend lab.json --network 1gbit --json")
    assert (code, json.loads(out)["inputs"]["t_grad_provenance"]) == (0, "measured")
    assert json.loads(out)["inputs"]["t_comm_s"] == pytest.approx(4 * 266_610 / 125e6)


@pytest.mark.device
def test_a_calibration_that_is_interrupted_ends_with_130_and_leaves_no_file(tmp_path):
    line = [sys.executable, "-m", "speedup", "calibrate", "nardini_mlp", "-o", "lab.json"]
    process = subprocess.Popen(line, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    stages = []
    while not any("sampling" in stage for stage in stages):
        stages.append(process.stderr.readline())
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert (process.returncode, err.splitlines()[-1]) == (130, "error: interrupted; nothing was written.")
    assert list(tmp_path.iterdir()) == []


SIMULATE = (
    "simulate --mode async --server central --schedule semaphore --workers 8 --batches 128 --t-grad 1 --t-comm .1"
)


def test_simulate_has_the_promised_options_and_fields(command):
    line = f"{SIMULATE} --cv-grad 0 --cv-comm 0 --law gamma --assign pool --replications 3 --seed 5 --json"
    document = json.loads(command(line)[1])
    assert document["time_s"]["mean"] == pytest.approx(19.9)
    assert {"mean", "se", "quantiles"} <= set(document["time_s"])
    assert document["throughput"] == pytest.approx(128 / 19.9)
    assert document["utilisation"]["workers"] == pytest.approx([16 / 19.9] * 8)
    assert document["wait_s"]["pull"] == pytest.approx(28 * 0.1 / 128)


def test_simulate_takes_one_value_or_one_a_worker(command):
    line = "simulate --workers 2 --batches 300 --t-grad 1,2 --t-comm 1e-6,1e-6 --cv-grad 0,0.1 --json"
    document = json.loads(command(line)[1])
    assert document["batches_by_worker"] == pytest.approx([200, 100], abs=2)
    code, out, err = command("simulate --workers 3 --t-grad 1,2 --t-comm .1")
    assert (code, out) == (2, "")
    assert "t_grad has 2 values for 3 workers" in err
    assert (
        "is no number, nor numbers with commas between" in command("simulate --workers 3 --t-grad one --t-comm .1")[2]
    )


def test_simulate_prints_a_summary_and_writes_a_trace_where_asked(command, tmp_path):
    code, out, _ = command(f"{SIMULATE} --cv-grad .2")
    assert code == 0
    assert "speedup" in out
    path = tmp_path / "trace.csv"
    code, out, _ = command(f"{SIMULATE} --trace {path}")
    assert out.splitlines()[-1] == str(path)
    assert path.read_text().startswith("worker,batch,activity")


def test_estimate_names_the_method_of_each_row(command):
    line = "estimate --t-grad 1 --t-comm .1 --type async --workers 8 --cv-grad .3 --json"
    for method, named in (
        ("auto", "simulation"),
        ("queueing", "mva"),
        ("simulation", "simulation"),
        ("exact", "exact"),
    ):
        rows = json.loads(command(f"{line} --method {method}")[1])["rows"]
        assert rows[-1]["method"] == named
    assert rows[-1]["schedule"] == "mean"
    thesis = json.loads(command("estimate --t-grad 1 --t-comm .1 --type async --method thesis --json")[1])["rows"]
    assert thesis[-1]["equation"] == "4.20"


def test_encodings_are_listed_with_what_they_make_of_a_payload(capsys):
    assert run(["encodings", "vgg16e", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)["encodings"]}
    assert rows["int8"]["share"] == "25.0%"
    assert (rows["mask"]["for"], rows["mask"]["lossy"]) == ("weights", "no")
    assert run(["encodings"]) == 0
    assert "payload" not in capsys.readouterr().out.splitlines()[0]
