"""The named queries on Spark: transpiled from DuckDB's dialect, over the same files and views.

Answers come back as Parquet in a scratch folder, not through Spark's driver, whose memory would bound them.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow.fs import FileSelector, FileSystem, FileType, LocalFileSystem

from nextcart.config import SparkConfig
from nextcart.errors import ConfigError, InputError, RunFailed
from nextcart.events.merge import STORED_AS
from nextcart.events.queries import asked
from nextcart.events.schema import SPLITS, SplitName
from nextcart.events.store import BATCH_ROWS, Store, connect, literal, views_over_splits
from nextcart.types import Progress

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

PACKAGES = ("pyspark", "sqlglot")
JAVA_OPTIONS = "spark.driver.extraJavaOptions"
LOGGING = Path(__file__).with_name("spark_log4j2.properties")


class SparkEngine:
    """Spark over a store's files; see `nextcart.events.engine.Engine` for what each method is.

    Raises:
        InputError: there is no such query, or a parameter is missing or unknown.
        RunFailed: Spark could not answer.
    """

    def __init__(self, session: SparkSession, store: Store, config: SparkConfig, scratch: str) -> None:
        """``scratch`` is an empty folder, a path or a URI, for the answers."""
        self._session = session
        self._scratch = scratch
        self._answers = 0
        with failures():
            for name in SPLITS:
                self._events(store, name, config.store_uri or str(store.root.resolve()))
            for view, sql in views_over_splits().items():
                session.sql(transpiled(sql)).createOrReplaceTempView(view)

    def run(self, name: str, **params: object) -> pa.Table:
        """The whole answer as a table."""
        files = self._answer(name, params)
        return pa.concat_tables([file.read() for file in files])

    def batches(self, name: str, **params: object) -> Iterator[pa.RecordBatch]:
        """The answer in batches of at most a million rows."""
        for file in self._answer(name, params):
            yield from file.iter_batches(BATCH_ROWS)

    @property
    def session(self) -> SparkSession:
        """Spark itself, for what no query says: reading raw files."""
        return self._session

    def new_place(self, name: str) -> str:
        """A new folder among the answers, a path or a URI, yet to be made."""
        self._answers += 1
        return f"{self._scratch}/{self._answers:03}-{name}"

    def lend(self, table: str, frame: DataFrame) -> None:
        """Make rows of Spark a table, which later queries may name."""
        with failures():
            frame.createOrReplaceTempView(table)

    def lend_table(self, table: str, rows: pa.Table) -> None:
        """Make rows of here a table of Spark; they go to it as a file among the answers."""
        place = self.new_place(table)
        system, path = filesystem(place)
        system.create_dir(path)
        # Without what Spark wrote about the columns of an answer, which it would believe rather than the file.
        pq.write_table(rows.replace_schema_metadata(), f"{path}/rows.parquet", filesystem=system)
        with failures():
            self._session.read.parquet(spark_path(place)).createOrReplaceTempView(table)

    def keep(self, table: str, name: str, **params: object) -> None:
        """Counted once, in Spark's memory or on its disks."""
        with failures():
            self._ask(name, params).persist().createOrReplaceTempView(table)

    def write(self, target: Path, progress: Progress, stage: str, name: str, **params: object) -> int:
        """Spark sorts; DuckDB writes the file, so that it is as any other of the store."""
        progress(stage, 0, 100)
        files = self._answer(name, params)
        events = pa.RecordBatchReader.from_batches(
            files[0].schema_arrow, (batch for file in files for batch in file.iter_batches(BATCH_ROWS))
        )
        with connect(target.with_name("spill")) as connection:
            connection.register("answer", events)
            columns = "session, aid, ts, type::utinyint as type, position"
            statement = f"copy (select {columns} from answer) to {literal(target)} {STORED_AS}"
            written = int(connection.execute(statement).fetchall()[0][0])
        progress(stage, 100, 100)
        return written

    def _events(self, store: Store, name: SplitName, root: str) -> None:
        facts = store.manifest.splits.get(name)
        if facts is None:
            frame = self._session.sql(transpiled(store.events_sql(name)))
        else:
            frame = self._session.read.parquet(*(spark_path(f"{root.rstrip('/')}/{file.path}") for file in facts.files))
        frame.select("session", "aid", "ts", "type", "position").createOrReplaceTempView(f"events_{name}")

    def _ask(self, name: str, params: dict[str, object]) -> DataFrame:
        return self._session.sql(transpiled(asked(name, params).sql), args=params)

    def _answer(self, name: str, params: dict[str, object]) -> list[pq.ParquetFile]:
        """The files of an answer, in the order of its rows."""
        folder = self.new_place(name)
        with failures():
            self._ask(name, params).write.parquet(spark_path(folder))
        system, path = filesystem(folder)
        paths = sorted(each.path for each in system.get_file_info(FileSelector(path)) if each.path.endswith(".parquet"))
        return [pq.ParquetFile(system.open_input_file(each)) for each in paths]


@contextmanager
def spark_engine(store: Store, config: SparkConfig) -> Iterator[SparkEngine]:
    """Start Spark, or join it, over a store; ends it and removes the answers at the end.

    Raises:
        InputError: PySpark, SQLGlot or Java is missing.
        ConfigError: a cluster needs a scratch folder that it and this machine reach.
        RunFailed: Spark did not start, or cannot read the store.
    """
    require_programs()
    if config.scratch_uri is None and not config.master.startswith("local"):
        raise ConfigError(
            f"spark.scratch_uri: missing for the master {config.master}; name a folder that its workers write and this "
            "machine reads"
        )
    with _session(config) as session, _scratch(config.scratch_uri) as scratch:
        yield SparkEngine(session, store, config, scratch)


def require_programs() -> None:
    """See that all is there that Spark needs here.

    Raises:
        InputError: something is missing; says how to install it.
    """
    if not all(map(find_spec, PACKAGES)):
        raise InputError("the engine spark needs PySpark and SQLGlot: pip install 'nextcart[spark]'")
    home = os.environ.get("JAVA_HOME")
    if shutil.which(Path(home, "bin", "java") if home else "java") is None:
        where = f"in JAVA_HOME ({home})" if home else "on the path"
        raise InputError(
            f"the engine spark needs Java 17 or newer and finds none {where}: install it "
            "(Debian: apt-get install default-jre-headless)"
        )


def transpiled(sql: str) -> str:
    """A query in Spark's dialect; ``$name`` becomes ``:name``."""
    import sqlglot

    return sqlglot.transpile(sql, read="duckdb", write="spark")[0]


def spark_path(place: str) -> str:
    """A path or URI as Spark takes it: a plain path would be taken for one of the cluster's default file system."""
    return place if "://" in place else f"file://{place}"


def arrow_uri(uri: str) -> str:
    """A URI as Arrow takes it: s3a is Hadoop's name of its S3 client, everybody else's is s3."""
    return "s3://" + uri.removeprefix("s3a://") if uri.startswith("s3a://") else uri


def filesystem(place: str) -> tuple[FileSystem, str]:
    """The file system of a path or URI, and the path within it."""
    if "://" not in place:
        return LocalFileSystem(), place
    system, path = FileSystem.from_uri(arrow_uri(place))
    return system, path


@contextmanager
def _session(config: SparkConfig) -> Iterator[SparkSession]:
    """A session of its own; one that the process had before goes on, with its views as they were."""
    from pyspark.sql import SparkSession

    java = f'-Dlog4j2.configurationFile="{LOGGING}" {config.conf.get(JAVA_OPTIONS, "")}'
    settings = {
        "spark.app.name": "nextcart",
        "spark.driver.memory": f"{config.memory_mib}m",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.session.timeZone": "UTC",
    }
    builder = SparkSession.builder.master(config.master)
    for key, value in (settings | config.conf | {JAVA_OPTIONS: java.strip()}).items():
        builder = builder.config(key, value)
    with failures(), warnings.catch_warnings():
        # Said wherever a newer pandas is installed; no column goes through pandas here.
        warnings.filterwarnings("ignore", "PySpark does not yet fully support pandas", FutureWarning)
        joined = SparkSession.getActiveSession() is not None
        session = builder.getOrCreate()
    try:
        yield session.newSession() if joined else session
    finally:
        if not joined:
            session.stop()


@contextmanager
def _scratch(uri: str | None) -> Iterator[str]:
    parent = uri.rstrip("/") if uri else tempfile.gettempdir()
    folder = f"{parent}/nextcart-spark-{uuid4().hex}"
    try:
        yield folder
    finally:
        system, path = filesystem(folder)
        # Nothing is there where no query was answered.
        if system.get_file_info(path).type is FileType.Directory:
            system.delete_dir(path)


@contextmanager
def failures() -> Iterator[None]:
    """What Spark raises, as one line.

    Raises:
        RunFailed: Spark raised something.
    """
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException

    try:
        yield
    except (PySparkException, Py4JError) as error:
        raise RunFailed(f"Spark: {reason(str(error))}; docs/how-to/spark.md says what it needs") from None


def reason(text: str) -> str:
    """The line that says most of what Spark writes about an error: the first with words, or the cause it points to."""
    lines = [line.strip().removeprefix(": ") for line in text.splitlines()]
    said = [line for line in lines if line and not line.startswith("An error occurred while calling")]
    causes = [line.removeprefix("Caused by: ") for line in said if line.startswith("Caused by: ")]
    if causes and said[0].endswith(":"):
        return causes[-1]
    return said[0] if said else "no reason given"
