"""t_grad of a network nobody measured, from the operations of those that were."""

import numpy as np
import pytest

from calibrate.architectures import forward_flops
from calibrate.cost_model import FEATURES, CostModel, Observation, features, leave_families_out, observations, predict
from calibrate.tracing import Operation, OperationKind
from speedup import Profile, SpeedupError, Timing, Workload
from speedup.profile import Device, Provenance

RATES = dict.fromkeys(FEATURES, 0.0) | {
    "convolution FLOPs": 2e-11,
    "kernel gradient FLOPs": 6e-11,
    "product FLOPs": 1e-11,
    "elementwise bytes": 1e-10,
    "product number": 1e-5,
}
NAMES = ("nardini_mlp", "neri_fashion_cnn", "squeezenet", "viviano_conv_28", "resnet34_cifar")


def true_seconds(name, batch):
    return float(np.array(list(RATES.values())) @ Observation.of(name, batch).counts)


def profile(name, batches, seconds=true_seconds, device="A device", **workload):
    return Profile(
        name=f"{name}-case",
        workload=Workload(architecture=name, tensor_elements=(10,), batch=batches[0], **workload),
        t_grad=tuple(
            Timing(median_s=seconds(name, batch), batch=batch, provenance=Provenance.MEASURED) for batch in batches
        ),
        device=Device(platform="cpu", name=device),
    )


@pytest.fixture(scope="module")
def measured():
    return [profile(name, (2, 8)) for name in NAMES]


def test_operations_are_counted_by_kind():
    found = [
        Operation(OperationKind.CONVOLUTION, 1000, 30.0, 10.0, times=2),
        Operation(OperationKind.ELEMENTWISE, 0, 4.0, 4.0),
    ]
    counts = dict(zip(FEATURES, features(found, 7.0), strict=True))
    assert counts["convolution FLOPs"] == 2000
    assert counts["convolution bytes"] == 80
    assert counts["convolution number"] == 2
    assert counts["elementwise bytes"] == 8
    assert counts["weight bytes"] == 7
    assert counts["product FLOPs"] == 0


def test_a_step_has_about_three_times_the_operations_of_its_forward_pass():
    one = Observation.of("squeezenet", 4)
    flops = sum(count for name, count in zip(FEATURES, one.counts, strict=True) if name.endswith("FLOPs"))
    assert 2.5 * 4 * forward_flops("squeezenet") < flops < 3.2 * 4 * forward_flops("squeezenet")


def test_counts_are_affine_in_the_batch():
    one, two, nine = (Observation.of("neri_fashion_cnn", batch).counts for batch in (1, 2, 9))
    np.testing.assert_allclose(nine, one + 8 * (two - one), rtol=1e-9)


def test_a_device_made_of_rates_is_predicted_from_other_networks(measured):
    known = observations(measured)
    others = CostModel.fit([one for one in known if one.architecture != "squeezenet"])
    assert others.seconds(Observation.of("squeezenet", 5)) == pytest.approx(true_seconds("squeezenet", 5), rel=0.25)
    whole = CostModel.fit(known)
    assert (whole.coefficients >= 0).all()
    for one in known:
        assert whole.seconds(one) == pytest.approx(one.seconds, rel=0.02)


def test_families_are_left_out_whole(measured):
    known = observations([*measured, profile("viviano_conv_32", (4,))])
    found = leave_families_out(known)
    assert len(found) == len(known)
    conv = [one.family for one in known if one.architecture.startswith("viviano_conv")]
    assert len(set(conv)) == 1
    assert np.median([abs(one.relative_error) for one in found]) < 0.25


def test_a_prediction_states_its_error_and_where_it_comes_from(measured):
    answer = predict("squeezenet", 4, measured)
    assert answer.networks == tuple(name for name in NAMES if name != "squeezenet")
    assert answer.t_grad_s == pytest.approx(true_seconds("squeezenet", 4), rel=0.25)
    assert 0 <= answer.median_error <= 1
    assert answer.to_dict()["provenance"] == "fitted"
    assert "fitted, not measured" in str(answer)


def test_profiles_of_other_algorithms_and_precisions_are_left_aside(measured):
    others = [
        profile("squeezenet", (4,), algorithm="adam"),
        profile("squeezenet", (4,), precision="bfloat16"),
        profile("my_own", (4,), seconds=lambda *_: 1.0),
    ]
    assert len(observations([*measured, *others])) == len(observations(measured))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([], "all measured networks are of one family"),
        ([profile("nardini_mlp", (2, 4))], r"all measured networks are of one family \(nardini_mlp\)"),
        ([profile("nardini_mlp", (2,)), profile("squeezenet", (2,), device="Another")], "are of different devices"),
    ],
)
def test_too_little_or_mixed_measurements_are_refused(given, said):
    with pytest.raises(SpeedupError, match=said):
        predict("resnet34", 4, given)


def test_nothing_to_fit_is_refused():
    with pytest.raises(SpeedupError, match="there is nothing to fit"):
        CostModel.fit([Observation.of("nardini_mlp", 2)])
