"""Why modules outside `forms.FORMS` and `cells.KINDS` have no form on a chip, and what to use."""

from __future__ import annotations

import warnings

from torch import nn

with warnings.catch_warnings():
    # norse 1.1.0 compiles with torch.jit.script while it is imported; torch 2.13 deprecates that.
    warnings.filterwarnings("ignore", "`torch.jit.script` is deprecated", DeprecationWarning)
    from norse.torch.module.conv import LConv2d
    from norse.torch.module.encode import (
        ConstantCurrentLIFEncoder,
        PoissonEncoder,
        PopulationEncoder,
        SignedPoissonEncoder,
        SpikeLatencyEncoder,
        SpikeLatencyLIFEncoder,
    )
    from norse.torch.module.leaky_integrator import LI, LICell, LILinearCell
    from norse.torch.module.leaky_integrator_box import LIBoxCell
    from norse.torch.module.sequential import RecurrentSequential
    from norse.torch.module.snn import SNN, SNNCell, SNNRecurrent, SNNRecurrentCell

_OTHER_NEURON = "its neuron's equations are not the chip's; use norse.torch.LIFCell or LIFBoxCell"
_BY_CLASS: tuple[tuple[tuple[type, ...], str], ...] = (
    (
        (nn.MaxPool1d, nn.MaxPool2d, nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d),
        "takes a maximum of spikes, but synapses only add; use torch.nn.AvgPool2d",
    ),
    (
        (nn.LayerNorm, nn.GroupNorm, nn.InstanceNorm1d, nn.InstanceNorm2d, nn.RMSNorm),
        "normalizes each sample by itself, which no weights can hold; use torch.nn.BatchNorm2d",
    ),
    (
        (nn.Dropout1d, nn.Dropout2d, nn.AlphaDropout, nn.FeatureAlphaDropout),
        "drops other than single neurons; use torch.nn.Dropout",
    ),
    (
        (nn.RNNBase, nn.RNNCellBase),
        "has no spikes; use norse.torch.LIFRecurrentCell",
    ),
    (
        (LI, LICell, LILinearCell, LIBoxCell),
        "has no threshold and sends no spikes; use norse.torch.LIFCell, and count its spikes",
    ),
    (
        (RecurrentSequential,),
        "leads from a later layer back to an earlier one, but only a layer itself may loop; use"
        " norse.torch.LIFRecurrentCell",
    ),
    (
        (
            *(ConstantCurrentLIFEncoder, PoissonEncoder, PopulationEncoder),
            *(SignedPoissonEncoder, SpikeLatencyEncoder, SpikeLatencyLIFEncoder),
        ),
        "encodes, but what the module gets is spikes already; leave it out, and choose [encoding]",
    ),
    ((LConv2d,), "holds a dimension of time; use norse.torch.Lift(torch.nn.Conv2d(...))"),
    ((SNN, SNNCell, SNNRecurrent, SNNRecurrentCell), _OTHER_NEURON),
)
_FORMS = "known are Linear, Conv, BatchNorm, AvgPool, Dropout, Flatten, and norse's LIF and LIFBox"


def why_not(module: nn.Module) -> str:
    """Why a module of neither table has no form on the chip, and the next move."""
    for classes, reason in _BY_CLASS:
        if isinstance(module, classes):
            return reason
    home = type(module).__module__
    if home == "torch.nn.modules.activation":
        return "is no spiking neuron; use norse.torch.LIFCell"
    if home.startswith("norse."):
        return _OTHER_NEURON
    return f"has no form on the chip; {_FORMS}"
