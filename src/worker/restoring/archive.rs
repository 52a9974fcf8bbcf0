//! Snapshots in the worker's object store as a rung of the ladder.

use crate::{
    engine::identity::Identity,
    error::Result,
    state::{
        Mark, SpaceName, Store,
        snapshot::{Archive, Refuse, Unit, Wanted},
    },
    task::restore::Snapshots,
};
use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};
use tokio::runtime::Handle;

/// The snapshots of one task.
pub(in crate::worker) struct FromArchive {
    pub(in crate::worker) archive: Archive,
    pub(in crate::worker) unit: Unit,
    /// The input that they have to be of.
    pub(in crate::worker) identity: Identity,
    /// The generation that they have to be of; 0 if it is not known.
    pub(in crate::worker) generation: Arc<AtomicU32>,
    /// Partitions of the topic.
    pub(in crate::worker) partitions: i32,
    /// Names of the spaces, in their order.
    pub(in crate::worker) spaces: Vec<SpaceName>,
    /// Where parts lie until all of them are there.
    pub(in crate::worker) staging: PathBuf,
    pub(in crate::worker) runtime: Handle,
}

impl Snapshots for FromArchive {
    fn restore(
        &self,
        store: &dyn Store,
        than: Option<i64>,
        upto: Option<i64>,
    ) -> Result<Option<Mark>> {
        let identity = self.identity.clone();
        let generation = self.generation.load(Ordering::Relaxed);
        let refuse = Refuse(Arc::new(move |note: &[u8]| {
            let known = Identity::from_note(note)?;
            if let Some(reason) = known.refuses(&identity) {
                return Some(format!("{}: {}", reason.code(), reason.sentence()));
            }
            let is_void = generation != 0 && known.generation != generation;
            is_void.then(|| "it is of the state as it was before a reset".to_owned())
        }));
        let (partitions, refuse) = (Some(self.partitions), Some(refuse));
        let wanted = Wanted { id: None, upto, partitions, refuse };
        let fetched = self.runtime.block_on(async {
            let shelf = self.archive.of(&self.unit)?;
            let is_newer = |next: i64| {
                than.is_none_or(|than| next > than) && upto.is_none_or(|upto| next <= upto)
            };
            if !shelf.list().await?.iter().any(|listed| is_newer(listed.id.next)) {
                return Ok(None);
            }
            shelf.fetch(&wanted, &self.staging).await
        });
        match fetched {
            Ok(Some(staged)) if than.is_none_or(|than| staged.manifest().mark().next > than) => {
                Ok(Some(staged.load(store, &self.spaces)?.mark))
            }
            Ok(_) => Ok(None),
            // The changelog may have everything; if not, the gap says so.
            Err(error) => {
                tracing::warn!(
                    target: "turbine.state",
                    "{}: no snapshot is used: {error}", self.unit
                );
                Ok(None)
            }
        }
    }
}
