"""Files from the network, with their checksums; one sentence where that fails."""

from __future__ import annotations

from pathlib import Path

from toolchain.errors import InputError


def fetch(url: str, known_hash: str, path: Path) -> None:
    """Download a file of known hash ("md5:...", "sha256:..."): whole and right, or not at all.

    Raises InputError where there is no network, no such file, or another file than is known.
    """
    try:
        import pooch
    except ImportError as problem:
        raise InputError(
            f"{path}: downloading needs pooch, which is not installed; install snn-deploy[train],"
            f" or fetch {url} yourself"
        ) from problem
    try:
        pooch.retrieve(url, known_hash, fname=path.name, path=path.parent)
    except OSError as problem:  # requests' exceptions among them
        raise InputError(
            f"{url}: cannot be downloaded ({type(problem).__name__}); fetch it where there is a"
            f" network, and put it into {path.parent}"
        ) from problem
    except ValueError as problem:
        raise InputError(
            f"{url}: what came is not the file that is known, its hash is not {known_hash}; try"
            f" again, or put the right file into {path.parent}"
        ) from problem
