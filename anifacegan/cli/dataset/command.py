"""``anifacegan dataset``: render an FFHQ-style data set of synthetic people."""

from collections.abc import Sequence

from anifacegan.cli.dataset.config import DatasetConfig
from anifacegan.runtime.errors import printable
from anifacegan.runtime.typed_config import read_config


def main(arguments: Sequence[str]) -> None:
    """Run ``anifacegan dataset`` with the command-line words ``arguments``; prints how many images were rendered.

    :mod:`anifacegan.cli.main` sets BLAS to one thread before NumPy is imported: a BLAS sums in another order with other
    numbers of threads, and the appearance prior would be fitted to other last bits. Processes share the machine.

    Raises:
        InputError: a wrong option, no face model, or a folder that holds another data set.
    """
    config = read_config(DatasetConfig, arguments, "anifacegan dataset")
    from anifacegan.cli.dataset.writer import write_dataset

    made = write_dataset(config)
    print(printable(f"{config.out}: the first {config.count} images of {config.size} px ({made} made now)"))
