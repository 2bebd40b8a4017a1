"""Bytes of every encoding are those of the published table, and nothing is sent the way it is not for."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_imports import SLOW, modules_after

from calibrate.architectures import tensor_shapes
from speedup.errors import PlanError, UnitError, UnknownNameError
from speedup.payloads import (
    ENCODINGS,
    Compacted,
    Encoding,
    Int8Block,
    OneBit,
    Seed,
    Strom,
    TopK,
    Use,
    dense_chain,
    encoding,
    payload_bytes,
    traffic,
)

NETWORKS = ("resnet34", "vgg16e_224", "squeezenet", "viviano_fc_784")
TABLE = {
    "fp32": (87_190_688, 574_668_960, 4_993_696, 1_118_440),
    "bf16": (43_595_344, 287_334_480, 2_496_848, 559_220),
    "int8": (21_798_112, 143_667_392, 1_248_632, 279_650),
    "int8_block": (21_818_960, 143_807_544, 1_249_644, 279_886),
    "ternary": (5_449_858, 35_916_962, 312_314, 69_943),
    "one_bit": (2_944_997, 18_193_541, 219_669, 47_912),
    "top_k": (1_743_816, 11_493_384, 99_880, 22_376),
    "strom": (872_348, 5_746_844, 50_148, 11_228),
    "top_k_bitmap": (3_596_617, 23_705_097, 205_993, 46_140),
    "scores": (87_118_592, 574_610_176, 4_977_792, 1_115_200),
    "mask": (2_722_456, 17_956_568, 155_556, 34_850),
    "scores_and_weights": (174_237_188, 1_149_220_356, 9_955_588, 2_230_404),
    "seed": (8, 8, 8, 8),
}
MLP = ((784, 300), (300,), (300, 100), (100,), (100, 10), (10,))

shapes = st.lists(st.lists(st.integers(1, 9), max_size=4).map(tuple), min_size=1, max_size=6)


@pytest.mark.parametrize("name", TABLE)
def test_the_table_is_reproduced_to_the_byte(name):
    assert tuple(payload_bytes(name, tensor_shapes(network)) for network in NETWORKS) == TABLE[name]


def test_the_table_and_the_compacted_networks_are_all_encodings():
    assert {*TABLE, "compacted"} == set(ENCODINGS)


@pytest.mark.parametrize(
    ("units", "weights_bytes"), [(None, 1_066_440), ((219, 214, 100), 278_360), ((266, 88, 33), 107_092)]
)
def test_a_compacted_network_has_the_printed_bytes_and_a_bit_for_each_of_1184_units(units, weights_bytes):
    assert payload_bytes(Compacted(units), MLP) == weights_bytes + 148


def test_the_entries_sent_are_the_fraction_of_all_rounded_up():
    # As floats, 0.01 * 700 is above 7 and 0.07 * 100 above 7.
    assert [TopK(0.01).count(elements) for elements in (1, 100, 101, 700)] == [1, 1, 2, 7]
    assert TopK(0.07).count(100) == 7
    assert TopK(1.0).count(5) == 5


@given(st.integers(1, 10**6), st.floats(1e-4, 1.0))
def test_indices_beat_the_bitmap_below_one_entry_in_32(elements, fraction):
    sizes = [payload_bytes(kind(fraction), [(elements,)]) for kind in (TopK, type(encoding("top_k_bitmap")))]
    kept = TopK(fraction).count(elements)
    if kept < elements / 32:
        assert sizes[0] <= sizes[1]
    elif kept > (elements + 7) / 32:
        assert sizes[0] > sizes[1]


def test_a_vector_is_a_row_of_columns_unless_it_is_said_to_be_one():
    assert payload_bytes(OneBit(), [(3, 3, 2, 5), (5,), ()]) == math.ceil(96 / 8) + 8 * (5 + 5 + 1)
    assert payload_bytes(OneBit(whole_vectors=True), [(3, 3, 2, 5), (5,), ()]) == math.ceil(96 / 8) + 8 * (5 + 1 + 1)


def test_blocks_are_of_the_flat_buffer_and_the_last_may_be_short():
    assert payload_bytes(Int8Block(block=10), [(3, 3), (2,), (10,)]) == 21 + 4 * 3


@given(shapes)
def test_the_order_of_tensors_does_not_matter(tensors):
    for name, one in ENCODINGS.items():
        if not one.kernels_only and name != "compacted":
            assert payload_bytes(one, tensors) == payload_bytes(one, tensors[::-1]) > 0


@given(shapes)
def test_biases_and_norms_are_no_part_of_what_only_kernels_send(tensors):
    kernels = [(2, 3), *(shape for shape in tensors if len(shape) > 1)]
    for name in ("scores", "mask", "scores_and_weights"):
        assert payload_bytes(name, [*tensors, (2, 3)]) == payload_bytes(name, kernels)


@pytest.mark.parametrize("name", ENCODINGS)
def test_every_encoding_says_what_it_is(name):
    one = ENCODINGS[name]
    assert one.name == name
    assert isinstance(one, Encoding)
    assert one.summary
    assert one.source
    assert one.use in Use
    assert encoding(name.upper().replace("_", "-")) is one


def test_an_unknown_encoding_is_answered_with_its_neighbours():
    with pytest.raises(UnknownNameError, match=r'unknown encoding "topk". Did you mean .*"top_k".* Known: fp32, bf16'):
        encoding("topk")


@pytest.mark.parametrize(
    ("kind", "tensors", "said"),
    [
        ("fp32", [], "empty"),
        ("fp32", [(3, 0)], r"shapes\[0\]\[1\] = 0"),
        ("fp32", [5], r"shapes\[0\] = 5 is no shape"),
        ("mask", [(3,), ()], "no tensor here has two axes"),
        ("top_k", [(2**17, 2**16)], "32 bits"),
        ("strom", [(2**16, 2**16)], "31 bits"),
        ("compacted", [(3, 4), (4,), (5, 2), (2,)], "only a chain of dense layers"),
        ("compacted", [(3, 3, 4, 5), (5,)], "only a chain of dense layers"),
        ("compacted", [(3, 4)], "only a chain of dense layers"),
        (Compacted((3,)), MLP, "units has 1 numbers for 3 layers"),
        (Compacted((785, 1, 1)), MLP, r"units\[0\] = 785; layer 0 has only 784"),
        (Compacted((1, 0, 1)), MLP, r"units\[1\] = 0"),
    ],
)
def test_what_has_no_size_is_refused(kind, tensors, said):
    with pytest.raises(UnitError, match=said):
        payload_bytes(kind, tensors)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: TopK(0.0), "fraction = 0"),
        (lambda: Strom(1.1), "fraction = 1.1"),
        (lambda: TopK(math.nan), "fraction = nan"),
        (lambda: Int8Block(0), "block = 0"),
        (lambda: Seed(-1), "seed = -1"),
        (lambda: Seed(2**64), "below 2"),
    ],
)
def test_figures_out_of_range_are_refused(make, said):
    with pytest.raises(UnitError, match=said):
        make()


def test_a_chain_has_its_input_units():
    assert dense_chain(MLP) == (784, 300, 100)


def test_what_a_compressed_push_saves_is_less_than_half():
    sent = traffic("sgd", tensor_shapes("resnet34"), up="strom")
    assert (sent.up_bytes, sent.down_bytes) == (872_348, 87_190_688)
    assert 0.5 < sent.share < 0.51


def test_every_algorithm_sends_32_bit_floats_unless_asked_otherwise_and_scores_where_it_trains_scores():
    tensors = tensor_shapes("viviano_fc_784")
    assert [traffic(name, tensors).up_bytes for name in ("adam", "edge_popup", "Viviano")] == [
        1_118_440,
        1_115_200,
        1_115_200,
    ]
    own = traffic("viviano", tensors, up="scores_and_weights", down="scores_and_weights")
    assert own.up_bytes == own.down_bytes == 2_230_404


def test_changes_of_the_weights_may_be_encoded_as_gradients_are():
    sent = traffic("sgd", MLP, up=TopK(0.001), down=TopK(0.001), deltas=True)
    assert sent.up_bytes == sent.down_bytes == 2136
    assert sent.deltas


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("sgd", {"down": "top_k"}), 'down = "top_k" is for gradients.*Allowed: fp32, bf16.*deltas=True'),
        (("edge_popup", {"up": "mask"}), 'up = "mask" is for weights'),
        (("sgd", {"up": "scores"}), "trains every tensor. It goes with edge_popup and viviano"),
        (("sgd", {"down": "seed"}), "sent once, before training"),
    ],
)
def test_what_would_not_train_is_refused(arguments, said):
    algorithm, ways = arguments
    with pytest.raises(PlanError, match=said):
        traffic(algorithm, MLP, **ways)


def test_payloads_load_not_even_numpy():
    assert not modules_after("import speedup.payloads") & (SLOW | {"numpy", "pydantic"})
