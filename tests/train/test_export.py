"""Export: what the chip has no form of is refused by name. (That it spikes alike: test_forward.)"""

from __future__ import annotations

import numpy as np
import pytest

from toolchain.errors import UnsupportedError
from toolchain.train.export import population_of


def test_what_the_chip_has_no_form_of_is_refused_by_name():
    norse = {"decay_u": 0.5, "decay_v": 0.5, "v_th": 1.0, "v_leak": np.zeros(3)}
    with pytest.raises(UnsupportedError, match="'hidden1': v_reset = -1 has no form on the chip"):
        population_of("hidden1", **norse, v_reset=-1.0)
    with pytest.raises(UnsupportedError, match=r"dt \* tau_mem_inv = 1.5 must be in \(0, 1\]"):
        population_of("hidden1", **(norse | {"decay_v": 1.5}))
