"""The networks of these tests are small."""

import pytest


@pytest.fixture(autouse=True, scope="module")
def _one_thread(one_torch_thread):
    """Run every test of this folder on one torch thread."""
