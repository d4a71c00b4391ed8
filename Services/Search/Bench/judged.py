#!/usr/bin/env python3
"""Makes a judged set of queries from the Jargon File, which is in the public domain (Debian's package dict-jargon).

Each entry becomes a document. Queries are drawn with a fixed seed from the entries themselves, so their answers are known: the entry a
query was drawn from (grade 3), and entries that it refers to or that refer to it (grade 1). Kinds of queries:

  name       an entry's headword
  words      three words of its text that are rare elsewhere
  sentence   a question-like run of ten words of its text, the frequent ones included
  typo       one of the two above with one typing error
  beginning  two rare words, the second cut short
"""
import argparse
import gzip
import json
import math
import random
import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

FILES = Path("/usr/share/dictd")
DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


def fetch() -> Path:
    """The package's files, unpacked beside nothing else when it is not installed."""
    if (FILES / "jargon.index").exists():
        return FILES
    folder = Path(tempfile.mkdtemp(prefix="trionex-judged-"))
    subprocess.run(["apt-get", "download", "-qq", "dict-jargon"], cwd=folder, check=True, stdout=sys.stderr)
    package = next(folder.glob("dict-jargon*.deb"))
    subprocess.run(["dpkg-deb", "-x", str(package), str(folder)], check=True)
    return folder / "usr/share/dictd"


def number(text: str) -> int:
    value = 0
    for character in text:
        value = value * 64 + DIGITS.index(character)
    return value


def entries(folder: Path) -> dict[str, str]:
    data = gzip.decompress((folder / "jargon.dict.dz").read_bytes())
    found = {}
    for line in (folder / "jargon.index").read_text().splitlines():
        name, start, length = line.split("\t")[:3]
        if name.startswith("00-database"):
            continue
        text = data[number(start):number(start) + number(length)].decode()
        lines = text.split("\n")
        body = re.sub(r"\s+", " ", " ".join(lines[1:])).strip()
        # The index has names in small letters and without signs; the text has them as they are written.
        title = lines[0].strip() or name
        if len(body) > 80:
            found.setdefault(title, body)
    return found


def words_of(text: str) -> list[str]:
    return re.findall(r"[a-z][a-z'-]*[a-z]", text.lower())


def misspelled(word: str, chance: random.Random) -> str:
    place = chance.randrange(1, len(word) - 1)
    kind = chance.choice(["swap", "drop", "insert", "replace"])
    letter = chance.choice("abcdefghijklmnopqrstuvwxyz")
    if kind == "swap" and word[place] != word[place + 1]:
        return word[:place] + word[place + 1] + word[place] + word[place + 2:]
    if kind == "drop":
        return word[:place] + word[place + 1:]
    if kind == "insert":
        return word[:place] + letter + word[place:]
    return word[:place] + (letter if letter != word[place] else "x") + word[place + 1:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", help="where the judged set goes, as JSON")
    parser.add_argument("--queries", type=int, default=60, help="of each kind")
    parser.add_argument("--seed", type=int, default=20)
    arguments = parser.parse_args()
    chance = random.Random(arguments.seed)

    found = entries(fetch())
    titles = list(found)
    place = {title.lower(): index for index, title in enumerate(titles)}
    links = [
        {place[name.lower()] for name in re.findall(r"\{([^}]+)\}", found[title]) if name.lower() in place} - {index}
        for index, title in enumerate(titles)
    ]
    backlinks = [set() for _ in titles]
    for index, targets in enumerate(links):
        for target in targets:
            backlinks[target].add(index)
    bodies = [found[title].replace("{", "").replace("}", "") for title in titles]
    frequency = Counter(word for body in bodies for word in set(words_of(body)))

    def rare(index: int, count: int) -> list[str]:
        known = sorted({word for word in words_of(bodies[index]) if frequency[word] > 1 and len(word) > 3})
        known.sort(key=lambda word: frequency[word] * math.exp(chance.gauss(0, 1)))
        return known[:count] if len(known) >= count else []

    queries = []

    def ask(kind: str, text: str, index: int) -> None:
        grades = {other: 1 for other in links[index] | backlinks[index]}
        grades[index] = 3
        queries.append({"kind": kind, "text": text[:200], "grades": {str(key): grade for key, grade in sorted(grades.items())}})

    for kind in ["name", "words", "sentence", "typo", "beginning"]:
        for index in chance.sample([i for i, body in enumerate(bodies) if len(words_of(body)) > 25], arguments.queries):
            if kind == "name":
                ask(kind, titles[index].lower(), index)
            elif kind == "words":
                ask(kind, " ".join(chance.sample(rare(index, 3) or [titles[index]], len(rare(index, 3) or [1]))), index)
            elif kind == "sentence":
                words = words_of(bodies[index])
                start = chance.randrange(0, len(words) - 10)
                ask(kind, " ".join(words[start:start + 10]), index)
            elif kind == "typo":
                chosen = rare(index, 2) or words_of(titles[index]) or ["jargon"]
                longest = max(chosen, key=len)
                ask(kind, " ".join(misspelled(word, chance) if word == longest and len(word) > 4 else word for word in chosen), index)
            else:
                chosen = rare(index, 2) or [titles[index]]
                last = chosen[-1]
                ask(kind, " ".join(chosen[:-1] + [last[:max(3, len(last) * 2 // 3)]]), index)

    documents = [{"title": title, "body": body} for title, body in zip(titles, bodies)]
    Path(arguments.output).write_text(json.dumps({"documents": documents, "queries": queries}, indent=0))
    print(f"{len(documents)} documents and {len(queries)} queries in {arguments.output}", file=sys.stderr)


if __name__ == "__main__":
    main()
