"""
What a comparison needs besides the package: the peers, Kafka Streams, and the compiled limit.

They are kept in the cache folder (``TURBINE_CACHE``, ``~/.cache/turbine``) under the hash of what
they are made from, or in ``target/`` where that cannot be written.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent


def cache() -> Path:
    """Return a folder that can be written and that outlives this clone, if there is one."""
    wanted = Path(os.environ.get("TURBINE_CACHE") or Path.home() / ".cache" / "turbine")
    try:
        wanted.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=wanted):
            return wanted
    except OSError:
        return HERE.parent / "target"


def peers() -> Path:
    """Return the virtual environment with the peers, made from their lock on first use."""
    lock = HERE / "peers" / "requirements.lock"
    place = cache() / f"bench-peers-{_hash(lock)}"
    if (place / "complete").exists():
        return place
    print("installing the peers", file=sys.stderr)
    shutil.rmtree(place, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", place], check=True)
    pip = [place / "bin" / "python", "-m", "pip", "install", "--quiet"]
    subprocess.run(
        [*pip, "--disable-pip-version-check", "--require-hashes", "-r", lock], check=True
    )
    (place / "complete").touch()
    return place


def limit() -> Path:
    """Return the hand-written limit, compiled."""
    target = cache() / f"bench-limit-{_hash(HERE / 'limit' / 'Cargo.lock')}"
    env = os.environ | {"CARGO_TARGET_DIR": str(target)}
    command = ["cargo", "build", "--release", "--locked", "--quiet"]
    subprocess.run(command, cwd=HERE / "limit", env=env, check=True)
    return target / "release" / "limit"


def streams() -> Path:
    """Return the folder with the jars of Kafka Streams, fetched by Maven on first use."""
    return _jars("streams", HERE / "peers" / "streams" / "pom.xml", "leave streams out of --only")


def eos() -> Path:
    """Return the folder with the jars of Kafka's verifier of exactly-once, fetched likewise."""
    return _jars("eos", HERE / "eos" / "pom.xml", "leave this measurement out")


def _jars(name: str, pom: Path, otherwise: str) -> Path:
    place = cache() / f"bench-{name}-{_hash(pom)}"
    if (place / "complete").exists():
        return place
    for tool in ("java", "mvn"):
        if shutil.which(tool) is None:
            raise SystemExit(
                f"Kafka Streams needs {tool}: apt-get install -y default-jdk-headless maven, "
                f"or {otherwise}"
            )
    print("fetching Kafka Streams", file=sys.stderr)
    shutil.rmtree(place, ignore_errors=True)
    fetch = ["mvn", "-q", "-B", "-f", pom, "dependency:copy-dependencies"]
    # Maven writes a folder beside the pom otherwise.
    subprocess.run([*fetch, f"-DoutputDirectory={place}"], check=True, stdout=sys.stderr)
    (place / "complete").touch()
    return place


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]
