"""
The same random requests to two brokers, and their answers side by side.

A *sequence* is a list of operations of two clients, made from a seed. It runs against the embedded
broker and against Apache Kafka, under names of its own; every operation yields an observation that
holds what a client can see, without what may differ (ids, member ids, times of the broker). Two
sequences of observations that are not equal are a finding: it is made as short as it gets and
printed with the seed that makes it again.

| module | what it is |
| --- | --- |
| `wire` | requests and responses, by kafka-python's schemas: no code of the broker's |
| `records` | record batches, written and read |
| `plan` | a sequence from a seed; pure |
| `world` | one sequence on one broker: names, sockets, what later operations need to know |
| `producing`, `reading`, `grouping`, `topics` | what the operations do |
| `compare` | many sequences on two brokers; shorter ones of a finding |
"""
