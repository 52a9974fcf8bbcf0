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


def run(place: Path, name: str, *args: str) -> str:
    """Run pytest on one file as a user does; return what it says."""
    (place / "pytest.ini").write_text(SETTINGS, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "turbine.testing.plugin"]
    done = subprocess.run(
        [*command, "-p", "no:cacheprovider", "--strict-markers", *args, name],
        cwd=place,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(place), str(ROOT)])},
        capture_output=True,
        text=True,
        timeout=55,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_test_of_the_readme_passes(tmp_path: Path) -> None:
    source = files(ROOT / "README.md")["test_double.py"]
    (tmp_path / "test_double.py").write_text(source, encoding="utf-8")
    assert "1 passed" in run(tmp_path, "test_double.py")


def test_the_test_of_the_readme_has_five_lines() -> None:
    source = files(ROOT / "README.md")["test_double.py"]
    body = source.split("async def test_")[1].splitlines()[1:]
    assert len(body) == 5


@pytest.mark.parametrize("name", [name for name in GUIDE if name.startswith("test_")])
def test_the_tests_of_the_guide_pass(name: str, tmp_path: Path) -> None:
    for file in ("shop.py", name):
        (tmp_path / file).write_text(GUIDE[file], encoding="utf-8")
    assert f"{GUIDE[name].count('def test_') or 1} passed" in run(tmp_path, name)
