"""``anifacegan measure``: measure a face reconstruction network on images with known coefficients.

docs/face_model.md explains the rows of the table.
"""

from collections.abc import Sequence

from anifacegan.cli.measure.config import MeasureRegressorConfig
from anifacegan.runtime.typed_config import read_config


def main(arguments: Sequence[str]) -> None:
    """Run ``anifacegan measure`` with the command-line words ``arguments``; prints a table of a network's errors.

    Raises:
        InputError: a wrong option or file, or network, data and face model that do not belong together.
    """
    config = read_config(MeasureRegressorConfig, arguments, "anifacegan measure")
    from anifacegan.cli.measure.run import measured, table

    count, report = measured(config)
    print(table(report, f"{config.network}, {count} images"))
