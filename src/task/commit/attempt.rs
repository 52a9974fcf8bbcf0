//! One attempt of a commit: its records on their way, its changes on the disk.

use super::{CommitLog, Gate, ledger::Commit, output::Output};
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
    landed: Option<mpsc::Receiver<Result<()>>>,
    /// Single records of the commit that somebody wants to know the place of.
    asked: Vec<(usize, Arc<Answer>)>,
    /// The last record of the changelog.
    logged: Option<Arc<Answer>>,
    mark: Option<Mark>,
    pending: Option<Pending>,
}

impl Attempt {
    /// One whose transaction has begun, or not; `mark` is where the state will be at, if anything changes.
    pub(super) fn new(begun: Verdict, mark: Option<Mark>) -> Self {
        let (asked, logged) = (Vec::new(), None);
        Self { begun, refused: None, landed: None, asked, logged, mark, pending: None }
    }

    /// Sends everything that `commit` writes.
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
        let (landed, inbox) = mpsc::sync_channel(1);
        let flight = Flight::new(move |result| {
            // An attempt that was given up does not listen.
            let _ = landed.send(result);
        });
        self.landed = Some(inbox);
        let sent = self.enqueue(producer, &flight, commit, mark, log);
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
        mark: Mark,
        log: Option<&dyn CommitLog>,
    ) -> Result<()> {
        // In front of the outputs: what is there within the same millisecond is registered with the
        // coordinator in one request. Also for a commit that changes nothing: whoever restores follows offsets
        // and tokens, and would not get over one that is not there.
        for record in
            log.map_or(Ok(Vec::new()), |log| log.records(&commit.delta, commit.from, &mark))?
        {
            let answer = Arc::new(Answer::default());
            record.send(producer, flight, Some(Arc::clone(&answer)))?;
            self.logged = Some(answer);
        }
        for (i, output) in commit.outputs.iter().enumerate() {
            let answer = matches!(output, Output::Record { told: Some(_), .. })
                .then(|| Arc::new(Answer::default()));
            output.send(producer, flight, answer.clone())?;
            self.asked.extend(answer.map(|answer| (i, answer)));
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

    /// Waits for the acknowledgement of every record; also says what went wrong.
    pub(super) fn flush(&mut self, producer: &Producer, gate: &Gate) -> (Verdict, Option<String>) {
        if self.begun != Verdict::Ok {
            return (self.begun, None);
        }
        let landed = match &self.landed {
            Some(landed) => wait(landed, gate),
            None => Ok(Ok(())),
        };
        match (landed, &self.refused) {
            (Ok(Ok(())), None) => (Verdict::Ok, None),
            (Ok(Ok(())), Some(error)) => (Verdict::Abortable, Some(error.to_string())),
            (Ok(Err(error)), _) => (after_failure(producer), Some(error.to_string())),
            (Err(_), _) => (Verdict::Unknown, Some("outputs were not acknowledged in time".into())),
        }
    }

    /// What is to take effect in the store, now that the broker has it.
    pub(super) fn pending(&mut self) -> Option<&Pending> {
        let end = self.logged.as_ref().and_then(|answer| answer.get()?.ok());
        if let (Some(pending), Some(receipt)) = (&mut self.pending, end) {
            pending.mark.log = receipt.offset + 1;
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
) -> Result<Result<()>, mpsc::RecvTimeoutError> {
    let began = Instant::now();
    loop {
        let answer = landed.recv_timeout(LOOK);
        let is_over = gate.is_closed() || began.elapsed() >= FLUSH_TIMEOUT;
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
