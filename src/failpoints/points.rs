//! The list of all points.

/// Every point, and what a process leaves that ends there; sorted by name.
pub const POINTS: &[(&str, &str)] = &[
    ("line::checkpoint_begins", "outputs are acknowledged, nothing of the batch is in the store"),
    ("line::checkpoint_ends", "the store has the batch, the group has not its offset"),
    ("line::landed", "outputs are acknowledged, nobody has been told"),
    ("line::offsets_begin", "the store has the batch, its offset is about to be sent"),
    ("line::offsets_end", "the group has the offset, the worker does not know it"),
    ("line::written", "outputs of the batch are with the producer, none is waited for"),
    ("test::step", "used by the tests of the points themselves"),
];
