//! Snapshots: copies of one task's store in an object store.
//!
//! A snapshot is a [`Manifest`] and the parts that it names. Parts are files of sorted rows that are the
//! same whenever their rows are, and named by their SHA-256: what has not changed since the last snapshot
//! is not uploaded again. The manifest is written last.
//!
//! # Guarantees
//!
//! * A snapshot is there in full or not at all, and is never changed: its name is new, or it is not written.
//! * A worker that has lost its task writes no snapshot that a restore would prefer to one of its
//!   successor: a claim, one object that only one of them can create, gives each owner a greater epoch.
//! * What a restore puts into a store has the size and the SHA-256 that the manifest says, and all of it is
//!   on local disk before the store is touched. Whatever else is there is passed over for an older
//!   snapshot, or is an error; it is never a wrong value.
//! * No credentials in names, messages or logs.
//!
//! # Not here
//!
//! When a snapshot is taken (the worker), and what closes the gap between a snapshot and now (changelog,
//! replay). Encryption: that of the object store.

mod archive;
mod manifest;
mod names;
mod part;
mod place;
mod read;
mod retain;
mod write;

#[cfg(test)]
mod tests;

pub use archive::{Archive, Listed, Shelf};
pub use manifest::{Manifest, Part, SpaceParts};
pub use names::{SnapshotId, Unit};
pub use part::Cut;
pub use read::{Refuse, Restored, Staged, Wanted};
pub use retain::{Kept, Removed, Retention};
pub use write::{Summary, Taken, Writer};
