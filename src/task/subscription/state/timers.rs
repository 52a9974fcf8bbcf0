//! Timers of a partition, of both clocks, in the store with everything else.
//!
//! ```text
//! "t" clock time(i64) scope id    armed for then, in the order of time
//! "i" scope id                    clock and time: an id is armed once in its scope
//! "w"                             the watermark that was reached
//! ```

use crate::{
    error::{Error, Result},
    state::{
        Space,
        keys::{join, split},
    },
    task::state::TaskState,
};
use std::{
    ops::ControlFlow::{Break, Continue},
    sync::atomic::{AtomicI64, Ordering},
};

const BY_TIME: u8 = b't';
const BY_ID: u8 = b'i';
const WATERMARK: &[u8] = b"w";
/// Nothing is armed.
const NEVER: i64 = i64::MAX;

/// What a timer's time is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum TimerClock {
    /// The watermark of the partition.
    Event = b'e',
    /// The worker's clock.
    Processing = b'p',
}

/// A timer whose time has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// Clock of its time.
    pub clock: TimerClock,
    /// Its time, in ms since the Unix epoch.
    pub at_ms: i64,
    /// Scope of the state that it was set on.
    pub scope: Option<Vec<u8>>,
    /// What its handler called it.
    pub id: Vec<u8>,
}

/// What is known of the timers without asking the store.
pub struct Timers {
    are_possible: bool,
    event_ms: AtomicI64,
    processing_ms: AtomicI64,
}

impl Timers {
    pub(super) fn new(state: &TaskState, are_possible: bool) -> Result<Self> {
        let (event_ms, processing_ms) = (AtomicI64::new(NEVER), AtomicI64::new(NEVER));
        let timers = Self { are_possible, event_ms, processing_ms };
        timers.look(state)?;
        Ok(timers)
    }

    /// Does the handler take timers?
    pub(crate) fn are_possible(&self) -> bool {
        self.are_possible
    }

    /// When the next one of `clock` is due.
    pub(crate) fn next_ms(&self, clock: TimerClock) -> Option<i64> {
        Some(self.of(clock).load(Ordering::Acquire)).filter(|&ms| ms != NEVER)
    }

    /// Learns what is armed now.
    pub(super) fn look(&self, state: &TaskState) -> Result<()> {
        if self.are_possible {
            for clock in [TimerClock::Event, TimerClock::Processing] {
                let first = due(state, clock, NEVER, 1)?;
                self.of(clock)
                    .store(first.first().map_or(NEVER, |one| one.at_ms), Ordering::Release);
            }
        }
        Ok(())
    }

    fn of(&self, clock: TimerClock) -> &AtomicI64 {
        match clock {
            TimerClock::Event => &self.event_ms,
            TimerClock::Processing => &self.processing_ms,
        }
    }
}

/// Arms `id` for then, instead of for what it was armed.
pub(super) fn set(
    state: &TaskState,
    scope: Option<&[u8]>,
    id: &[u8],
    clock: TimerClock,
    at_ms: i64,
) -> Result<()> {
    cancel(state, scope, id)?;
    let name = join(scope, id);
    let mut value = vec![clock as u8];
    value.extend_from_slice(&at_ms.to_be_bytes());
    state.put(Space::TIMERS, by_time(clock, at_ms, &name), Some(Vec::new()));
    state.put(Space::TIMERS, by_id(&name), Some(value));
    Ok(())
}

/// Disarms `id`; true if it was armed.
pub(super) fn cancel(state: &TaskState, scope: Option<&[u8]>, id: &[u8]) -> Result<bool> {
    let name = join(scope, id);
    let Some((clock, at_ms)) = armed(state, &name)? else { return Ok(false) };
    state.put(Space::TIMERS, by_time(clock, at_ms, &name), None);
    state.put(Space::TIMERS, by_id(&name), None);
    Ok(true)
}

/// Disarms `timer`, which is to fire; false if it is not armed for that time any more.
pub(super) fn take(state: &TaskState, timer: &Due) -> Result<bool> {
    let name = join(timer.scope.as_deref(), &timer.id);
    if armed(state, &name)? != Some((timer.clock, timer.at_ms)) {
        return Ok(false);
    }
    cancel(state, timer.scope.as_deref(), &timer.id)
}

/// Up to `limit` timers of `clock` whose time is not behind `until_ms`, the earliest first.
pub(super) fn due(
    state: &TaskState,
    clock: TimerClock,
    until_ms: i64,
    limit: usize,
) -> Result<Vec<Due>> {
    let mut found = Vec::new();
    state.visit(Space::TIMERS, &[BY_TIME, clock as u8], &mut |key, _| {
        let (at_ms, name) = key[2..].split_first_chunk::<8>().ok_or_else(damaged)?;
        let at_ms = i64::from_be_bytes(*at_ms) ^ i64::MIN;
        if at_ms > until_ms {
            return Ok(Break(()));
        }
        let (scope, id) = split(name).ok_or_else(damaged)?;
        found.push(Due { clock, at_ms, scope: scope.map(<[u8]>::to_vec), id: id.to_vec() });
        Ok(if found.len() < limit { Continue(()) } else { Break(()) })
    })?;
    Ok(found)
}

/// Keeps the watermark for the next start.
pub(super) fn keep_watermark(state: &TaskState, ms: i64) {
    state.put(Space::TIMERS, WATERMARK.to_vec(), Some(ms.to_be_bytes().to_vec()));
}

/// The watermark that was kept.
pub(super) fn watermark(state: &TaskState) -> Result<Option<i64>> {
    let Some(kept) = state.get(Space::TIMERS, WATERMARK)? else { return Ok(None) };
    Ok(Some(i64::from_be_bytes(kept.try_into().map_err(|_| damaged())?)))
}

fn armed(state: &TaskState, name: &[u8]) -> Result<Option<(TimerClock, i64)>> {
    let Some(value) = state.get(Space::TIMERS, &by_id(name))? else { return Ok(None) };
    let (clock, at_ms) = value.split_first().ok_or_else(damaged)?;
    let clock = match *clock {
        b'e' => TimerClock::Event,
        b'p' => TimerClock::Processing,
        _ => return Err(damaged()),
    };
    Ok(Some((clock, i64::from_be_bytes(at_ms.try_into().map_err(|_| damaged())?))))
}

fn by_time(clock: TimerClock, at_ms: i64, name: &[u8]) -> Vec<u8> {
    let mut key = vec![BY_TIME, clock as u8];
    key.extend_from_slice(&(at_ms ^ i64::MIN).to_be_bytes());
    key.extend_from_slice(name);
    key
}

fn by_id(name: &[u8]) -> Vec<u8> {
    [&[BY_ID], name].concat()
}

fn damaged() -> Error {
    Error::Config(
        "a timer in the state has not the form that this version writes; remove the state".into(),
    )
}
