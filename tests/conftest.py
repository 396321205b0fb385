"""Every test begins with the same random numbers of PyTorch, whichever tests its process ran before."""

import pytest
import torch


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    torch.manual_seed(0)
