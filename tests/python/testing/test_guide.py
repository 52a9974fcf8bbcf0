"""The tests that the documentation shows are run as a reader runs them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from test_docs import files

from support.brokers import ROOT

GUIDE = files(ROOT / "docs" / "guides" / "testing.md")
SETTINGS = "[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\n"

pytestmark = pytest.mark.embedded


def run(place: Path, *names: str) -> str:
    """Run pytest on files as a user does; return what it says."""
    (place / "pytest.ini").write_text(SETTINGS, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "turbine.testing.plugin"]
    done = subprocess.run(
        [*command, "-p", "no:cacheprovider", "--strict-markers", *names],
        cwd=place,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(place), str(ROOT)])},
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_test_of_the_readme_has_five_lines() -> None:
    source = files(ROOT / "README.md")["test_double.py"]
    body = source.split("async def test_")[1].splitlines()[1:]
    assert len(body) == 5


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_the_tests_of_the_guide_and_of_the_readme_pass(tmp_path: Path) -> None:
    shown = files(ROOT / "README.md") | GUIDE
    names = [name for name in shown if name.startswith("test_")]
    assert {"test_double.py", "test_property.py"} <= set(names)
    for name in ("shop.py", *names):
        (tmp_path / name).write_text(shown[name], encoding="utf-8")
    wanted = sum(shown[name].count("def test_") or 1 for name in names)
    assert f"{wanted} passed" in run(tmp_path, *names)
