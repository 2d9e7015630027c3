"""scikit-learn's digits: 1,797 images of 8 x 8 pixels in 0..16, of which 360 are held out to test.

Alpaydin, Kaynak 1998, "Optical Recognition of Handwritten Digits", UCI repository; CC BY 4.0.
"""

from __future__ import annotations

import numpy as np

from toolchain.errors import InputError
from toolchain.train.config_data import DataConfig
from toolchain.train.data.dataset import Source
from toolchain.train.data.samples import samples_of


def digits(config: DataConfig) -> Source:
    """The digits as they come with scikit-learn."""
    try:
        from sklearn.datasets import load_digits
    except ImportError as problem:
        raise InputError(
            "the digits come with scikit-learn, which is not installed; install snn-deploy[train]"
        ) from problem
    pixels, labels = load_digits(return_X_y=True)
    images = pixels.astype(np.uint8).reshape(-1, 1, 8, 8)
    return Source(train=samples_of(images, labels), test=None, sample=(1, 8, 8), maximum=16)
