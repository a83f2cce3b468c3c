"""Every setting, once. `config/default.toml` and `docs/settings.md` are made from this table by `make docs`.

Names are Druid's own where Druid has one; ours begin with `ovl.`.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from overlord.settings.kinds import kinds


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One setting.

    Attributes
    ----------
    name : str
    kind : str
        A name in `kinds`: int, bool, str, period, bytes, list, map, path, float.
    default : str or None
        In Druid's notation; None means unset.
    unit : str
        Of the number, or a word on what the text is.
    help : str
        One sentence or two.
    derive : callable or None
        Makes the default from the machine and the other settings; `default` is then the text that documents it.
    choices : tuple of str
        The values allowed; empty for any.
    minimum, maximum : int or None
    instead : mapping
        Values of a stock Druid that mean something else here: to ours, with one warning.
    secret : bool
        Shown to nobody.
    """

    name: str
    kind: str = "str"
    default: str | None = None
    unit: str = ""
    help: str = ""
    derive: Callable[[Mapping[str, Any]], Any] | None = None
    choices: tuple[str, ...] = ()
    minimum: int | None = None
    maximum: int | None = None
    instead: Mapping[str, str] = field(default_factory=dict)
    secret: bool = False

    def read(self, value: Any) -> Any:
        """The typed value, or ValueError."""
        typed = kinds[self.kind].read(value)
        if self.choices and typed not in self.choices:
            raise ValueError(f"expected one of {', '.join(self.choices)}, not {typed!r}")
        if self.minimum is not None and typed < self.minimum:
            raise ValueError(f"must not be below {self.minimum}, and is {typed}")
        if self.maximum is not None and typed > self.maximum:
            raise ValueError(f"must not be above {self.maximum}, and is {typed}")
        return typed

    def write(self, value: Any) -> str:
        """Druid's notation of a typed value; an unset one is the empty text."""
        return "" if value is None else kinds[self.kind].write(value)

    @property
    def default_value(self) -> Any:
        """The typed default of a setting that is not derived."""
        return None if self.default is None else self.read(self.default)


def _announced_host(s: Mapping[str, Any]) -> str:
    bound = s["ovl.http.host"]
    return socket.getfqdn() if bound in ("0.0.0.0", "::", "") else str(bound)


def _ram_bytes() -> int:
    """Memory this process may use: the machine's, or its control group's when that is less."""
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for name in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            with open(name, encoding="ascii") as file:  # noqa: PTH123 - two fixed kernel files
                text = file.read().strip()
        except OSError:
            continue
        if text.isdigit():
            total = min(total, int(text))
    return total


def _cpus() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


_SERVER = [
    Setting(name="druid.service", default="druid/overlord", unit="name", help="Service name shown to other servers."),
    Setting(
        name="druid.host",
        default="ovl.http.host, or this machine's name when that is 0.0.0.0",
        unit="host",
        help="Host under which other servers and workers reach this one.",
        derive=_announced_host,
    ),
    Setting(
        name="druid.plaintextPort",
        kind="int",
        default="8090",
        unit="port",
        help="Port under which other servers reach this one; 0 takes a free one.",
        minimum=0,
        maximum=65535,
    ),
    Setting(
        name="druid.server.hiddenProperties",
        kind="list",
        default='["druid.s3.accesskey", "druid.s3.secretkey", "druid.metadata.storage.connector.password", '
        '"password", "key", "token", "pwd"]',
        unit="parts of names",
        help="Settings whose name contains one of these (in any case) are left out of `/status/properties`.",
    ),
    Setting(
        name="ovl.data.dir",
        kind="path",
        default="var/overlord",
        unit="folder",
        help="Everything this server keeps on disk: its Postgres, segments, logs, work of running tasks. "
        "A relative path counts from where the server was started.",
    ),
    Setting(
        name="ovl.http.host",
        default="127.0.0.1",
        unit="address",
        help="Address the server listens on. There is no login yet, so the default is this machine only; "
        "0.0.0.0 is every interface.",
    ),
    Setting(
        name="ovl.http.port",
        kind="int",
        default="druid.plaintextPort",
        unit="port",
        help="Port the server listens on, when it is not the announced one (a port mapping in between).",
        derive=lambda s: s["druid.plaintextPort"],
        minimum=0,
        maximum=65535,
    ),
    Setting(
        name="ovl.http.threads",
        kind="int",
        default="16",
        unit="threads",
        help="Threads that answer calls.",
        minimum=1,
    ),
    Setting(
        name="ovl.http.waitingThreads",
        kind="int",
        default="64",
        unit="threads",
        help="Most calls that may wait at once (for a lock, for more of a log); they have threads of their own, "
        "so that the others are still answered.",
        minimum=1,
    ),
    Setting(
        name="ovl.http.maxBodyBytes",
        kind="bytes",
        default="100MiB",
        unit="bytes",
        help="Largest body of a request, after decompression; more is answered 413.",
        minimum=1,
    ),
    Setting(
        name="ovl.stop.grace",
        kind="period",
        default="PT10S",
        unit="ISO period",
        help="How long a server that was asked to stop goes on answering calls already under way.",
    ),
    Setting(
        name="ovl.coordinator.url",
        unit="URL",
        help="A Coordinator to ask for what only it knows (which segments are loaded). Unset: those questions are "
        "answered from the metadata.",
    ),
]

_METADATA = [
    Setting(
        name="druid.metadata.storage.type",
        default="postgresql",
        unit="name",
        help="Kind of metadata store. Only Postgres; a stock `derby` means the embedded Postgres here.",
        choices=("postgresql",),
        instead={"derby": "postgresql"},
    ),
    Setting(
        name="druid.metadata.storage.connector.connectURI",
        unit="JDBC URI",
        help="`jdbc:postgresql://host:port/db` of your own Postgres. Unset: an embedded one under `ovl.data.dir`.",
    ),
    Setting(name="druid.metadata.storage.connector.user", unit="name", help="User of the metadata store."),
    Setting(
        name="druid.metadata.storage.connector.password",
        unit="text",
        help='Password of the metadata store; also Druid\'s `{"type": "environment", "variable": "NAME"}`.',
        secret=True,
    ),
    Setting(
        name="druid.metadata.storage.connector.createTables",
        kind="bool",
        default="true",
        help="Whether missing tables are made at the start.",
    ),
    Setting(
        name="ovl.metadata.dsn",
        unit="DSN",
        help="Postgres DSN (`postgresql://user:password@host:port/db`); goes before connectURI.",
        secret=True,
    ),
    Setting(
        name="ovl.metadata.poolSize",
        kind="int",
        default="16",
        unit="connections",
        help="Most connections to Postgres.",
        minimum=2,
    ),
    Setting(
        name="druid.metadata.storage.tables.base",
        default="druid",
        unit="prefix",
        help="What the names of Druid's tables begin with.",
    ),
]

TABLES = {
    "dataSource": "dataSource",
    "pendingSegments": "pendingSegments",
    "segments": "segments",
    "rules": "rules",
    "config": "config",
    "tasks": "tasks",
    "taskLock": "tasklocks",
    "audit": "audit",
    "supervisors": "supervisors",
    "upgradeSegments": "upgradeSegments",
}
"""Druid's property name of each table, and what follows `tables.base` in its default."""


def _table_setting(key: str, suffix: str) -> Setting:
    return Setting(
        name=f"druid.metadata.storage.tables.{key}",
        default=f"<tables.base>_{suffix.lower()}",
        unit="table",
        help=f"Name of the {suffix} table.",
        derive=lambda s: f"{s['druid.metadata.storage.tables.base']}_{suffix.lower()}",
    )


_METADATA += [_table_setting(key, suffix) for key, suffix in TABLES.items()]

_QUEUE = [
    Setting(
        name="druid.indexer.queue.maxSize",
        kind="int",
        default="2147483647",
        unit="tasks",
        help="Most unfinished tasks; one more is answered 429.",
        minimum=1,
    ),
    Setting(
        name="druid.indexer.queue.maxTaskPayloadSize",
        kind="bytes",
        unit="bytes",
        help="Largest task payload accepted. Unset: no limit but `ovl.http.maxBodyBytes`.",
    ),
    Setting(
        name="druid.indexer.queue.startDelay",
        kind="period",
        default="PT0S",
        unit="ISO period",
        help="Wait of a new leader before its queue starts (a stock Overlord waits PT1M).",
    ),
    Setting(
        name="druid.indexer.queue.restartDelay",
        kind="period",
        default="PT30S",
        unit="ISO period",
        help="Wait before the queue starts again after it failed.",
    ),
    Setting(
        name="druid.indexer.queue.storageSyncRate",
        kind="period",
        default="PT1M",
        unit="ISO period",
        help="How often the queue looks for rows that others added or ended.",
    ),
    Setting(
        name="druid.indexer.storage.type",
        default="metadata",
        unit="name",
        help="Where tasks are kept: always in the metadata store.",
        choices=("metadata",),
        instead={"local": "metadata"},
    ),
    Setting(
        name="druid.indexer.storage.recentlyFinishedThreshold",
        kind="period",
        default="PT24H",
        unit="ISO period",
        help="How far back the lists show ended tasks.",
    ),
    Setting(
        name="druid.indexer.tasklock.forceTimeChunkLock",
        kind="bool",
        default="true",
        help="Context default `forceTimeChunkLock`: lock whole time chunks.",
    ),
    Setting(
        name="druid.indexer.tasklock.batchSegmentAllocation",
        kind="bool",
        default="true",
        help="Context default `useLineageBasedSegmentAllocation` follows it; allocations are batched either way.",
    ),
    Setting(
        name="druid.indexer.task.default.context",
        kind="map",
        default="{}",
        unit="JSON object",
        help="Context put under that of every task submitted.",
    ),
]

_TASKS = [
    Setting(
        name="druid.worker.capacity",
        kind="int",
        default="max(3, CPUs - 1)",
        unit="slots",
        help="Tasks that run at once.",
        derive=lambda s: max(3, _cpus() - 1),
        minimum=0,
    ),
    Setting(name="druid.worker.version", default="0", unit="text", help="Version the workers announce."),
    Setting(
        name="druid.worker.category",
        default="_default_worker_category",
        unit="name",
        help="Category the workers announce.",
    ),
    Setting(
        name="druid.indexer.runner.type",
        default="local",
        unit="name",
        help="Where tasks run. `httpRemote` and `remote` of a stock file mean processes on this machine here.",
        choices=("local",),
        instead={"httpRemote": "local", "remote": "local"},
    ),
    Setting(
        name="druid.indexer.runner.taskAssignmentTimeout",
        kind="period",
        default="PT5M",
        unit="ISO period",
        help="A task given to a worker and not running by then fails.",
    ),
    Setting(
        name="druid.indexer.runner.taskCleanupTimeout",
        kind="period",
        default="PT15M",
        unit="ISO period",
        help="A running task that has not been heard of for so long, and whose process cannot be seen, fails.",
    ),
    Setting(
        name="druid.indexer.runner.parallelIndexTaskSlotRatio",
        kind="float",
        default="1",
        unit="share",
        help="Most slots that `index_parallel` tasks may hold. Those with sub-tasks leave one slot free in any case.",
    ),
    Setting(
        name="druid.indexer.runner.minWorkerVersion",
        default="0",
        unit="text",
        help="Least version of a worker that gets tasks.",
    ),
    Setting(
        name="druid.indexer.task.baseTaskDir",
        kind="path",
        default="<ovl.data.dir>/tasks",
        unit="folder",
        help="Scratch folders of running tasks.",
        derive=lambda s: s["ovl.data.dir"] / "tasks",
    ),
    Setting(
        name="druid.indexer.task.gracefulShutdownTimeout",
        kind="period",
        default="PT5M",
        unit="ISO period",
        help="How long a task may take to stop when the server asks it to, before it is killed.",
    ),
    Setting(
        name="druid.indexer.task.storeEmptyColumns",
        kind="bool",
        default="true",
        help="Whether a column that holds only nulls is stored.",
    ),
    Setting(
        name="druid.indexer.task.tmpStorageBytesPerTask",
        kind="bytes",
        default="-1",
        unit="bytes",
        help="Most scratch space of one task; -1 for no limit.",
    ),
    Setting(
        name="ovl.ask.processes",
        kind="int",
        default="4",
        unit="processes",
        help="Most helper processes at work at once, for the sampler and dry runs; they take no task slot.",
        minimum=1,
    ),
    Setting(
        name="ovl.ask.memoryBytes",
        kind="bytes",
        default="768MiB",
        unit="bytes",
        help="Memory a helper process may use beside what it shares with all workers; one that needs more gives "
        "no answer.",
        minimum=1,
    ),
    Setting(
        name="ovl.ask.timeout",
        kind="period",
        default="PT60S",
        unit="ISO period",
        help="Longest time a helper process may work, whatever time a request asks for.",
    ),
    Setting(
        name="ovl.task.memoryBytes",
        kind="bytes",
        default="RAM x 0.6 / druid.worker.capacity",
        unit="bytes",
        help="Memory one task may use; it is ended as FAILED when it takes more.",
        derive=lambda s: int(_ram_bytes() * 0.6) // max(1, s["druid.worker.capacity"]),
        minimum=1,
    ),
    Setting(
        name="ovl.exchange.type",
        default="local",
        unit="name",
        help="Where sub-tasks leave what their parent, or other sub-tasks, go on with.",
    ),
    Setting(
        name="ovl.exchange.dir",
        kind="path",
        default="<ovl.data.dir>/exchange",
        unit="folder",
        help="Folder for type `local`; all workers must see it. Emptied when a parent has ended.",
        derive=lambda s: s["ovl.data.dir"] / "exchange",
    ),
    Setting(
        name="ovl.task.killGrace",
        kind="period",
        default="PT10S",
        unit="ISO period",
        help="Time between SIGTERM and SIGKILL for a task that was shut down by a user.",
    ),
    Setting(
        name="ovl.task.heartbeat",
        kind="period",
        default="PT2S",
        unit="ISO period",
        help="How often a running task reports that it lives and how far it is.",
    ),
]

_STORAGE = [
    Setting(name="druid.storage.type", default="local", unit="name", help="Deep storage of segments."),
    Setting(
        name="druid.storage.storageDirectory",
        kind="path",
        default="<ovl.data.dir>/segments",
        unit="folder",
        help="Folder of the local deep storage; point the stock Historicals at the same folder.",
        derive=lambda s: s["ovl.data.dir"] / "segments",
    ),
    Setting(
        name="druid.storage.archiveDirectory",
        kind="path",
        unit="folder",
        help="Where `archive` tasks take unused segments, and `restore` tasks take them back from. Unset: no archive.",
    ),
    Setting(
        name="druid.storage.zip",
        kind="bool",
        default="false",
        help="Whether a segment is stored as `index.zip` (true) or as a folder.",
    ),
    Setting(name="druid.storage.bucket", unit="name", help="Bucket of segments for type `s3`."),
    Setting(name="druid.storage.baseKey", unit="text", help="What the keys of segments begin with for type `s3`."),
    Setting(name="druid.storage.archiveBucket", unit="name", help="Bucket of archived segments for type `s3`."),
    Setting(name="druid.storage.archiveBaseKey", unit="text", help="What their keys begin with."),
    Setting(
        name="druid.storage.useS3aSchema",
        kind="bool",
        default="false",
        help="Whether loadSpecs say `s3a` rather than `s3n`.",
    ),
    Setting(
        name="druid.s3.accessKey",
        unit="text",
        help="Key for S3. Unset: the environment's, `~/.aws/credentials`, the machine's role.",
        secret=True,
    ),
    Setting(name="druid.s3.secretKey", unit="text", help="Its secret.", secret=True),
    Setting(name="druid.s3.endpoint.url", unit="URL", help="Where S3 is, if it is not Amazon's."),
    Setting(name="druid.s3.endpoint.signingRegion", unit="name", help="Region. Unset: the environment's."),
    Setting(name="druid.s3.protocol", default="https", unit="name", help="How to reach an endpoint without a scheme."),
    Setting(
        name="druid.s3.enablePathStyleAccess",
        kind="bool",
        help="Whether the bucket stands in the path of URLs. Unset: where an endpoint is set.",
    ),
    Setting(
        name="druid.azure.account",
        unit="name",
        help="Azure's storage account. Unset: `AZURE_STORAGE_ACCOUNT_NAME` of the environment.",
    ),
    Setting(
        name="druid.azure.key",
        unit="text",
        help="Its key. Without key and token: the environment's, the machine's identity.",
        secret=True,
    ),
    Setting(name="druid.azure.sharedAccessStorageToken", unit="text", help="A token instead of the key.", secret=True),
    Setting(name="druid.azure.protocol", default="https", unit="name", help="How to reach Azure's storage."),
    Setting(
        name="druid.azure.storageAccountEndpointSuffix",
        default="blob.core.windows.net",
        unit="host",
        help="What follows the account in the name of its host.",
    ),
    Setting(
        name="ovl.segment.lz4Level",
        kind="int",
        default="3",
        unit="level",
        help="LZ4 effort: 0 is the fast compressor, 3 to 12 the slower, tighter one; 9 gives the bytes Druid writes. "
        "Readers need not care.",
        minimum=0,
        maximum=12,
    ),
    Setting(name="druid.indexer.logs.type", default="file", unit="name", help="Where logs of ended tasks go."),
    Setting(
        name="druid.indexer.logs.directory",
        kind="path",
        default="<ovl.data.dir>/logs",
        unit="folder",
        help="Folder of task logs and reports for type `file`.",
        derive=lambda s: s["ovl.data.dir"] / "logs",
    ),
    Setting(name="druid.indexer.logs.s3Bucket", unit="name", help="Bucket of task logs and reports for type `s3`."),
    Setting(name="druid.indexer.logs.s3Prefix", unit="text", help="What their keys begin with."),
    Setting(
        name="druid.indexer.logs.kill.enabled",
        kind="bool",
        default="false",
        help="Whether old task logs, reports and rows are deleted.",
    ),
    Setting(
        name="druid.indexer.logs.kill.durationToRetain",
        kind="int",
        unit="ms",
        help="Age at which they are; needed when `kill.enabled` is true.",
        minimum=0,
    ),
    Setting(
        name="druid.indexer.logs.kill.initialDelay",
        kind="int",
        default="60000",
        unit="ms",
        help="Wait before the first such deletion.",
        minimum=0,
    ),
    Setting(
        name="druid.indexer.logs.kill.delay",
        kind="int",
        default="21600000",
        unit="ms",
        help="Time between two of them.",
        minimum=1,
    ),
]


def _kill(what: str, whose: str, *, retain: str | None = "P90D") -> list[Setting]:
    """The settings of a clean-up of metadata, as all of Druid's have them."""
    name = f"druid.coordinator.kill.{what}"
    found = [
        Setting(name=f"{name}.on", kind="bool", default="true", help=f"Whether {whose} are deleted."),
        Setting(
            name=f"{name}.period",
            kind="period",
            default="P1D",
            unit="ISO period",
            help="How often; not below `druid.coordinator.period.metadataStoreManagementPeriod`.",
        ),
    ]
    if retain is not None:
        found.append(
            Setting(
                name=f"{name}.durationToRetain",
                kind="period",
                default=retain,
                unit="ISO period",
                help="From which age on.",
            )
        )
    return found


_DUTIES = [
    Setting(
        name="ovl.duties.on",
        kind="bool",
        default="true",
        help="Whether any clean-up runs by itself; false switches off all of the below. Switch them off where a stock "
        "Coordinator shall do them, though both may run on one database.",
    ),
    Setting(
        name="druid.coordinator.startDelay",
        kind="period",
        default="PT5M",
        unit="ISO period",
        help="Wait of a new leader before its first clean-up.",
    ),
    Setting(
        name="druid.coordinator.period.indexingPeriod",
        kind="period",
        default="PT30M",
        unit="ISO period",
        help="How often pending segments are cleaned up.",
        minimum=1000,
    ),
    Setting(
        name="druid.coordinator.period.metadataStoreManagementPeriod",
        kind="period",
        default="PT1H",
        unit="ISO period",
        help="The least period of the clean-up of metadata.",
        minimum=1000,
    ),
    Setting(
        name="druid.coordinator.kill.pendingSegments.on",
        kind="bool",
        default="true",
        help="Whether pending segments are deleted that no task can use any more.",
    ),
    Setting(
        name="ovl.duties.pendingSegments.withoutUsedSegments",
        kind="bool",
        default="false",
        help="Whether those of datasources without used segments are as well, which Druid leaves for ever.",
    ),
    Setting(
        name="druid.coordinator.kill.on",
        kind="bool",
        default="false",
        help="Whether kill tasks are submitted for unused segments.",
    ),
    Setting(
        name="druid.coordinator.kill.period",
        kind="period",
        default="druid.coordinator.period.indexingPeriod",
        unit="ISO period",
        help="How often; not below `druid.coordinator.period.indexingPeriod`.",
        derive=lambda s: s["druid.coordinator.period.indexingPeriod"],
    ),
    Setting(
        name="druid.coordinator.kill.durationToRetain",
        kind="period",
        default="P90D",
        unit="ISO period",
        help="Segments whose time ended longer ago may go; negative spares the future only so far.",
    ),
    Setting(
        name="druid.coordinator.kill.ignoreDurationToRetain",
        kind="bool",
        default="false",
        help="Whether segments of any time may go.",
    ),
    Setting(
        name="druid.coordinator.kill.bufferPeriod",
        kind="period",
        default="P30D",
        unit="ISO period",
        help="How long a segment must have been unused.",
    ),
    Setting(
        name="druid.coordinator.kill.maxSegments",
        kind="int",
        default="100",
        unit="segments",
        help="Most segments of one kill task.",
    ),
    Setting(
        name="druid.coordinator.kill.maxInterval",
        kind="period",
        default="P30D",
        unit="ISO period",
        help="Longest interval of one kill task; PT0S for any.",
    ),
    *_kill("audit", "audit rows"),
    *_kill("rule", "rules of datasources without segments"),
    *_kill("compaction", "compaction configurations of datasources without segments", retain=None),
    *_kill("supervisor", "versions of terminated supervisors, and old events and runs of any supervisor,"),
    *_kill("datasource", "commit metadata of datasources without a supervisor"),
]

_SUPERVISION = [
    Setting(
        name="ovl.compaction.period",
        kind="period",
        default="PT10S",
        unit="ISO period",
        help="How often automatic compaction looks at what there is to do.",
    ),
    Setting(
        name="ovl.compaction.withoutCoordinator",
        kind="bool",
        default="true",
        help="Whether datasources with a compaction config are compacted from here while `useSupervisors` is off. "
        "Switch it off where a stock Coordinator does that.",
    ),
]

_EVENTS = [
    Setting(
        name="ovl.notify.webhooks",
        kind="list",
        unit="URLs",
        help="Each event of a task or supervisor is posted to each of these, until it is answered 2xx.",
    ),
    Setting(
        name="ovl.notify.secret",
        unit="text",
        help="Key of the HMAC-SHA256 in `X-Ovl-Signature`, over `X-Ovl-Timestamp`, a dot and the body.",
        secret=True,
    ),
    Setting(
        name="ovl.notify.events",
        kind="list",
        unit="names",
        help="Events that webhooks are told, such as `succeeded`, `failed`, `suspended`; unset: all.",
    ),
    Setting(
        name="ovl.notify.timeout",
        kind="period",
        default="PT10S",
        unit="ISO period",
        help="How long a webhook may take to answer.",
    ),
    Setting(
        name="ovl.notify.retryAfter",
        kind="period",
        default="PT1S",
        unit="ISO period",
        help="Wait before a failed delivery is tried again; doubled each time, up to ten minutes.",
    ),
    Setting(
        name="ovl.notify.giveUpAfter",
        kind="period",
        default="P1D",
        unit="ISO period",
        help="Age at which a delivery that still fails is given up.",
    ),
    Setting(
        name="ovl.events.maxListeners",
        kind="int",
        default="1000",
        unit="connections",
        help="Most listeners to server-sent events.",
        minimum=0,
    ),
]

SECTIONS: dict[str, list[Setting]] = {
    "Server": _SERVER,
    "Metadata": _METADATA,
    "Queue and locks": _QUEUE,
    "Tasks": _TASKS,
    "Segments and logs": _STORAGE,
    "Clean-up": _DUTIES,
    "Supervisors": _SUPERVISION,
    "Events": _EVENTS,
}

CATALOG: dict[str, Setting] = {setting.name: setting for section in SECTIONS.values() for setting in section}
"""All settings by name, in the order of the documentation."""
