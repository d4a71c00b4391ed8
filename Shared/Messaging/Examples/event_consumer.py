#!/usr/bin/env python3
"""Follows Trionex's events from Python, with the SDK of CloudEvents and the Kafka client of Confluent.

    pip install cloudevents confluent-kafka
    event_consumer.py --brokers 127.0.0.1:29092 --group my-company.follower --topic trionex.content.events

Prints one line for each event, each event once: deliveries may be repeated, and `seen` stands for the table in which a program of yours
keeps the ids that it has handled, written in the same transaction as what the event made it do.
"""
import argparse
import json
import sys

from cloudevents.core.bindings.kafka import KafkaMessage, from_binary
from cloudevents.core.formats.json import JSONFormat
from confluent_kafka import Consumer, KafkaException


def event_of(message):
    """The CloudEvent that a record carries: attributes in headers `ce_…`, JSON as the value."""
    headers = {name: value for name, value in message.headers() or []}
    return from_binary(KafkaMessage(headers=headers, key=message.key(), value=message.value()), JSONFormat())


def events(brokers, group, topics, idle_seconds=None):
    """Yields (event, message) as they come; ends after so long without any, where that is given. An event's offset is committed when the
    next one is asked for: what was under way in a crash is delivered again."""
    consumer = Consumer({
        "bootstrap.servers": brokers, "group.id": group, "auto.offset.reset": "earliest",
        "enable.auto.commit": False, "enable.partition.eof": False,
    })
    consumer.subscribe(topics)
    try:
        while True:
            message = consumer.poll(idle_seconds if idle_seconds is not None else 1.0)
            if message is None:
                if idle_seconds is not None:
                    return
                continue
            if message.error():
                raise KafkaException(message.error())
            # A dead letter that another group handles again is no news to us.
            if dict(message.headers() or []).get("trionex_replay_for", group.encode()) == group.encode():
                try:
                    event = event_of(message)
                except Exception as problem:
                    # What is no event must not stop the reader here for ever. Keep it, where you have a place for that.
                    print(f"{message.topic()}/{message.partition()}@{message.offset()} is no event: {problem}", file=sys.stderr)
                else:
                    yield event, message
            consumer.commit(message, asynchronous=False)
    finally:
        consumer.close()


def main():
    options = argparse.ArgumentParser(description="Follow Trionex's events.")
    options.add_argument("--brokers", default="127.0.0.1:29092")
    options.add_argument("--group", required=True, help="a name of yours; each group gets every event")
    options.add_argument("--topic", action="append", required=True)
    options.add_argument("--idle", type=float, help="end after so many seconds without an event")
    given = options.parse_args()
    seen = set()
    try:
        for event, _ in events(given.brokers, given.group, given.topic, given.idle):
            if event.get_id() in seen:
                continue
            seen.add(event.get_id())
            print(event.get_time().isoformat(), event.get_extension("tenantid"), event.get_type(), json.dumps(event.get_data()), flush=True)
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
