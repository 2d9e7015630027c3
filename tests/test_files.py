"""Files are written whole or not at all, and every error names file, table and key."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict

from toolchain.errors import ConfigError, FileError
from toolchain.files import (
    fit,
    read_arrays,
    read_bytes,
    read_json,
    read_toml,
    sha256,
    to_json,
    write_arrays,
    write_bytes,
    write_json,
)


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    rate: float = 0.5
    epochs: int = 1


class Outer(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    name: str
    train: Inner = Inner()


def only_file(folder: Path) -> Path:
    (file,) = folder.iterdir()
    return file


def test_a_file_is_written_with_its_folders_and_nothing_beside_it(tmp_path: Path) -> None:
    write_bytes(tmp_path / "a" / "b" / "file", b"content")

    assert only_file(tmp_path / "a" / "b").read_bytes() == b"content"


def test_a_file_is_written_with_the_permissions_of_any_other_new_file(tmp_path: Path) -> None:
    write_bytes(tmp_path / "ours", b"")
    (tmp_path / "plain").touch()

    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("step", ["fdopen", "chmod", "replace"])
@pytest.mark.parametrize("problem", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_write_that_fails_leaves_the_old_file_and_no_other(
    step: str, problem: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_bytes(tmp_path / "file", b"old")

    def fail(handle: object, *_: object) -> None:
        if isinstance(handle, int):
            os.close(handle)
        raise problem

    with monkeypatch.context() as patch:
        patch.setattr(f"toolchain.files.os.{step}", fail)
        expected = FileError if isinstance(problem, OSError) else KeyboardInterrupt
        match = "file: cannot be written .No space left" if expected is FileError else "^$"
        with pytest.raises(expected, match=match):
            write_bytes(tmp_path / "file", b"new")

    assert only_file(tmp_path).read_bytes() == b"old"


def test_a_file_under_a_file_cannot_be_written_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")

    with pytest.raises(
        FileError, match=r"inner: cannot be written \((Not a directory|File exists)"
    ):
        write_bytes(tmp_path / "file" / "inner", b"")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"gone: no such file$"):
        read_bytes(tmp_path / "gone")


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"cannot be read \(Is a directory\)"):
        read_bytes(tmp_path)


@given(
    value=st.dictionaries(
        st.text(), st.integers() | st.text() | st.floats(allow_nan=False, allow_infinity=False)
    )
)
def test_json_of_equal_values_is_equal_whatever_their_order(value: dict[str, object]) -> None:
    backwards = dict(reversed(value.items()))

    assert to_json(value) == to_json(backwards)


def test_json_holds_no_nan() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        to_json({"rate": float("nan")})


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", r"x\.json: is not JSON, or was cut short"),
        (b'{"a": 1', r"x\.json: is not JSON, or was cut short"),
        (b"\xff\xfe\x00", r"x\.json: is not JSON, or was cut short"),
        (b"[1]", r"x\.json: must hold a JSON object, holds a list"),
        (b"{}", r"x\.json: key 'schema' must be 'ours', is None"),
        (b'{"schema": "theirs"}', r"x\.json: key 'schema' must be 'ours', is 'theirs'"),
    ],
)
def test_a_json_file_of_another_kind_is_refused(content: bytes, match: str, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_bytes(content)

    with pytest.raises(FileError, match=match):
        read_json(tmp_path / "x.json", schema="ours")


def test_json_comes_back_as_it_was_written(tmp_path: Path) -> None:
    value = {"schema": "ours", "a": [1, 2.5, "ü", None, True]}
    write_json(tmp_path / "x.json", value)

    assert read_json(tmp_path / "x.json", schema="ours") == value


@pytest.mark.parametrize("content", [b"a = ", b"\xff\xff", b"[a]\n[a]\n"])
def test_a_file_that_is_no_toml_is_named(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_bytes(content)

    with pytest.raises(ConfigError, match=r"x\.toml: is not TOML: "):
        read_toml(tmp_path / "x.toml")


def test_arrays_come_back_as_they_were_written_and_the_same_give_the_same_bytes(
    tmp_path: Path,
) -> None:
    arrays = {"b": np.arange(6).reshape(2, 3).T, "a": np.array([0.5]), "none": np.zeros(0, bool)}
    for name in ("one", "other"):
        write_arrays(tmp_path / name, arrays, {})

    found = read_arrays(tmp_path / "one")

    assert set(found) == set(arrays)
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()


@given(share=st.floats(0, 1, exclude_max=True))
def test_a_truncated_file_of_arrays_is_refused(
    share: float, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.mktemp("arrays") / "x.safetensors"
    write_arrays(file, {"a": np.arange(5)}, {})
    whole = file.read_bytes()
    file.write_bytes(whole[: int(share * len(whole))])

    with pytest.raises(FileError, match=r"x\.safetensors: is not a safetensors file, or was cut"):
        read_arrays(file)


def test_sha256_is_the_published_one() -> None:
    assert sha256(b"abc").startswith(
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ({"name": "n", "nam": 1}, r"^f\.toml: unknown key 'nam'; did you mean 'name'\?$"),
        (
            {"name": "n", "train": {"epoch": 1}},
            r"\[train\] unknown key 'epoch'; did you mean 'epochs'\?",
        ),
        (
            {"name": "n", "train": {"zzz": 1}},
            r"\[train\] unknown key 'zzz'; known are epochs, rate",
        ),
        ({}, r"^f\.toml: key 'name' is missing$"),
        ({"name": 3}, r"^f\.toml: name = 3: input should be a valid string$"),
        (
            {"name": "n", "train": {"epochs": "3"}},
            r"\[train\] epochs = '3': input should be a valid integer",
        ),
        (
            {"nome": 1, "train": {"epochs": 0.5}},
            r"key 'name' is missing; \[train\] epochs = 0\.5.*; unknown key 'nome'",
        ),
    ],
)
def test_a_table_that_breaks_its_schema_is_told_everything_at_once(
    values: dict[str, object], match: str
) -> None:
    with pytest.raises(ConfigError, match=match):
        fit(Outer, values, "f.toml")
