//! What the rest of a task sees of its commits.

use super::{
    CommitLog,
    catch_up::CatchUp,
    driver::{Driver, Outcome},
    link::{Gate, Link},
    outbox::Outbox,
    spacing::Spacing,
    turns::Turns,
};
use crate::{
    engine::{
        commit::{Event, Machine, Options},
        halt::Halt,
        horizon::Point,
        identity::Identity,
        receipt::Receipt,
    },
    metrics::ExactMetrics,
    state::{Delta, Store},
};
use parking_lot::Mutex;
use std::{
    fmt,
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

/// How often the broker may abort the same commit.
const MOST_ABORTS: u32 = 10;

/// Everything that takes effect together.
#[derive(Default)]
pub struct Commit {
    /// Offset that the last one ended at.
    pub from: i64,
    /// The next record to read; of several inputs their number, see [`crate::engine::inputs`].
    pub next: i64,
    /// The next record to read of each input, where there are several.
    pub inputs: Vec<i64>,
    /// Changes of the state.
    pub delta: Delta,
    /// Records that go out: outputs, side outputs, late rows, dead letters.
    pub outputs: Outbox,
    /// Where a restart reads from, if that is not `next`.
    pub point: Option<Point>,
    /// The clock as the handler of its last batch saw it, in ms since the epoch.
    pub time_ms: i64,
}

/// Why there are no commits any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The partition is not ours any more.
    Gone,
    /// Somebody else has committed: what handlers did since is void.
    Void,
    /// Somebody has to decide.
    Halted(Halt),
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gone => write!(f, "the partition is not ours any more"),
            Self::Void => write!(
                f,
                "another worker has committed for this partition, so what was done here since is void. Nothing is lost: \
                 it goes on behind that commit by itself. If that comes again, see that no other app has the same app_id"
            ),
            Self::Halted(halt) => halt.fmt(f),
        }
    }
}

/// What a ledger is made of.
pub struct LedgerParts {
    /// How the broker is reached.
    pub link: Link,
    /// Where state is, if there is any.
    pub store: Option<Arc<dyn Store>>,
    /// What goes to the changelog, if there is one.
    pub log: Option<Box<dyn CommitLog>>,
    /// Closes a gap between state and committed offset.
    pub catch_up: Box<dyn CatchUp>,
    /// Figures of its commits.
    pub metrics: ExactMetrics,
    /// After so long without a commit the last one is repeated, so that the broker does not forget it.
    pub heartbeat: Duration,
    /// Ends it from outside, also while it begins.
    pub gate: Arc<Gate>,
    /// How many commit at a time, of all ledgers that share them.
    pub turns: Turns,
}

/// Where a task begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Live {
    /// The first record that is not committed; none: nothing ever was.
    pub at: Option<i64>,
    /// The same of each input, where there are several.
    pub inputs: Vec<Option<i64>>,
    /// What stands beside the committed offset.
    pub receipt: Option<Receipt>,
}

/// The commits of one task, one after the other.
///
/// # Guarantees
///
/// * When [`Ledger::commit`] returns without an error, outputs, offset and state of the commit took effect,
///   once, and will not be undone.
/// * A commit that the broker aborts is made again; nobody else is to keep it.
pub struct Ledger {
    driver: Arc<Mutex<Driver>>,
    gate: Arc<Gate>,
    turns: Turns,
    last: Mutex<Instant>,
}

impl Ledger {
    /// Shuts former owners of the partition out, finds out what is committed, and brings the state there.
    /// Blocks, as long as a transaction of a former owner may live; to be called on a thread of a Tokio
    /// runtime that may.
    ///
    /// # Errors
    ///
    /// [`Ended`].
    pub fn boot(parts: LedgerParts) -> Result<(Arc<Self>, Live), Ended> {
        let (gate, heartbeat) = (Arc::clone(&parts.gate), parts.heartbeat);
        let turns = parts.turns.clone();
        let mut driver = Driver::new(parts);
        let live = driver.boot()?;
        let driver = Arc::new(Mutex::new(driver));
        let ledger = Arc::new(Self { driver, gate, turns, last: Mutex::new(Instant::now()) });
        tokio::spawn(beat(Arc::downgrade(&ledger), heartbeat));
        Ok((ledger, live))
    }

    /// Makes `commit` take effect. One at a time; a second one waits.
    ///
    /// # Errors
    ///
    /// [`Ended`]; then no other commit will succeed. Whether this one took effect is found out by
    /// whoever has the partition next.
    ///
    /// # Panics
    ///
    /// If carrying an effect out panics.
    pub async fn commit(&self, commit: Commit) -> Result<(), Ended> {
        let driver = Arc::clone(&self.driver);
        let done = self.turns.blocking(move || driver.lock().commit(commit)).await;
        *self.last.lock() = Instant::now();
        done.expect("an effect does not panic")
    }

    /// Ends it in order: a commit in hand is settled first, at most `timeout`. Blocks.
    pub fn close(&self, timeout: Duration) {
        match self.driver.try_lock_for(timeout) {
            Some(mut driver) => driver.run(Event::OwnershipLost),
            None => self.abandon(),
        }
    }

    /// Ends it at once: what is in flight is left as it is, for whoever has the partition next.
    pub fn abandon(&self) {
        self.gate.close();
        if let Some(mut driver) = self.driver.try_lock() {
            driver.let_go();
        }
    }

    fn idle(&self) -> Duration {
        self.last.lock().elapsed()
    }
}

/// Repeats the last commit of an idle ledger from time to time.
async fn beat(ledger: Weak<Ledger>, every: Duration) {
    let mut wait = every;
    loop {
        tokio::time::sleep(wait).await;
        let Some(ledger) = ledger.upgrade().filter(|ledger| !ledger.gate.is_closed()) else {
            return;
        };
        let idle = ledger.idle();
        if idle >= every {
            let driver = Arc::clone(&ledger.driver);
            // One that fails shows when the next commit is made.
            let _ = ledger.turns.blocking(move || driver.lock().run(Event::IdleHeartbeat)).await;
            *ledger.last.lock() = Instant::now();
        }
        wait = every.saturating_sub(ledger.idle()).max(Duration::from_millis(1));
    }
}

impl Driver {
    fn new(parts: LedgerParts) -> Self {
        let LedgerParts { link, store, log, catch_up, metrics, gate, .. } = parts;
        let options = Options { has_store: store.is_some(), most_aborts: MOST_ABORTS };
        Self {
            machine: Machine::new(options),
            link,
            store,
            log,
            catch_up,
            metrics,
            gate,
            producer: None,
            commit: None,
            attempt: None,
            token: 0,
            hash: 0,
            outcome: Outcome::default(),
            spacing: Spacing::default(),
            identity: Identity::default(),
            inputs: Vec::new(),
            trouble: None,
            was_fenced: false,
        }
    }

    fn boot(&mut self) -> Result<Live, Ended> {
        self.run(Event::Boot);
        if let Some(ended) = &self.outcome.ended {
            return Err(ended.clone());
        }
        self.note_identity().map_err(Ended::Halted)?;
        let receipt = self.machine.receipt().copied();
        self.hash = receipt.map_or(0, |receipt| receipt.hash);
        Ok(Live { at: self.machine.at(), inputs: self.inputs.clone(), receipt })
    }
}
