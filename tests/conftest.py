"""What all tests share: reproducible draws, and a plain reason where Lava is not there."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, settings

from toolchain.backends import lava

# What a law draws is given in per cent of its whole number, see `examples` in tests/examples.py.
settings.register_profile(
    "thorough",
    deadline=None,
    derandomize=True,
    max_examples=100,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.register_profile("laws", settings.get_profile("thorough"), max_examples=40)
settings.load_profile("laws")
settings.register_profile(  # for runs that are known to fail: the first failure says enough
    "broken", settings.get_profile("thorough"), phases=(Phase.explicit, Phase.generate)
)


def pytest_runtest_setup(item: pytest.Item) -> None:
    reason = lava.why_unavailable() if item.get_closest_marker("lava") else None
    if reason is not None:
        pytest.skip(reason)
