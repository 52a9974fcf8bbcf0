//! Brings the tables of a task to what is committed: with what came behind the state that is there, or anew.
//!
//! # Guarantees
//!
//! * What is gone on with is a state whose places in the logs are known, are in these very logs, and are young enough
//!   that no log has lost the removal of a key since.
//! * Where that turns out not to be enough, and after a crash in between, the tables are read whole.

use super::{Goal, Restore, Tables, Written, are_overtaken, keys};
use crate::{
    engine::inputs::{self, Positions},
    error::Result,
    state::{Delta, Mark, Space, Writes},
    task::changelog::{PLACES_KEY, Place, Places},
    types::TopicPartition,
};
use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Brings `tables` to `goal`, unless what is here is as new as what is committed.
pub(super) fn fill(
    restore: &Restore<'_>,
    tables: &Tables,
    tp: &TopicPartition,
    goal: Option<Goal>,
) -> Result<()> {
    let mark = restore.store.mark()?;
    let noted = restore.store.get(tables.inputs, PLACES_KEY)?;
    let is_half = noted.as_ref().is_some_and(Vec::is_empty);
    let is_new_enough = match (mark, goal) {
        _ if is_half => false,
        (Some(_), None) => true,
        (Some(mark), Some(goal)) => !goal.is_exact && mark.next >= goal.to,
        (None, _) => false,
    };
    if let Some(mark) = mark.filter(|_| is_new_enough)
        && !are_overtaken(restore, &tables.tables, tp, mark)?
    {
        return Ok(());
    }
    let noted = noted.filter(|_| mark.is_some()).and_then(|bytes| Places::of_bytes(&bytes));
    if let Some(places) = noted.filter(|places| are_good(restore, tables, tp.partition, places)) {
        restore.store.load(&one(tables.inputs, PLACES_KEY, Some(Vec::new())))?;
        let found = keys(restore, tables, tp, Some(&places))?;
        if !found.is_torn {
            return settle(restore, tables, goal, (mark, found, Some(places)));
        }
    }
    restore.store.clear()?;
    let places = places_of(restore, tables);
    let found = keys(restore, tables, tp, None)?;
    settle(restore, tables, goal, (None, found, places))
}

/// Writes what was `found` behind `before`, an empty store if that is none.
fn settle(
    restore: &Restore<'_>,
    tables: &Tables,
    goal: Option<Goal>,
    (before, found, places): (Option<Mark>, Written, Option<Places>),
) -> Result<()> {
    let at = before.map(|mark| mark.next);
    let next = match goal {
        Some(goal) if goal.is_exact => Some(goal.to),
        // Commits that changed nothing are in no changelog.
        goal => found.next.max(goal.map(|goal| goal.to)).max(at),
    };
    let Some(next) = next else { return Ok(()) };
    let owner = match (found.next, before) {
        (None, Some(mark)) if mark.token == 0 => mark.hash,
        _ => found.owner,
    };
    let (token, hash) = goal.map_or((0, 0), |goal| (goal.token, goal.hash));
    let hash = if token == 0 { owner } else { hash };
    let mut delta = positions(tables.inputs, &found, next, at);
    if let Some(places) = places.filter(|_| !found.is_torn) {
        let (space, writes) = moved(places, &found).write(tables.inputs);
        delta.push(space, writes);
    }
    restore.store.commit(&delta, Mark { next, token, hash, log: -1 })
}

/// Where each input is, if it is the changelog that says where the state is; otherwise the group has it, and what
/// the store had `before` does not count any more.
fn positions(space: Space, found: &Written, next: i64, before: Option<i64>) -> Delta {
    match found.inputs.as_ref().filter(|_| found.next == Some(next)) {
        Some(inputs) => one(space, inputs::KEY, Some(Positions::to_bytes(inputs))),
        None if before.is_some_and(|before| before != next) => one(space, inputs::KEY, None),
        None => Delta::default(),
    }
}

fn one(space: Space, key: &[u8], value: Option<Vec<u8>>) -> Delta {
    Delta(vec![(space, Writes(vec![(key.to_vec(), value)]))])
}

fn moved(mut places: Places, found: &Written) -> Places {
    for (topic, place) in &mut places.logs {
        place.next = found.ends.get(topic).copied().unwrap_or(place.next);
    }
    places
}

/// The beginning of each log; none if a broker does not say which topics these are.
fn places_of(restore: &Restore<'_>, tables: &Tables) -> Option<Places> {
    let place = |topic: &Arc<str>| {
        let id = restore.logs.identity(topic).ok()?.topic?;
        Some((Arc::clone(topic), Place { id: id.into(), next: 0 }))
    };
    let logs = tables.tables.iter().map(|table| place(&table.topic)).collect::<Option<_>>()?;
    Some(Places { at_ms: 0, logs })
}

/// The places to go on from with a store: those in it, or the beginning of each log if nothing is in it.
#[must_use]
pub fn known_places(restore: &Restore<'_>, tables: &Tables) -> Option<Places> {
    match restore.store.get(tables.inputs, PLACES_KEY).ok()? {
        Some(bytes) => Places::of_bytes(&bytes),
        None if restore.store.mark().ok()?.is_none() => places_of(restore, tables),
        None => None,
    }
}

/// Can a restore go on from `places`? What a broker does not say counts as no.
fn are_good(restore: &Restore<'_>, tables: &Tables, partition: i32, places: &Places) -> bool {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let age = i64::try_from(since.as_millis()).unwrap_or(i64::MAX).saturating_sub(places.at_ms);
    let Ok(age) = u64::try_from(age).map(Duration::from_millis) else { return false };
    tables.tables.iter().all(|table| {
        let Some(place) = places.logs.get(&table.topic) else { return false };
        let log = TopicPartition::new(Arc::clone(&table.topic), partition);
        let is_there = || {
            let bounds = restore.logs.bounds(&log).ok()?;
            Some((bounds.start..=bounds.end).contains(&place.next))
        };
        let is_same = || {
            let now = restore.logs.identity(&table.topic).ok()?;
            Some(now.topic.as_deref() == Some(&*place.id))
        };
        // Half of the time that a removal stays, for clocks differ.
        let is_young = || Some(age < restore.logs.tombstones_stay(&table.topic).ok()? / 2);
        [is_there(), is_same(), is_young()] == [Some(true); 3]
    })
}
