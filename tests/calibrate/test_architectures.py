"""The networks have the sizes printed for them, their tensors come in forward order, and they can be trained."""

from functools import cache

import jax
import jax.numpy as jnp
import optax
import pytest
from flax import nnx

import calibrate
from calibrate.architectures import (
    ARCHITECTURES,
    architecture,
    describe_architectures,
    forward_flops,
    tensor_elements,
    trainable_tensors,
)
from speedup.errors import UnitError, UnknownNameError
from speedup.placement import place

# Parameters, tensors, and multiply-accumulates of one forward pass in millions, with the digits printed.
# The documentation of Torchvision has resnet34, resnet50 (4.09 thousand millions), squeezenet1_0_tv and
# googlenet_bn_3x3_noaux; the tables of the theses give the rest, layer by layer. The operations of gpt2_124m
# follow from a formula, in the test of its file.
PRINTED = {
    "alexnet_cifar": (2_472_266, 12, "14.957"),
    "alexnet_cifar_s1": (3_521_098, 14, "240.3"),
    "googlenet": (13_378_280, 128, "1591.0"),
    "googlenet_bn": (13_385_816, 187, "1591.0"),
    "googlenet_bn_3x3": (13_004_888, 187, "1506.7"),
    "googlenet_bn_3x3_noaux": (6_624_904, 173, "1498.4"),
    "googlenet_bn_noaux": (7_005_832, 173, "1582.7"),
    "googlenet_noaux": (6_998_552, 116, "1582.7"),
    "gpt2_124m": (124_439_808, 148, "145824.2"),
    "nardini_mlp": (266_610, 6, "0.2662"),
    "neri_fashion_cnn": (412_778, 8, "2.210"),
    "resnet34": (21_797_672, 110, "3663.8"),
    "resnet34_a": (21_623_848, 101, "3644.5"),
    "resnet34_cifar": (21_282_122, 110, "1159.4"),
    "resnet50": (25_557_032, 161, "4089.2"),
    "squeezenet": (1_248_424, 52, "887.5"),
    "squeezenet1_0_tv": (1_248_424, 52, "818.9"),
    "vgg16_cifar": (14_719_818, 28, "313.2"),
    "vgg16_cifar_bn": (14_728_266, 54, "313.2"),
    "vgg16e_128": (74_461_224, 38, "6424.5"),
    "vgg16e_224": (143_667_240, 38, "19632.1"),
    "viviano_conv_28": (422_230, 14, "6.179"),
    "viviano_conv_32": (542_590, 14, "8.439"),
    "viviano_fc_3072": (737_210, 10, "0.7364"),
    "viviano_fc_784": (279_610, 10, "0.2788"),
}
PRINTED_257 = {
    "googlenet_noaux": (6_236_977, 116, "1581.9"),
    "squeezenet": (867_265, 52, "813.0"),
    "vgg16e_224": (140_623_169, 38, "19629.0"),
}
# Heaviest load over the mean on 2, 4, 8 and 16 units, placed greedily in forward order; it depends on that order.
PLACED = {
    ("vgg16e_128", 1000): (1.15, 2.01, 3.73, 7.21),
    ("vgg16e_224", 1000): (1.56, 2.97, 5.79, 11.44),
    ("googlenet", 1000): (1.05, 1.18, 1.46, 2.64),
    ("googlenet_noaux", 1000): (1.10, 1.36, 1.83, 2.85),
    ("googlenet_noaux", 257): (1.01, 1.12, 1.46, 2.16),
    ("squeezenet", 1000): (1.37, 2.04, 3.54, 6.68),
    ("squeezenet", 257): (1.09, 1.20, 1.71, 2.89),
    ("resnet34_a", 1000): (1.05, 1.26, 1.37, 2.19),
    ("resnet34", 1000): (1.04, 1.25, 1.36, 2.17),
    ("alexnet_cifar", 10): (1.03, 1.43, 2.86, 5.73),
    ("vgg16_cifar", 10): (1.09, 1.36, 1.44, 2.57),
    ("resnet34_cifar", 10): (1.06, 1.28, 1.39, 2.22),
    ("viviano_fc_784", 10): (1.12, 2.24, 4.49, 8.97),
    ("viviano_conv_28", 10): (1.93, 3.78, 7.43, 14.85),
    ("neri_fashion_cnn", 10): (1.95, 3.89, 7.78, 15.56),
    ("nardini_mlp", 10): (1.76, 3.53, 7.06, 14.12),
}
FIRE1 = (96 * 16, 16, 16 * 64, 64, 9 * 16 * 64, 64)


def as_printed(flops, printed):
    """Tell whether half the operations, in millions, agree with a number to its last printed digit."""
    digits = len(printed.partition(".")[2])
    return abs(flops / 2e6 - float(printed)) <= 0.5 * 10.0**-digits


@cache
def shapes_of(name, classes=7):
    """Return the network as shapes, without numbers."""
    return nnx.eval_shape(lambda: ARCHITECTURES[name].build(nnx.Rngs(0), classes))


def sample_of(name, batch):
    entry = ARCHITECTURES[name]
    return jax.ShapeDtypeStruct((batch, *entry.input_shape), "int32" if entry.tokens else "float32")


@pytest.mark.parametrize("name", sorted(PRINTED))
def test_parameters_tensors_and_operations_are_those_printed(name):
    elements = tensor_elements(name)
    assert (sum(elements), len(elements)) == PRINTED[name][:2]
    assert as_printed(forward_flops(name), PRINTED[name][2])


@pytest.mark.parametrize("name", sorted(PRINTED_257))
def test_caltech_s_257_classes_give_the_sizes_printed(name):
    elements = tensor_elements(name, 257)
    assert (sum(elements), len(elements)) == PRINTED_257[name][:2]
    assert as_printed(forward_flops(name, 257), PRINTED_257[name][2])


def test_every_architecture_has_a_printed_count():
    assert sorted(ARCHITECTURES) == sorted(PRINTED)


@pytest.mark.parametrize(("name", "classes"), sorted(PLACED))
def test_greedy_placement_in_forward_order_loads_the_units_as_printed(name, classes):
    elements = tensor_elements(name, classes)
    found = [place(elements, units).imbalance for units in (2, 4, 8, 16)]
    assert found == pytest.approx(PLACED[name, classes], abs=0.00501)


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("squeezenet", (7 * 7 * 3 * 96, 96, *FIRE1)),
        ("resnet34", (9408, 64, 64, 36864, 64, 64)),
        ("resnet50", (9408, 64, 64, 64 * 64, 64, 64, 36864, 64, 64, 64 * 256, 256, 256, 64 * 256, 256, 256)),
        ("nardini_mlp", (784 * 300, 300, 300 * 100, 100, 1000, 10)),
        ("vgg16_cifar_bn", (9 * 3 * 64, 64, 64, 64, 9 * 64 * 64, 64, 64, 64)),
        ("googlenet", (147 * 64, 64, 64 * 64, 64, 9 * 64 * 192, 192, 192 * 64, 64, 192 * 96, 96)),
        ("gpt2_124m", (50257 * 768, 1024 * 768, 768, 768, 768 * 2304, 2304, 768 * 768, 768, 768, 768, 768 * 3072)),
    ],
)
def test_tensors_come_in_forward_order_kernel_before_bias(name, first):
    assert tensor_elements(name)[: len(first)] == first


def test_the_classifier_comes_last():
    assert tensor_elements("squeezenet")[-2:] == (512_000, 1000)
    assert tensor_elements("resnet34")[-2:] == (512_000, 1000)


def test_the_projection_stands_between_its_block_and_the_next():
    before = 3 * (1 + 2 * 3)  # stem, and six layers in three blocks, three tensors each
    stage = tensor_elements("resnet34")[before : before + 9]
    assert stage == (9 * 64 * 128, 128, 128, 9 * 128 * 128, 128, 128, 64 * 128, 128, 128)


@pytest.mark.parametrize("name", sorted(PRINTED))
def test_layers_leave_out_no_trainable_tensor(name):
    network = shapes_of(name)
    listed = trainable_tensors(network)
    state = jax.tree.leaves(nnx.state(network, nnx.Param))
    assert len({id(tensor) for tensor in listed}) == len(listed) == len(state)
    assert sorted(tensor.size for tensor in listed) == sorted(leaf.size for leaf in state)


def test_scale_comes_before_offset_and_kernel_before_bias():
    network = shapes_of("resnet34")
    tensors = trainable_tensors(network)
    assert tensors[1] is network.stem.norm.scale
    assert tensors[2] is network.stem.norm.bias
    assert tensors[-2] is network.output.kernel
    assert tensors[-1] is network.output.bias


@pytest.mark.parametrize("name", sorted(PRINTED))
def test_a_batch_in_training_gives_one_row_of_seven_logits_a_sample_and_head(name):
    # The network is not in evaluation mode: masks are drawn, and statistics move.
    heads = jax.eval_shape(lambda network, x: network.heads(x)[:], shapes_of(name), sample_of(name, 2))
    places = ARCHITECTURES[name].input_shape if ARCHITECTURES[name].tokens else ()
    assert [logits.shape for _, logits in heads] == [(2, *places, 7)] * len(heads)
    assert len(heads) == (3 if name in {"googlenet", "googlenet_bn", "googlenet_bn_3x3"} else 1)


@pytest.mark.parametrize(
    ("name", "side", "width"), [("squeezenet", 14, 7), ("squeezenet1_0_tv", 13, 7), ("resnet34", 7, 512)]
)
def test_the_last_maps_of_a_224_image_are_as_large_as_printed(name, side, width):
    # Table 2.4 ends at 14x14 maps, Table 2.5 at 7x7.
    jaxpr = jax.make_jaxpr(lambda network, x: network(x))(shapes_of(name), sample_of(name, 1))
    shapes = {eqn.outvars[0].aval.shape for eqn in jaxpr.jaxpr.eqns}
    assert (1, side, side, width) in shapes
    assert not any(len(shape) == 4 and shape[0] == 1 and 1 < shape[1] < side for shape in shapes)


def test_another_number_of_classes_changes_only_the_last_layer():
    assert tensor_elements("squeezenet", 257)[:-2] == tensor_elements("squeezenet")[:-2]
    assert tensor_elements("gpt2_124m", 257)[1:] == tensor_elements("gpt2_124m")[1:]


def losses_of(name, steps, batch=8, rate=1e-3):
    """Train an architecture on one batch and return the loss of every step, and its weights' last gradient."""
    entry = ARCHITECTURES[name]
    graph = nnx.graphdef(shapes_of(name, entry.classes))
    inputs = jax.random.normal(jax.random.key(1), (batch, *entry.input_shape))
    labels = jnp.arange(batch) % entry.classes

    def loss(weights, rest):
        network = nnx.merge(graph, weights, rest, copy=True)
        rows = (w * optax.softmax_cross_entropy_with_integer_labels(z, labels).mean() for w, z in network.heads(inputs))
        return sum(rows), nnx.state(network, nnx.Not(nnx.Param))

    @jax.jit
    def step(weights, rest):
        (value, rest), gradient = jax.value_and_grad(loss, has_aux=True)(weights, rest)
        weights = jax.tree.map(lambda weight, slope: weight - rate * slope, weights, gradient)
        return weights, rest, value, [jnp.abs(leaf).max() for leaf in jax.tree.leaves(gradient)]

    weights, rest = jax.jit(lambda: nnx.state(entry.build(nnx.Rngs(0), entry.classes), nnx.Param, ...))()
    values = []
    for _ in range(steps):
        weights, rest, value, slopes = step(weights, rest)
        values.append(float(value))
    return values, slopes


@pytest.mark.parametrize(
    "name", ["alexnet_cifar", "nardini_mlp", "neri_fashion_cnn", "viviano_conv_28", "viviano_fc_784"]
)
def test_small_steps_down_the_gradient_lower_the_loss_and_move_every_tensor(name):
    values, slopes = losses_of(name, 25)
    assert all(jnp.isfinite(jnp.array(values)))
    assert sum(values[-3:]) < 0.8 * sum(values[:3])
    assert min(slopes) > 0


def test_an_unknown_name_is_refused_with_the_nearest_one():
    with pytest.raises(UnknownNameError) as caught:
        architecture("resnet33")
    message = str(caught.value)
    assert message.startswith('unknown model "resnet33". Did you mean "resnet34"')
    assert message.endswith("List: speedup models")


def test_names_are_read_in_any_case_with_either_dash():
    assert architecture("ResNet34-A") is ARCHITECTURES["resnet34_a"]


@pytest.mark.parametrize(("alias", "name"), [("gpt", "gpt2_124m"), ("GPT2", "gpt2_124m"), ("resnet34-b", "resnet34")])
def test_an_alias_names_the_same_architecture_and_the_same_sizes(alias, name):
    assert architecture(alias) is ARCHITECTURES[name]
    assert tensor_elements(alias) is tensor_elements(name)


def test_aliases_are_names_of_nothing_else():
    aliases = [alias for entry in ARCHITECTURES.values() for alias in entry.aliases]
    assert len({*aliases, *ARCHITECTURES}) == len(aliases) + len(ARCHITECTURES)


def test_a_suffix_for_the_classes_is_no_name():
    with pytest.raises(UnknownNameError):
        architecture("squeezenet_c257")


def test_no_class_at_all_is_refused():
    with pytest.raises(UnitError, match="classes = 0"):
        tensor_elements("squeezenet", 0)
    with pytest.raises(UnitError, match=r"classes = 2\.5"):
        forward_flops("squeezenet", 2.5)


def test_the_table_of_models_says_what_travels_and_what_is_computed():
    rows = {row["name"]: row for row in describe_architectures()}
    assert rows["resnet34"] == {
        "name": "resnet34",
        "parameters": 21_797_672,
        "tensors": 110,
        "payload_bytes": 87_190_688,
        "forward_flops": 7_327_522_816,
        "input_shape": (224, 224, 3),
        "default_batch": 16,
        "family": "resnet",
    }
    assert list(rows) == sorted(PRINTED) == list(calibrate.architecture_names())


def test_variants_share_the_family_that_their_file_is_named_for():
    for entry in ARCHITECTURES.values():
        module = type(shapes_of(entry.name)).__module__
        assert module == f"calibrate.architectures.{entry.family}"
