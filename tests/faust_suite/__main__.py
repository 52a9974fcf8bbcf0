"""
Run Faust's own tests against `turbine.faust`.

Nothing of Faust is kept here: the source archive comes from the package index at run time, through
pip, and its ``tests`` folder goes to a cache outside of the clone. ``tests.toml`` says which files
are run, which tests in them are not, and why. A test that is run and fails makes this fail.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from xml.etree import ElementTree as ET

sys.path.insert(0, str(Path(__file__).resolve().parent))

from lists import Lists
from sources import VERSION, cached

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent


def run(lists: Lists, folder: Path, rest: list[str], report: Path) -> int:
    """Start pytest on the files that are listed."""
    environment = {
        **{k: v for k, v in os.environ.items() if not k.startswith(("F_", "FAUST_"))},
        "PYTHONPATH": os.pathsep.join(map(str, (ROOT, HERE, HERE / "site"))),
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    options = ["--noconftest", "-c", os.devnull, "--rootdir", str(folder), "-p", "faust_plugin"]
    options += ["-p", "pytest_asyncio.plugin", "-o", "asyncio_mode=auto", "-p", "pytest_timeout"]
    options += ["--timeout=60", "-q", "--no-header", "-W", "ignore", f"--junitxml={report}"]
    command = [sys.executable, "-m", "pytest", *options, *rest, *lists.files]
    return subprocess.run(command, cwd=folder, env=environment, check=False).returncode


def count(report: Path) -> int:
    """Say how many tests have passed."""
    suite = ET.parse(report).getroot().find("testsuite")
    if suite is None:
        return 0
    missing = sum(int(suite.get(kind, 0)) for kind in ("failures", "errors", "skipped"))
    return int(suite.get("tests", 0)) - missing


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, prog="make faust-tests")
    parser.add_argument("--why", action="store_true", help="print what is left out, and why")
    arguments, rest = parser.parse_known_args()
    lists = Lists.load(HERE / "tests.toml")
    folder = cached()
    if arguments.why:
        print(lists.reasons(folder))
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch) / "report.xml"
        code = run(lists, folder, rest, report)
        passed = count(report) if report.exists() else 0
    print(
        f"Faust {VERSION}: {passed} of its own tests pass on turbine.faust "
        f"({len(lists.files)} files; --why says what is left out)"
    )
    return code


if __name__ == "__main__":
    sys.exit(main())
