"""python -m toolchain: the same as snn-deploy."""

from toolchain.cli.main import main

main()
