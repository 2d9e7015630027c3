"""Files of the user's own: executed as wished, their mistakes told by line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from toolchain.errors import FileError, InputError, UnsupportedError
from toolchain.train.architectures import build
from toolchain.train.config import read_config
from toolchain.train.model import Model, trained

EXAMPLES = Path(__file__).parents[2] / "examples"
HEAD = """
import torch
from torch import nn
import norse.torch as norse
"""
NET = "norse.SequentialState(nn.Flatten(), nn.Linear(16, 3, bias=False), norse.LIFCell())"
GOOD = f"def build():\n    return {NET}\n"


def written(folder, text: str, network: str = "") -> Model:
    """The model of a configuration that names this file, for inputs of 1 x 4 x 4 and 3 classes."""
    (folder / "mine.py").write_text(HEAD + text)
    (folder / "config.toml").write_text(
        f'[data]\nname = "digits"\n[network]\nmodel = "mine.py:build"\n{network}'
    )
    config = read_config(folder / "config.toml").network
    return build(config, (1, 4, 4), 3, np.random.default_rng(1))


def test_a_file_beside_the_configuration_is_a_network(tmp_path):
    before = torch.random.get_rng_state()
    first, again = (next(trained(written(tmp_path, GOOD))).weight for _ in range(2))
    assert torch.equal(first, again)  # drawn from the run's own generator
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_function_may_ask_for_the_shape_and_the_classes(tmp_path):
    text = f"""
    def build(input_shape, classes):
        assert (input_shape, classes) == ((1, 4, 4), 3)
        return {NET}
    """
    assert written(tmp_path, "\n".join(line[4:] for line in text.splitlines())).output.size == 3


def test_a_file_may_import_its_neighbours(tmp_path):
    (tmp_path / "neighbour.py").write_text("COUNT = 3\n")
    text = "from neighbour import COUNT\n" + GOOD.replace("16, 3", "16, COUNT")
    assert written(tmp_path, text).output.size == 3


def test_a_file_may_define_dataclasses(tmp_path):
    text = "from dataclasses import dataclass\n@dataclass\nclass Size:\n    count: 'int' = 3\n"
    assert written(tmp_path, text + GOOD.replace("16, 3", "16, Size().count")).output.size == 3


def test_the_example_is_two_convolutions_and_a_dense_layer():
    config = read_config(EXAMPLES / "own-module.toml").network
    model = build(config, (1, 8, 8), 10, np.random.default_rng(0))
    assert [(layer.name, layer.shape) for layer in model.layers] == [
        ("lif1", (16, 8, 8)),
        ("lif2", (16, 4, 4)),
        ("output", (10,)),
    ]
    assert [s.source for s in model.layers[1].incoming] == ["lif1", "lif1"]  # with a shortcut


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def biuld():\n    pass\n", r"mine.py: has no function 'build'; did you mean 'biuld'\?"),
        ("", r"mine.py: has no function 'build'; it defines no function"),
        ("def build(:\n", r"mine.py:5: SyntaxError: invalid syntax"),
        ("import nowhere\n", r"mine.py:5: ModuleNotFoundError: No module named 'nowhere'"),
        ("def build():\n    return nn.Linear(1)\n", r"mine.py:6: TypeError: .*out_features"),
        ("def build(a, b, c):\n    pass\n", r"build\(a, b, c\) must take \(input_shape, classes\)"),
        ("def build():\n    return 3\n", r"mine.py: build returned int; it must return a torch"),
        (GOOD.replace("16, 3", "16, 4"), r"build ends in 4 neurons \('layer2'\), .* 3 classes"),
        (GOOD.replace("nn.Flatten()", "nn.ReLU()"), r"mine.py:build \(1 part without a form"),
    ],
)
def test_a_mistake_in_the_file_is_told_by_line(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        written(tmp_path, text)


def test_what_a_module_has_no_form_for_is_unsupported(tmp_path):
    with pytest.raises(UnsupportedError, match=r"0 \(ReLU\): is no spiking neuron"):
        written(tmp_path, GOOD.replace("nn.Flatten()", "nn.ReLU()"))


def test_a_missing_file_is_told(tmp_path):
    (tmp_path / "config.toml").write_text(
        '[data]\nname = "digits"\n[network]\nmodel = "gone.py:build"\n'
    )
    config = read_config(tmp_path / "config.toml").network
    with pytest.raises(FileError, match=r"gone.py: no such file"):
        build(config, (1, 4, 4), 3, np.random.default_rng(1))
