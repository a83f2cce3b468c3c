"""The kafka supervisor: keeps tasks reading a topic, and every message published once.

`supervisor` decides, in one thread; `groups` is what it knows of its tasks; `broker` asks Kafka; `records` is how far
the datasource has come; `tasks` makes task specs; `health` tells how it is.
"""

from __future__ import annotations

from overlord.supervisors.kafka.supervisor import KafkaSupervisor

__all__ = ["KafkaSupervisor"]
