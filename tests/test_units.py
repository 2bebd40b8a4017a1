"""Quantities at the edge."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speedup import Link, SpeedupError
from speedup.units import bandwidth, positive, show_bandwidth, show_bytes, show_seconds, whole


@pytest.mark.parametrize(
    ("text", "bytes_per_s"),
    [
        ("1gbit", 125e6),
        ("1Gbit/s", 125e6),
        ("1 Gb/s", 125e6),
        ("25Gbps", 3.125e9),
        ("25gbps", 3.125e9),
        ("100mbit", 12.5e6),
        ("12.5GB/s", 12.5e9),
        ("1GB", 1e9),
        ("1GBps", 1e9),
        ("1.5e3 MB/s", 1.5e9),
        ("100 MiB/s", 100 * 2**20),
        ("1Gibit/s", 2**30 / 8),
        ("10GbE", 1.25e9),
        ("10GE", 1.25e9),
        ("400Gbit", 50e9),
        ("9600 bit/s", 1200.0),
        ("2 Tbit/s", 250e9),
        ("5 kilobytes", None),
        ("800bytes/s", 800.0),
    ],
)
def test_a_bandwidth_reads_bits_and_bytes_by_their_case(text, bytes_per_s):
    if bytes_per_s is None:
        with pytest.raises(SpeedupError, match="is not a bandwidth"):
            bandwidth(text)
    else:
        assert bandwidth(text) == pytest.approx(bytes_per_s, rel=1e-12)


@pytest.mark.parametrize("text", ["1gb", "1gb/s", "100mb", "5 kb/s"])
def test_a_lower_case_gb_is_ambiguous_and_both_readings_are_offered(text):
    with pytest.raises(SpeedupError, match=r"is ambiguous: .*bit/s or .*B/s \(8 times more\)\? Write .*bit or .*B/s"):
        bandwidth(text)


@pytest.mark.parametrize("text", ["fast", "", "gbit", "1", "1 gbit per day", "1,5gbit", "nan gbit", "infgbit"])
def test_what_is_no_bandwidth_is_refused_with_examples(text):
    with pytest.raises(SpeedupError, match="Examples: 1gbit, 25Gbps"):
        bandwidth(text)


@pytest.mark.parametrize("text", ["0gbit", "-1gbit", "1e400gbit"])
def test_a_bandwidth_is_finite_and_above_zero(text):
    with pytest.raises(SpeedupError, match="must be finite and > 0"):
        bandwidth(text)


@given(st.floats(1e-3, 1e6))
def test_the_same_link_in_bits_and_in_bytes_is_the_same(gigabit):
    assert bandwidth(f"{gigabit!r}Gbit/s") == pytest.approx(bandwidth(f"{gigabit / 8!r}GB/s"), rel=1e-12)


@given(st.floats(max_value=0) | st.sampled_from([math.nan, math.inf, True, "1", None]))
def test_what_is_not_a_positive_number_is_refused_by_name_value_and_unit(value):
    with pytest.raises(SpeedupError, match=r"^t_grad = .* s; it must be .*> 0 s"):
        positive("t_grad", value, "s")


@pytest.mark.parametrize("value", [0, -3, 2.0, "8", True, None])
def test_what_is_not_a_whole_count_is_refused(value):
    with pytest.raises(SpeedupError, match="must be at least 1"):
        whole("workers", value)


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        (show_seconds(0.758), "758 ms"),
        (show_seconds(3.3e-5), "33 us"),
        (show_seconds(1042.4), "1,042 s"),
        (show_bytes(87_190_688), "87.2 MB"),
        (show_bytes(12), "12 B"),
        (show_bandwidth(125e6), "1 Gbit/s (125 MB/s)"),
    ],
)
def test_quantities_are_written_with_three_digits_and_a_fitting_unit(shown, text):
    assert shown == text


def test_a_transfer_takes_latency_plus_payload_over_bandwidth():
    link = Link.parse("1gbit", latency_s=0.002)
    assert link.transfer_time_s(87_190_688) == pytest.approx(0.002 + 87_190_688 / 125e6)
    assert str(link) == "1 Gbit/s (125 MB/s), latency 2 ms"


@pytest.mark.parametrize("latency", [-1e-3, math.nan, math.inf])
def test_a_latency_is_finite_and_not_negative(latency):
    with pytest.raises(SpeedupError, match="latency = "):
        Link.parse("1gbit", latency_s=latency)
