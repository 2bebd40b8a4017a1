"""The networks have the sizes printed for them, and their tensors come in forward order."""

import jax
import jax.numpy as jnp
import pytest
from flax import nnx

import calibrate
from calibrate.architectures import ARCHITECTURES, architecture, tensor_elements, trainable_tensors
from calibrate.architectures.resnet34 import Block
from speedup.errors import UnitError, UnknownNameError

# Parameters and tensors: torchvision's documentation for the first two, the thesis for the last.
PRINTED = {
    "resnet34": (21_797_672, 110),
    "squeezenet": (1_248_424, 52),
    "resnet34_a": (21_623_848, 101),
    "nardini_mlp": (266_610, 6),
}
FIRE1 = (96 * 16, 16, 16 * 64, 64, 9 * 16 * 64, 64)


@pytest.mark.parametrize("name", sorted(PRINTED))
def test_parameters_and_tensors_are_those_printed(name):
    elements = tensor_elements(name)
    assert (sum(elements), len(elements)) == PRINTED[name]


def test_every_architecture_has_a_printed_count():
    assert sorted(ARCHITECTURES) == sorted(PRINTED)


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("squeezenet", (7 * 7 * 3 * 96, 96, *FIRE1)),
        ("resnet34", (9408, 64, 64, 36864, 64, 64)),
        ("nardini_mlp", (784 * 300, 300, 300 * 100, 100, 1000, 10)),
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
    entry = ARCHITECTURES[name]
    network = nnx.eval_shape(lambda: entry.build(nnx.Rngs(0), entry.classes))
    listed = trainable_tensors(network)
    state = jax.tree.leaves(nnx.state(network, nnx.Param))
    assert len({id(tensor) for tensor in listed}) == len(listed) == len(state)
    assert sorted(tensor.size for tensor in listed) == sorted(leaf.size for leaf in state)


def test_scale_comes_before_offset_and_kernel_before_bias():
    network = nnx.eval_shape(lambda: ARCHITECTURES["resnet34"].build(nnx.Rngs(0), 10))
    tensors = trainable_tensors(network)
    assert tensors[1] is network.stem.norm.scale
    assert tensors[2] is network.stem.norm.bias
    assert tensors[-2] is network.output.kernel
    assert tensors[-1] is network.output.bias


def forward(entry, classes):
    """Return a function that builds the network and applies it, to be traced and not run."""

    def apply(x):
        network = entry.build(nnx.Rngs(0), classes)
        return network(x)

    return apply


@pytest.mark.parametrize("name", sorted(PRINTED))
def test_a_batch_gives_one_row_of_logits_a_sample(name):
    entry = ARCHITECTURES[name]
    batch = jax.ShapeDtypeStruct((2, *entry.input_shape), jnp.float32)
    logits = jax.eval_shape(forward(entry, 7), batch)
    assert logits.shape == (2, 7)


@pytest.mark.parametrize(("name", "width"), [("squeezenet", 7), ("resnet34", 7)])
def test_the_last_maps_of_a_224_image_are_as_large_as_printed(name, width):
    # Table 2.4 ends at 14x14 maps, Table 2.5 at 7x7.
    entry = ARCHITECTURES[name]
    jaxpr = jax.make_jaxpr(forward(entry, 9))(jnp.zeros((1, 224, 224, 3)))
    shapes = {eqn.outvars[0].aval.shape for eqn in jaxpr.jaxpr.eqns}
    expected = (1, 14, 14, 9) if name == "squeezenet" else (1, width, width, 512)
    assert expected in shapes
    assert not any(len(shape) == 4 and shape[0] == 1 and 1 < shape[1] < expected[1] for shape in shapes)


def test_another_number_of_classes_changes_only_the_last_layer():
    assert tensor_elements("squeezenet", 257)[:-2] == tensor_elements("squeezenet")[:-2]
    assert sum(tensor_elements("squeezenet", 257)) == 867_265


def test_zero_padding_keeps_the_even_places_and_adds_empty_channels():
    block = Block(64, 128, 2, project=False, rngs=nnx.Rngs(0))
    x = jax.random.normal(jax.random.key(0), (1, 4, 4, 64))
    shortcut = block._shortcut(x)
    assert shortcut.shape == (1, 2, 2, 128)
    assert jnp.array_equal(shortcut[..., :64], x[:, ::2, ::2])
    assert not shortcut[..., 64:].any()


def test_an_unknown_name_is_refused_with_the_nearest_one():
    with pytest.raises(UnknownNameError) as caught:
        architecture("resnet33")
    message = str(caught.value)
    assert message.startswith('unknown model "resnet33". Did you mean "resnet34"')
    assert message.endswith("List: speedup models")


def test_names_are_read_in_any_case_with_either_dash():
    assert architecture("ResNet34-A") is ARCHITECTURES["resnet34_a"]


def test_no_class_at_all_is_refused():
    with pytest.raises(UnitError, match="classes = 0"):
        tensor_elements("squeezenet", 0)


def test_the_table_of_models_says_what_travels():
    rows = {row["name"]: row for row in calibrate.describe_architectures()}
    assert rows["resnet34"] == {
        "name": "resnet34",
        "parameters": 21_797_672,
        "tensors": 110,
        "payload_bytes": 87_190_688,
        "input_shape": (224, 224, 3),
        "default_batch": 16,
    }
    assert list(rows) == sorted(PRINTED) == list(calibrate.architecture_names())
