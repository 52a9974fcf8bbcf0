//! The list of all points.

/// Every point, and what a process leaves that ends there; sorted by name.
pub const POINTS: &[(&str, &str)] = &[
    ("boot::fetched", "the committed offset is read, nothing was compared with it"),
    (
        "boot::initialised",
        "former owners are shut out and their transactions settled, nothing was read",
    ),
    ("boot::rolled_forward", "the state has the commit that the broker has, nothing else was done"),
    ("commit::aborted", "a transaction is taken back, its pending commit is still in the store"),
    ("commit::applied", "a commit is in the store and at the broker, nobody has been told"),
    ("commit::applies", "a commit took effect at the broker, the store has it as pending only"),
    ("commit::begins", "a commit is ready, no transaction is open"),
    ("commit::begun", "a transaction is open and empty"),
    ("commit::committed", "a transaction is committed, its answer was not looked at"),
    ("commit::discarded", "a transaction is taken back and its pending commit forgotten"),
    (
        "commit::flushed",
        "all records of an open transaction are acknowledged, the pending commit is durable",
    ),
    ("commit::mid_produce", "some records of an open transaction are with the producer"),
    (
        "commit::offsets_begin",
        "records are acknowledged and changes durable, the offset was not sent",
    ),
    ("commit::offsets_sent", "a transaction has everything and is not committed"),
    (
        "commit::prepared",
        "a pending commit is durable, records of the open transaction may be on their way",
    ),
    ("commit::prepares", "records of an open transaction are on their way, nothing is on the disk"),
    ("commit::produced", "all records of an open transaction are with the producer"),
    ("line::checkpoint_begins", "outputs are acknowledged, nothing of the batch is in the store"),
    ("line::checkpoint_ends", "the store has the batch, the group has not its offset"),
    ("line::checkpoint_logged", "the changelog has the batch, the store has not"),
    ("line::landed", "outputs are acknowledged, nobody has been told"),
    ("line::offsets_begin", "the store has the batch, its offset is about to be sent"),
    ("line::offsets_end", "the group has the offset, the worker does not know it"),
    ("line::written", "outputs of the batch are with the producer, none is waited for"),
    ("snapshot::cleared", "a store is about to be filled from a snapshot, and is empty"),
    ("snapshot::completed", "a snapshot is complete, older ones and their parts are still there"),
    ("snapshot::fetched", "a snapshot is fetched and verified, the store was not touched"),
    ("snapshot::loaded", "a store has all rows of a snapshot, and no mark"),
    ("snapshot::uploaded", "all parts of a snapshot are there, its manifest is not"),
    (
        "store::writes",
        "a write to the disk is about to begin; as an error: the disk has refused it",
    ),
    ("tables::logged", "the changelogs have what a cut changed, its store has not"),
    (
        "tables::sent",
        "what agents sent is acknowledged, nothing of the cut is in changelog or store",
    ),
    ("tables::stored", "the store has a cut and its offset, the group has not the offset"),
    ("test::step", "used by the tests of the points themselves"),
];
