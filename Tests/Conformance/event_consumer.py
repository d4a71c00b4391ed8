#!/usr/bin/env python3
"""The SDK of CloudEvents and the Kafka client of Confluent read what the platform announces: attributes, keys, order, each event once,
and every message against the AsyncAPI document with `jsonschema`.

    event_consumer.py http://127.0.0.1:8080

Needs the packages cloudevents, confluent-kafka, jsonschema and requests, and TRIONEX_BROKER_PORT of the platform's broker. The reading is
that of Shared/Messaging/Examples/event_consumer.py, which is written to be copied.
"""
import json
import os
import pathlib
import secrets
import subprocess
import sys
import time
import uuid
from collections import defaultdict

import jsonschema

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "Shared/Messaging/Examples"))

from event_consumer import events  # noqa: E402
from support.platform import Checks, Person  # noqa: E402

BASE = sys.argv[1].rstrip("/")
BROKERS = os.environ.get("TRIONEX_KAFKA_BROKERS") or f"127.0.0.1:{os.environ['TRIONEX_BROKER_PORT']}"
ARTICLES = "/api/v1/content/articles"
DOCUMENT = json.loads((ROOT / "Shared/Contracts/asyncapi.json").read_text())
HEADERS = DOCUMENT["components"]["messageTraits"]["cloudEvent"]["headers"]
PREFIX = "com.trionex."
check = Checks()


def act():
    """Does something at each service that announces, as two organizations; returns the people, and the articles of the first."""
    people = [Person(BASE), Person(BASE)]
    articles = []
    for person in people:
        for number in range(5):
            made = person.call("POST", ARTICLES, json={"title": f"Loom {number}", "content": "<p>It weaves.</p>"})
            check(f"article {number} is made", made.status_code == 201, made.text)
            at = f"{ARTICLES}/{made.json()['id']}"
            for verb in ["publish", "unpublish", "publish"]:
                done = person.call("POST", f"{at}/{verb}")
                check(f"article {number}: {verb}", done.status_code == 200, done.text)
            gone = person.call("DELETE", at)
            check(f"article {number}: delete", gone.status_code in (200, 204), gone.text)
            if person is people[0]:
                articles.append(made.json()["id"])
    return people, articles


def read(group, topics, enough, limit=60):
    """Each event once, with its message, until `enough` says so; the platform may still be announcing when it is asked."""
    found, deadline = {}, time.monotonic() + limit
    while not enough(list(found.values())) and time.monotonic() < deadline:
        for event, message in events(BROKERS, group, topics, idle_seconds=5.0):
            found.setdefault(event.get_id(), (event, message))
    return list(found.values())


def validated(event, message):
    """What the document says of this message, held against it by jsonschema; formats too."""
    name = event.get_type().removeprefix(PREFIX)
    schema = {**DOCUMENT["components"]["schemas"][name]}
    formats = jsonschema.Draft202012Validator.FORMAT_CHECKER
    jsonschema.Draft202012Validator(schema, format_checker=formats).validate(event.get_data())
    headers = {key: value.decode() for key, value in message.headers()}
    jsonschema.Draft202012Validator(HEADERS, format_checker=formats).validate(headers)
    channel = DOCUMENT["channels"][message.topic()]
    return name in channel["messages"]


def refused(event):
    """A payload without its first required field, which the validator must not let pass: else it looks at nothing."""
    schema = DOCUMENT["components"]["schemas"][event.get_type().removeprefix(PREFIX)]
    payload = dict(event.get_data())
    payload.pop(schema["required"][0])
    return not jsonschema.Draft202012Validator(schema).is_valid(payload)


people, articles = act()
tenants = {person.answer["organization"]["id"]: person for person in people}
group = f"conformance-{secrets.token_hex(4)}"
content = ["trionex.content.events"]


def ours(found):
    return [pair for pair in found if pair[0].get_extension("tenantid") in tenants]


# The articles' life, in the order in which it was lived.
found = ours(read(group, content, lambda found: len(ours(found)) >= 50))
check("every change of every article was announced, once", len(found) == 50, len(found))
lives = defaultdict(list)
for event, message in found:
    lives[(event.get_extension("tenantid"), event.get_subject())].append((event, message))
check("ten articles", len(lives) == 10, len(lives))
for (tenant, subject), life in lives.items():
    verbs = [event.get_type() for event, _ in life]
    expected = [f"com.trionex.content.article.{verb}.v1" for verb in ["created", "published", "unpublished", "published", "deleted"]]
    check(f"{subject[-6:]}: in order", verbs == expected, verbs)
    check(f"{subject[-6:]}: one partition", len({message.partition() for _, message in life}) == 1)
    check(f"{subject[-6:]}: times do not go back", all(a.get_time() <= b.get_time() for (a, _), (b, _) in zip(life, life[1:])))

# Attributes and key, as the SDK reads them.
for event, message in found:
    tenant = event.get_extension("tenantid")
    wrong = [
        what for what, right in {
            "specversion": event.get_specversion() == "1.0", "source": event.get_source() == "/services/content",
            "id": uuid.UUID(event.get_id()).version == 7, "datacontenttype": event.get_datacontenttype() == "application/json",
            "subject": event.get_data()["articleID"] == event.get_subject(), "time": event.get_time().tzinfo is not None,
            "actor": event.get_extension("actorid") == f"person:{tenants[tenant].id}",
            "key": message.key().decode() == f"{tenant}:{event.get_subject()}" == event.get_extension("partitionkey"),
            "traceparent": len(dict(message.headers())["traceparent"].split(b"-")) == 4,
        }.items() if not right
    ]
    check(f"{event.get_type()} has its attributes", not wrong, wrong)

# A second group reads everything again: the ids say that it is the same.
again = ours(read(f"{group}-again", content, lambda found: len(ours(found)) >= 50))
seen = {event.get_id() for event, _ in found}
check("a second reading brings the same ids, so nothing of it is new", {event.get_id() for event, _ in again} == seen)
# The first group goes on after what it has committed.
check("a group that comes back gets what it has not had", not ours(read(group, content, lambda _: False, limit=1)))

# Every message of every topic keeps its contract.
topics = [channel["address"] for channel in DOCUMENT["channels"].values()]
everything = read(f"{group}-all", topics, lambda found: len({m.topic() for _, m in found}) >= 4)
kinds = {event.get_type(): event for event, _ in everything}
for event, message in everything:
    if not validated(event, message):
        check(f"{event.get_type()} lies on its topic", False, message.topic())
check(f"{len(everything)} messages of {len(kinds)} types keep the document's schemas", len(everything) >= 50 and len(kinds) >= 8, sorted(kinds))
for kind, event in sorted(kinds.items()):
    check(f"{kind}: the schema refuses what lacks a field", refused(event))

# Our own command line, with a validator of our own, says the same of the same messages.
program = ROOT / ".build" / os.environ.get("CONFIGURATION", "debug") / "trionex-events"
said = subprocess.run([program, "validate", "--brokers", BROKERS], capture_output=True, text=True, timeout=60)
check("trionex-events validate agrees", said.returncode == 0 and ", 0 break their contract" in said.stdout, said.stdout + said.stderr)
check.done()
