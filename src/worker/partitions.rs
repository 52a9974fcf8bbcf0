//! The partitions of tables that this worker has, for whoever reads and writes them.
//!
//! A table has one writer: the agents of one topic, or of several that are read together; those go by the name
//! of the first. Each of the topic's partitions has its part of the table, with the keys that its events were
//! about; what an agent reads while it has an event of that topic is in the event's own partition, so that it
//! does not depend on which partitions are here.

use super::globals::{Global, Globals};
use crate::{
    error::{Error, Result},
    state::Space,
    task::{
        agent::Shared,
        status::State,
        tables::{Change, Page, Tables, space},
    },
    types::TopicPartition,
};
use parking_lot::RwLock;
use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock, Weak},
};

/// See the module.
#[derive(Default)]
pub struct Partitions {
    inner: RwLock<Inner>,
    /// Copies of the partitions that others have, of global tables.
    pub(super) globals: OnceLock<Globals>,
}

#[derive(Default)]
struct Inner {
    tasks: BTreeMap<TopicPartition, Weak<Shared>>,
    /// By table: the topic whose agents write it.
    writers: BTreeMap<Space, Arc<str>>,
}

/// Why a write was refused.
#[derive(Debug, PartialEq, Eq)]
pub enum Refused {
    /// The rows that it belongs to are committed already.
    TooLate,
    /// Agents of this topic write the table.
    OtherWriter(Arc<str>),
    /// The task keeps no tables.
    NoTables,
}

impl Partitions {
    /// Takes note of a task with tables, `tables` of them.
    pub(super) fn add(&self, task: &Arc<Shared>, tables: usize) {
        let (mut inner, tp) = (self.inner.write(), &task.status.tp);
        inner.tasks.retain(|_, task| task.strong_count() > 0);
        inner.tasks.insert(tp.clone(), Arc::downgrade(task));
        let Some(cuts) = &task.cuts else { return };
        for space in (0..tables).map(space).filter(|&space| cuts.tables.owns(space)) {
            inner.writers.entry(space).or_insert_with(|| Arc::clone(&tp.topic));
        }
    }

    /// The task of `tp`, if it has tables.
    #[must_use]
    pub fn task(&self, tp: &TopicPartition) -> Option<Arc<Shared>> {
        self.inner.read().tasks.get(tp)?.upgrade()
    }

    /// Partitions with something that is written and not committed.
    #[must_use]
    pub fn behind(&self) -> Vec<TopicPartition> {
        let inner = self.inner.read();
        let tasks = inner.tasks.values().filter_map(Weak::upgrade);
        let is_behind = |task: &Arc<Shared>| {
            task.status.state() == State::Running
                && task.cuts.as_ref().is_some_and(crate::task::cut::Cuts::is_behind)
        };
        tasks.filter(is_behind).map(|task| task.status.tp.clone()).collect()
    }

    fn global(&self, space: Space) -> Option<&Arc<Global>> {
        self.globals.get()?.of(space)
    }

    /// Gives a key of table `space` a value, or removes it, for the rows of cut `cut` of `task`.
    ///
    /// # Errors
    ///
    /// [`Refused`]: nothing is written.
    pub fn put(
        &self,
        task: &Shared,
        cut: u64,
        space: Space,
        key: &[u8],
        change: Change,
    ) -> Result<(), Refused> {
        let cuts = task.cuts.as_ref().ok_or(Refused::NoTables)?;
        if !cuts.tables.owns(space) {
            self.claim(space, &task.status.tp.topic)?;
        }
        let is_much = cuts.tables.put(cut, space, key, change).map_err(|_| Refused::TooLate)?;
        if is_much {
            cuts.want();
        }
        Ok(())
    }

    fn claim(&self, space: Space, topic: &Arc<str>) -> Result<(), Refused> {
        let mut inner = self.inner.write();
        let writer = inner.writers.entry(space).or_insert_with(|| Arc::clone(topic));
        if writer == topic { Ok(()) } else { Err(Refused::OtherWriter(Arc::clone(writer))) }
    }

    /// The value of `key` as the agent sees it that has a row of `task`.
    ///
    /// # Errors
    ///
    /// If a store cannot be read.
    pub fn get_in(&self, task: &Shared, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let tp = &task.status.tp;
        match &task.cuts {
            Some(cuts) if cuts.tables.owns(space) => {
                let own = cuts.tables.get(space, key)?;
                if own.is_some() || self.global(space).is_none() {
                    return Ok(own);
                }
            }
            _ => {}
        }
        if self.global(space).is_some() {
            return self.get(space, key);
        }
        let tasks = self.of(space);
        if tasks.iter().any(|task| task.status.tp.topic == tp.topic) {
            return Ok(None);
        }
        let near = tasks.iter().find(|task| task.status.tp.partition == tp.partition);
        if let Some(near) = near
            && let Some(value) = tables(near)?.get(space, key)?
        {
            return Ok(Some(value));
        }
        first(&tasks, space, key)
    }

    /// The value of `key` in the first partition that has it.
    ///
    /// # Errors
    ///
    /// If a store cannot be read.
    pub fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let here = self.of(space);
        let (found, global) = (first(&here, space, key)?, self.global(space));
        let Some(global) = global.filter(|_| found.is_none()) else { return Ok(found) };
        // What is here is newer than its copy.
        let is_here = |partition| here.iter().any(|task| task.status.tp.partition == partition);
        let mut others = (0..global.len()).filter(|&partition| !is_here(partition));
        others.find_map(|partition| global.get(partition, key).transpose()).transpose()
    }

    /// Some keys of the first partition of the table from `partition` on, behind `after` if it is that
    /// one, with its number; in the partition of `task` alone, if that has a part of the table.
    ///
    /// # Errors
    ///
    /// If a store cannot be read.
    pub fn page(
        &self,
        task: Option<&Shared>,
        space: Space,
        partition: i32,
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Option<(i32, Page)>> {
        if let Some(global) = self.global(space) {
            return self.page_of_all(global, space, partition, after, limit);
        }
        let of = self.seen_by(task, space);
        let Some(task) = of.iter().find(|task| task.status.tp.partition >= partition) else {
            return Ok(None);
        };
        let found = task.status.tp.partition;
        let after = after.filter(|_| found == partition);
        Ok(Some((found, tables(task)?.page(space, after, limit)?)))
    }

    fn page_of_all(
        &self,
        global: &Global,
        space: Space,
        partition: i32,
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Option<(i32, Page)>> {
        if partition >= global.len() {
            return Ok(None);
        }
        let here = self.of(space);
        let page = match here.iter().find(|task| task.status.tp.partition == partition) {
            Some(task) => tables(task)?.page(space, after, limit)?,
            None => global.page(partition, after, limit)?,
        };
        Ok(Some((partition, page)))
    }

    /// Some keys that `task` itself has, behind `after`.
    ///
    /// # Errors
    ///
    /// If a store cannot be read.
    pub fn page_of(
        &self,
        task: &Shared,
        space: Space,
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Page> {
        tables(task)?.page(space, after, limit)
    }

    /// How many keys [`Partitions::page`] gives, all in all.
    ///
    /// # Errors
    ///
    /// If a store cannot be read.
    pub fn count(&self, task: Option<&Shared>, space: Space) -> Result<usize> {
        let Some(global) = self.global(space) else {
            return self.seen_by(task, space).iter().map(|task| tables(task)?.count(space)).sum();
        };
        let here = self.of(space);
        let of = |partition| match here.iter().find(|task| task.status.tp.partition == partition) {
            Some(task) => tables(task)?.count(space),
            None => global.count(partition),
        };
        (0..global.len()).map(of).sum()
    }

    /// The partitions of the table that are here.
    #[must_use]
    pub fn numbers(&self, space: Space) -> Vec<i32> {
        if let Some(global) = self.global(space) {
            return (0..global.len()).collect();
        }
        self.of(space).iter().map(|task| task.status.tp.partition).collect()
    }

    fn seen_by(&self, task: Option<&Shared>, space: Space) -> Vec<Arc<Shared>> {
        let all = self.of(space);
        let own = task.and_then(|task| all.iter().find(|one| one.status.tp == task.status.tp));
        own.map(|own| vec![Arc::clone(own)]).unwrap_or(all)
    }

    /// The tasks that have a part of the table, in the order of their partitions.
    fn of(&self, space: Space) -> Vec<Arc<Shared>> {
        let inner = self.inner.read();
        let Some(writer) = inner.writers.get(&space) else { return Vec::new() };
        let first = TopicPartition::new(Arc::clone(writer), i32::MIN);
        let range = inner.tasks.range(first..).take_while(|(tp, _)| tp.topic == *writer);
        let tasks = range.filter_map(|(_, task)| task.upgrade());
        let is_global = self.global(space).is_some();
        let is_here = |state| state != State::Revoked && !(is_global && state == State::Failed);
        tasks.filter(|task| is_here(task.status.state())).collect()
    }
}

fn first(tasks: &[Arc<Shared>], space: Space, key: &[u8]) -> Result<Option<Vec<u8>>> {
    for task in tasks {
        if let Some(value) = tables(task)?.get(space, key)? {
            return Ok(Some(value));
        }
    }
    Ok(None)
}

fn tables(task: &Shared) -> Result<&Tables> {
    task.cuts.as_ref().map(|cuts| &cuts.tables).ok_or(Error::Stopped)
}
