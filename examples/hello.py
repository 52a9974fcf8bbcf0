"""
The program of the README: one agent and one subscription on the topic ``orders``.

    turbine broker                                         # a broker for development
    python examples/hello.py worker                        # in a second terminal
    turbine send orders '{"user": "ada", "amount": 120}'   # in a third
"""

import pyarrow as pa
import pyarrow.compute as pc

import turbine

app = turbine.App("shop")  # broker: localhost:9092


@app.agent("orders")
async def announce(orders: turbine.Stream) -> None:
    """Say who orders."""
    async for order in orders:
        print(f"{order['user']} orders for {order['amount']}", flush=True)


@app.subscribe("orders", publish_to="taxed", message_key="user")
def add_tax(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Add a column with the tax."""
    return batch.append_column("tax", pc.multiply(batch["amount"], 0.2))


if __name__ == "__main__":
    app.main()
