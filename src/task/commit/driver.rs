//! Carries out what the machine asks for, one effect after the other, on a thread that may block.

use super::{
    attempt::Attempt,
    catch_up::CatchUp,
    ledger::{Commit, Ended},
    link::{Gate, Link},
    retry::{pause, token},
    spacing::Spacing,
    standing,
};
use crate::{
    engine::{
        commit::{Answer, Effect, Event, Machine, Proposal},
        halt::{Halt, Reason},
        horizon::Point,
        identity::Identity,
        receipt::{Metadata, Receipt},
        reconcile::{Local, Remote, Undecided},
    },
    error::Error,
    failpoints::failpoint,
    kafka::{
        producer::Producer,
        transaction::{Refusal, Remedy},
    },
    metrics::{CommitSteps, ExactMetrics},
    state::{Mark, Store},
};
use prometheus::Histogram;
use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

/// How long a new producer waits for the last transaction of its id at a time.
const INIT_TIMEOUT: Duration = Duration::from_secs(8);

const LOOK: Duration = Duration::from_millis(20);

/// See the module.
pub(super) struct Driver {
    pub(super) machine: Machine,
    pub(super) link: Link,
    pub(super) store: Option<Arc<dyn Store>>,
    pub(super) log: Option<Box<dyn super::CommitLog>>,
    pub(super) catch_up: Box<dyn CatchUp>,
    pub(super) metrics: ExactMetrics,
    pub(super) gate: Arc<Gate>,
    pub(super) producer: Option<Arc<Producer>>,
    /// What is to be committed, kept until it is.
    pub(super) commit: Option<Commit>,
    pub(super) attempt: Option<Attempt>,
    /// Name of the attempt in hand.
    pub(super) token: u64,
    /// Hash of every output so far, those of the commit in hand included.
    pub(super) hash: u64,
    pub(super) outcome: Outcome,
    pub(super) spacing: Spacing,
    /// Which input it is, as the broker said last.
    pub(super) identity: Identity,
    /// What is committed of each input, where there are several.
    pub(super) inputs: Vec<Option<i64>>,
    /// The last refusal, for whoever is told of a halt.
    pub(super) trouble: Option<String>,
    /// Has another producer taken the transactional id since the owner was asked for?
    pub(super) was_fenced: bool,
}

/// Where the machine has come to.
#[derive(Default)]
pub(super) struct Outcome {
    pub(super) is_done: bool,
    pub(super) ended: Option<Ended>,
}

impl Driver {
    /// Tells the machine of `event` and carries out everything that follows.
    pub(super) fn run(&mut self, event: Event) {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            if let Event::Submitted { token, .. } | Event::WaitedFor { token } = &event {
                self.token = *token;
            }
            self.was_fenced |= is_fenced(&event);
            let effects = self.machine.on(event);
            for effect in effects {
                if self.gate.is_closed() {
                    return self.let_go();
                }
                self.carry_out(effect, &mut events);
            }
        }
    }

    /// Leaves everything as it is.
    pub(super) fn let_go(&mut self) {
        self.drop_producer();
        self.outcome.ended.get_or_insert(Ended::Gone);
    }

    fn carry_out(&mut self, effect: Effect, events: &mut VecDeque<Event>) {
        let answer = match effect {
            Effect::InitProducer => Some(Event::Initialised(self.init())),
            Effect::FetchCommitted => Some(self.fetch()),
            Effect::ReadLocal => Some(self.read_local()),
            Effect::RollForward => Some(self.roll_forward()),
            Effect::Discard => Some(self.discard()),
            Effect::CatchUp { from, to, token, hash } => {
                let beside = self.machine.receipt().copied();
                let to = (to, token, hash);
                let caught_up = self.catch_up.catch_up(from, to, beside.as_ref());
                let caught_up = caught_up.and_then(|()| self.note_identity());
                Some(caught_up.map_or_else(Event::StoreFailed, |()| Event::CaughtUp))
            }
            Effect::Begin => {
                self.begin();
                None
            }
            Effect::Produce => {
                self.timed(|steps| &steps.wait, Self::wait_for_coordinator);
                self.timed(|steps| &steps.produce, Self::produce);
                None
            }
            // The records are on their way: what is written here meanwhile costs no time of its own.
            Effect::Flush => {
                let prepared = self.prepare();
                let flushed = self.timed(|steps| &steps.flush, Self::flush);
                self.note_suspicion(events);
                events.push_back(Event::Flushed(flushed));
                prepared
            }
            Effect::Prepare { .. } => None,
            Effect::SendOffsets(receipt) => {
                let answer = self.timed(|steps| &steps.offsets, |one| one.send_offsets(&receipt));
                self.note_suspicion(events);
                Some(Event::OffsetsSent(answer))
            }
            Effect::Commit => {
                let answer = self.timed(|steps| &steps.commit, Self::commit_transaction);
                self.note_suspicion(events);
                Some(Event::Committed(answer))
            }
            Effect::Abort => Some(Event::Aborted(self.abort())),
            Effect::Apply => Some(self.timed(|steps| &steps.apply, Self::apply)),
            Effect::Backoff { failures } => {
                self.gate.wait(pause(failures));
                Some(Event::WaitedFor { token: token() })
            }
            Effect::AskOwner => Some(Event::Owner(self.is_owner())),
            other => return self.note(other),
        };
        events.extend(answer);
    }

    /// Effects that nobody waits for.
    fn note(&mut self, effect: Effect) {
        match effect {
            Effect::Done { .. } => self.done(),
            Effect::DropProducer => {
                self.metrics.recycled.inc();
                self.drop_producer();
            }
            Effect::Forget => self.outcome.ended = Some(Ended::Void),
            Effect::Release => {
                self.drop_producer();
                self.store = None;
                self.outcome.ended = Some(Ended::Gone);
            }
            Effect::Halt(halt) => {
                self.drop_producer();
                let halt = match (halt.detail.clone(), self.trouble.take()) {
                    (None, Some(trouble)) => halt.because(trouble),
                    (Some(detail), Some(trouble)) if !detail.contains(&trouble) => {
                        halt.because(format!("{detail}, the last time because {trouble}"))
                    }
                    _ => halt,
                };
                self.outcome.ended = Some(Ended::Halted(halt));
            }
            _ => {}
        }
    }

    /// Carries out one step of a commit, and notes how long it took.
    fn timed<T>(
        &mut self,
        step: fn(&CommitSteps) -> &Histogram,
        carry_out: impl FnOnce(&mut Self) -> T,
    ) -> T {
        let began = Instant::now();
        let answer = carry_out(self);
        step(&self.metrics.steps).observe(began.elapsed().as_secs_f64());
        answer
    }

    fn init(&mut self) -> Answer {
        let producer = match self.producer.take().map_or_else(|| (self.link.make)(), Ok) {
            Ok(producer) => producer,
            Err(error) => {
                self.trouble = Some(error.to_string());
                return Answer::Refused;
            }
        };
        let answer = self.answer(producer.init(INIT_TIMEOUT));
        self.producer = Some(producer);
        if answer == Answer::Ok {
            // That was the trouble of the producer before it.
            self.trouble = None;
        } else if let Some(trouble) = &self.trouble {
            let tp = &self.link.tp;
            tracing::warn!(target: "turbine.commit", "{tp}: {trouble}; trying again");
        }
        failpoint!("boot::initialised");
        answer
    }

    fn fetch(&mut self) -> Event {
        match self.committed().and_then(|found| Ok((found, self.input()?))) {
            Ok(((committed, log), identity)) => {
                failpoint!("boot::fetched");
                self.identity = identity.clone();
                Event::Fetched(Remote { committed, log, identity })
            }
            Err(error) => {
                tracing::warn!(target: "turbine.commit", "{}: {error}; trying again", self.link.tp);
                Event::NotFetched
            }
        }
    }

    /// What is committed, and which records there are.
    fn committed(&mut self) -> Result<super::inputs::Found, Error> {
        if !self.link.sides.is_empty() {
            return self.committed_of_each();
        }
        let (tp, member) = (&self.link.tp, &self.link.member);
        let found = member.committed(tp)?;
        let committed = found.map(|one| (one.offset, Metadata::read(one.offset, &one.metadata)));
        Ok((committed, member.log(tp)))
    }

    fn read_local(&self) -> Event {
        let Some(store) = &self.store else { return Event::LocalState(Local::default()) };
        let read = || -> crate::error::Result<Local> {
            let pending = store.pending()?;
            let pending = pending.as_ref().map(Undecided::from);
            let identity = store.note()?.and_then(|note| Identity::from_note(&note));
            Ok(Local { mark: store.mark()?, pending, identity })
        };
        read().map_or_else(|e| store_failed(Reason::StoreFailed, &e), Event::LocalState)
    }

    fn roll_forward(&self) -> Event {
        let Some(store) = &self.store else { return Event::Applied };
        let apply = || match store.pending()? {
            Some(pending) => store.apply(&pending),
            None => Ok(()),
        };
        let applied = apply();
        failpoint!("boot::rolled_forward");
        applied.map_or_else(|e| store_failed(Reason::NotApplied, &e), |()| Event::Applied)
    }

    fn discard(&self) -> Event {
        let discarded = self.store.as_ref().map_or(Ok(()), |store| store.discard());
        failpoint!("commit::discarded");
        discarded.map_or_else(|e| store_failed(Reason::StoreFailed, &e), |()| Event::Discarded)
    }

    fn begin(&mut self) {
        failpoint!("commit::begins");
        let answer = self.end(Producer::begin);
        // What was in front of this offset stays so, whether or not the commit's own place gets known.
        let log = standing::known_log(self.store.as_deref());
        let mark = self.commit.as_ref().map(|commit| Mark {
            next: commit.next,
            token: self.token,
            hash: self.hash,
            log,
        });
        self.attempt = Some(Attempt::new(answer, mark));
        failpoint!("commit::begun");
    }

    /// Gives the coordinator time to be done with the last transaction, and the disk something to do meanwhile.
    fn wait_for_coordinator(&mut self) {
        if self.spacing.left(Instant::now()).is_zero() {
            return;
        }
        // A store that fails says so again when it is asked once more.
        let _ = self.prepare();
        self.gate.wait(self.spacing.left(Instant::now()));
    }

    fn produce(&mut self) {
        let (Some(attempt), Some(producer)) = (&mut self.attempt, &self.producer) else { return };
        let Some(commit) = &self.commit else { return };
        let sent = attempt.send(producer, commit, self.log.as_deref());
        if let Err(error) = sent {
            self.trouble = Some(error.to_string());
        }
        failpoint!("commit::produced");
    }

    fn prepare(&mut self) -> Option<Event> {
        let attempt = self.attempt.as_mut()?;
        let (store, commit) = (self.store.as_deref()?, self.commit.as_ref()?);
        let prepared = match attempt.is_prepared() {
            true => Ok(()),
            false => {
                let _timer = self.metrics.steps.prepare.start_timer();
                attempt.prepare(store, commit)
            }
        };
        Some(prepared.map_or_else(|e| store_failed(Reason::StoreFailed, &e), |()| Event::Prepared))
    }

    fn flush(&mut self) -> Answer {
        let (Some(attempt), Some(producer)) = (&mut self.attempt, &self.producer) else {
            return Answer::Unknown;
        };
        let (answer, trouble) = attempt.flush(producer, self.commit.as_ref(), &self.gate);
        let was_early = producer.was_early();
        self.metrics.early.inc_by(u64::from(was_early));
        self.spacing.learn(was_early);
        self.trouble = trouble.or(self.trouble.take());
        failpoint!("commit::flushed", |_| Answer::Abortable);
        answer
    }

    fn send_offsets(&mut self, receipt: &Receipt) -> Answer {
        failpoint!("commit::offsets_begin");
        let Some(producer) = self.producer.clone() else { return Answer::Unknown };
        let Some(member) = self.link.member.metadata() else { return Answer::Abortable };
        let offsets = self.offsets(receipt);
        let answer = self.answer(producer.send_offsets(&offsets, &member));
        failpoint!("commit::offsets_sent", |_| Answer::Abortable);
        answer
    }

    fn commit_transaction(&mut self) -> Answer {
        let answer = self.end(Producer::commit);
        self.spacing.ended(Instant::now());
        failpoint!("commit::committed", |_| Answer::Unknown);
        answer
    }

    fn end(&mut self, call: impl FnOnce(&Producer) -> Result<(), Refusal>) -> Answer {
        let Some(producer) = self.producer.clone() else { return Answer::Unknown };
        self.answer(call(&producer))
    }

    fn abort(&mut self) -> Answer {
        self.metrics.aborted.inc();
        if let Some(trouble) = &self.trouble {
            let tp = &self.link.tp;
            tracing::warn!(target: "turbine.commit", "{tp}: a commit is taken back and made again: {trouble}");
        }
        let answer = self.end(Producer::abort);
        self.spacing.ended(Instant::now());
        failpoint!("commit::aborted");
        answer
    }

    fn apply(&mut self) -> Event {
        failpoint!("commit::applies");
        let (Some(store), Some(attempt)) = (&self.store, &mut self.attempt) else {
            return Event::Applied;
        };
        let pending = attempt.pending(self.log.as_deref());
        let applied = pending.map_or(Ok(()), |pending| store.apply(pending));
        failpoint!("commit::applied");
        applied.map_or_else(|e| store_failed(Reason::NotApplied, &e), |()| Event::Applied)
    }

    fn done(&mut self) {
        self.outcome.is_done = true;
        if let Some(log) = &self.log {
            log.settled();
        }
        if let (Some(attempt), Some(commit)) = (self.attempt.take(), self.commit.take()) {
            if !commit.inputs.is_empty() {
                self.inputs = commit.inputs.iter().copied().map(Some).collect();
            }
            attempt.tell(commit);
        }
        self.trouble = None;
    }

    fn answer(&mut self, result: Result<(), Refusal>) -> Answer {
        let Err(refusal) = result else { return Answer::Ok };
        tracing::debug!(target: "turbine.commit", "{}: {}", self.link.tp, refusal.error);
        self.trouble = Some(refusal.error.to_string());
        if refusal.remedy == Remedy::Fenced {
            self.metrics.fenced.inc();
        }
        match refusal.remedy {
            Remedy::Retry => Answer::Retriable,
            Remedy::Abort => Answer::Abortable,
            Remedy::Drop => Answer::Unknown,
            Remedy::Fenced => Answer::Fenced,
            Remedy::Never => Answer::Refused,
        }
    }

    /// Is the partition still ours? Who has slept through the loss of it is fenced before the group has
    /// said so: it would shut out its successor. So the word of the group is waited for.
    fn is_owner(&mut self) -> bool {
        let patience = if std::mem::take(&mut self.was_fenced) {
            self.link.group_says
        } else {
            Duration::ZERO
        };
        let until = Instant::now() + patience;
        while self.link.member.owns(&self.link.tp) {
            if Instant::now() >= until || self.gate.is_closed() {
                return true;
            }
            self.gate.wait(LOOK);
        }
        false
    }

    /// Tells the machine, in front of an answer, if the producer had trouble.
    fn note_suspicion(&self, events: &mut VecDeque<Event>) {
        if self.producer.as_ref().is_some_and(|producer| producer.is_suspicious()) {
            events.push_back(Event::Suspicious);
        }
    }

    /// Its threads take some time to end, which nobody has to wait for: whatever it still has on its way
    /// is shut out by its successor.
    pub(super) fn drop_producer(&mut self) {
        self.attempt = None;
        if let Some(producer) = self.producer.take() {
            std::thread::spawn(move || drop(producer));
        }
    }

    /// Submits a commit and says how it ended.
    pub(super) fn commit(&mut self, commit: Commit) -> Result<(), Ended> {
        if let Some(ended) = &self.outcome.ended {
            return Err(ended.clone());
        }
        let began = Instant::now();
        self.hash = self.hash.wrapping_add(commit.outputs.hash());
        let proposal = Proposal {
            from: commit.from,
            point: commit.point.unwrap_or_else(|| Point::plain(commit.next)),
            hash: self.hash,
            time_ms: commit.time_ms,
        };
        self.commit = Some(commit);
        self.outcome.is_done = false;
        self.run(Event::Submitted { proposal, token: token() });
        self.metrics.seconds.observe(began.elapsed().as_secs_f64());
        match (&self.outcome.ended, self.outcome.is_done) {
            (Some(ended), _) => Err(ended.clone()),
            (None, true) => Ok(()),
            (None, false) => Err(Ended::Void),
        }
    }
}

fn store_failed(reason: Reason, error: &crate::error::Error) -> Event {
    Event::StoreFailed(Halt::of(reason).because(error.to_string()))
}

fn is_fenced(event: &Event) -> bool {
    use Event::{Aborted, Committed, Flushed, Initialised, OffsetsSent};
    matches!(
        event,
        Initialised(Answer::Fenced)
            | Flushed(Answer::Fenced)
            | OffsetsSent(Answer::Fenced)
            | Committed(Answer::Fenced)
            | Aborted(Answer::Fenced)
    )
}
