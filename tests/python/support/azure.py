"""A server that speaks Azure's blob protocol, in a process of its own: Azurite, from npm."""

import base64
import hashlib
import hmac
import os
import shutil
import subprocess
from email.utils import formatdate
from pathlib import Path
from typing import Self

import httpx
import pytest

from support.brokers import free_port
from support.wait import eventually

ACCOUNT = "turbine"
KEY = base64.b64encode(b"a key of tests, for nobody else's").decode()
CREDENTIALS = {"AZURE_STORAGE_ACCOUNT_NAME": ACCOUNT, "AZURE_STORAGE_ACCOUNT_KEY": KEY}
_VERSION = "2023-11-03"
_PROGRAM = os.environ.get("AZURITE") or shutil.which("azurite-blob")

NEEDED = pytest.mark.skipif(
    _PROGRAM is None,
    reason="needs Azurite: npm install --global azurite, or AZURITE=path/to/azurite-blob",
)


class Azurite:
    """Azurite on loopback, with everything in memory."""

    def __init__(self, directory: Path) -> None:
        assert _PROGRAM is not None, "tests that use it have the marker"
        port = free_port()
        self.endpoint = f"http://127.0.0.1:{port}/{ACCOUNT}"
        self._process = subprocess.Popen(
            [_PROGRAM, "--blobPort", str(port), "--inMemoryPersistence", "--disableTelemetry"],
            cwd=directory,
            env=os.environ | {"AZURITE_ACCOUNTS": f"{ACCOUNT}:{KEY}"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def wait(self) -> Self:
        """Wait until it answers, whatever that is."""
        eventually(self._answers, 60, "Azurite answers")
        return self

    def _answers(self) -> bool:
        assert self._process.poll() is None, "Azurite has ended"
        try:
            httpx.get(self.endpoint, timeout=1)
        except httpx.TransportError:
            return False
        return True

    def make_container(self, name: str) -> None:
        """Make one, with a request that is signed as Azure's "Shared Key" says."""
        headers = {"x-ms-date": formatdate(usegmt=True), "x-ms-version": _VERSION}
        said = "".join(f"{name}:{value}\n" for name, value in headers.items())
        resource = f"/{ACCOUNT}/{ACCOUNT}/{name}\nrestype:container"
        text = "PUT" + "\n" * 12 + said + resource
        sealed = hmac.digest(base64.b64decode(KEY), text.encode(), hashlib.sha256)
        headers["Authorization"] = f"SharedKey {ACCOUNT}:{base64.b64encode(sealed).decode()}"
        url = f"{self.endpoint}/{name}?restype=container"
        httpx.put(url, headers=headers, timeout=10).raise_for_status()

    def stop(self) -> None:
        """End it; everything is gone."""
        self._process.terminate()
        self._process.wait(10)
