"""One query of Nexmark with default settings: ``WORK=q5 python turbine_nexmark.py``."""

import os

from nexmark.queries import declare

import turbine

app = turbine.App(
    os.environ["GROUP"],
    broker=f"kafka://{os.environ['KAFKA']}",
    datadir=os.environ["STATE"],
    web_enabled=False,
)
declare(app, os.environ["WORK"], os.environ["IN"], os.environ["OUT"])

if __name__ == "__main__":
    app.main(["worker", "-l", "warning"])
