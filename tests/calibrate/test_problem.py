"""A problem is a loss over pytrees, whatever it was made of."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import calibrate
from calibrate.architectures import Architecture, Network, architecture, tensor_elements
from calibrate.tracing import first_uses
from calibrate.training.algorithms import algorithm
from calibrate.training.problem import (
    first_values,
    focal_loss,
    loss_problem,
    mean_cross_entropy,
    model_problem,
    network_problem,
)
from calibrate.training.step import TrainingRun
from speedup.errors import UnitError, UnknownNameError


class Two(Network):
    """Two heads on one layer."""

    def __init__(self, rngs, classes):
        self.first, self.second = nnx.Linear(4, classes, rngs=rngs), nnx.Linear(4, classes, rngs=rngs)

    def layers(self):
        yield from (self.second, self.first)

    def __call__(self, inputs):
        return self.first(inputs)

    def heads(self, inputs):
        return (1.0, self.first(inputs)), (0.3, self.second(inputs))


TWO = Architecture("two", Two, (4,), 4, 3, "two")


def test_the_loss_is_the_weighted_sum_over_the_heads():
    problem = network_problem(TWO)
    weights, rest = first_values(problem)
    inputs, labels = problem.make_batch(5)
    loss, _ = problem.loss(weights, rest, (inputs, labels))
    network = Two(nnx.Rngs(jax.random.key(0, impl="rbg")), 3)
    nnx.update(network, weights)
    expected = mean_cross_entropy(network.first(inputs), labels) + 0.3 * mean_cross_entropy(
        network.second(inputs), labels
    )
    assert float(loss) == pytest.approx(float(expected), rel=1e-6)


def test_the_order_of_the_tensors_is_the_networks_own():
    problem = network_problem(TWO)
    leaves = jax.tree.leaves(first_values(problem)[0])
    # Attributes are sorted by name, but the second layer is said to come first.
    assert [leaves[leaf].shape for leaf in problem.order] == [(4, 3), (3,), (4, 3), (3,)]
    assert problem.order == (3, 2, 1, 0)


@pytest.mark.parametrize("name", ["nardini_mlp", "resnet34", "gpt2_124m"])
def test_the_tensors_of_a_network_come_in_forward_order(name):
    problem = network_problem(architecture(name))
    leaves = jax.tree.leaves(jax.eval_shape(problem.init)[0])
    assert tuple(leaves[leaf].size for leaf in problem.order) == tensor_elements(name)


def test_tokens_and_labels_lie_in_the_vocabulary_and_have_one_shape():
    problem = network_problem(architecture("gpt2"))
    inputs, labels = jax.eval_shape(lambda: problem.make_batch(2))
    assert inputs.shape == labels.shape == (2, 1024)
    assert jnp.issubdtype(inputs.dtype, jnp.integer)


def test_a_uniform_prediction_of_ten_classes_costs_the_printed_focal_loss():
    assert float(focal_loss(jnp.zeros((3, 10)), jnp.arange(3))) == pytest.approx(1.8746, abs=5e-5)


def test_the_focal_loss_is_optaxs_on_the_logit_of_the_softmax():
    logits, labels = jax.random.normal(jax.random.key(0), (20, 6)), jnp.arange(20) % 6
    p = jax.nn.softmax(logits)
    wanted = jax.nn.one_hot(labels, 6)
    expected = optax.losses.sigmoid_focal_loss(jnp.log(p) - jnp.log1p(-p), wanted, gamma=2.0).sum(axis=1).mean()
    assert float(focal_loss(logits, labels)) == pytest.approx(float(expected), rel=1e-5)


def test_the_focal_loss_and_its_gradient_are_finite_where_a_probability_is_1():
    logits, labels = jnp.array([[200.0, 0.0, -200.0]]), jnp.array([2])
    value, gradient = jax.value_and_grad(focal_loss)(logits, labels)
    assert np.isfinite(float(value))
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("name", ["nardini_mlp", "alexnet_cifar"])
def test_half_precision_computes_the_same_loss_to_its_own_precision(name):
    whole, half = (network_problem(architecture(name), precision=one) for one in ("float32", "bfloat16"))
    weights, rest = first_values(whole)
    batch = whole.make_batch(8)
    exact, _ = whole.loss(weights, rest, batch)
    rounded, new = half.loss(weights, rest, batch)
    assert rounded.dtype == jnp.float32
    assert float(rounded) == pytest.approx(float(exact), rel=0.03)
    assert jax.tree.map(lambda one: one.dtype, new) == jax.tree.map(lambda one: one.dtype, rest)
    gradient = jax.grad(lambda w: half.loss(w, rest, batch)[0])(weights)
    assert {leaf.dtype for leaf in jax.tree.leaves(gradient)} == {jnp.dtype("float32")}


def test_products_are_made_in_half_precision():
    problem = network_problem(architecture("resnet34_cifar"), precision="bfloat16")
    weights, rest = jax.eval_shape(problem.init)
    text = str(jax.make_jaxpr(problem.loss)(weights, rest, jax.eval_shape(lambda: problem.make_batch(2))))
    convolutions = [line for line in text.splitlines() if "conv_general_dilated[" in line]
    assert convolutions
    assert all("bf16[" in line for line in convolutions)


def test_an_unknown_precision_is_refused():
    with pytest.raises(UnknownNameError, match='unknown precision "float16"'):
        network_problem(TWO, precision="float16")


def test_a_plain_loss_is_trained_as_its_gradient_says():
    params, batch = {"w": jnp.array([[1.0], [2.0]]), "b": jnp.zeros(1)}, (jnp.ones((4, 2)), jnp.ones((4, 1)))

    def loss(params, batch):
        return jnp.mean((batch[0] @ params["w"] + params["b"] - batch[1]) ** 2)

    problem = loss_problem(loss, params, batch)
    run = TrainingRun(problem, algorithm("sgd"))
    run.step(4)()
    gradient = jax.grad(loss)(params, batch)
    expected = jax.tree.map(lambda one, slope: one - 1e-4 * slope, params, gradient)
    # In forward order: the product comes before the sum.
    for found, wanted in zip(run.state, (expected["w"], expected["b"]), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-6)


@pytest.mark.parametrize("name", ["nardini_mlp", "squeezenet", "resnet34_cifar", "neri_fashion_cnn"])
def test_the_order_of_first_uses_is_the_forward_order(name):
    problem = network_problem(architecture(name))
    weights, rest = jax.eval_shape(problem.init)
    found = first_uses(problem.loss, weights, rest, jax.eval_shape(lambda: problem.make_batch(2)))
    sizes = [leaf.size for leaf in jax.tree.leaves(weights)]
    # A scale and an offset of one norm may change places.
    assert [sizes[leaf] for leaf in found] == [sizes[leaf] for leaf in problem.order]


def test_a_batch_of_another_size_is_made_of_the_users_samples():
    batch = {"x": jnp.arange(6.0).reshape(3, 2), "y": jnp.arange(3)}
    problem = loss_problem(lambda w, b: jnp.sum(w * b["x"]), jnp.ones(2), batch)
    assert problem.make_batch(2)["y"].tolist() == [0, 1]
    assert problem.make_batch(5)["y"].tolist() == [0, 1, 2, 0, 1]
    assert problem.make_batch(5)["x"][3].tolist() == [0.0, 1.0]


def test_a_loss_that_is_no_scalar_is_refused():
    with pytest.raises(UnitError, match="must be a scalar"):
        loss_problem(lambda w, b: w * b, jnp.ones(2), jnp.ones((3, 2)))


def test_a_model_of_the_users_is_copied_and_its_statistics_move():
    class Own(nnx.Module):
        def __init__(self, rngs):
            self.dense, self.norm = nnx.Linear(3, 2, rngs=rngs), nnx.BatchNorm(2, rngs=rngs)

        def __call__(self, x):
            return self.norm(self.dense(x))

    model, batch = Own(nnx.Rngs(0)), jax.random.normal(jax.random.key(0), (6, 3))
    before = np.asarray(model.dense.kernel[...])
    problem = model_problem(model, batch, lambda model, x: jnp.mean((model(x) - 1) ** 2))
    run = TrainingRun(problem, algorithm("adam"))
    step = run.step(6)
    first = float(step())
    for _ in range(300):
        last = step()
    assert float(last) < first
    np.testing.assert_array_equal(model.dense.kernel[...], before)
    assert sorted(run.tensor_elements) == [2, 2, 2, 6]


@pytest.mark.parametrize("batch", [(), jnp.ones(()), {"x": jnp.ones((3, 2)), "y": jnp.ones(4)}])
def test_a_batch_whose_arrays_disagree_is_refused(batch):
    with pytest.raises(UnitError, match="samples along their first axis"):
        calibrate.measure_loss(lambda w, b: w, jnp.ones(()), batch)
