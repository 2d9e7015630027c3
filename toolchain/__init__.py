"""Train spiking networks sparse, map them onto small cores, prove that they spike as trained.

Data flows one way: train -> Network -> QuantizedNetwork -> Artifact -> Raster -> Verdict -> Report.
"""

__version__ = "0.1.0"
