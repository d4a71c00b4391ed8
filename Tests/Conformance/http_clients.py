#!/usr/bin/env python3
"""HTTP clients of other makers against the gateway: HTTP/1.1 and HTTP/2, kept connections, uploads of unknown length, many at once.

    http_clients.py http://127.0.0.1:8080

Needs the packages requests, httpx[http2] and aiohttp, curl, and a gateway with TRIONEX_HTTP2_CLEARTEXT=true.
"""
import asyncio
import json
import subprocess
import sys

import aiohttp
import httpx
import requests

from support.platform import Checks, Person

BASE = sys.argv[1].rstrip("/")
TIMEOUT = 30
ME = "/api/v1/auth/me"
ARTICLES = "/api/v1/content/articles"

check = Checks()
person = Person(BASE)
HEADERS = {"authorization": f"Bearer {person.token}"}


def article(title):
    return json.dumps({"title": title, "content": "loom " * 1_000}).encode()


def pieces(body):
    for at in range(0, len(body), 997):
        yield body[at:at + 997]


# requests (urllib3).
with requests.Session() as session:
    session.headers.update(HEADERS)
    for _ in range(20):
        answer = session.get(BASE + ME, timeout=TIMEOUT)
        check("requests: a kept connection answers again", answer.status_code == 200 and answer.json()["user"]["id"] == person.id, answer.text)
    answer = session.head(BASE + ME, timeout=TIMEOUT)
    check("requests: HEAD has the length of GET and no body", answer.status_code == 200 and answer.content == b"", answer.headers)
    answer = session.post(
        BASE + ARTICLES, data=pieces(article("In chunks")), headers={"content-type": "application/json"}, timeout=TIMEOUT)
    check("requests: a body in chunks is taken", answer.status_code == 201, answer.text)
    answer = session.get(BASE + "/nowhere", timeout=TIMEOUT)
    check("requests: a refusal is a problem", answer.headers["content-type"] == "application/problem+json" and answer.json()["status"] == 404)
    answer = session.post(BASE + ME, data=b"x" * 60_000, timeout=TIMEOUT)
    check("requests: a refused upload leaves the client well", answer.status_code == 405, answer.text)
    check("requests: and so the next request", session.get(BASE + ME, timeout=TIMEOUT).status_code == 200)

# httpx (httpcore; h11 and h2).
for name, options in [("HTTP/1.1", {}), ("HTTP/2", {"http1": False, "http2": True})]:
    with httpx.Client(base_url=BASE, headers=HEADERS, timeout=TIMEOUT, **options) as client:
        answer = client.get(ME)
        check(f"httpx: {name} is spoken", answer.http_version == name and answer.status_code == 200, answer.text)
        answer = client.post(ARTICLES, content=pieces(article(name)), headers={"content-type": "application/json"})
        check(f"httpx: a body without a length over {name}", answer.status_code == 201, answer.text)
        with client.stream("GET", "/api/v1/openapi.json", headers={"accept-encoding": "gzip"}) as answer:
            text = "".join(answer.iter_text())
        check(f"httpx: a large answer, compressed, over {name}", "/api/v1/content/articles" in json.loads(text)["paths"])
        answer = client.get("/nowhere")
        check(f"httpx: a refusal over {name}", answer.status_code == 404 and "server" not in answer.headers)


async def together():
    limits = httpx.Limits(max_connections=4)
    async with httpx.AsyncClient(base_url=BASE, headers=HEADERS, timeout=TIMEOUT, http1=False, http2=True, limits=limits) as client:
        answers = await asyncio.gather(*(client.get(ME) for _ in range(100)))
    check("httpx: a hundred streams of HTTP/2 at once", all(answer.status_code == 200 for answer in answers))
    async with aiohttp.ClientSession(BASE, headers=HEADERS) as session:
        async def ask():
            async with session.get(ME) as answer:
                return answer.status, (await answer.json())["user"]["id"]
        answers = await asyncio.gather(*(ask() for _ in range(100)))
        check("aiohttp: a hundred requests at once", all(answer == (200, person.id) for answer in answers))

        async def body():
            for piece in pieces(article("As it comes")):
                yield piece
        async with session.post(ARTICLES, data=body(), headers={"content-type": "application/json"}) as answer:
            check("aiohttp: a body as it comes", answer.status == 201, await answer.text())
        async with session.post(ARTICLES, data=article("Expected"), expect100=True, headers={"content-type": "application/json"}) as answer:
            check("aiohttp: a body that waits to be asked for", answer.status == 201, await answer.text())

asyncio.run(together())


def curl(*arguments, body=None):
    command = ["curl", "-sS", "--max-time", str(TIMEOUT), "-H", f"Authorization: Bearer {person.token}", *arguments]
    return subprocess.run(command, input=body, capture_output=True, check=False).stdout.decode()


for option, version in [("--http1.0", "1.0"), ("--http1.1", "1.1"), ("--http2-prior-knowledge", "2")]:
    told = curl(option, "-o", "/dev/null", "-w", "%{http_version} %{http_code}", BASE + ME)
    # The gateway's own version is 1.1, whatever an older client speaks (RFC 9110, section 2.5).
    check(f"curl: {option}", told == f"{'1.1' if version == '1.0' else version} 200", told)
    told = curl(
        option, "-o", "/dev/null", "-w", "%{http_code}", "-H", "Expect: 100-continue", "-H", "Content-Type: application/json",
        "--data-binary", "@-", BASE + ARTICLES, body=article(option))
    check(f"curl: {option} with an expectation", told == "201", told)
check.done()
