"""The parts of the networks compute what their sources say, at the sizes their tables print."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from calibrate.architectures import GPT, architecture, trainable_tensors
from calibrate.architectures.googlenet import MODULES, AuxiliaryHead, GoogLeNet, Inception, width_of
from calibrate.architectures.layers import ConvNorm, local_response_norm
from calibrate.architectures.resnet import Block, ResNet
from calibrate.architectures.squeezenet import Fire, SqueezeNet
from calibrate.tracing import count_flops
from speedup.errors import UnitError


def size(build, *sample):
    """Return the parameters, and the multiply-accumulates in millions, of a part on one sample."""
    part = nnx.eval_shape(lambda: build(nnx.Rngs(0)))
    part.eval()
    flops = count_flops(lambda part, x: part(x), part, jax.ShapeDtypeStruct((1, *sample), jnp.float32))
    parameters = sum(leaf.size for leaf in jax.tree.leaves(nnx.state(part, nnx.Param)))
    return parameters, round(flops / 2e6, 1)


INCEPTIONS = {
    "3a": (28, 163_696, 128.0),
    "3b": (28, 388_736, 304.3),
    "4a": (14, 376_176, 73.6),
    "4b": (14, 449_160, 87.9),
    "4c": (14, 510_104, 99.9),
    "4d": (14, 605_376, 118.5),
    "4e": (14, 868_352, 170.0),
    "5a": (7, 1_043_456, 51.1),
    "5b": (7, 1_444_080, 70.7),
}


@pytest.mark.parametrize("name", INCEPTIONS)
def test_inception_modules_have_the_sizes_printed(name):
    side, parameters, operations = INCEPTIONS[name]
    names = list(MODULES)
    before = names.index(name)
    channels = width_of(MODULES[names[before - 1]]) if before else 192
    found = size(lambda rngs: Inception(channels, MODULES[name], rngs), side, side, channels)
    assert found == (parameters, operations)


@pytest.mark.parametrize(("channels", "parameters"), [(512, 3_188_840), (528, 3_190_888)])
def test_auxiliary_heads_have_the_sizes_printed(channels, parameters):
    assert size(lambda rngs: AuxiliaryHead(channels, 1000, rngs), 14, 14, channels) == (parameters, 4.2)


@pytest.mark.parametrize(
    ("channels", "widths", "side", "printed"),
    [
        (96, (16, 64), 56, (11_920, 36.9)),
        (128, (32, 128), 56, (45_344, 141.3)),
        (256, (48, 192), 28, (104_880, 81.9)),
        (512, (64, 256), 14, (197_184, 38.5)),
    ],
)
def test_fires_have_the_sizes_printed(channels, widths, side, printed):
    assert size(lambda rngs: Fire(channels, *widths, rngs), side, side, channels) == printed


@pytest.mark.parametrize(
    ("width", "size_out", "params", "printed"),
    [(64, 64, 36_928, 604.0), (128, 128, 147_584, 604.0), (512, 512, 2_359_808, 604.0)],
)
def test_vgg_convolutions_have_the_sizes_printed(width, size_out, params, printed):
    side = {64: 128, 128: 64, 512: 16}[width]
    assert size(lambda rngs: ConvNorm(width, size_out, 3, 1, rngs, norm=False), side, side, width) == (params, printed)


@pytest.mark.parametrize(("project", "printed"), [(True, (230_144, 179.8)), (False, (221_696, 173.4))])
def test_a_projection_costs_a_convolution_and_zero_padding_nothing(project, printed):
    found = size(lambda rngs: Block(64, 128, 2, project=project, rngs=rngs), 56, 56, 64)
    assert found == printed


def test_zero_padding_keeps_the_even_places_and_adds_empty_channels():
    block = Block(64, 128, 2, project=False, rngs=nnx.Rngs(0))
    x = jax.random.normal(jax.random.key(0), (1, 4, 4, 64))
    shortcut = block._shortcut(x)
    assert shortcut.shape == (1, 2, 2, 128)
    assert jnp.array_equal(shortcut[..., :64], x[:, ::2, ::2])
    assert not shortcut[..., 64:].any()


def test_a_bottleneck_strides_in_its_3x3_convolution():
    block = nnx.eval_shape(lambda: Block(256, 128, 2, bottleneck=True, rngs=nnx.Rngs(0)))
    assert [unit.conv.strides for unit in block.path] == [1, 2, 1]
    assert [unit.conv.kernel_size for unit in block.path] == [(1, 1), (3, 3), (1, 1)]


@pytest.mark.parametrize("channels", [3, 8])
def test_local_response_norm_divides_by_the_neighbours_in_channel(channels):
    x = 30 * np.random.default_rng(0).normal(size=(2, 3, 4, channels))
    expected = np.empty_like(x)
    for c in range(channels):
        near = x[..., max(0, c - 2) : c + 3]
        expected[..., c] = x[..., c] / (2 + 1e-4 * (near**2).sum(axis=-1)) ** 0.75
    np.testing.assert_allclose(local_response_norm(jnp.asarray(x)), expected, rtol=1e-5)


def test_the_gradient_of_local_response_norm_is_that_of_differences():
    x = 30 * jax.random.normal(jax.random.key(0), (1, 1, 1, 6))
    way = jax.random.normal(jax.random.key(1), x.shape)

    def value(step):
        return jnp.sum(jnp.sin(local_response_norm(x + step * way)))

    difference = (value(0.01) - value(-0.01)) / 0.02
    assert float(jax.grad(value)(0.0)) == pytest.approx(float(difference), rel=1e-2)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_local_response_norm_keeps_the_precision(dtype):
    assert local_response_norm(jnp.ones((1, 2, 2, 8), dtype)).dtype == dtype


@pytest.mark.parametrize("norm", [False, True])
def test_googlenet_normalises_responses_where_it_does_not_normalise_batches(norm):
    network = nnx.eval_shape(lambda: GoogLeNet(nnx.Rngs(0), auxiliary=False, norm=norm))
    image = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32)
    program = str(jax.make_jaxpr(lambda network, x: network(x))(network, image))
    assert program.count("reduce_window_sum") == (0 if norm else 2)


@pytest.mark.parametrize("name", ["googlenet", "googlenet_bn", "googlenet_bn_3x3"])
def test_auxiliary_heads_count_three_tenths_in_training(name):
    network = nnx.eval_shape(lambda: architecture(name).build(nnx.Rngs(0), 7))
    weights = []

    def logits(network, images):
        heads = network.heads(images)
        weights.extend(weight for weight, _ in heads)
        return [rows for _, rows in heads]

    shapes = jax.eval_shape(logits, network, jax.ShapeDtypeStruct((2, 224, 224, 3), jnp.float32))
    assert weights == [1, 0.3, 0.3]
    assert [rows.shape for rows in shapes] == [(2, 7)] * 3


def test_a_call_of_googlenet_leaves_the_auxiliary_heads_out():
    network = nnx.eval_shape(lambda: GoogLeNet(nnx.Rngs(0)))
    image = jax.ShapeDtypeStruct((1, 224, 224, 3), jnp.float32)
    flops = count_flops(lambda network, x: network(x), network, image)
    assert round(flops / 2e6, 1) == 1582.7


def test_most_networks_have_one_head_of_weight_one():
    network = architecture("nardini_mlp").build(nnx.Rngs(0), 10)
    inputs = jnp.ones((2, 784))
    ((weight, logits),) = network.heads(inputs)
    assert weight == 1
    assert jnp.array_equal(logits, network(inputs))


@pytest.mark.parametrize("build", [partial(SqueezeNet, same=False), partial(ResNet, small=True)])
def test_networks_run_and_give_finite_logits_on_small_images(build):
    def logits_of(images):
        network = build(nnx.Rngs(0), 7)
        return network(images)

    logits = jax.jit(logits_of)(jnp.ones((2, 32, 32, 3)))
    assert logits.shape == (2, 7)
    assert jnp.isfinite(logits).all()
    assert jnp.abs(logits).max() > 0


@pytest.mark.parametrize("name", ["googlenet", "googlenet_bn_noaux", "gpt2_124m", "resnet34_cifar", "vgg16_cifar_bn"])
def test_a_network_of_16_bits_computes_in_16_bits(name):
    entry = architecture(name)
    graph, weights, rest = nnx.split(nnx.eval_shape(lambda: entry.build(nnx.Rngs(0), 7)), nnx.Param, ...)
    weights = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, jnp.bfloat16), weights)
    inputs = jax.ShapeDtypeStruct((2, *entry.input_shape), jnp.int32 if entry.tokens else jnp.bfloat16)
    # The statistics of batch normalisation keep 32 bits.
    program = jax.make_jaxpr(lambda *state: nnx.merge(graph, *state[:2]).heads(state[2]))(weights, rest, inputs)
    products = [e for e in program.jaxpr.eqns if e.primitive.name in {"conv_general_dilated", "dot_general"}]
    assert len(products) > 12
    assert {variable.aval.dtype for equation in products for variable in equation.invars} == {jnp.dtype(jnp.bfloat16)}
    assert {logits.dtype for logits in program.out_avals if logits.ndim} == {jnp.dtype(jnp.bfloat16)}


def test_dropout_is_active_until_evaluation():
    network = architecture("neri_fashion_cnn").build(nnx.Rngs(0), 10)
    inputs = jnp.ones((1, 28, 28, 1))
    assert not jnp.array_equal(network(inputs), network(inputs))
    network.eval()
    assert jnp.array_equal(network(inputs), network(inputs))


def test_batch_norm_moves_its_statistics_in_training():
    unit = ConvNorm(3, 4, 3, 1, nnx.Rngs(0))
    before = unit.norm.mean[...]
    unit(jnp.ones((2, 4, 4, 3)))
    assert not jnp.array_equal(before, unit.norm.mean[...])


SMALL_GPT = {"context": 8, "width": 12, "depth": 2, "heads": 3}


@cache
def small_gpt():
    """Return the network as a compiled function of tokens."""
    network = GPT(nnx.Rngs(0), 20, **SMALL_GPT)
    return jax.jit(network)


def test_a_later_token_does_not_change_an_earlier_logit():
    network = small_gpt()
    tokens = jnp.array([[3, 1, 4, 1, 5, 9, 2, 6]])
    first, second = network(tokens), network(tokens.at[0, 5].set(7))
    assert jnp.array_equal(first[:, :5], second[:, :5])
    assert (first[:, 5:] != second[:, 5:]).any(axis=-1).all()


def test_positions_matter_and_shorter_samples_are_read():
    logits = small_gpt()(jnp.array([[3, 3, 3]]))
    assert logits.shape == (1, 3, 20)
    assert not jnp.allclose(logits[0, 0], logits[0, 1])


@pytest.mark.parametrize(
    ("classes", "context", "width", "depth", "heads"), [(50257, 1024, 768, 12, 12), (100, 32, 24, 3, 4)]
)
def test_a_gpt_of_any_size_has_the_parameters_and_operations_of_the_formulas(classes, context, width, depth, heads):
    network = nnx.eval_shape(lambda: GPT(nnx.Rngs(0), classes, context=context, width=width, depth=depth, heads=heads))
    tensors = trainable_tensors(network)
    assert len(tensors) == 4 + 12 * depth
    assert sum(tensor.size for tensor in tensors) == (
        (classes + context) * width + depth * (12 * width**2 + 13 * width) + 2 * width
    )
    tokens = jax.ShapeDtypeStruct((1, context), jnp.int32)
    products = context * (12 * depth * width**2 + classes * width) + 2 * depth * context**2 * width
    assert count_flops(lambda network, x: network(x), network, tokens) == 2 * products


def test_gpt_and_its_first_loss_are_those_of_a_guess():
    network = small_gpt()
    tokens = jax.random.randint(jax.random.key(0), (4, 8), 0, 20)
    losses = -jnp.take_along_axis(nnx.log_softmax(network(tokens)), jnp.roll(tokens, -1, axis=1)[..., None], axis=-1)
    assert float(losses.mean()) == pytest.approx(np.log(20), abs=0.1)


def test_the_matrix_of_the_embedding_is_that_of_the_output():
    network = GPT(nnx.Rngs(0), 20, **SMALL_GPT)
    network.tokens.embedding[...] = jnp.zeros((20, 12))
    assert not network(jnp.ones((1, 4), int)).any()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"heads": 5}, r"heads = 5; it must divide width = 12"),
        ({"depth": 0}, "depth = 0"),
        ({"context": 2.5}, "context"),
    ],
)
def test_a_gpt_of_an_impossible_size_is_refused(wrong, message):
    with pytest.raises(UnitError, match=message):
        GPT(nnx.Rngs(0), 20, **SMALL_GPT | wrong)


def test_samples_longer_than_the_context_are_refused():
    with pytest.raises(UnitError, match="9 tokens; at most 8"):
        GPT(nnx.Rngs(0), 20, **SMALL_GPT)(jnp.ones((1, 9), int))
