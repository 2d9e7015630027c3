"""The train room: a sparse spiking network from a TOML file and a data set.

    config    what a user may write          data, encoding   images -> spikes
    pq        how much to rewire             masks            where: drop and regrow
    schedule  when, and to which density     rewiring         masks bound to a learner
    models    norse networks                 loop, run        learning, checkpoints, the run folder
    export    masks and weights -> Network   predict          rasters of a trained run

Only models, learner, rewiring, checkpoint, loop, run, export and predict import torch.
"""
