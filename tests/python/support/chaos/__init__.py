"""
Workers and brokers that are killed under load, and a checker that reads along.

| module | what it is |
| --- | --- |
| `app` | the app under test: chained, random state, so that nothing can be made up afterwards |
| `chains` | what must be true of its outputs; knows no broker |
| `watch` | reads input and outputs, and asks `chains` |
| `load` | writes the input |
| `fleet` | the worker processes |
| `nemesis` | what is done to them |
| `points` | the failpoints of the core |
| `run` | puts it together; what came of it |
"""
