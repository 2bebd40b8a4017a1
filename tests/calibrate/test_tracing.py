"""What a step computes is counted from its trace."""

import jax
import jax.numpy as jnp
import pytest

from calibrate.tracing import OperationKind, UncountableError, first_uses, operations


def shape(*axes):
    return jax.ShapeDtypeStruct(axes, jnp.float32)


def flops(function, *arguments):
    return sum(one.flops * one.times for one in operations(function, *arguments))


def convolve(x, kernel, **options):
    options = {"window_strides": (1, 1), "padding": "SAME", "dimension_numbers": ("NHWC", "HWIO", "NHWC")} | options
    return jax.lax.conv_general_dilated(x, kernel, **options)


def test_a_product_costs_two_flops_a_multiply_accumulate():
    assert flops(jnp.matmul, shape(3, 5), shape(5, 7)) == 2 * 3 * 5 * 7


def test_a_batched_product_counts_every_batch():
    assert flops(jnp.matmul, shape(4, 3, 5), shape(4, 5, 7)) == 4 * 2 * 3 * 5 * 7


def test_a_convolution_counts_all_taps_also_those_on_the_padding():
    assert flops(convolve, shape(2, 8, 8, 3), shape(3, 3, 3, 16)) == 2 * (2 * 8 * 8 * 16) * 9 * 3


def test_groups_divide_a_convolution():
    def grouped(x, kernel):
        return convolve(x, kernel, feature_group_count=4)

    assert flops(grouped, shape(1, 8, 8, 16), shape(3, 3, 4, 16)) == 2 * (8 * 8 * 16) * 9 * 4


@pytest.mark.parametrize("stride", [1, 2])
def test_both_gradients_of_a_convolution_cost_as_much_as_the_convolution(stride):
    def loss(x, kernel):
        return jnp.sum(convolve(x, kernel, window_strides=(stride, stride)) ** 2)

    forward = flops(loss, shape(2, 8, 8, 4), shape(3, 3, 4, 8))
    found = operations(jax.grad(loss, argnums=(0, 1)), shape(2, 8, 8, 4), shape(3, 3, 4, 8))
    kinds = {one.kind for one in found if one.flops}
    assert OperationKind.KERNEL_GRADIENT in kinds
    assert (OperationKind.INPUT_GRADIENT in kinds) is (stride == 2)
    # The gradient to the input of a strided convolution also computes a border that is cut off.
    assert sum(one.flops for one in found) == pytest.approx(3 * forward, rel=0.01)


def test_a_scan_counts_every_turn():
    def repeated(x, w):
        return jax.lax.scan(lambda carry, _: (carry @ w, None), x, length=6)[0]

    assert flops(repeated, shape(2, 4), shape(4, 4)) == 6 * 2 * 2 * 4 * 4


def test_what_is_recomputed_is_counted_again():
    def loss(x, w):
        return jnp.sum(jax.checkpoint(lambda x: jnp.tanh(x @ w) @ w)(x))

    plain = 2 * 2 * 2 * 4 * 4
    assert flops(loss, shape(2, 4), shape(4, 4)) == plain
    assert flops(jax.grad(loss), shape(2, 4), shape(4, 4)) > 2 * plain


def test_of_two_branches_the_dearer_one_counts():
    def either(x, w):
        return jax.lax.cond(x[0, 0] > 0, lambda: x @ w, lambda: x @ w @ w)

    assert flops(either, shape(2, 4), shape(4, 4)) == 2 * 2 * 2 * 4 * 4


def test_nested_functions_are_entered():
    assert flops(jax.jit(jax.jit(jnp.matmul)), shape(2, 3), shape(3, 4)) == 48
    assert flops(jax.nn.relu, shape(4)) == 0


def test_a_product_in_a_loop_of_unknown_length_is_refused():
    def loop(x, w):
        return jax.lax.while_loop(lambda x: x.sum() < 9, lambda x: x @ w, x)

    with pytest.raises(UncountableError, match="while loop"):
        operations(loop, shape(3, 3), shape(3, 3))


def test_bytes_are_those_read_and_written():
    (one,) = operations(jnp.add, shape(10), shape(10))
    assert (one.kind, one.input_bytes, one.output_bytes) == (OperationKind.ELEMENTWISE, 80, 40)


def test_first_uses_are_found_inside_nested_functions_and_loops():
    weights = {"a": jnp.ones((3, 3)), "b": jnp.ones((3, 3)), "c": jnp.ones(3), "unused": jnp.ones(2)}

    @jax.jit
    def inner(x, late, early):
        return jax.lax.scan(lambda carry, _: (carry @ early, None), x, None, length=2)[0] @ late

    order = first_uses(lambda w, x: inner(x, w["a"], w["b"]) + w["c"], weights, jnp.ones((1, 3)))
    assert [sorted(weights)[leaf] for leaf in order] == ["b", "a", "c", "unused"]
