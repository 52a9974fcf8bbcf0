//! One attempt of a commit: its records on their way, its changes on the disk.

use super::{
    CommitLog, Gate,
    ledger::Commit,
    logged::Logged,
    output::Output,
    parts::{Parts, Slice},
};
use crate::{
    engine::commit::Answer as Verdict,
    error::{Error, Result},
    failpoints::failpoint,
    kafka::{answer::Answer, flight::Flight, producer::Producer, transaction::Remedy},
    state::{Mark, Pending, Store},
};
use std::{
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

/// Longest wait for acknowledgements; the client gives a record up earlier.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(14);
/// How often a wait looks whether it is still of use.
const LOOK: Duration = Duration::from_millis(50);

/// See the module.
pub(super) struct Attempt {
    begun: Verdict,
    refused: Option<Error>,
    /// What goes to the changelog.
    log: Vec<Output>,
    parts: Parts,
    /// Told when the part that was sent last is acknowledged.
    landed: Option<mpsc::Receiver<Result<()>>>,
    /// Single records of the commit that somebody wants to know the place of.
    asked: Vec<(usize, Arc<Answer>)>,
    /// Those of the changelogs, in their order.
    logged: Logged,
    mark: Option<Mark>,
    pending: Option<Pending>,
}

impl Attempt {
    /// One whose transaction has begun, or not; `mark` is where the state will be at, if anything changes.
    pub(super) fn new(begun: Verdict, mark: Option<Mark>) -> Self {
        Self {
            begun,
            refused: None,
            log: Vec::new(),
            parts: Parts::default(),
            landed: None,
            asked: Vec::new(),
            logged: Logged::default(),
            mark,
            pending: None,
        }
    }

    /// Sends of what `commit` writes as much as leaves at once; [`Attempt::flush`] sends the rest.
    ///
    /// # Errors
    ///
    /// A record that is refused at once; the transaction is to be aborted then.
    pub(super) fn send(
        &mut self,
        producer: &Producer,
        commit: &Commit,
        log: Option<&dyn CommitLog>,
    ) -> Result<()> {
        let (Verdict::Ok, Some(mark)) = (self.begun, self.mark) else { return Ok(()) };
        // In front of the outputs: what is there within the same millisecond is registered with the
        // coordinator in one request. Also for a commit that changes nothing: whoever restores follows offsets
        // and tokens, and would not get over one that is not there.
        let records =
            log.map_or(Ok(Vec::new()), |log| log.records(&commit.delta, commit.from, &mark));
        self.log = records.inspect_err(|error| self.refused = Some(error.clone()))?;
        let part = self.next_part(producer, commit);
        self.send_part(producer, commit, part)
    }

    fn next_part(&mut self, producer: &Producer, commit: &Commit) -> Vec<Slice> {
        self.parts.next(self.log.iter().chain(commit.outputs.iter()), producer.load())
    }

    fn send_part(&mut self, producer: &Producer, commit: &Commit, part: Vec<Slice>) -> Result<()> {
        let (landed, inbox) = mpsc::sync_channel(1);
        let flight = Flight::new(move |result| {
            // An attempt that was given up does not listen.
            let _ = landed.send(result);
        });
        self.landed = Some(inbox);
        let sent = self.enqueue(producer, &flight, commit, part);
        flight.seal();
        producer.hasten();
        if let Err(error) = &sent {
            self.refused = Some(error.clone());
        }
        sent
    }

    fn enqueue(
        &mut self,
        producer: &Producer,
        flight: &Arc<Flight>,
        commit: &Commit,
        part: Vec<Slice>,
    ) -> Result<()> {
        for (i, which) in part {
            let Some(place) = i.checked_sub(self.log.len()) else {
                let answer = Arc::new(Answer::default());
                self.log[i].send(producer, flight, Some(Arc::clone(&answer)))?;
                if let Output::Record { topic, .. } = &self.log[i] {
                    self.logged.add(topic, answer);
                }
                continue;
            };
            let output = &commit.outputs[place];
            let answer = matches!(output, Output::Record { told: Some(_), .. })
                .then(|| Arc::new(Answer::default()));
            output.send_some(which, producer, flight, answer.clone())?;
            self.asked.extend(answer.map(|answer| (place, answer)));
            failpoint!("commit::mid_produce");
        }
        Ok(())
    }

    /// Is there anything that [`Attempt::prepare`] would write?
    pub(super) fn is_prepared(&self) -> bool {
        self.mark.is_none() || self.pending.is_some()
    }

    /// Makes the changes of `commit` durable as a pending commit, unless they are.
    ///
    /// # Errors
    ///
    /// What the store says.
    pub(super) fn prepare(&mut self, store: &dyn Store, commit: &Commit) -> Result<()> {
        let (Some(mark), None) = (self.mark, &self.pending) else { return Ok(()) };
        failpoint!("commit::prepares");
        let pending = Pending { from: commit.from, mark, delta: commit.delta.clone() };
        store.prepare(&pending)?;
        self.pending = Some(pending);
        failpoint!("commit::prepared");
        Ok(())
    }

    /// Sends what is left of `commit`, and waits for the acknowledgement of every record; also says what went wrong.
    pub(super) fn flush(
        &mut self,
        producer: &Producer,
        commit: Option<&Commit>,
        gate: &Gate,
    ) -> (Verdict, Option<String>) {
        if self.begun != Verdict::Ok {
            return (self.begun, None);
        }
        let until = Instant::now() + FLUSH_TIMEOUT;
        loop {
            let landed =
                self.landed.as_ref().map_or(Ok(Ok(())), |landed| wait(landed, gate, until));
            match (landed, &self.refused) {
                (Ok(Ok(())), None) => {}
                (Ok(Ok(())), Some(error)) => return (Verdict::Abortable, Some(error.to_string())),
                (Ok(Err(error)), _) => return (after_failure(producer), Some(error.to_string())),
                (Err(_), _) => {
                    let late = "outputs were not acknowledged in time".into();
                    return (Verdict::Unknown, Some(late));
                }
            }
            let rest = commit.map(|commit| (commit, self.next_part(producer, commit)));
            let Some((commit, part)) = rest.filter(|(_, part)| !part.is_empty()) else {
                return (Verdict::Ok, None);
            };
            producer.calm();
            // What is refused is said by the next round.
            let _ = self.send_part(producer, commit, part);
        }
    }

    /// What is to take effect in the store, now that the broker has it; `log` is what its changelog wrote.
    pub(super) fn pending(&mut self, log: Option<&dyn CommitLog>) -> Option<&Pending> {
        let written = self.logged.written();
        if let (Some(pending), Some(last)) = (&mut self.pending, written.last()) {
            pending.mark.log = last.next;
            if let Some((space, writes)) = log.and_then(|log| log.note(&written)) {
                pending.delta.push(space, writes);
            }
        }
        self.pending.as_ref()
    }

    /// Tells whoever asked where the records of `commit` are.
    pub(super) fn tell(self, commit: Commit) {
        for (i, answer) in self.asked {
            if let (Some(Output::Record { told: Some(told), .. }), Some(result)) =
                (commit.outputs.get(i), answer.get())
            {
                told.set(result);
            }
        }
    }
}

/// What became of the records, as soon as it is known; nothing of use does once the gate is closed.
fn wait(
    landed: &mpsc::Receiver<Result<()>>,
    gate: &Gate,
    until: Instant,
) -> Result<Result<()>, mpsc::RecvTimeoutError> {
    loop {
        let answer = landed.recv_timeout(LOOK);
        let is_over = gate.is_closed() || Instant::now() >= until;
        if is_over || !matches!(answer, Err(mpsc::RecvTimeoutError::Timeout)) {
            return answer;
        }
    }
}

/// What a failed record means for its transaction.
fn after_failure(producer: &Producer) -> Verdict {
    match producer.is_over() {
        None => Verdict::Abortable,
        Some(Remedy::Fenced) => Verdict::Fenced,
        Some(_) => Verdict::Unknown,
    }
}
