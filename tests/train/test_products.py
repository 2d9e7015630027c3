"""Whatever way a product takes, it is the dense one to rounding."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from toolchain.encoding import rate_table
from toolchain.train import events as sums
from toolchain.train.events import events_of
from toolchain.train.model import Kernel
from toolchain.train.precision import has_bfloat16_units, rounded, units
from toolchain.train.products import conv, linear
from toolchain.train.sparse import back_through
from toolchain.train.trains import through, trains_of, weight_gradient

SEEDS = st.integers(0, 2**32 - 1)
PRECISIONS = st.sampled_from(["float32", "bfloat16"])


def drawn(seed, shape, rate):
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(shape, generator=generator) < rate).float()


def normal(seed, shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def assert_close(one, other):
    assert one.shape == other.shape
    assert (one - other).abs().max() <= 1e-5 * other.abs().max().clamp_min(1e-6)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 200), st.floats(0, 1), SEEDS)
def test_sums_over_events_are_the_product_and_its_gradient(rows, sources, targets, rate, seed):
    spikes = drawn(seed, (rows, sources), rate)
    weight, back = normal(seed, (targets, sources)), normal(seed + 1, (rows, targets))
    events = events_of(spikes, most=1.0)
    assert len(events) == spikes.count_nonzero()
    product, gradient = sums.product(events, weight), sums.weight_gradient(events, back)
    assert_close(product.double(), spikes.double() @ weight.double().T)
    assert_close(gradient.double(), back.double().T @ spikes.double())


@given(
    st.integers(1, 20), st.integers(1, 6), st.integers(1, 30), st.integers(1, 150),
    st.sampled_from(["rate", "random", "full"]), SEEDS,
)  # fmt: skip
def test_classes_of_trains_give_the_product_and_its_gradient(
    steps, samples, sources, targets, code, seed
):
    spikes = {
        "rate": lambda: coded(seed, steps, samples, sources),
        "random": lambda: drawn(seed, (steps, samples, sources), 0.3),
        "full": lambda: torch.ones(steps, samples, sources),
    }[code]()
    weight = normal(seed, (targets, sources))
    trains = trains_of(spikes, most=1.0)
    rows = spikes.view(steps * samples, sources)
    assert_close(through(trains, weight).double(), rows.double() @ weight.double().T)
    back = normal(seed + 1, (steps * samples, targets))
    assert_close(weight_gradient(trains, back).double(), back.double().T @ rows.double())


def coded(seed, steps, samples, sources):
    pixels = np.random.default_rng(seed).integers(0, 256, (samples, sources)).astype(np.uint8)
    return torch.from_numpy(rate_table(255, steps).T[:, pixels].copy()).float().contiguous()


@given(st.integers(1, 150), st.integers(1, 60), st.integers(1, 60), st.floats(0, 1), SEEDS)
def test_the_way_back_through_sparse_weights_is_the_dense_product(
    rows, targets, sources, density, seed
):
    weight = normal(seed, (targets, sources)) * drawn(seed, (targets, sources), density)
    back = normal(seed + 1, (rows, targets))
    assert_close(back_through(back, weight, most=1.0).double(), back.double() @ weight.double())


def test_dense_weights_have_no_sparse_way_back():
    assert back_through(normal(0, (4, 100)), normal(1, (100, 100)), most=0.1) is None


def test_linear_goes_back_through_sparse_weights():
    weight = normal(0, (200, 100)) * drawn(0, (200, 100), 0.05)
    spikes = drawn(1, (90, 100), 0.1).requires_grad_()
    linear(spikes, weight.requires_grad_()).sum().backward()
    assert_close(spikes.grad, weight.detach().sum(dim=0).expand(90, 100))


def test_too_many_spikes_are_no_events_and_neither_is_what_is_no_spike():
    assert events_of(drawn(0, (24, 50), 0.5), most=0.2) is None
    assert events_of(torch.tensor([[0.0, 2.0, 0.0, 0.0, 0.0]]), most=1.0) is None
    assert events_of(torch.full((2, 3), torch.nan), most=1.0) is None
    assert trains_of(drawn(0, (8, 3, 50), 0.9), most=0.2) is None
    assert trains_of(torch.full((2, 1, 3), 0.5), most=1.0) is None
    assert trains_of(torch.full((2, 1, 3), torch.nan), most=1.0) is None


@given(
    st.integers(1, 5), st.integers(1, 8), st.integers(1, 50), st.integers(1, 150),
    st.sampled_from([0.0, 0.05, 0.3, 1.0]), st.booleans(), PRECISIONS, SEEDS,
)  # fmt: skip
def test_linear_is_the_dense_product_with_its_gradients(
    steps, samples, sources, targets, rate, timed, precision, seed
):
    spikes = drawn(seed, (steps * samples, sources), rate).requires_grad_()
    weight = normal(seed, (targets, sources)).requires_grad_()
    back = normal(seed + 1, (steps * samples, targets))
    mine = linear(spikes, weight, precision=precision, timesteps=steps if timed else 1)
    factors = spikes.detach().double(), rounded(weight.detach(), precision).double()
    theirs = factors[0] @ factors[1].T
    assert_close(mine.double(), theirs)
    arrived = rounded(back, precision).double()
    to_spikes, to_weight = torch.autograd.grad(mine, (spikes, weight), back)
    assert_close(to_spikes.double(), arrived @ factors[1])
    assert_close(to_weight.double(), arrived.T @ factors[0])


@given(
    st.integers(1, 6), st.sampled_from([(1, 1), (1, 3), (2, 2), (4, 1)]), st.integers(3, 9),
    st.sampled_from([
        Kernel(), Kernel(padding=(1, 1)), Kernel(stride=(2, 1), padding=(0, 1)),
        Kernel(dilation=(1, 2), padding=(1, 2)),
    ]),
    PRECISIONS, SEEDS,
)  # fmt: skip
def test_conv_is_torchs_with_its_gradients(rows, channels, size, kernel, precision, seed):
    per_group, groups = channels
    kernel = replace(kernel, groups=groups)
    given = drawn(seed, (rows, per_group * groups, size, size + 3), 0.3)
    weight = normal(seed, (2 * groups, per_group, 3, 2))
    mine, theirs = (
        [tensor.clone().requires_grad_() for tensor in (given, rounded(weight, precision))]
        for _ in range(2)
    )
    found = conv(*mine, kernel, precision=precision)
    expected = torch.nn.functional.conv2d(
        *theirs, None, kernel.stride, kernel.padding, kernel.dilation, kernel.groups
    )
    assert_close(found, expected)
    back = normal(seed + 1, found.shape)
    wanted = torch.autograd.grad(expected, theirs, rounded(back, precision))
    for one, other in zip(torch.autograd.grad(found, mine, back), wanted, strict=True):
        assert_close(one, other)


def test_an_image_of_one_channel_gives_channels_last():
    found = conv(drawn(0, (5, 1, 9, 9), 0.3), normal(0, (16, 1, 3, 3)), Kernel())
    assert found.is_contiguous(memory_format=torch.channels_last)


def test_torchs_settings_are_put_back():
    for device in ("cpu", "cuda"):
        before = settings_of(device)
        with units("bfloat16", device):
            assert (settings_of(device) != before) == has_bfloat16_units(device)
        assert settings_of(device) == before


def settings_of(device):
    backends = torch.backends
    if device == "cpu":
        return backends.mkldnn.matmul.fp32_precision, backends.mkldnn.conv.fp32_precision
    return backends.cuda.matmul.fp32_precision, backends.cudnn.conv.fp32_precision


def test_only_the_gradients_that_are_asked_for_are_computed():
    spikes, weight = drawn(3, (20, 30), 0.1), normal(3, (70, 30)).requires_grad_()
    linear(spikes, weight).sum().backward()
    assert spikes.grad is None
    assert_close(weight.grad, spikes.sum(dim=0).expand(70, 30))
