"""``turbine explain``: the whole topology, from declarations alone."""

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from turbine.cli import cli

APP = """
import turbine
from turbine.aggregates import Count
from turbine.flows import col, count, tumbling

class Click(turbine.Record):
    user: str
    ms: int
    ts: int

app = turbine.App("shop", broker="kafka://nowhere:1", processing_guarantee="exactly_once")
totals = app.Table("totals", default=int)
stream = app.stream("clicks", model=Click, event_time="ts")
stream.filter(col("ms") > 0).group_by("user").window(tumbling("10s")).agg(n=count()).to("stats")
stream.group_by("user").agg(n=count()).to("users", name="per-user")

@app.agent("orders", sink=["billed"])
async def bill(orders):
    async for order in orders.group_by("user", name="user"):
        yield order

@app.subscribe("stats", publish_to="loud", on_error="dlq", dlq="dead")
def shout(batch):
    return batch
"""


@pytest.fixture
def source(tmp_path: Path) -> str:
    path = tmp_path / "explained_app.py"
    path.write_text(APP)
    return str(path)


def run(*args: str) -> str:
    done = CliRunner().invoke(cli, ["explain", *args])
    assert done.exit_code == 0, done.output
    return done.output


def test_text_has_every_part_with_what_it_does(source: str) -> None:
    text = run(source)
    assert text.startswith("app shop\n")
    plan = text.split("plan clicks-to-stats\n")[1].split("\n\n")[0].splitlines()
    assert [line.split()[0] for line in plan] == [
        *(
            "reads",
            "repartition",
            "event",
            "filter",
            "group",
            "window",
            "agg",
            "writes",
            "guarantee",
        )
    ]
    assert "agent explained_app.bill-stage-1" in text
    assert "state         changelog shop-per-user-changelog" in text
    assert "subscription shout" in text
    assert "writes        dead (dead letters)" in text
    assert "table totals" in text
    last = text.rstrip().splitlines()
    assert any("written by plan clicks-to-stats; read by subscription shout" in one for one in last)


def test_json_is_a_graph_whose_edges_join_its_nodes(source: str) -> None:
    graph: dict[str, Any] = json.loads(run(source, "--format", "json"))
    ids = {node["id"] for node in graph["nodes"]}
    assert {end for edge in graph["edges"] for end in (edge["from"], edge["to"])} <= ids
    pairs = {(edge["from"], edge["to"]) for edge in graph["edges"]}
    internal = "topic:shop-clicks-user-repartition"
    stage = "repartition:clicks-user-repartition"
    chain = ["topic:clicks", stage, internal, "plan:clicks-to-stats", "topic:stats"]
    assert pairs >= set(itertools.pairwise(chain))
    assert ("store:per-user", "topic:shop-per-user-changelog") in pairs
    assert ("table:totals", "topic:shop-totals-changelog") in pairs
    assert ("agent:explained_app.bill", "topic:billed") in pairs
    assert graph == json.loads(CliRunner().invoke(cli, ["--json", "explain", source]).output)


def test_mermaid_names_nodes_once_and_quotes_their_labels(source: str) -> None:
    lines = run(source, "--format", "mermaid").splitlines()
    assert lines[0] == "flowchart LR"
    names = [
        line.split("[")[0].split("{")[0].strip()
        for line in lines
        if '"' in line and "--" not in line
    ]
    assert len(names) == len(set(names))
    arrows = [line.split() for line in lines if "-->" in line]
    assert {arrow[0] for arrow in arrows} | {arrow[-1] for arrow in arrows} <= set(names)
    assert any('-- "dead letters" -->' in line for line in lines)


def test_an_unknown_app_and_an_unknown_form_are_said_in_a_sentence(source: str) -> None:
    done = CliRunner().invoke(cli, ["explain", "no_such_module"])
    assert done.exit_code != 0
    assert "Traceback" not in done.output
    assert CliRunner().invoke(cli, ["explain", source, "--format", "svg"]).exit_code == 2
