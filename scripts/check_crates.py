"""
Check the licences and the versions of every crate that the extension links.

Reads ``cargo metadata``, so it needs no network and no further tool. Three things fail: a licence
that an Apache-2.0 package may not carry inside, a crate that comes from anywhere but the registry,
and two versions of a crate whose types cross our own functions.
"""

import json
import re
import subprocess
import sys
from collections import defaultdict
from typing import Any

ALLOWED = {
    "0BSD",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "OpenSSL",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
    "bzip2-1.0.6",
}
"""SPDX names of licences without a duty beyond keeping the notice."""

SINGLE = {"arrow", "bytes", "kafka-protocol", "pyo3", "rdkafka", "serde", "tokio"}
"""Crates of which a second version would make two types out of one."""


def metadata() -> dict[str, Any]:
    """Return cargo's view of the locked graph, with the feature that ships."""
    command = ["cargo", "metadata", "--format-version", "1", "--locked", "--features", "python"]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def linked(graph: dict[str, Any]) -> set[str]:
    """Return the ids of the packages that end up in the extension or in its build."""
    nodes = {node["id"]: node for node in graph["resolve"]["nodes"]}
    todo, seen = [graph["resolve"]["root"]], set()
    while todo:
        package = todo.pop()
        if package in seen:
            continue
        seen.add(package)
        todo += [
            dep["pkg"]
            for dep in nodes[package]["deps"]
            if any(kind["kind"] != "dev" for kind in dep["dep_kinds"])
        ]
    return seen


def is_allowed(expression: str) -> bool:
    """Evaluate an SPDX *expression*: every AND part needs one allowed OR choice."""
    # The old slash means OR; exceptions only permit more, so what follows WITH does not matter.
    text = re.sub(r"\s+WITH\s+\S+", "", expression.replace("/", " OR "))
    tokens = re.findall(r"\(|\)|[^\s()]+", text)
    words = [
        token.lower()
        if token in {"AND", "OR"}
        else token
        if token in {"(", ")"}
        else str(token in ALLOWED)
        for token in tokens
    ]
    return bool(eval(" ".join(words), {"__builtins__": {}}))  # only True, False, and, or, brackets


def main() -> int:
    """Print every finding; any of them makes the exit code 1."""
    graph = metadata()
    ids = linked(graph)
    packages = [package for package in graph["packages"] if package["id"] in ids]
    findings, versions = [], defaultdict(set)
    for package in packages:
        name = f"{package['name']} {package['version']}"
        versions[package["name"]].add(package["version"])
        if package["id"] == graph["resolve"]["root"]:
            continue
        if not is_allowed(package["license"] or "none"):
            findings.append(
                f"{name}: licence {package['license']!r} is not on the list of this script"
            )
        if not (package["source"] or "").startswith("registry+"):
            findings.append(
                f"{name}: comes from {package['source'] or 'a path'}, not from the registry"
            )
    findings += [
        f"{name}: {len(versions[name])} versions ({', '.join(sorted(versions[name]))})"
        for name in sorted(SINGLE)
        if len(versions[name]) > 1
    ]
    print(*findings, sep="\n", end="\n" if findings else "")
    double = sum(len(found) > 1 for found in versions.values())
    print(f"{len(packages)} crates, {double} of them in two versions")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
