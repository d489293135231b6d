"""The one Spark session of the driver: local, on the loopback, sized for a shared machine."""

import os
import shutil
import sys
import warnings
from pathlib import Path
from urllib.parse import urlparse

from pyspark import SparkConf, SparkContext
from pyspark.java_gateway import launch_gateway
from pyspark.sql import SparkSession

from errors import SettingsError
from settings import Settings, lakehouse_home, settings

HEAP = "1g"
LOOPBACK = "127.0.0.1"
UNASKED = "PySpark does not yet fully support pandas"
CORES = 2
JVM_FLAGS = (
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Xms512m",
    "-Xmn256m",
    "-XX:MaxMetaspaceSize=320m",
    "-Duser.timezone=UTC",
    f"-Dlog4j2.configurationFile=file:{Path(__file__).with_name('log4j2.properties')}",
    "-Djava.net.preferIPv4Stack=true",
)
CONFIG = {
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.driver.host": LOOPBACK,
    "spark.driver.bindAddress": LOOPBACK,
    "spark.driver.memory": HEAP,
    "spark.driver.extraJavaOptions": " ".join(JVM_FLAGS),
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.shuffle.partitions": str(CORES),
    "spark.sql.adaptive.enabled": "false",
    # Small batches pay more for writing and compiling code than it saves them; large ones lose nothing (decoding is
    # Python's): 1.8 s of CPU against 2.6 s for the smallest batch, 4.3 against 4.9 for 50,000 records.
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.sql.execution.arrow.maxRecordsPerBatch": "5000",
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
    "spark.databricks.delta.snapshotPartitions": "1",
    "spark.databricks.delta.schema.autoMerge.enabled": "true",
    "spark.sql.streaming.minBatchesToRetain": "20",
    "spark.sql.sources.parallelPartitionDiscovery.parallelism": "2",
    "spark.hadoop.fs.s3a.path.style.access": "true",
    "spark.hadoop.fs.s3a.aws.credentials.provider": "org.apache.hadoop.fs.s3a.SimpleAWSCredentialsProvider",
    "spark.hadoop.fs.s3a.fast.upload.buffer": "bytebuffer",
    # The default reads ahead in threads of its own, which small log files do not repay.
    "spark.hadoop.fs.s3a.input.stream.type": "classic",
    # One writer, which never writes onto a folder: the checks before each create can go.
    "spark.hadoop.fs.s3a.performance.flags": "create,mkdir",
    "spark.hadoop.fs.s3a.attempts.maximum": "3",
    "spark.hadoop.fs.s3a.retry.limit": "3",
    "spark.hadoop.fs.s3a.connection.establish.timeout": "5s",
    "spark.hadoop.fs.s3a.connection.timeout": "20s",
}


def open_session(name: str) -> tuple[SparkSession, int]:
    """Start Spark with Delta, Kafka and S3A; returns the session and the number of its JVM's process.

    Raises SettingsError when its jars or a JDK 25 are missing. Credentials are set inside the JVM, since a command
    line is there for every user of the machine to read.
    """
    known = settings()
    os.environ["JAVA_HOME"] = str(_folder("JAVA_HOME", known.java_home, "bin/java"))
    jars = _folder("SPARK_JARS_DIR", known.spark_jars_dir, ".")
    os.environ["PYSPARK_PYTHON"] = os.environ["PYSPARK_DRIVER_PYTHON"] = sys.executable
    os.environ["SPARK_LOCAL_IP"] = LOOPBACK
    os.environ["PYTHONWARNINGS"] = f"ignore:{UNASKED}:FutureWarning"
    warnings.filterwarnings("ignore", UNASKED, FutureWarning)
    # An installation of its own elsewhere on the machine must not answer for pyspark's.
    os.environ.pop("SPARK_HOME", None)
    # The lease is held: what lies here was left by a driver that was killed.
    scratch = lakehouse_home() / "data" / "spark" / name
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    config = SparkConf().setAppName(name).setMaster(f"local[{CORES}]").setAll(list(CONFIG.items()))
    config.set("spark.driver.extraClassPath", f"{jars}/*")
    config.set("spark.local.dir", str(scratch))
    config.set("spark.sql.warehouse.dir", str(scratch / "warehouse"))
    config.set("spark.hadoop.fs.s3a.buffer.dir", str(scratch))
    # Away from our process group: a signal to the group stops this process, which lets the batch end first.
    gateway = launch_gateway(config, {"start_new_session": True})
    session = SparkSession(SparkContext(gateway=gateway, conf=config))
    _give_storage(session, known)
    return session, gateway.proc.pid


def _give_storage(session: SparkSession, known: Settings) -> None:
    hadoop = session.sparkContext._jsc.hadoopConfiguration()  # noqa: SLF001 - pyspark has no public way to it
    hadoop.set("fs.s3a.endpoint", known.s3_endpoint)
    hadoop.set("fs.s3a.endpoint.region", known.s3_region)
    hadoop.set("fs.s3a.connection.ssl.enabled", str(urlparse(known.s3_endpoint).scheme == "https").lower())
    hadoop.set("fs.s3a.access.key", known.s3_spark_access_key)
    hadoop.set("fs.s3a.secret.key", known.s3_spark_secret_key.get_secret_value())


def _folder(name: str, path: str, holds: str) -> Path:
    if not path or not (Path(path) / holds).exists():
        raise SettingsError(
            f"{name} is {path or 'not set'}, without {holds}; `make up` writes it to the stack's settings"
        )
    return Path(path)
