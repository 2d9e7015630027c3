"""How many examples a costly law draws: all of them in `make test-all`, a share of them otherwise.

Draws are the same each time, so the share is the first part of them.
"""

from __future__ import annotations

from hypothesis import settings


def examples(most: int) -> settings:
    """Up to `most` drawn cases: as many per cent of them as the profile in force draws of 100."""
    return settings(max_examples=max(1, most * settings().max_examples // 100))
