"""The report in a browser: what it shows is what Python says, and everybody can use it."""

import io
import json
import re
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from playwright.sync_api import expect

import speedup
from speedup import Link, estimate, recommend
from speedup.profile import Phase, Profile, Provenance, Timing
from speedup.report import explore
from speedup.report.model import LiveModel
from speedup.text import ratio
from speedup.units import show_bandwidth, show_seconds

pytestmark = pytest.mark.browser

PLAIN = {"profile_or_name": "resnet34", "network": "10gbit", "max_workers": 16}
MACHINES = {
    "profile_or_name": "vgg16e",
    "network": "10gbit",
    "latency_s": 5e-5,
    "max_workers": 64,
    "batches": 1024,
    "per_machine": 8,
    "intra": "600gbit",
    "overlap": "full",
}
COST = {
    "profile_or_name": "squeezenet-xeon-b16",
    "network": "1gbit",
    "batches": 10_000,
    "max_workers": 32,
    "cv_grad": 0.0,
    "objective": "cost-to-target",
    "noise_scale": 500,
    "price": 2.5,
    "deadline_s": 3600,
}


def shrinking():
    """Return a profile whose steps and payload become smaller from phase to phase."""
    base = Profile.load("vgg16e")
    phases = tuple(
        Phase(
            name=f"epoch {number + 1}",
            batches=600,
            t_grad=Timing(median_s=0.7 * 0.9**number, provenance=Provenance.MEASURED),
            tensor_elements=tuple(max(1, int(share * one)) for one in base.workload.tensor_elements),
        )
        for number, share in enumerate((1.0, 0.3, 0.1, 0.03, 0.01))
    )
    return replace(base, phases=phases, t_comm=None)


def swept():
    """Return a profile that was measured at several batch sizes, of which a part takes more than its share."""
    base = Profile.load("squeezenet-xeon-b16")
    sizes = (2, 4, 8, 16)
    timings = tuple(
        Timing(
            median_s=0.05 + 0.08 * size, provenance=Provenance.MEASURED, batch=size, low_s=0.04, high_s=3.0, level=0.9
        )
        for size in sizes
    )
    return replace(base, t_grad=timings, costs=())


CASES = {
    "sweep": {"profile_or_name": swept(), "network": "10gbit", "batch": 16, "method": "exact", "max_workers": 16},
    "phases": {"profile_or_name": shrinking(), "network": "1gbit"},
    "published": {"profile_or_name": "squeezenet"},
    "plain": PLAIN,
    "one worker": {"profile_or_name": "vgg16e", "network": "1gbit"},
    "machines": MACHINES,
    "shards": {"profile_or_name": "vgg16e", "network": "10gbit", "shards": 3, "max_workers": 12, "batches": 100},
    "directions": {"profile_or_name": "vgg16e", "network": "1gbit", "up": "one_bit", "t_codec": 0.01},
    "placed": {"profile_or_name": "googlenet", "network": "1gbit", "placement": "greedy", "max_workers": 12},
    "printed": {"profile_or_name": "googlenet", "network": "1gbit", "method": "thesis", "max_workers": 12},
    "two times": {"t_grad": 1.0, "t_comm": 0.05, "local_steps": 4, "backup": 1, "overlap": "gamma=2"},
    "cost": COST,
}


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """Write the report of a case once."""
    folder, made = tmp_path_factory.mktemp("reports"), {}

    def written(name):
        if name not in made:
            answer = recommend(**CASES[name])
            made[name] = answer, answer.report(folder / f"{name}.html")
        return made[name]

    return written


@pytest.fixture
def report(open_page, pages):
    """Open the report of a case."""

    def opened(name="plain", **options):
        answer, path = pages(name)
        it = open_page(path, **options)
        it.page.wait_for_selector("#live-map .heatmaplayer image, #live-map .hm", state="attached")
        return answer, it

    return opened


def curves(page):
    """Return the y of every kind's curve, by its name."""
    drawn = page.evaluate(
        "document.getElementById('live-curves').data.filter(({meta}) => meta === 'curve').map(({name, y}) => [name, y])"
    )
    return {name: np.array(y, dtype=np.float64) for name, y in drawn}


def put(page, **steps):
    """Move sliders to steps, and wait until the page has followed."""
    page.evaluate(
        """(steps) => {
            for (const [name, step] of Object.entries(steps)) {
                const slider = document.getElementById(name);
                slider.value = step;
                slider.dispatchEvent(new Event("input", {bubbles: true}));
            }
            return new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
        }""",
        steps,
    )


def moved(start, step):
    """Return the value of a slider so many steps from its start."""
    return start if step == 0 else float(f"{start * 10 ** (step / 50):.3g}")


@pytest.mark.parametrize("name", CASES)
def test_a_report_starts_at_the_numbers_of_the_answer_and_asks_no_network(report, name):
    answer, it = report(name)
    model, drawn = LiveModel.of(answer), curves(it.page)
    assert model.exact
    assert len(drawn) == len(model.kinds) == len(answer.table.families)
    for kind, y in zip(model.kinds, drawn.values(), strict=True):
        rows = model.rows(kind)
        np.testing.assert_allclose(y[rows >= 0], answer.table.speedup[rows[rows >= 0]], rtol=1e-9)
        assert np.isnan(y[rows < 0]).all()
    assert it.page.locator("#live-answer").inner_text() == answer.headline
    assert it.complaints == []
    assert it.asked_a_network() == []


def test_moved_sliders_say_what_estimate_says(report):
    _, it = report("plain")
    rng, start = np.random.default_rng(3), Profile.load("resnet34").t_grad_s
    for _ in range(12):
        steps = {"bandwidth": int(rng.integers(-100, 101)), "t_grad": int(rng.integers(-100, 101))}
        put(it.page, **steps)
        table = estimate(
            "resnet34",
            network=Link(bandwidth_bytes_per_s=moved(1.25e9, steps["bandwidth"])),
            t_grad=moved(start, steps["t_grad"]),
            workers=range(1, 17),
            schedules="expected",
        )
        drawn = curves(it.page)
        for index, family in enumerate(table.families):
            same = next(y for name, y in drawn.items() if name.startswith(f"{family.mode}, {said(family)}"))
            np.testing.assert_allclose(same, table.take(table.family == index).speedup, rtol=1e-9)


def said(family):
    return "all-reduce" if family.server == "allreduce" else f"{family.server} server"


def test_payload_shards_latency_and_machines_go_into_the_formulas(report):
    _, it = report("shards")
    put(it.page, payload=25, shards=6)
    shards = it.page.evaluate("JSON.parse(document.getElementById('data').textContent).live.sliders.at(-1).of[6]")
    t_comm = moved(Profile.load("vgg16e").workload.payload_bytes, 25) / 1.25e9
    t_grad = Profile.load("vgg16e").t_grad_s
    table = estimate(
        t_grad=t_grad, t_comm=t_comm, shards=shards, servers="sharded", modes="async", workers=range(1, 13), batches=100
    )
    np.testing.assert_allclose(curves(it.page)["async, sharded server, fair"], table.speedup, rtol=1e-9)
    assert it.page.locator("#shards-value").inner_text() == str(shards)


def test_latency_stays_when_the_bandwidth_moves(report):
    _, it = report("machines")
    put(it.page, bandwidth=-50)
    options = {key: MACHINES[key] for key in ("latency_s", "batches", "per_machine", "intra", "overlap")}
    link = Link(bandwidth_bytes_per_s=1.25e8, latency_s=options.pop("latency_s"))
    table = estimate("vgg16e", network=link, workers=range(1, 65), modes="sync-join", servers="allreduce", **options)
    np.testing.assert_allclose(curves(it.page)["sync-join, all-reduce"], table.speedup, rtol=1e-9)


def test_the_right_arrow_moves_curves_numbers_and_answer(report):
    _, it = report("plain")
    before, slider = curves(it.page), it.page.get_by_role("slider", name="Bandwidth")
    slider.focus()
    for _ in range(3):
        it.page.keyboard.press("ArrowRight")
    rate = moved(1.25e9, 3)
    words = show_bandwidth(rate)
    expect(it.page.locator("#bandwidth-value")).to_have_text(words)
    put(it.page)
    after = curves(it.page)
    assert all((after[name][-1] > before[name][-1]) == (not name.startswith("one")) for name in before)
    table = estimate("resnet34", network=Link(bandwidth_bytes_per_s=rate), workers=16, schedules="expected")
    row = next(row for row in table if (row.mode, row.server) == ("sync-join", "central"))
    cells = it.page.locator("#live-table tr", has_text="sync-join, central server").locator("td").all_inner_texts()
    assert cells == [ratio(row.speedup), f"{row.efficiency:.0%}", show_seconds(row.time_s)]
    answer = recommend("resnet34", network=Link(bandwidth_bytes_per_s=rate), max_workers=16)
    assert it.page.locator("#live-answer").inner_text() == answer.headline
    assert slider.get_attribute("aria-valuetext") == show_bandwidth(rate)


def test_the_mouse_moves_a_slider_and_the_button_takes_it_back(report):
    answer, it = report("plain")
    slider = it.page.get_by_role("slider", name="Workers")
    slider.scroll_into_view_if_needed()
    box = slider.bounding_box()
    it.page.mouse.click(box["x"] + box["width"] * 0.25, box["y"] + box["height"] / 2)
    expect(it.page.locator("#live-count")).not_to_have_text("16")
    fewer = int(it.page.locator("#live-count").inner_text())
    assert (
        it.page.locator("#live-answer").inner_text()
        == recommend("resnet34", network="10gbit", max_workers=fewer).headline
    )
    it.page.get_by_role("button", name="Back to the start").click()
    assert it.page.locator("#live-answer").inner_text() == answer.headline


def test_limits_of_money_and_time_hold_for_moved_sliders(report):
    _, it = report("cost")
    put(it.page, bandwidth=-25)
    link = Link(bandwidth_bytes_per_s=moved(1.25e8, -25))
    assert it.page.locator("#live-answer").inner_text() == recommend(**{**COST, "network": link}).headline


def test_downloads_are_the_table_and_the_recommendation(report):
    answer, it = report("plain")
    with it.page.expect_download() as waiting:
        it.page.get_by_role("button", name="Table as CSV").click()
    text = waiting.value.path().read_text(encoding="utf-8")
    assert waiting.value.suggested_filename == "speedup-table.csv"
    expected = pd.read_csv(io.StringIO(answer.table.to_csv()))
    pd.testing.assert_frame_equal(pd.read_csv(io.StringIO(text)), expected, check_dtype=False, check_exact=True)
    with it.page.expect_download() as waiting:
        it.page.get_by_role("button", name="Recommendation as JSON").click()
    assert json.loads(waiting.value.path().read_text(encoding="utf-8")) == json.loads(answer.to_json())
    assert it.complaints == []


def test_hovering_tells_the_speedup(report):
    answer, it = report("plain")
    place = it.page.locator("#figure-speedup .nsewdrag").first
    place.scroll_into_view_if_needed()
    box = place.bounding_box()
    it.page.mouse.move(box["x"] + box["width"] - 12, box["y"] + box["height"] / 2)
    it.page.wait_for_selector("#figure-speedup .hoverlayer text")
    told = it.page.locator("#figure-speedup .hoverlayer").text_content()
    assert "sync-join, distributed server" in told
    assert ratio(answer.choice.speedup) in told


def luminance(colour):
    return sum(map(float, re.findall(r"[\d.]+", colour)[:3])) / 3


@pytest.mark.parametrize(("scheme", "dark"), [("light", False), ("dark", True)])
def test_page_and_figures_follow_the_scheme_of_the_screen(report, scheme, dark):
    _, it = report("plain", color_scheme=scheme)
    style = "(one) => getComputedStyle(one)"
    papers = [it.page.locator("body").evaluate(f"{style}.backgroundColor")]
    papers += it.page.locator(".main-svg:first-child").evaluate_all(
        f"(all) => all.map({style}).map((one) => one.background)"
    )
    assert all((luminance(paper) < 60) == dark for paper in papers)
    assert (luminance(it.page.locator("body").evaluate(f"{style}.color")) > 180) == dark
    it.page.emulate_media(color_scheme="light" if dark else "dark")
    it.page.wait_for_timeout(200)
    other = it.page.locator("#live-curves .main-svg").first.evaluate(f"(one) => ({style})(one).background")
    assert (luminance(other) < 60) != dark


@pytest.mark.parametrize("name", ["plain", "machines", "cost"])
def test_nothing_is_wider_than_a_phone(report, name):
    _, it = report(name, viewport={"width": 360, "height": 740})
    assert it.page.evaluate("document.documentElement.scrollWidth") <= 360
    assert it.page.locator(".box").first.evaluate("(one) => one.scrollWidth > one.clientWidth")


def test_print_leaves_out_what_only_a_screen_can_do(report):
    _, it = report("plain", color_scheme="dark")
    it.page.emulate_media(media="print", color_scheme="dark")
    assert not it.page.locator("#sliders").is_visible()
    assert not it.page.locator("#downloads").is_visible()
    assert it.page.locator("#plans-table").is_visible()
    assert luminance(it.page.locator("body").evaluate("(one) => getComputedStyle(one).backgroundColor")) > 200
    it.page.wait_for_timeout(200)
    paper = it.page.locator("#figure-speedup .main-svg").first.evaluate("(one) => getComputedStyle(one).background")
    assert luminance(paper) > 200


@pytest.mark.parametrize("name", ["shards", "two times"])
def test_every_control_has_a_name_and_a_value_in_words(report, name):
    _, it = report(name)
    for role in ("slider", "button"):
        controls = it.page.locator("main").get_by_role(role)
        assert controls.count() >= 3
    sliders = it.page.locator("input[type=range]")
    for index in range(sliders.count()):
        one = sliders.nth(index)
        label = it.page.locator(f"label[for={one.get_attribute('id')}]").inner_text()
        assert it.page.get_by_role("slider", name=label, exact=True).count() == 1
        assert one.get_attribute("aria-valuetext")
    figures = it.page.get_by_role("figure")
    assert figures.count() >= 4
    assert all(one.get_attribute("aria-label") for one in figures.all())


def test_headings_are_in_order_and_the_first_tab_skips_to_the_content(report):
    _, it = report("plain")
    levels = it.page.locator("h1, h2, h3, h4").evaluate_all("(all) => all.map((one) => Number(one.tagName[1]))")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    it.page.keyboard.press("Tab")
    assert it.page.evaluate("document.activeElement.textContent") == "Skip to the content"
    assert it.page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"


def test_without_a_script_the_answer_and_its_reasons_are_there(open_page, pages):
    answer, path = pages("plain")
    it = open_page(path, java_script_enabled=False)
    shown = it.page.locator("body").inner_text()
    assert answer.headline in shown
    assert all(line in shown for line in (*answer.reasons, *answer.validity))
    assert it.page.locator("#plans-table").is_visible()
    assert not it.page.locator("#sliders").is_visible()


HOSTILE = '</script><img src=x onerror="window.harmed=1"><!-- \u2028 \'"&amp;'


def test_a_hostile_name_is_shown_as_text(open_page, tmp_path):
    base = Profile.load("resnet34")
    harmful = replace(base, name=HOSTILE, warnings=(HOSTILE,), source=HOSTILE)
    it = open_page(recommend(harmful, network="10gbit").report(tmp_path / "harmful.html"))
    it.page.wait_for_selector("#live-curves .main-svg")
    assert it.page.evaluate("window.harmed") is None
    assert it.page.locator("img").count() == 0
    assert "onerror" in it.page.locator("#rests-on").inner_text()
    assert it.complaints == []
    held = it.page.evaluate("JSON.parse(document.getElementById('data').textContent).answer.inputs.profile")
    assert held == HOSTILE


def test_times_that_vary_are_said_to_be_missing_from_the_sliders(open_page, tmp_path):
    answer = recommend(t_grad=1.0, t_comm=0.1, cv_grad=0.2)
    it = open_page(answer.report(tmp_path / "varying.html"))
    it.page.wait_for_selector("#live-curves .main-svg")
    said_there = it.page.locator("#what-if > p").first.inner_text()
    assert "times that vary" in said_there
    constant = estimate(t_grad=1.0, t_comm=0.1, modes="async", servers="central", schedules="mean")
    np.testing.assert_allclose(curves(it.page)["async, central server, mean"], constant.speedup, rtol=1e-9)


def test_the_explorer_is_the_sliders_alone(open_page, tmp_path):
    it = open_page(explore("resnet34", tmp_path / "explorer.html", show=False, network="10gbit"))
    it.page.wait_for_selector("#live-map .main-svg")
    assert it.complaints == []
    assert it.asked_a_network() == []
    assert it.page.locator("section").count() == 1
    assert (
        it.page.locator("#live-answer").inner_text() == recommend("resnet34", network="10gbit", max_workers=64).headline
    )
    assert "resnet34" in it.page.title()
    assert speedup.__version__ in it.page.locator("footer").inner_text()
