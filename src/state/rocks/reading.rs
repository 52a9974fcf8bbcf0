//! State that is looked at while no worker has it.

use super::{
    db::{DATA, Instance, StateDb},
    declared::{LAYOUT, PARTITIONS},
    failure::{self, Failures},
    guard,
    options::Budget,
};
use crate::error::{Error, Result};
use crate::state::{SpaceName, TaskName, inspect::Opened, lock::Lock, names::Layout};
use rocksdb::DB;
use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

/// Memory of who only looks.
const READING_BYTES: usize = 32 << 20;

impl StateDb {
    /// Opens the state in `directory` to look at it; nothing but a note of damage is written.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if there is none, or while a worker has it; [`Error::State`] if it is damaged.
    pub fn open_to_read(directory: &Path) -> Result<Self> {
        let data = directory.join(DATA);
        if !data.join("CURRENT").exists() {
            return Err(Error::Config(format!(
                "there is no state in {}: name the state_dir of a worker that has run, it is DATADIR/state",
                directory.display()
            )));
        }
        let lock = Lock::take(directory, "turbine state", Duration::ZERO)?;
        guard::check(&data).map_err(|what| failure::damaged(&data, &what))?;
        let budget = Budget::new(READING_BYTES);
        let options = budget.instance();
        let families = DB::list_cf(&options, &data).and_then(|families| {
            let families = families.iter().map(|name| budget.descriptor(name));
            DB::open_cf_descriptors_read_only(&options, &data, families, false)
        });
        let db = families.map_err(|e| failure::damaged(&data, e.as_ref()))?;
        let failures = Failures::new(&data);
        let instance = Arc::new(Instance { db, failures, budget, guard: None, _lock: lock });
        Ok(Self { instance, turns: Arc::default(), aside: None })
    }

    /// Everything that is stored, in the order of owners, topics and partitions.
    ///
    /// # Errors
    ///
    /// [`Error::State`] if it cannot be read.
    pub fn stored(&self) -> Result<Vec<Opened>> {
        let mut spaces: BTreeMap<(String, String), Vec<SpaceName>> = BTreeMap::new();
        for (names, layout) in self.declared(LAYOUT)? {
            let [owner, topic, name] = names.as_slice() else { continue };
            let Some(layout) = Layout::of(&layout) else { continue };
            let space = SpaceName { name: name.clone(), layout };
            spaces.entry((owner.clone(), topic.clone())).or_default().push(space);
        }
        let mut found = Vec::new();
        for (names, count) in self.declared(PARTITIONS)? {
            let [owner, topic] = names.as_slice() else { continue };
            let partitions = String::from_utf8_lossy(&count).parse().unwrap_or(0);
            let Some(spaces) = spaces.get(&(owner.clone(), topic.clone())) else { continue };
            for partition in 0..partitions {
                let (owner, topic) = (owner.clone(), topic.clone());
                let task = TaskName { owner, topic, partition, partitions };
                let store = self.store(&task, spaces)?;
                if store.mark()?.is_some() {
                    found.push(Opened { task, spaces: spaces.clone(), store });
                }
            }
        }
        Ok(found)
    }
}
