"""A supervisor's life against a real broker: read, publish, suspend, reset, grow."""

from __future__ import annotations

from .topics import column, create, end, handoff, new_name, segments, spec, until_read, until_stored


def test_messages_are_published_once_with_their_offsets(broker, server):
    topic = new_name()
    broker.create(topic, 2)
    broker.produce(topic, 0, 1000, 2)
    supervisor = create(server, spec(broker, topic))
    (task,) = until_read(server, supervisor, {"0": 500, "1": 500})
    assert segments(server, topic) == []
    handoff(server, supervisor, 0)
    until_stored(server, topic, {"0": 500, "1": 500})
    server.until_state(task, "SUCCESS")
    assert sorted(column(server, topic)) == list(range(1000))
    end(server, supervisor)
