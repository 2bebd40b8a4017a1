"""The step that is timed is a step of training."""

import jax
import numpy as np
import optax
import pytest
from flax import nnx

from calibrate.architectures import ARCHITECTURES, Architecture, Network
from calibrate.architectures.resnet34 import ConvNorm
from calibrate.training.step import TrainingStep, flat_step, mean_cross_entropy, synthetic_batch


class Small(Network):
    """A convolution, batch normalisation, dropout and a classifier: all kinds of state in one."""

    def __init__(self, rngs, classes):
        self.stem = ConvNorm(3, 4, 3, 2, rngs)
        self.dropout = nnx.Dropout(0.5, rngs=rngs)
        self.output = nnx.Linear(4, classes, rngs=rngs)

    def layers(self):
        yield from (*self.stem.layers(), self.output)

    def __call__(self, inputs):
        return self.output(self.dropout(nnx.relu(self.stem(inputs)).mean(axis=(1, 2))))


SMALL = Architecture("small", Small, (8, 8, 3), 4, 3)


def losses(step, count):
    return [float(step()) for _ in range(count)]


def test_the_loss_goes_down_on_a_batch_seen_again_and_again():
    step = TrainingStep(ARCHITECTURES["nardini_mlp"], batch=16, learning_rate=0.1)
    series = losses(step, 20)
    assert series[-1] < 0.5 * series[0]


def test_the_loss_of_the_mean_batch_starts_near_that_of_guessing():
    step = TrainingStep(ARCHITECTURES["nardini_mlp"], batch=256)
    assert float(step()) == pytest.approx(np.log(10), rel=0.3)


@pytest.mark.parametrize("name", ["squeezenet", "resnet34_a"])
def test_the_loss_of_every_convolutional_network_goes_down(name):
    # Small images, because the weights do not depend on their size; dropout makes single losses jump.
    entry = ARCHITECTURES[name]
    small = Architecture(name, entry.build, (32, 32, 3), 4, 5)
    series = losses(TrainingStep(small, batch=4, learning_rate=0.02), 12)
    assert np.isfinite(series).all()
    assert np.mean(series[-3:]) < np.mean(series[:3])


def test_weights_statistics_and_dropout_counter_move_from_step_to_step():
    graph, weights, rest = nnx.split(Small(nnx.Rngs(0), 3), nnx.Param, ...)
    del graph
    step = TrainingStep(SMALL, batch=4, learning_rate=0.1)
    structure = jax.tree.structure((weights, rest, optax.sgd(0.1).init(weights)))
    before = jax.tree.unflatten(structure, step.state)
    losses(step, 3)
    after = jax.tree.unflatten(structure, step.state)
    assert abs(after[0]["output"]["kernel"].get_value() - before[0]["output"]["kernel"].get_value()).max() > 0
    assert abs(after[1]["stem"]["norm"]["mean"].get_value() - before[1]["stem"]["norm"]["mean"].get_value()).max() > 0
    assert after[1]["dropout"]["rngs"]["count"].get_value() == before[1]["dropout"]["rngs"]["count"].get_value() + 3


def test_the_optimizer_state_is_handed_on():
    optimizer = optax.sgd(0.1, momentum=0.9)
    step, state = flat_step(lambda: Small(nnx.Rngs(0), 3), optimizer)
    batch = synthetic_batch(SMALL, 4, 3, 0)
    once, _ = jax.jit(step)(state, *batch)
    assert len(once) == len(state)
    assert [leaf.shape for leaf in once] == [leaf.shape for leaf in state]
    # The optimizer's traces come last; they start at zero and hold the gradient after one step.
    assert not state[-1].any()
    assert once[-1].any()


def test_a_step_is_the_gradient_step_of_the_mean_loss():
    step, state = flat_step(lambda: ARCHITECTURES["nardini_mlp"].build(nnx.Rngs(1), 10), optax.sgd(0.5))
    images, labels = synthetic_batch(ARCHITECTURES["nardini_mlp"], 8, 10, 3)
    new, loss = jax.jit(step)(state, images, labels)
    network = ARCHITECTURES["nardini_mlp"].build(nnx.Rngs(1), 10)
    expected, gradients = nnx.value_and_grad(mean_cross_entropy)(network, images, labels)
    assert float(loss) == pytest.approx(float(expected), rel=1e-5)
    for leaf, old, gradient in zip(new, state, jax.tree.leaves(gradients), strict=True):
        np.testing.assert_allclose(leaf, old - 0.5 * gradient, rtol=1e-4, atol=1e-6)


def test_the_numbers_stay_finite_over_thousands_of_steps():
    step = TrainingStep(ARCHITECTURES["nardini_mlp"], batch=4)
    for _ in range(3000):
        loss = step()
    step.wait(loss)
    assert np.isfinite(float(loss))
    assert all(np.isfinite(leaf).all() for leaf in step.state)


def test_a_seed_decides_weights_and_batch():
    def first(seed):
        return float(TrainingStep(SMALL, batch=4, seed=seed)())

    assert first(1) == first(1) != first(2)


def test_labels_lie_among_the_classes_and_samples_have_the_shape():
    images, labels = synthetic_batch(ARCHITECTURES["squeezenet"], 3, 7, 0)
    assert images.shape == (3, 224, 224, 3)
    assert labels.shape == (3,)
    assert 0 <= int(labels.min()) <= int(labels.max()) < 7


def test_the_executable_refuses_another_batch_instead_of_compiling_again():
    step = TrainingStep(SMALL, batch=4)
    step._batch = synthetic_batch(SMALL, 5, 3, 0)
    with pytest.raises(TypeError, match="compiled"):
        step()
