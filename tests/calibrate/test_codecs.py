"""Messages have the bytes that are predicted, lose no more than their encoding says, and damage is noticed."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from calibrate.codecs import CODECS, CodecError, CodecTiming, ErrorFeedback, codec, time_codec, time_feedback
from calibrate.codecs.dense import Float32Codec
from calibrate.codecs.subnetworks import ScoresAndWeightsCodec, SeedCodec, normal_weights
from calibrate.timing.sampler import Rule
from speedup.errors import SpeedupError, UnknownNameError
from speedup.payloads import (
    ENCODINGS,
    Compacted,
    Encoding,
    Float32,
    Int8,
    Int8Block,
    OneBit,
    ScoresAndWeights,
    Seed,
    Strom,
    Ternary,
    TopK,
    TopKBitmap,
    payload_bytes,
)
from speedup.profile import Provenance, Timing

GENERAL = tuple(one for one in ENCODINGS.values() if not isinstance(one, Compacted))
LOSSY = (*(one for one in GENERAL if one.lossy), Int8Block(3), OneBit(whole_vectors=True), TopK(0.3), Strom(0.3))
LOSSLESS = tuple(one for one in GENERAL if not one.lossy)

shapes_ = st.lists(hnp.array_shapes(min_dims=0, max_dims=4, min_side=1, max_side=7), min_size=1, max_size=5)
finite = st.floats(-(2.0**100), 2.0**100, width=32, allow_subnormal=False)


@st.composite
def tensors(draw, elements=finite):
    """Draw some arrays, a kernel among them."""
    found = [draw(hnp.arrays(np.float32, shape, elements=elements)) for shape in draw(shapes_)]
    return [*found, draw(hnp.arrays(np.float32, (3, 2), elements=elements))]


@st.composite
def chains(draw):
    """Draw the shapes of a chain of dense layers, and the units left in each."""
    widths = draw(st.lists(st.integers(1, 9), min_size=2, max_size=5))
    layers = list(pairwise(widths))
    left = tuple(draw(st.integers(1, rows)) for rows, _ in layers)
    return [shape for rows, columns in layers for shape in ((rows, columns), (columns,))], left


def there_and_back(encoding, values):
    worker = codec(encoding)
    return worker.decode(worker.encode(values), [value.shape for value in values])


def flat(values):
    return np.concatenate([np.ravel(value) for value in values])


@given(shapes_, st.integers(0, 2**32 - 1))
def test_a_message_has_exactly_the_bytes_that_are_predicted(shapes, seed):
    for encoding in (*GENERAL, *LOSSY):
        own = [*shapes, (3, 2)] if encoding.kernels_only else shapes
        message = codec(encoding).encode(codec(encoding).typical(own, seed))
        assert message.dtype == np.uint8
        assert message.size == payload_bytes(encoding, own)


@given(chains(), st.integers(0, 2**32 - 1))
def test_a_compacted_network_has_the_predicted_bytes_and_arrives_unchanged(chain, seed):
    shapes, left = chain
    for encoding in (Compacted(left), Compacted()):
        values = codec(encoding).typical(shapes, seed)
        assert codec(encoding).encode(values).size == payload_bytes(encoding, shapes)
        for value, found in zip(values, there_and_back(encoding, values), strict=True):
            np.testing.assert_array_equal(found, value)


@given(shapes_, st.integers(0, 2**32 - 1))
def test_what_loses_nothing_arrives_unchanged(shapes, seed):
    own = [*shapes, (3, 2)]
    for encoding in LOSSLESS:
        values = codec(encoding).typical(own, seed)
        for value, found in zip(values, there_and_back(encoding, values), strict=True):
            assert found.dtype == np.float32
            if len(value.shape) > 1 or not encoding.kernels_only:
                np.testing.assert_array_equal(found, value)
            else:
                assert not found.any()


@given(tensors(st.floats(width=32)))
def test_32_bit_floats_arrive_to_the_bit_even_where_they_are_no_numbers(values):
    for value, found in zip(values, there_and_back("fp32", values), strict=True):
        assert found.tobytes() == value.tobytes()


@given(tensors())
def test_16_bit_floats_keep_eight_bits(values):
    for value, found in zip(values, there_and_back("bf16", values), strict=True):
        normal = np.abs(value) > 1e-37
        np.testing.assert_array_less(np.abs(found - value)[normal], (np.abs(value) * 2.0**-8)[normal])


@given(tensors(), st.integers(1, 50))
def test_the_error_of_8_bit_levels_is_at_most_half_a_scale(values, block):
    for value, found in zip(values, there_and_back("int8", values), strict=True):
        assert_within_half_a_scale(value.ravel(), found.ravel())
    whole, found = flat(values), flat(there_and_back(Int8Block(block), values))
    for start in range(0, whole.size, block):
        assert_within_half_a_scale(whole[start : start + block], found[start : start + block])


def assert_within_half_a_scale(value, found):
    # The smallest normal float is the least scale. Quotient and product are rounded, by 127 / 2^24 of a scale each.
    scale = max(float(np.abs(value).max()) / 127, float(np.finfo(np.float32).tiny))
    assert np.abs(found.astype(float) - value).max() <= scale / 2 * (1 + 1e-4)


@given(tensors(), st.sampled_from([0.01, 0.3, 0.5, 1.0]))
def test_top_k_keeps_exactly_the_k_largest_magnitudes(values, fraction):
    whole, found = flat(values), flat(there_and_back(TopK(fraction), values))
    kept = TopK(fraction).count(whole.size)
    same = found == whole
    assert np.array_equal(found[~same], np.zeros(np.count_nonzero(~same)))
    np.testing.assert_array_equal(np.sort(np.abs(found))[-kept:], np.sort(np.abs(whole))[-kept:])
    assert np.count_nonzero(found) <= kept
    np.testing.assert_array_equal(found, flat(there_and_back(TopKBitmap(fraction), values)))


def test_the_largest_float_survives_8_bit_levels():
    largest = np.full(3, np.finfo(np.float32).max)
    np.testing.assert_allclose(there_and_back("int8", [largest])[0], largest, rtol=1e-4)


def test_of_equal_entries_the_first_are_sent():
    assert there_and_back(TopK(0.5), [np.array([2, -1, 1, 1], np.float32)])[0].tolist() == [2, -1, 0, 0]


@given(tensors(), st.sampled_from([0.01, 0.3, 1.0]))
def test_strom_sends_the_signs_of_the_same_entries_times_their_mean_magnitude(values, fraction):
    sent, found = there_and_back(TopK(fraction), values), there_and_back(Strom(fraction), values)
    for exact, level in zip(sent, found, strict=True):
        np.testing.assert_array_equal(np.sign(level[exact != 0]), np.sign(exact[exact != 0]))
        # Zeros may be among the largest of all-zero tensors.
        if np.count_nonzero(exact) == np.count_nonzero(level) > 0:
            assert np.abs(level).max() == pytest.approx(np.abs(exact[exact != 0].astype(float)).mean(), rel=1e-6)


@given(tensors())
def test_ternary_sends_what_exceeds_0_7_of_the_mean_as_the_mean_of_that(values):
    for value, found in zip(values, there_and_back("ternary", values), strict=True):
        sizes = np.abs(value.astype(float))
        sent = np.abs(value) > np.float32(0.7 * sizes.mean())
        np.testing.assert_array_equal(found != 0, sent & (sizes[sent].mean() > 1e-45 if sent.any() else False))
        np.testing.assert_array_equal(np.sign(found)[found != 0], np.sign(value)[found != 0])
        if sent.any():
            assert np.abs(found).max() == pytest.approx(sizes[sent].mean(), rel=1e-6)


@given(tensors(), st.booleans())
def test_the_two_levels_of_a_column_are_the_means_of_its_entries_above_zero_and_of_the_others(values, whole_vectors):
    encoding = OneBit(whole_vectors=whole_vectors)
    for value, found in zip(values, there_and_back(encoding, values), strict=True):
        rows, levels = (one.reshape(-1, encoding.columns(value.shape)) for one in (value.astype(float), found))
        for column, level in zip(rows.T, levels.T, strict=True):
            for side in (column > 0, column <= 0):
                if side.any():
                    assert np.ptp(level[side]) == 0
                    assert level[side][0] == pytest.approx(column[side].mean(), rel=1e-6, abs=1e-37)


def test_column_sums_survive_one_bit():
    [value] = codec("one_bit").typical([(64, 3, 5)])
    [found] = there_and_back("one_bit", [value])
    np.testing.assert_allclose(found.sum(axis=(0, 1)), value.sum(axis=(0, 1)), rtol=1e-4)


def test_tensors_larger_than_a_chunk_are_encoded_like_small_ones():
    rng = np.random.default_rng(0)
    value = rng.standard_normal((400_001, 3), np.float32)
    [ternary], [bits], [levels] = (there_and_back(name, [value]) for name in ("ternary", "one_bit", "int8"))
    sent = np.abs(value) > 0.7 * np.abs(value).mean(dtype=float)
    np.testing.assert_allclose(ternary, np.where(sent, np.sign(value) * np.abs(value)[sent].mean(dtype=float), 0), 1e-6)
    for column, found in zip(value.T, bits.T, strict=True):
        np.testing.assert_allclose(
            found,
            np.where(column > 0, column[column > 0].mean(dtype=float), column[column <= 0].mean(dtype=float)),
            1e-6,
        )
    assert_within_half_a_scale(value.ravel(), levels.ravel())
    [vector] = there_and_back("int8", [value.ravel()])
    assert_within_half_a_scale(value.ravel(), vector)


@pytest.mark.parametrize("encoding", LOSSY, ids=str)
def test_what_was_sent_and_the_residual_are_all_gradients(encoding):
    rng, shapes = np.random.default_rng(0), [(20, 5), (5,), (), (1,)]
    feedback, worker = ErrorFeedback(codec(encoding), shapes), codec(encoding)
    total, sent = np.zeros(107), np.zeros(107)
    for _ in range(30):
        gradients = [rng.standard_normal(shape, np.float32) for shape in shapes]
        sent += flat(worker.decode(feedback.send(gradients), shapes))
        total += flat(gradients)
    np.testing.assert_allclose(sent + flat(feedback.residual), total, atol=30 * 2.0**-24 * 100)


@pytest.mark.parametrize("encoding", LOSSY, ids=str)
def test_with_error_feedback_the_mean_of_the_messages_converges_to_the_gradient(encoding):
    # Heavy tails, because levels are means that outliers pull.
    shapes = [(20, 5), (5,), ()]
    values = [np.float32(value**3) for value in codec("fp32").typical(shapes)]
    feedback, worker, sent, errors = ErrorFeedback(codec(encoding), shapes), codec(encoding), np.zeros(106), []
    for turn in range(1, 3201):
        sent += flat(worker.decode(feedback.send(values), shapes))
        if turn in {800, 3200}:
            errors.append(np.linalg.norm(sent / turn - flat(values)) / np.linalg.norm(flat(values)))
    assert errors[1] < 0.1
    assert errors[1] < 0.5 * errors[0] or errors[1] < 1e-3


def test_the_residual_stays_what_it_was_when_values_cannot_be_sent():
    feedback = ErrorFeedback(codec("top_k"), [(3,)])
    feedback.send([np.array([1, 2, 3], np.float32)])
    with pytest.raises(CodecError, match="not all finite"):
        feedback.send([np.array([np.nan, 0, 0], np.float32)])
    assert feedback.residual[0].tolist() == [1, 2, 0]


@pytest.mark.parametrize("encoding", [*GENERAL, *LOSSY], ids=str)
def test_a_message_of_the_wrong_length_is_refused(encoding):
    shapes = [(5, 3), (3,)]
    message = codec(encoding).encode(codec(encoding).typical(shapes))
    for damaged in (message[:-1], message[:0], b"", np.append(message, np.uint8(0)), bytes(message[1:])):
        with pytest.raises(CodecError, match=f"{encoding.name} message of {len(damaged)} bytes; .* {message.size}"):
            codec(encoding).decode(damaged, shapes)
    with pytest.raises(CodecError, match="message of type float32"):
        codec(encoding).decode(np.zeros(message.size, np.float32), shapes)


@pytest.mark.parametrize("encoding", GENERAL, ids=str)
def test_a_message_may_be_bytes_and_what_is_decoded_shares_nothing_with_it(encoding):
    shapes = [(5, 3), (3,)]
    message = codec(encoding).encode(codec(encoding).typical(shapes))
    found = codec(encoding).decode(message, shapes)
    again = codec(encoding).decode(message.tobytes(), shapes)
    message[:] = 0
    for one, other in zip(found, again, strict=True):
        np.testing.assert_array_equal(one, other)
        assert one.flags.writeable


@settings(max_examples=300)
@given(st.data())
def test_bytes_at_random_are_tensors_or_one_clear_error(data):
    encoding = data.draw(st.sampled_from([*ENCODINGS.values(), *LOSSY, Compacted((2, 3))]))
    shapes = [(4, 3), (3,), (3, 2), (2,)]
    size = payload_bytes(encoding, shapes)
    message = data.draw(st.binary(min_size=size, max_size=size))
    try:
        found = codec(encoding).decode(message, shapes)
    except CodecError:
        return
    assert [value.shape for value in found] == shapes


def damaged(encoding, values, change):
    message = codec(encoding).encode(values)
    change(message)
    codec(encoding).decode(message, [value.shape for value in values])


def word(place, value, kind):
    """Return what writes a 32-bit number into a message."""
    content = np.array([value], kind).view(np.uint8)
    return lambda message: message.__setitem__(slice(4 * place, 4 * place + 4), content)


def byte(place, value):
    return lambda message: message.__setitem__(place, value)


@pytest.mark.parametrize(
    ("encoding", "change", "said"),
    [
        (TopK(0.2), word(1, 10, "<u4"), "it has the index 10 of 10 entries"),
        (TopK(0.2), word(0, 9, "<u4"), "its indices do not ascend"),
        (TopK(0.2), word(2, np.nan, "<f4"), "a level is not finite"),
        (Strom(0.2), word(2, 10, "<u4"), "it has the index 10 of 10 entries"),
        (Strom(0.2), word(1, 2**31 + 9, "<u4"), "its indices do not ascend"),
        (TopKBitmap(0.2), byte(8, 255), "its bitmap has 10 entries and not 2"),
        (Ternary(), byte(4, 64), "an element is negative and not sent"),
        (Int8(), byte(4, 128), "a level is below -127"),
        (Int8(), word(0, 1e38, "<f4"), "a scale is too large"),
        (Int8Block(4), word(0, np.inf, "<f4"), "a level is not finite"),
        (OneBit(), word(0, np.nan, "<f4"), "a level is not finite"),
    ],
    # The address of a function is another one in every process.
    ids=lambda one: "" if callable(one) else str(one),
)
def test_damage_is_named(encoding, change, said):
    with pytest.raises(CodecError, match=f"{encoding.name} message is damaged: {said}. Send it again"):
        damaged(encoding, [np.arange(1, 11, dtype=np.float32)], change)


def test_a_damaged_mask_of_a_compacted_network_is_named():
    values = codec(Compacted((2,))).typical([(3, 2), (2,)])
    with pytest.raises(CodecError, match="mask of layer 0 has 3 units and not 2"):
        damaged(Compacted((2,)), values, byte(-1, 224))


@pytest.mark.parametrize("encoding", [one for one in LOSSY if one.name != "bf16"], ids=str)
@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_a_gradient_that_diverged_is_not_sent(encoding, wrong):
    values = codec(encoding).typical([(20, 5), (5,)])
    values[0][3, 2] = wrong
    with pytest.raises(CodecError, match=f"not all finite; {encoding.name} cannot send them"):
        codec(encoding).encode(values)


@pytest.mark.parametrize(
    ("encode", "said"),
    [
        (lambda: codec("fp32").encode([np.ones(3)]), r"values\[0\] is of type float64; fp32 sends float32"),
        (lambda: codec("mask").encode([np.full((2, 2), 0.5, np.float32)]), "neither 0 nor 1"),
        (lambda: codec(Seed(1)).encode(normal_weights(2, [(2, 2)])), "not those of seed 1"),
        (lambda: codec(Compacted((1,))).encode([np.ones((3, 2), np.float32), np.ones(2, np.float32)]), "3 units"),
        (
            lambda: ScoresAndWeightsCodec(ScoresAndWeights(), [np.ones(3)]).encode([np.ones((2, 2), np.float32)]),
            "shapes of the scores",
        ),
    ],
)
def test_values_that_an_encoding_cannot_send_are_refused(encode, said):
    with pytest.raises(CodecError, match=said):
        encode()


def test_vivianos_message_has_scores_then_weights_then_the_number():
    weights = codec("scores").typical([(3, 2)], 1)
    worker = ScoresAndWeightsCodec(ScoresAndWeights(shard=7), weights)
    scores = worker.typical([(3, 2), (2,)])
    floats = worker.encode(scores).view("<f4")
    np.testing.assert_array_equal(floats, [*scores[0].ravel(), *weights[0].ravel(), 7])


def test_both_ends_draw_the_same_weights_from_a_seed_in_a_way_of_ones_own():
    def ones(seed, shapes):
        return [np.full(shape, seed, np.float32) for shape in shapes]

    worker = SeedCodec(Seed(5), ones)
    assert worker.decode(worker.encode(ones(5, [(2,)])), [(2,)])[0].tolist() == [5, 5]


def test_every_encoding_has_a_codec_and_yours_needs_one():
    assert set(CODECS) == {type(one) for one in ENCODINGS.values()}

    class Own(Encoding):
        def size(self, shapes):
            return math.prod(shapes[0])

    with pytest.raises(UnknownNameError, match="Own has no codec here"):
        codec(Own())


def test_a_codecs_error_is_one_of_this_packages():
    assert issubclass(CodecError, SpeedupError)


def seconds(median_s):
    return Timing(median_s=median_s, provenance=Provenance.MEASURED)


def test_an_encoding_pays_below_the_saved_bytes_by_its_time_at_both_ends():
    found = CodecTiming(
        encoding=TopK(),
        payload_bytes=200,
        dense_bytes=1000,
        encode=seconds(1.0),
        decode=seconds(2.0),
        feedback=seconds(3.0),
    )
    assert found.t_codec_s == 8.0
    assert found.pays_below_bytes_per_s == 100.0
    lossless = CodecTiming(
        encoding=Float32(), payload_bytes=1000, dense_bytes=1000, encode=seconds(1.0), decode=seconds(2.0)
    )
    assert lossless.t_codec_s == 3.0
    assert lossless.pays_below_bytes_per_s is None


@pytest.mark.parametrize("name", ["fp32", "top_k"])
def test_both_times_are_timings_of_the_payload_and_feedback_is_timed_where_something_is_lost(name):
    rule = Rule(min_samples=6, min_time_s=0, max_time_s=0.3, sample_s=1e-3)
    found = time_codec(name, codec(name).typical([(100, 30)]), rule=rule)
    assert (found.feedback is None) == (name == "fp32")
    for timing in (found.encode, found.decode):
        assert timing.payload_bytes == found.payload_bytes == payload_bytes(name, [(100, 30)])
        assert timing.provenance is Provenance.MEASURED


def test_scores_are_floats_of_kernels():
    assert CODECS[type(ENCODINGS["scores"])] is Float32Codec


def test_the_time_of_feedback_can_be_measured_once_for_all_encodings():
    rule = Rule(min_samples=6, min_time_s=0, max_time_s=0.3, sample_s=1e-3)
    values = codec("fp32").typical([(100, 30)])
    own = time_feedback(values, rule=rule)
    assert time_codec("top_k", values, rule=rule, feedback=own).feedback is own
