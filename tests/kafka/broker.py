"""A real Kafka 3.9 broker (KRaft) from Maven's jars, on loopback, to be fed, killed and started again."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
import uuid
from base64 import urlsafe_b64encode
from pathlib import Path

VERSION = "3.9.0"
CACHE = Path(os.environ.get("OVL_KAFKA_CACHE", Path.home() / ".cache" / f"overlord-kafka-{VERSION}"))
POM = f"""<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>overlord</groupId><artifactId>kafka</artifactId><version>1</version><packaging>pom</packaging><dependencies>
<dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{VERSION}</version></dependency>
<dependency><groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>1.7.36</version></dependency>
</dependencies></project>"""


def can_run() -> bool:
    """Whether a JDK and Maven are here."""
    return bool(shutil.which("java") and shutil.which("mvn"))


def jars() -> Path:
    """The broker's classes, fetched once."""
    lib = CACHE / "lib"
    if not (CACHE / "done").exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        (CACHE / "pom.xml").write_text(POM)
        goal = ["dependency:copy-dependencies", f"-DoutputDirectory={lib}", "-DincludeScope=runtime"]
        subprocess.run(["mvn", "-B", "-q", "-f", CACHE / "pom.xml", *goal], check=True)
        (CACHE / "done").touch()
    return lib


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Broker:
    """One broker, with its data in `root`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.port, self._controller = free_port(), free_port()
        self.address = f"127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, with what it held before; returns when it answers."""
        self.root.mkdir(parents=True, exist_ok=True)
        java = ["java", "-Xms96m", "-Xmx256m", "-cp", f"{jars()}/*"]
        conf = self.root / "server.properties"
        conf.write_text(
            f"process.roles=broker,controller\nnode.id=1\ncontroller.quorum.voters=1@127.0.0.1:{self._controller}\n"
            f"listeners=PLAINTEXT://{self.address},CONTROLLER://127.0.0.1:{self._controller}\n"
            f"advertised.listeners=PLAINTEXT://{self.address}\ncontroller.listener.names=CONTROLLER\n"
            f"log.dirs={self.root}/data\noffsets.topic.replication.factor=1\noffsets.topic.num.partitions=1\n"
            "transaction.state.log.replication.factor=1\ntransaction.state.log.min.isr=1\n"
            "transaction.state.log.num.partitions=1\ngroup.initial.rebalance.delay.ms=0\n"
            "auto.create.topics.enable=false\n"
        )
        if not (self.root / "data/meta.properties").exists():
            cluster = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
            command = [*java, "kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(conf)]
            subprocess.run(command, check=True, capture_output=True)
        with (self.root / "kafka.log").open("ab") as log:
            self._process = subprocess.Popen([*java, "kafka.Kafka", str(conf)], stdout=log, stderr=log)
        deadline = time.monotonic() + 60
        while not self._answers():
            assert self._process.poll() is None and time.monotonic() < deadline, (self.root / "kafka.log").read_text()
            time.sleep(0.2)

    def _answers(self) -> bool:
        from confluent_kafka.admin import AdminClient

        with socket.socket() as probe:
            probe.settimeout(0.5)
            if probe.connect_ex(("127.0.0.1", self.port)):
                return False
        try:
            return bool(AdminClient({"bootstrap.servers": self.address}).list_topics(timeout=5).brokers)
        except Exception:
            return False

    def kill(self) -> None:
        """SIGKILL."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """SIGTERM, and wait."""
        self._end(signal.SIGTERM)

    def _end(self, number: int) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    # ---- topics ----

    def create(self, topic: str, partitions: int = 1) -> None:
        """A new topic."""
        from confluent_kafka.admin import NewTopic

        admin = self._admin()  # it must outlive the future
        admin.create_topics([NewTopic(topic, partitions, 1)])[topic].result(30)

    def grow(self, topic: str, partitions: int) -> None:
        """More partitions for a topic."""
        from confluent_kafka.admin import NewPartitions

        admin = self._admin()
        admin.create_partitions([NewPartitions(topic, partitions)])[topic].result(30)

    def truncate(self, topic: str, partition: int, before: int) -> None:
        """Delete the records before an offset."""
        from confluent_kafka import KafkaException, TopicPartition

        admin = self._admin()
        deadline = time.monotonic() + 30
        while True:
            try:
                for future in admin.delete_records([TopicPartition(topic, partition, before)]).values():
                    future.result(30)
                return
            except KafkaException:  # what was just acknowledged may not count as written yet
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    def produce(self, topic: str, first: int, count: int, partitions: int, **more: object) -> None:
        """Messages `{"ts", "page", "n"}` with n from `first` on, spread over the partitions in turn."""
        from confluent_kafka import Producer

        producer = Producer({"bootstrap.servers": self.address, "linger.ms": 20, "queue.buffering.max.messages": 10**6})
        for n in range(first, first + count):
            row = {"ts": 1_704_067_200_000 + n * 100 % 86_400_000, "page": f"p{n % 50}", "n": n}
            producer.produce(topic, json.dumps(row), partition=n % partitions, **more)
            if n % 10_000 == 0:
                producer.poll(0)
        assert producer.flush(60) == 0

    def send(self, topic: str, value: bytes | None, partition: int = 0, **more: object) -> None:
        """One message."""
        from confluent_kafka import Producer

        producer = Producer({"bootstrap.servers": self.address})
        producer.produce(topic, value, partition=partition, **more)
        assert producer.flush(30) == 0

    def _admin(self):
        from confluent_kafka.admin import AdminClient

        return AdminClient({"bootstrap.servers": self.address})
