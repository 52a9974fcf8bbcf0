"""Word count as a plan, with default settings: ``python turbine_words.py``."""

import os

import turbine
from turbine.flows import count


class Word(turbine.Record):
    """A record of the input."""

    word: str


app = turbine.App(
    os.environ["GROUP"],
    broker=f"kafka://{os.environ['KAFKA']}",
    datadir=os.environ["STATE"],
    web_enabled=False,
)
(
    app.stream(os.environ["IN"], model=Word)
    .group_by("word", repartition=False)
    .agg(count=count())
    .to(os.environ["OUT"])
)

if __name__ == "__main__":
    app.main(["worker", "-l", "warning"])
