"""Data sets as integers or events, one module for each source; `load` is the way in."""

from toolchain.train.data.dataset import Dataset as Dataset
from toolchain.train.data.samples import Samples as Samples
from toolchain.train.data.samples import split as split
from toolchain.train.data.sources import DATASETS as DATASETS
from toolchain.train.data.sources import load as load
