//! A subscription's state in the hands of the handler of one batch.
//!
//! # Guarantees
//!
//! * Nothing is written once the batch has ended.
//! * A value whose time is over in front of the batch is not seen; the store loses it a little later.

mod add;
mod expiry;
mod joins;
mod timers;

pub use add::Amounts;
pub use joins::JoinState;
pub use timers::{Due, TimerClock, Timers};

use crate::{
    clock::Clock,
    config::{StateConfig, StateFormat},
    engine::tracker::Ticket,
    error::{Error, Result},
    state::{
        Delta, Space,
        keys::{MAX_SCOPE_BYTES, join, prefix},
        value::{Kind, Value},
    },
    task::state::{Savepoint, TaskState},
};
use expiry::Lifetimes;
use parking_lot::{Mutex, RwLock};
use std::{collections::VecDeque, sync::Arc};

/// Longest key.
const MAX_KEY_BYTES: usize = 64 << 10;
/// Most timers that fire behind one batch; the next one goes on.
const MOST_FIRED: usize = 10_000;
/// Timers that are looked up together.
const FIRED_AT_ONCE: usize = 256;
/// Keys that begin so are the library's own.
const RESERVED: &[u8] = b"_turbine_";

/// What the batches of one partition share of their state.
pub struct Kept {
    pub(super) state: Arc<TaskState>,
    lifetimes: Lifetimes,
    /// Its timers.
    pub timers: Timers,
    config: StateConfig,
    clock: Clock,
    has_time: bool,
    shards: usize,
}

impl Kept {
    /// The state of a partition; rows have an event time if `has_time`.
    ///
    /// # Errors
    ///
    /// If its timers cannot be read.
    pub fn new(
        state: Arc<TaskState>,
        config: &StateConfig,
        clock: Clock,
        has_time: bool,
        shards: usize,
    ) -> Result<Self> {
        let timers = Timers::new(&state, config.timers)?;
        let lifetimes = Lifetimes::new(&config.ttl_ms);
        Ok(Self { state, lifetimes, timers, config: config.clone(), clock, has_time, shards })
    }

    /// The watermark that its batches had reached.
    ///
    /// # Errors
    ///
    /// If the store cannot be read.
    pub fn watermark(&self) -> Result<Option<i64>> {
        timers::watermark(&self.state)
    }

    /// What it is kept in.
    pub fn task_state(&self) -> &Arc<TaskState> {
        &self.state
    }
}

/// See the module.
pub struct BatchState {
    /// None once the batch has ended: who still holds this holds no store open.
    kept: RwLock<Option<Arc<Kept>>>,
    is_shared: bool,
    format: StateFormat,
    /// The watermark in front of the batch: what ends before it is gone.
    before: Option<i64>,
    /// The watermark behind the batch: lifetimes count from it, and timers up to it are due.
    after: Option<i64>,
    firing: Mutex<Firing>,
}

/// Timers that fire behind a batch.
#[derive(Default)]
struct Firing {
    queue: VecDeque<Due>,
    count: usize,
    /// The worker's clock when the first one was asked for.
    now_ms: Option<i64>,
    /// Was one armed meanwhile that is due too?
    is_stale: bool,
}

/// A key as it was given, in its scope.
type Scope<'a> = Option<&'a [u8]>;

impl BatchState {
    pub(super) fn new(kept: Arc<Kept>, before: Option<i64>, after: Option<i64>) -> Self {
        let (is_shared, format) = (kept.shards > 1, kept.config.format);
        let (kept, firing) = (RwLock::new(Some(kept)), Mutex::default());
        Self { kept, is_shared, format, before, after, firing }
    }

    /// What it is part of, as long as its batch runs.
    fn kept(&self) -> Result<Arc<Kept>> {
        let ended = || Error::State("the state was used after its batch had ended".into());
        self.kept.read().clone().ok_or_else(ended)
    }

    /// Ends it and takes everything back.
    pub(super) fn discard(&self) {
        if let Some(kept) = self.kept.write().take() {
            kept.state.discard();
        }
    }

    /// Ends it; what its batch has changed.
    pub(super) fn finish(&self, ticket: Ticket) -> Result<Delta> {
        let Some(kept) = self.kept.write().take() else { return Ok(Delta::default()) };
        let Kept { state, timers, .. } = &*kept;
        if let Some(after) = self.after {
            expiry::sweep(state, after)?;
            if self.before != Some(after) {
                timers::keep_watermark(state, after);
            }
        }
        timers.look(state)?;
        Ok(state.seal(ticket))
    }

    /// The next timer that is due, disarmed.
    pub(super) fn next_timer(&self) -> Result<Option<Due>> {
        let kept = self.kept()?;
        let Kept { state, timers, clock, .. } = &*kept;
        if !timers.are_possible() {
            return Ok(None);
        }
        let mut firing = self.firing.lock();
        let now_ms = *firing.now_ms.get_or_insert_with(|| clock.now_ms());
        loop {
            if std::mem::take(&mut firing.is_stale) {
                firing.queue.clear();
            }
            while let Some(timer) = firing.queue.pop_front() {
                if timers::take(state, &timer)? {
                    firing.count += 1;
                    return Ok(Some(timer));
                }
            }
            if firing.count >= MOST_FIRED {
                return Ok(None);
            }
            let mut due = match self.after {
                Some(after) => timers::due(state, TimerClock::Event, after, FIRED_AT_ONCE)?,
                None => Vec::new(),
            };
            if due.is_empty() {
                due = timers::due(state, TimerClock::Processing, now_ms, FIRED_AT_ONCE)?;
            }
            if due.is_empty() {
                return Ok(None);
            }
            firing.queue = due.into();
        }
    }

    /// Arms a timer for `delay_ms` from now on the worker's clock, instead of what `id` was armed for.
    ///
    /// # Errors
    ///
    /// [`Error::Declaration`] if the handler takes no timers.
    pub fn set_timer(&self, scope: Scope<'_>, id: &[u8], delay_ms: i64) -> Result<()> {
        let at_ms = self.kept()?.clock.now_ms().saturating_add(delay_ms.max(0));
        self.arm(scope, id, TimerClock::Processing, at_ms)
    }

    /// Arms a timer for `at_ms` in event time, instead of what `id` was armed for.
    ///
    /// # Errors
    ///
    /// [`Error::Declaration`] if the handler takes no timers, or its rows have no event time.
    pub fn set_event_timer(&self, scope: Scope<'_>, id: &[u8], at_ms: i64) -> Result<()> {
        if !self.kept()?.has_time {
            return Err(Error::Declaration(
                "a timer of event time needs rows that have one: add event_time= to the \
                 subscription, or use set_timer"
                    .into(),
            ));
        }
        self.arm(scope, id, TimerClock::Event, at_ms)
    }

    fn arm(&self, scope: Scope<'_>, id: &[u8], clock: TimerClock, at_ms: i64) -> Result<()> {
        let kept = self.kept()?;
        if !kept.timers.are_possible() {
            return Err(Error::Declaration(
                "nobody takes timers here: give the handler class a method on_timer(self, timer_id, \
                 state), or write on_timer= on the subscription of a function"
                    .into(),
            ));
        }
        check(id, scope)?;
        timers::set(&kept.state, scope, id, clock, at_ms)?;
        let mut firing = self.firing.lock();
        let until = match clock {
            TimerClock::Event => self.after,
            TimerClock::Processing => firing.now_ms,
        };
        firing.is_stale |= until.is_some_and(|until| at_ms <= until);
        Ok(())
    }

    /// Disarms a timer; true if it was armed.
    ///
    /// # Errors
    ///
    /// If the state cannot be read.
    pub fn cancel_timer(&self, scope: Scope<'_>, id: &[u8]) -> Result<bool> {
        timers::cancel(&self.kept()?.state, scope, id)
    }

    /// Does its batch still run?
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.kept.read().is_some()
    }

    /// How values are kept.
    #[must_use]
    pub fn format(&self) -> StateFormat {
        self.format
    }

    /// Do handlers of several shards share it?
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.is_shared
    }

    /// The watermark in front of the batch, in ms.
    #[must_use]
    pub fn watermark(&self) -> Option<i64> {
        self.before
    }

    /// Where writes can be taken back to.
    ///
    /// # Errors
    ///
    /// If the batch has ended.
    pub fn savepoint(&self) -> Result<Savepoint> {
        Ok(self.kept()?.state.savepoint())
    }

    /// Takes back every write since `savepoint`; does nothing once the batch has ended.
    pub fn rollback(&self, savepoint: Savepoint) {
        if let Ok(kept) = self.kept() {
            kept.state.rollback(savepoint);
        }
    }

    /// What is stored under `key`, as [`Value::read`] takes it.
    ///
    /// # Errors
    ///
    /// For a key that cannot be one, or if the store cannot be read.
    pub fn get(&self, scope: Scope<'_>, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let stored = self.kept()?.state.get(Space::STATE, &self.key(scope, key)?)?;
        Ok(stored.filter(|stored| self.lives(stored)))
    }

    /// As [`BatchState::get`], for each of `keys`.
    ///
    /// # Errors
    ///
    /// As [`BatchState::get`].
    pub fn get_many(&self, scope: Scope<'_>, keys: &[&[u8]]) -> Result<Vec<Option<Vec<u8>>>> {
        let joined: Vec<_> = keys.iter().map(|key| self.key(scope, key)).collect::<Result<_>>()?;
        let joined: Vec<_> = joined.iter().map(Vec::as_slice).collect();
        let mut all = self.kept()?.state.get_many(Space::STATE, &joined)?;
        for stored in &mut all {
            if !stored.as_ref().is_none_or(|stored| self.lives(stored)) {
                *stored = None;
            }
        }
        Ok(all)
    }

    /// Gives `key` a value; `ttl_ms` says how long it lives, if not its prefix.
    ///
    /// # Errors
    ///
    /// For a key that cannot be one, or a lifetime without event time.
    pub fn put(
        &self,
        scope: Scope<'_>,
        key: &[u8],
        kind: Kind,
        payload: &[u8],
        ttl_ms: Option<i64>,
    ) -> Result<()> {
        let joined = self.key(scope, key)?;
        let expires_ms = self.expires(&joined, key, ttl_ms)?;
        let stored = Value { kind, expires_ms, payload }.write();
        self.kept()?.state.put(Space::STATE, joined, Some(stored));
        Ok(())
    }

    /// Removes `key`.
    ///
    /// # Errors
    ///
    /// For a key that cannot be one.
    pub fn delete(&self, scope: Scope<'_>, key: &[u8]) -> Result<()> {
        self.kept()?.state.put(Space::STATE, self.key(scope, key)?, None);
        Ok(())
    }

    /// Keys that begin with `beginning` and what is stored under them, in the order of the keys.
    ///
    /// # Errors
    ///
    /// If the store cannot be read.
    pub fn scan(
        &self,
        scope: Scope<'_>,
        beginning: &[u8],
        limit: usize,
    ) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        use std::ops::ControlFlow::{Break, Continue};
        let skipped = prefix(scope).len();
        let mut found = Vec::new();
        let prefix = join(scope, beginning);
        self.kept()?.state.visit(Space::STATE, &prefix, &mut |key, stored| {
            if found.len() >= limit {
                return Ok(Break(()));
            }
            if self.lives(stored) && !key[skipped..].starts_with(RESERVED) {
                found.push((key[skipped..].to_vec(), stored.to_vec()));
            }
            Ok(Continue(()))
        })?;
        Ok(found)
    }

    /// A value that cannot be read lives: whoever reads it is told.
    fn lives(&self, stored: &[u8]) -> bool {
        !Value::read(stored).is_ok_and(|value| value.is_over(self.before))
    }

    fn key(&self, scope: Scope<'_>, key: &[u8]) -> Result<Vec<u8>> {
        check(key, scope)?;
        Ok(join(scope, key))
    }

    /// Until when a value lives that is written now; its end is noted.
    fn expires(&self, joined: &[u8], key: &[u8], ttl_ms: Option<i64>) -> Result<Option<i64>> {
        let kept = self.kept()?;
        if ttl_ms.is_some() && !kept.has_time {
            return Err(Error::Declaration(
                "ttl_ms counts event time, and the rows have none: add event_time= to the \
                 subscription"
                    .into(),
            ));
        }
        let ttl_ms = ttl_ms.or_else(|| kept.lifetimes.of(key));
        let (Some(ttl_ms), Some(now)) = (ttl_ms, self.after) else { return Ok(None) };
        let expires = now.saturating_add(ttl_ms);
        expiry::note(&kept.state, joined, expires, ttl_ms);
        Ok(Some(expires))
    }
}

fn check(key: &[u8], scope: Scope<'_>) -> Result<()> {
    if key.starts_with(RESERVED) {
        return Err(Error::Declaration(format!(
            "the key {:?} begins with _turbine_, which is for the library: name it differently",
            String::from_utf8_lossy(key)
        )));
    }
    let too_long = |what: &str, length: usize, most: usize| {
        Error::Declaration(format!(
            "a {what} of {length} bytes is too long: at most {most} are possible"
        ))
    };
    if key.len() > MAX_KEY_BYTES {
        return Err(too_long("key", key.len(), MAX_KEY_BYTES));
    }
    match scope {
        Some(scope) if scope.len() > MAX_SCOPE_BYTES => {
            Err(too_long("scope", scope.len(), MAX_SCOPE_BYTES))
        }
        _ => Ok(()),
    }
}
