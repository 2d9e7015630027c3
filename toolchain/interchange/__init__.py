"""Networks of others in, networks of ours out. A format is a function in a dict.

An importer is called as f(file, **options) and gives `Imported`; an exporter as
f(network, file, **options) and gives `Exported`; an inspector as f(file) and gives what `inspect`
prints: "kind", scalars, and lists of rows that are tables.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from toolchain.interchange.inspect import inspect_netx, inspect_nir
from toolchain.interchange.netx_in import read_netx
from toolchain.interchange.netx_out import write_netx
from toolchain.interchange.nir_in import read_nir
from toolchain.interchange.nir_out import write_nir
from toolchain.interchange.onnx_format import export_onnx, import_onnx, inspect_onnx
from toolchain.interchange.record import Exported, Imported

IMPORTERS: dict[str, Callable[..., Imported]] = {
    "nir": read_nir,
    "netx": read_netx,
    "onnx": import_onnx,
}
EXPORTERS: dict[str, Callable[..., Exported]] = {
    "nir": write_nir,
    "netx": write_netx,
    "onnx": export_onnx,
}
INSPECTORS: dict[str, Callable[..., dict[str, Any]]] = {  # by the file's suffix
    ".nir": inspect_nir,
    ".net": inspect_netx,
    ".onnx": inspect_onnx,
}
