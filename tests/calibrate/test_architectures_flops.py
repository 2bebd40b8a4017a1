"""The operations of a function are counted from its program, without running it."""

import jax
import jax.numpy as jnp
import pytest
from flax import nnx
from jax import lax

from calibrate.architectures import ARCHITECTURES, forward_flops
from calibrate.tracing import UncountableError, count_flops
from speedup.errors import SpeedupError

MATRIX = jax.ShapeDtypeStruct((8, 8), jnp.float32)
PRODUCT = 2 * 8**3
IMAGE = jax.ShapeDtypeStruct((2, 9, 9, 6), jnp.float32)


def square(x):
    return x @ x


def convolution(rngs, **options):
    return nnx.Conv(6, 12, (3, 3), rngs=rngs, **options)


def counted(build, *arguments):
    """Count a layer's operations, its weights being an argument like any other."""
    return count_flops(lambda layer, *inputs: layer(*inputs), nnx.eval_shape(lambda: build(nnx.Rngs(0))), *arguments)


def test_a_dense_layer_counts_its_product_and_not_its_bias():
    batch = jax.ShapeDtypeStruct((5, 8), jnp.float32)
    assert counted(lambda rngs: nnx.Linear(8, 3, rngs=rngs), batch) == 2 * 5 * 8 * 3


def test_a_product_of_batches_counts_once_a_batch():
    left, right = jax.ShapeDtypeStruct((7, 2, 8), jnp.float32), jax.ShapeDtypeStruct((7, 8, 3), jnp.float32)
    assert count_flops(jnp.matmul, left, right) == 2 * 7 * 2 * 8 * 3
    assert count_flops(lambda a, b: jnp.einsum("nik,nkj->ij", a, b), left, right) == 2 * 7 * 2 * 8 * 3


def test_a_padded_convolution_counts_every_tap_at_every_place():
    assert counted(convolution, IMAGE) == 2 * (2 * 9 * 9 * 12) * 9 * 6


def test_a_stride_leaves_fewer_places():
    assert counted(lambda rngs: convolution(rngs, strides=2), IMAGE) == 2 * (2 * 5 * 5 * 12) * 9 * 6
    assert counted(lambda rngs: convolution(rngs, strides=2, padding="VALID"), IMAGE) == 2 * (2 * 4 * 4 * 12) * 9 * 6


def test_groups_see_their_own_channels_alone():
    assert counted(lambda rngs: convolution(rngs, feature_group_count=3), IMAGE) == 2 * (2 * 9 * 9 * 12) * 9 * 2


def test_a_kernel_spread_out_has_no_more_taps():
    assert counted(lambda rngs: convolution(rngs, kernel_dilation=2), IMAGE) == 2 * (2 * 9 * 9 * 12) * 9 * 6


def test_a_transposed_convolution_counts_its_inputs_and_not_the_zeros_between():
    transposed = nnx.eval_shape(lambda: nnx.ConvTranspose(6, 12, (3, 3), strides=2, rngs=nnx.Rngs(0)))
    assert count_flops(lambda layer, x: layer(x), transposed, IMAGE) == 2 * (2 * 9 * 9 * 6) * 9 * 12


def test_the_body_of_a_scan_counts_once_a_round():
    assert count_flops(lambda x: lax.scan(lambda c, _: (square(c), None), x, length=5)[0], MATRIX) == 5 * PRODUCT
    assert count_flops(lambda x: lax.fori_loop(0, 3, lambda _, c: square(c), x), MATRIX) == 3 * PRODUCT


def test_scans_inside_scans_multiply():
    def inner(x):
        return lax.fori_loop(0, 3, lambda _, c: square(c), x)

    assert count_flops(lambda x: lax.fori_loop(0, 4, lambda _, c: inner(c), x), MATRIX) == 12 * PRODUCT


def with_jvp(function):
    wrapped = jax.custom_jvp(function)
    wrapped.defjvp(lambda primals, tangents: jax.jvp(function, primals, tangents))
    return wrapped


def with_vjp(function):
    wrapped = jax.custom_vjp(function)
    wrapped.defvjp(lambda x: jax.vjp(function, x), lambda pull, slope: pull(slope))
    return wrapped


@pytest.mark.parametrize("wrap", [jax.jit, jax.checkpoint, with_jvp, with_vjp, nnx.jit, nnx.remat])
def test_a_function_inside_a_function_counts_as_itself(wrap):
    assert count_flops(lambda x: jax.jit(wrap(square))(x) + square(x), MATRIX) == 2 * PRODUCT


def test_the_largest_branch_counts():
    branches = (lambda x: x, square, lambda x: square(square(x)))
    assert count_flops(lambda index, x: lax.switch(index, branches, x), 1, MATRIX) == 2 * PRODUCT


def test_a_gradient_counts_both_of_its_products_a_layer():
    def loss(weight, x):
        return jnp.sum(x @ weight)

    # The loss itself, the gradient of the weight, and, if wanted, that of the input.
    assert count_flops(jax.value_and_grad(loss), MATRIX, MATRIX) == 2 * PRODUCT
    assert count_flops(jax.value_and_grad(loss, (0, 1)), MATRIX, MATRIX) == 3 * PRODUCT


def test_what_is_no_product_counts_nothing():
    assert count_flops(lambda x: jnp.cumsum(jnp.exp(x)).sum() / x.max(), MATRIX) == 0


def test_a_while_loop_with_products_is_refused_and_one_without_counts_nothing():
    def until(body):
        return lambda x: lax.while_loop(lambda c: c.sum() < 9, body, x)

    assert count_flops(until(lambda c: c + 1), MATRIX) == 0
    with pytest.raises(UncountableError, match=r"while loop.*use jax\.lax\.scan"):
        count_flops(until(square), MATRIX)
    assert issubclass(UncountableError, SpeedupError)


def test_a_product_whose_size_depends_on_data_is_refused():
    groups = jax.ShapeDtypeStruct((2,), jnp.int32)
    weights = jax.ShapeDtypeStruct((2, 8, 4), jnp.float32)
    with pytest.raises(UncountableError, match="ragged_dot_general"):
        count_flops(lax.ragged_dot, MATRIX, weights, groups)


# Millions of operations of the gradient of one sample: three forward passes but for the gradient of the input.
TRAINING = {
    "alexnet_cifar": (86.8, 0.05),
    "googlenet": (9310, 5),
    "neri_fashion_cnn": (12.9, 0.05),
    "resnet34_a": (21630, 5),
    "squeezenet": (4970, 5),
    "squeezenet1_0_tv": (4580, 5),
    "vgg16e_128": (38490, 5),
    "viviano_conv_32": (49.5, 0.05),
}


@pytest.mark.parametrize("name", sorted(TRAINING))
def test_the_gradient_of_a_network_takes_the_operations_printed_for_its_training(name):
    entry = ARCHITECTURES[name]
    network = nnx.eval_shape(lambda: entry.build(nnx.Rngs(0), entry.classes))
    network.eval()
    graph, weights, rest = nnx.split(network, nnx.Param, ...)

    def loss(weights, rest, sample):
        return sum(weight * logits.sum() for weight, logits in nnx.merge(graph, weights, rest).heads(sample))

    sample = jax.ShapeDtypeStruct((1, *entry.input_shape), jnp.float32)
    printed, half_a_digit = TRAINING[name]
    assert abs(count_flops(jax.grad(loss), weights, rest, sample) / 1e6 - printed) <= half_a_digit


def test_operations_grow_with_the_classes_by_the_last_layer():
    assert forward_flops("nardini_mlp", 11) - forward_flops("nardini_mlp") == 2 * 100
