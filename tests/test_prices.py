"""Prices: by hand, from the table, and what is wrong with them."""

import math
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speedup import SpeedupError
from speedup.errors import PriceError, UnknownNameError
from speedup.prices import Price, Terms, find_offer, offers, prices_path, read_offers
from speedup.profile import Provenance

HEAD = prices_path().read_text().splitlines()[0]
ROW = "aws,p3.2xlarge,on-demand,us-east-1,3.06,1,V100,16,8,61,,2026-01-21,https://example.org"


def table(tmp_path, *rows, head=HEAD):
    path = tmp_path / "prices.csv"
    path.write_text("\n".join([head, *rows, ""]))
    return path


def test_every_shipped_price_has_a_place_a_date_and_a_source():
    assert 15 <= len(offers()) <= 40
    for offer in offers():
        assert offer.price.provenance is Provenance.PUBLISHED
        assert offer.price.source.startswith("https://")
        assert date(2020, 1, 1) < date.fromisoformat(offer.price.date)
        assert offer.price.region
        assert (offer.accelerators > 0) == (offer.accelerator is not None)


def test_spot_is_cheaper_than_on_demand_where_the_table_has_both():
    prices = {(one.name, one.price.terms): one.price.per_hour for one in offers()}
    both = [name for name, terms in prices if terms is Terms.SPOT]
    assert both
    for name in both:
        assert prices[name, Terms.SPOT] < prices[name, Terms.ON_DEMAND]


def test_an_offer_says_what_the_machine_has():
    offer = find_offer("P3.16xLarge")
    assert (offer.accelerators, offer.accelerator, offer.vcpus) == (8, "V100", 64)
    assert offer.accelerator_bytes == 16 * 10**9
    assert offer.memory_bytes == 488 * 2**30
    assert offer.network_bytes_per_s == 25e9 / 8
    # "Up to 10 Gigabit" is not what the machine always has.
    assert find_offer("p3.2xlarge").network_bytes_per_s is None


def test_a_price_is_a_number_a_text_a_name_or_a_price():
    assert Price.of(2.48) == Price.of("2.48") == Price.of(Price(per_hour=2.48))
    assert Price.of(3).provenance is Provenance.ASSUMED
    assert Price.of("p5en.48xlarge", terms="spot").terms is Terms.SPOT
    assert str(Price.of(2.48)) == "2.48 USD/h (given)"
    assert Price.of(2.48).to_dict()["currency"] == "USD"


@given(st.floats(0, 1e6))
def test_an_hour_has_3600_seconds(per_hour):
    assert Price.of(per_hour).per_second * 3600 == pytest.approx(per_hour)


def test_zero_is_allowed_when_it_is_said_and_warned_of():
    assert "price of 0" in Price.of(0).warning
    assert not Price.of(0.01).warning


@pytest.mark.parametrize("wrong", [-1.0, "-1", math.nan, "nan", math.inf, "inf", True, None])
def test_a_price_that_is_none_is_refused(wrong):
    with pytest.raises(SpeedupError, match="price"):
        Price.of(wrong)


def test_an_unknown_machine_is_refused_with_those_that_are_near():
    with pytest.raises(UnknownNameError, match=r'Did you mean .*"p3.16xlarge".* USD per machine-hour'):
        Price.of("p3.16xlrge")


def test_terms_and_regions_that_the_table_has_not_are_refused_with_those_it_has():
    with pytest.raises(UnknownNameError, match=r"p3.2xlarge, spot: .* on-demand in us-east-1"):
        find_offer("p3.2xlarge", terms="spot")
    with pytest.raises(UnknownNameError, match="in eu-west-1: "):
        find_offer("p3.2xlarge", region="eu-west-1")


def test_a_machine_of_several_regions_needs_one(tmp_path):
    both = read_offers(table(tmp_path, ROW, ROW.replace("us-east-1", "eu-west-1").replace("3.06", "3.3")))
    with pytest.raises(UnknownNameError, match="on-demand in us-east-1; on-demand in eu-west-1"):
        find_offer("p3.2xlarge", table=both)
    assert find_offer("p3.2xlarge", region="eu-west-1", table=both).price.per_hour == 3.3


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("3.06", "-3.06", "usd_per_h = -3.06"),
        ("3.06", "0", "must be finite and > 0 USD/h"),
        ("3.06", "nan", "usd_per_h = nan"),
        ("3.06", "cheap", "line 2: could not convert"),
        ("on-demand", "reserved", 'terms = "reserved" is unknown. Allowed: on-demand, spot'),
        ("2026-01-21", "21.1.2026", "line 2"),
        ("https://example.org", "", "source is empty"),
        (",V100,16", "", "line 2"),
    ],
)
def test_a_broken_row_is_named_by_its_line(tmp_path, old, new, said):
    with pytest.raises(PriceError, match=said):
        read_offers(table(tmp_path, ROW.replace(old, new)))


def test_all_faults_of_a_table_are_told_at_once(tmp_path):
    path = table(tmp_path, ROW, ROW, ROW.replace("p3.2xlarge", "x").replace("3.06", "-1"))
    with pytest.raises(PriceError, match=r"(?s)line 3: .*twice.*line 4: .*usd_per_h"):
        read_offers(path)


def test_a_table_that_is_missing_or_has_other_columns_is_refused(tmp_path):
    with pytest.raises(PriceError, match="does not exist"):
        read_offers(tmp_path / "none.csv")
    with pytest.raises(PriceError, match="no column source"):
        read_offers(table(tmp_path, ROW.rpartition(",")[0], head=HEAD.rpartition(",")[0]))
    broken = tmp_path / "bytes.csv"
    broken.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(PriceError, match="cannot be read"):
        read_offers(broken)
