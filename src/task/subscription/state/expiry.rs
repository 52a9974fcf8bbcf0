//! Lifetimes of values: how long one lives, and the list of those that end.
//!
//! The list is in the space of the timers, in the order of time:
//!
//! ```text
//! "x" end(i64) key    a value under `key` ends by then, unless it was written again
//! ```
//!
//! Ends are rounded up to a sixteenth of the lifetime, so that a value that is written again and again
//! is in the list a few times at most.

use crate::{
    error::Result,
    state::{Space, value::Value},
    task::state::TaskState,
};
use std::ops::ControlFlow::{Break, Continue};

const LIST: u8 = b'x';
/// Steps of a lifetime.
const STEPS: i64 = 16;
/// Most values that one batch removes.
const MOST: usize = 20_000;

/// How long values live, by the prefix of their key.
pub(super) struct Lifetimes {
    /// The longest prefix first.
    rules: Vec<(Vec<u8>, i64)>,
}

impl Lifetimes {
    pub(super) fn new(rules: &[(String, i64)]) -> Self {
        let mut rules: Vec<_> =
            rules.iter().map(|(prefix, ttl)| (prefix.as_bytes().to_vec(), *ttl)).collect();
        rules.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
        Self { rules }
    }

    /// That of the value of `key`, in ms.
    pub(super) fn of(&self, key: &[u8]) -> Option<i64> {
        self.rules.iter().find(|(prefix, _)| key.starts_with(prefix)).map(|(_, ttl)| *ttl)
    }
}

/// Puts the value of `key` on the list.
pub(super) fn note(state: &TaskState, key: &[u8], expires_ms: i64, ttl_ms: i64) {
    let step = (ttl_ms / STEPS).max(1);
    let end = expires_ms.div_euclid(step).saturating_add(1).saturating_mul(step);
    let mut entry = at(end);
    entry.extend_from_slice(key);
    state.put(Space::TIMERS, entry, Some(Vec::new()));
}

/// Removes values that have ended by `now_ms`, the oldest first.
pub(super) fn sweep(state: &TaskState, now_ms: i64) -> Result<()> {
    let mut ended = Vec::new();
    state.visit(Space::TIMERS, &[LIST], &mut |entry, _| {
        let Some(end) = entry[1..].first_chunk::<8>() else { return Ok(Continue(())) };
        if i64::from_be_bytes(*end) ^ i64::MIN > now_ms || ended.len() >= MOST {
            return Ok(Break(()));
        }
        ended.push(entry.to_vec());
        Ok(Continue(()))
    })?;
    let keys: Vec<&[u8]> = ended.iter().map(|entry| &entry[9..]).collect();
    let values = state.get_many(Space::STATE, &keys)?;
    let is_over = |stored: &Vec<u8>| Value::read(stored).is_ok_and(|one| one.is_over(Some(now_ms)));
    let over = keys.iter().zip(&values).filter(|(_, stored)| stored.as_ref().is_some_and(is_over));
    state.put_many(Space::STATE, over.map(|(key, _)| (key.to_vec(), None)));
    state.put_many(Space::TIMERS, ended.into_iter().map(|entry| (entry, None)));
    Ok(())
}

fn at(ms: i64) -> Vec<u8> {
    let mut entry = vec![LIST];
    entry.extend_from_slice(&(ms ^ i64::MIN).to_be_bytes());
    entry
}
