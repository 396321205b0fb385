"""Large events in little memory, measured on whole processes: interpreter, libraries and all."""

import subprocess
import sys

import pytest

LIMIT_KB = 2_000_000

TRAIN = """
from cmlflow import MetricClusterer, NetworkConfig
MetricClusterer(head=head, network=NetworkConfig(scaling="hgcal"), max_epochs=1, batch_size=1).fit([event])
"""
PREDICT = """
from cmlflow import MetricClusterer, NetworkConfig
labels = MetricClusterer.load("compact-em-supcon").set_params(readout=readout).predict([event])[0]
assert labels.shape == (event.n_hits,) and labels.max() > 10
"""


def peak_kb(code, n_hits, **names):
    """Most memory that a process of its own held while it made an event and ran the code."""
    given = "".join(f"{name} = {value!r}\n" for name, value in names.items())
    start = f"import resource\nfrom cmlflow_benchmarks.inputs import event_of\nevent = event_of({n_hits})\n"
    end = "\nprint(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    run = subprocess.run([sys.executable, "-c", given + start + code + end], check=True, capture_output=True, text=True)
    return int(run.stdout.split()[-1])


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the unit of ru_maxrss is the system's")
@pytest.mark.parametrize("head", ["supcon", "oc"])
def test_training_on_30000_hits_takes_less_than_2_gb(head):
    assert peak_kb(TRAIN, 30_000, head=head) < LIMIT_KB


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the unit of ru_maxrss is the system's")
@pytest.mark.parametrize("readout", ["density", "ward"])
def test_inference_on_100000_hits_takes_less_than_2_gb(readout):
    assert peak_kb(PREDICT, 100_000, readout=readout) < LIMIT_KB
