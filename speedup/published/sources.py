"""Where published measurements come from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Source:
    """Who measured and published figures.

    Attributes:
        key: Short name, as in the data files and in ``speedup validate --source``.
        citation: Authors, title and year.
        place: Repository with its commit, and the file in it.
        setup: What was measured, on what.
        licence: Of the repository, where it states one.
    """

    key: str
    citation: str
    place: str
    setup: str
    licence: str


SOURCES = {
    source.key: source
    for source in (
        Source(
            "pollux-aws",
            "A. Qiao et al., Pollux: Co-adaptive Cluster Scheduling for Goodput-Optimized Deep Learning, OSDI 2021",
            "traces of its simulator, placements-aws.csv and scalability-aws.csv of each network (no commit stated)",
            "PyTorch DDP, six networks, every placement on up to 16 machines with 4 T4 each",
            "not stated",
        ),
        Source(
            "mxnet-grid",
            "Y. Peng et al., DL2: A Deep Learning-driven Scheduler for Deep Learning Clusters, 2019 (arXiv:1909.06040)",
            "pengyanghua/DL2@2e54920d, config_speed.txt",
            "MXNet dist_sync, four networks, workers by parameter servers of two cores each, the batch of all fixed",
            "not stated",
        ),
        Source(
            "cm-dare",
            "S. Li, R. J. Walls, T. Guo, Characterizing and Modeling Distributed Training with Transient Cloud GPU "
            "Servers, ICDCS 2020",
            "cake-lab/CM-DARE@263b7f14, data/matplotlib_scripts/Sigmetrics2020_redraws.ipynb, cell 1",
            "TensorFlow 1.10, one asynchronous parameter server, 1 to 8 machines with one K80 or P100",
            "not stated",
        ),
        Source(
            "ddl-benchmarks",
            "S. Shi et al., A Quantitative Survey of Communication Optimizations in Distributed Deep Learning, 2020 "
            "(arXiv:2005.13247)",
            "HKBU-HPML/ddl-benchmarks@30de09bc, results/2020-05-29/README.md",
            "Horovod, MG-WFBP, ByteScheduler and BytePS, three networks, 8 machines of 4 GPUs, TCP over 10 GbE",
            "not stated",
        ),
        Source(
            "mxnet",
            "MXNet authors, Image classification: Scalability Results",
            "apache/incubator-mxnet@3df9bf80 (v1.0.0), example/image-classification/README.md",
            "MXNet dist_device_sync, three networks, 16 machines of 16 K80 (AWS p2.16xlarge, 20 Gbit/s)",
            "Apache-2.0",
        ),
        Source(
            "raysgd",
            "Ray authors, RaySGD: Distributed PyTorch, Benchmarks",
            "ray-project/ray@008ec7dc, doc/source/raysgd/raysgd_pytorch.rst",
            "PyTorch DDP and Horovod, ResNet-50, 8 machines of 8 V100 (AWS p3dn.24xlarge, 100 Gbit/s)",
            "Apache-2.0",
        ),
        Source(
            "tensorflow",
            "TensorFlow authors, Benchmarks: Details for Amazon EC2 Distributed",
            "tensorflow/docs@82892b22 (branch r1.1), site/en/performance/benchmarks.md",
            "TensorFlow 1.1 distributed_replicated, three networks, 8 machines of 8 K80 (AWS p2.8xlarge, 10 Gbit/s)",
            "CC BY 4.0",
        ),
    )
}
"""By key."""

SCALING_SOURCES = ("ddl-benchmarks", "mxnet", "raysgd", "tensorflow")
"""Those whose series are synchronous and state a bandwidth."""
