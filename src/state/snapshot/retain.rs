//! Which snapshots stay, and which parts go with those that do not.
//!
//! # Guarantees
//!
//! * A part that a snapshot names which stays is never removed, and none that is younger than
//!   [`Retention::orphan_age`]: what another owner uploads has time to get its manifest.
//! * A snapshot that has lost a part does not count as one that is kept.
//! * Ages are by the clock of the object store alone.
//! * A zombie decides with the list that it has read when it was not one: it cannot remove the newest
//!   snapshot of that moment, on which its successor builds.

use super::{
    archive::{Listed, Shelf},
    manifest::Manifest,
    names::{self, SnapshotId},
    write::{Writer, latest_owner},
};
use crate::error::Result;
use std::{collections::BTreeMap, time::Duration};

/// What stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// So many snapshots, the newest.
    pub keep: usize,
    /// And every one that is younger.
    pub least_age: Duration,
    /// Parts that no snapshot names stay so long.
    pub orphan_age: Duration,
}

impl Default for Retention {
    fn default() -> Self {
        let day = Duration::from_secs(24 * 3_600);
        Self { keep: 3, least_age: Duration::ZERO, orphan_age: day }
    }
}

/// What is gone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// Snapshots.
    pub manifests: usize,
    /// Parts of none.
    pub parts: usize,
}

/// What snapshots say, so that each manifest is read once; nothing for a manifest that cannot be read.
#[derive(Debug, Default)]
pub struct Kept(BTreeMap<SnapshotId, Option<Said>>);

#[derive(Debug)]
struct Said {
    /// File and size of every part.
    parts: BTreeMap<String, u64>,
    /// Offset in the changelog in front of which it has everything; -1 if that is not known.
    log: i64,
}

impl Kept {
    async fn learn(&mut self, shelf: &Shelf, id: SnapshotId) -> Result<()> {
        if self.0.get(&id).is_some_and(Option::is_some) {
            return Ok(());
        }
        let read = shelf.manifest(id).await?;
        if let Err(why) = &read {
            // Whatever it names may be needed by whoever mends it.
            tracing::warn!(
                target: "turbine.state",
                "{}: snapshot {id}: {why}; no part is removed while it stays",
                shelf.unit()
            );
        }
        let said = |manifest: Manifest| Said {
            parts: manifest.parts().map(|part| (part.file(), part.stored_bytes)).collect(),
            log: manifest.mark().log,
        };
        self.0.insert(id, read.ok().map(said));
        Ok(())
    }

    /// Offset in the changelog such that no snapshot of `shelf` needs what is in front of it. None as long as
    /// not `least` of them are whole, or where one of those does not know its offset.
    ///
    /// # Errors
    ///
    /// [`crate::error::Error::State`]: the object store does not answer.
    pub async fn floor(&mut self, shelf: &Shelf, least: usize) -> Result<Option<i64>> {
        let listed = shelf.list().await?;
        let files = shelf.files("parts").await?;
        let there = files.into_iter().map(|(file, _, size)| (file, size)).collect();
        self.0.retain(|id, _| listed.iter().any(|listed| listed.id == *id));
        let mut logs = Vec::new();
        for Listed { id, .. } in listed {
            self.learn(shelf, id).await?;
            let said = self.0.get(&id).and_then(Option::as_ref);
            logs.extend(said.filter(|_| self.is_whole(id, &there)).map(|said| said.log));
        }
        let is_enough = logs.len() >= least.max(1);
        Ok(logs.into_iter().min().filter(|&log| is_enough && log >= 0))
    }

    /// Is every part of it there, in full?
    fn is_whole(&self, id: SnapshotId, there: &BTreeMap<String, u64>) -> bool {
        let named = self.0.get(&id).and_then(Option::as_ref);
        let is_there = |(file, size)| there.get(file) == Some(size);
        named.is_some_and(|said| said.parts.iter().all(is_there))
    }

    fn names(&self, file: &str) -> bool {
        self.0.values().flatten().any(|said| said.parts.contains_key(file))
    }
}

impl Writer {
    /// Removes what need not stay. Nothing, if another owner has claimed the task.
    ///
    /// # Errors
    ///
    /// [`crate::error::Error::State`]: the object store does not answer; what is gone is gone.
    pub async fn retain(&self, retention: &Retention, kept: &mut Kept) -> Result<Removed> {
        let shelf = self.shelf();
        let listed = shelf.list().await?;
        let files = shelf.files("parts").await?;
        // What the store's clock says now, or a little earlier.
        let Some(now_ms) = listed.iter().map(|listed| listed.at_ms).max() else {
            return Ok(Removed::default());
        };
        let there = files.iter().map(|(file, _, size)| (file.clone(), *size)).collect();
        let go = self.going(&listed, retention, now_ms, &there, kept).await?;
        let mut removed = Removed::default();
        if latest_owner(shelf).await? > self.epoch() {
            return Ok(removed);
        }
        for id in go {
            shelf.remove("manifests", &id.file()).await?;
            kept.0.remove(&id);
            removed.manifests += 1;
        }
        if kept.0.values().all(Option::is_some) {
            let old = now_ms.saturating_sub(millis(retention.orphan_age));
            for (file, at_ms, _) in files {
                if names::is_part(&file) && at_ms <= old && !kept.names(&file) {
                    shelf.remove("parts", &file).await?;
                    removed.parts += 1;
                }
            }
        }
        self.forget_owners().await?;
        Ok(removed)
    }

    /// Snapshots behind as many whole ones as are to be kept. `listed` has the freshest first.
    async fn going(
        &self,
        listed: &[Listed],
        retention: &Retention,
        now_ms: i64,
        there: &BTreeMap<String, u64>,
        kept: &mut Kept,
    ) -> Result<Vec<SnapshotId>> {
        let young = now_ms.saturating_sub(millis(retention.least_age));
        kept.0.retain(|id, _| listed.iter().any(|listed| listed.id == *id));
        let (mut whole, mut go) = (0, Vec::new());
        for Listed { id, at_ms } in listed {
            if whole >= retention.keep.max(1) && *at_ms <= young {
                go.push(*id);
                continue;
            }
            kept.learn(self.shelf(), *id).await?;
            whole += usize::from(kept.is_whole(*id, there));
        }
        Ok(go)
    }

    /// Removes claims of earlier owners; the newest is what counts.
    async fn forget_owners(&self) -> Result<()> {
        for (file, ..) in self.shelf().files("owners").await? {
            if names::read_owner(&file).is_some_and(|epoch| epoch < self.epoch()) {
                self.shelf().remove("owners", &file).await?;
            }
        }
        Ok(())
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
