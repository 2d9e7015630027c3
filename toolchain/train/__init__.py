"""The train room: a sparse spiking network from a TOML file and a data set.

    config*        what a user may write             data/       samples, split, with their encoding
    model          what is trained: one structure    architectures, trace    what makes it
    forward        a pass over it                    neurons, products       fast, and as norse's
    pq, schedule   how much to rewire, and when      masks, starts, hidden   where
    rewiring       methods bound to a learner        loop, run, world        learning, its folder
    export         a model -> Network                predict                 rasters of a run

Configurations, data and the pure functions of the methods do not import torch (`hidden` does).
"""
