"""Chips that can only be counted: what they say, what they refuse."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_array

from toolchain.errors import ConfigError, InputError, UnsupportedError
from toolchain.hardware import PROFILE_FOLDERS, HardwareProfile, find_profile, read_profile
from toolchain.mapper.counting import count_fit
from toolchain.network import Input, Network, Population, Projection
from toolchain.outline import Outline, find_chip, outline_names, read_outline


def text_of(name: str) -> str:
    files = (folder / "outlines" / f"{name}.toml" for folder in PROFILE_FOLDERS)
    return next(file for file in files if file.is_file()).read_text()


def outline(name: str) -> Outline:
    chip = find_chip(name)
    assert isinstance(chip, Outline)
    return chip


def chain(*sizes: int) -> Network:
    """Layers that are all-to-all connected."""
    names = ["input", *(f"layer{number}" for number in range(1, len(sizes)))]
    return Network(
        input=Input(name="input", size=sizes[0]),
        populations=tuple(
            Population(name=n, size=k, decay_u=1, decay_v=0, threshold=1, bias=np.zeros(k))
            for n, k in zip(names[1:], sizes[1:], strict=True)
        ),
        projections=tuple(
            Projection(source=s, target=t, weights=csr_array(np.ones((rows, columns))))
            for s, t, columns, rows in zip(names, names[1:], sizes, sizes[1:], strict=False)
        ),
        output=names[-1],
    )


@pytest.mark.parametrize("name", outline_names())
def test_every_number_of_an_outline_has_a_source_that_is_explained(name: str) -> None:
    chip = outline(name)

    assert {fact.source for fact in chip.facts.values()} <= set(chip.sources)
    assert all(chip.missing)
    assert chip.name == name
    for key, fact in chip.facts.items():
        assert (fact.source == "nobody") == (fact.status == "unknown"), key


def test_a_chip_is_found_whether_it_is_known_well_or_not(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(text_of("odin"))

    assert isinstance(find_chip("tiny"), HardwareProfile)
    assert outline(str(tmp_path / "mine.toml")).core.compartments == 256
    with pytest.raises(InputError, match=r"no chip 'odim'; did you mean 'odin'\?"):
        find_chip("odim")


def test_what_can_only_be_counted_is_no_profile_to_map_onto(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(text_of("odin"))

    for find, chip in ((find_profile, "odin"), (read_profile, tmp_path / "mine.toml")):
        with pytest.raises(UnsupportedError, match=r"this chip can only be counted: the arith"):
            find(chip)  # type: ignore[operator]


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        ("\nfan_in = {", "\nfan_inn = {", r"\[core\] unknown key 'fan_inn'; did you mean 'fan_in'"),
        ("compartments = { value = 256", "compartments = { value = -256", r"compartments = -256"),
        ("missing = [", "missings = [", r"key 'missing' is missing|unknown key 'missings'"),
        ("[sources]", "[mesh]\n\n[sources]", r"\[mesh\] has no use while \[neuron\] arithmetic is"),
    ],
)
def test_a_mistake_in_an_outline_is_named(old: str, new: str, match: str, tmp_path: Path) -> None:
    text = text_of("odin")
    assert text.count(old) == 1
    (tmp_path / "mine.toml").write_text(text.replace(old, new))

    with pytest.raises(ConfigError, match=match):
        read_outline(tmp_path / "mine.toml")


def test_a_network_is_counted_against_what_is_known() -> None:
    counted = count_fit(chain(100, 200, 10), outline("odin"))

    assert counted.rows == (("compartments", 210, 256, 1), ("synapses", 22_000, 65_536, 1))
    assert (counted.cores, counted.violations) == (1, ())


def test_everything_that_exceeds_an_outline_is_listed() -> None:
    counted = count_fit(chain(100, 1200, 10), outline("dynap-se"))

    assert [(v.where, v.resource, v.needed, v.held) for v in counted.violations] == [
        ("'layer1'[0] (and 1199 more neurons)", "fan-in", 100, 64),
        ("'layer2'[0] (and 9 more neurons)", "fan-in", 1200, 64),
        ("the network, by any packing", "cores", 9, 4),
    ]
    assert (
        count_fit(chain(10, 100, 80), outline("xylo-audio-2")).violations[0].resource == "fan-out"
    )
