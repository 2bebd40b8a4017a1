"""Profiles whose t_grad was measured at several batch sizes, for the tests of what is made of them."""

from speedup import Device, Profile, Timing, Workload
from speedup.profile import Provenance

SIZES = (4, 8, 16, 32, 64)


def line(batch):
    """t_grad of a device with 2 ms of fixed work and 1 ms a sample."""
    return 2e-3 + 1e-3 * batch


def swept(curve, batch=64):
    """A profile with a timing at every batch size of ``SIZES``."""
    return Profile(
        name="swept",
        workload=Workload(architecture="mlp", tensor_elements=(250_000,), batch=batch),
        t_grad=tuple(
            Timing(
                median_s=float(curve(size)),
                low_s=0.98 * float(curve(size)),
                high_s=1.02 * float(curve(size)),
                level=0.95,
                batch=size,
                provenance=Provenance.MEASURED,
            )
            for size in SIZES
        ),
        device=Device(platform="gpu", name="A device"),
    )
