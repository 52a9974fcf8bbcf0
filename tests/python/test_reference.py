"""The reference that is written from docstrings: as new as the code, and its examples are true."""

import doctest
import importlib.util
import sys
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from support.brokers import ROOT


@pytest.fixture(name="script", scope="module")
def the_script() -> ModuleType:
    """`scripts/reference.py`, which is no package."""
    spec = importlib.util.spec_from_file_location("reference", ROOT / "scripts" / "reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["reference"] = module
    sys.path.insert(0, str(ROOT / "scripts"))  # as for who runs it
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(ROOT / "scripts"))
    return module


def test_the_pages_say_what_the_docstrings_say(script: ModuleType) -> None:
    stale = [path.name for path in script.stale()]
    assert not stale, "run `make fix` to write the pages again"


def test_every_example_of_an_aggregate_gives_what_it_shows() -> None:
    from turbine import aggregates

    names: dict[str, Any] = {**vars(aggregates), "pa": pa, "pc": pc, "dataclass": dataclass}
    names["orders"] = pa.table(
        {
            "user": ["ada", "ada", "bob", "ada"],
            "item": ["pen", "ink", "pen", "pen"],
            "amount": [10, 20, 5, 30],
            "pieces": [1, 2, 1, 3],
            "paid": [True, False, False, True],
        }
    )
    finder, runner = doctest.DocTestFinder(), doctest.DocTestRunner()
    without = []
    for name in aggregates.__all__:
        found = [
            test for test in finder.find(names[name], name, globs=dict(names)) if test.examples
        ]
        if not found:
            without.append(name)
        for test in found:
            runner.run(test)
    assert runner.summarize(verbose=False).failed == 0
    assert without == ["Aggregate", "Column", "Expression", "as_specs"]
