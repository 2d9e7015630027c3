"""encode: raw samples to a stimulus, with nothing but the artifact."""

from __future__ import annotations

from pathlib import Path

import click

from toolchain.artifact import read_artifact
from toolchain.cli.inputs import check_out
from toolchain.cli.options import artifact_argument, path_argument, path_option
from toolchain.cli.output import json_option, say, say_json
from toolchain.encoding import encode
from toolchain.errors import InputError
from toolchain.raster import Raster, write_raster
from toolchain.samples import read_samples


@click.command("encode")
@artifact_argument
@path_argument("samples", "SAMPLES.npz")
@path_option("--out", required=True, help="The stimulus to write, .npz.")
@json_option
def encode_command(artifact: Path, samples: Path, out: Path, as_json: bool) -> None:
    """Turn raw samples into a stimulus, by the encoding that the artifact carries.

    \b
    SAMPLES.npz holds integers    values (samples, ...) of the shape trained on,
    or events                     x, y, p, t (us), offsets (samples + 1),
    and where they are known      labels, and indices: positions in the whole data set (0, 1, ...).

    The same samples give the bits that training saw; nothing of training is needed.
    """  # noqa: D301  click knows a paragraph that keeps its lines by its \b
    check_out(out, ".npz", never=samples)
    network = read_artifact(artifact).network
    if network.encoding is None:
        raise InputError(
            f"{artifact}: carries no encoding, as its network was not trained here; make the"
            " stimulus yourself, or train and map again"
        )
    raw = read_samples(samples)
    try:
        spikes = encode(network.encoding, raw.values, raw.indices)
    except InputError as problem:
        raise InputError(f"{samples}: {problem}") from problem
    write_raster(out, Raster(spikes={network.input.name: spikes}, labels=raw.labels))
    if as_json:
        say_json(
            {
                "encoding": str(network.encoding),
                "samples": spikes.shape[0],
                "timesteps": spikes.shape[1],
                "neurons": spikes.shape[2],
                "spikes": int(spikes.sum()),
                "labels": raw.labels is not None,
                "out": str(out),
            }
        )
        return
    say(f"encoding  {network.encoding}")
    say(f"spikes    {spikes.sum():,} of {len(spikes):,} samples, {spikes.mean():.2%} of the steps")
    say(f"stimulus  {out}\nnext      snn-deploy verify {artifact} --stimulus {out}")
