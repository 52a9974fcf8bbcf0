//! What became of one sent record, for whoever sent it.

use crate::error::Result;
use parking_lot::{Condvar, Mutex};
use std::time::{Duration, Instant};

/// What one sent record became.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Partition it was written to.
    pub partition: i32,
    /// Its offset there.
    pub offset: i64,
    /// Its timestamp, ms since the Unix epoch.
    pub timestamp_ms: i64,
}

type OnAnswer = Box<dyn FnOnce(&Result<Receipt>) + Send>;

/// The answer to one record, as its sender sees it.
#[derive(Default)]
pub struct Answer {
    state: Mutex<AnswerState>,
    changed: Condvar,
}

#[derive(Default)]
struct AnswerState {
    result: Option<Result<Receipt>>,
    on_answer: Vec<OnAnswer>,
}

impl Answer {
    /// The answer, if it is there.
    pub fn get(&self) -> Option<Result<Receipt>> {
        self.state.lock().result.clone()
    }

    /// Blocks until the answer is there, at most `timeout`.
    pub fn wait(&self, timeout: Duration) -> Option<Result<Receipt>> {
        let deadline = Instant::now() + timeout;
        let mut state = self.state.lock();
        while state.result.is_none() {
            if self.changed.wait_until(&mut state, deadline).timed_out() {
                break;
            }
        }
        state.result.clone()
    }

    /// Runs `then` with the answer: now if it is there, else on the producer's thread.
    pub fn on_answer(&self, then: impl FnOnce(&Result<Receipt>) + Send + 'static) {
        let mut state = self.state.lock();
        match &state.result {
            Some(result) => {
                let result = result.clone();
                drop(state);
                then(&result);
            }
            None => state.on_answer.push(Box::new(then)),
        }
    }

    /// Gives the answer to everybody who waits for it.
    pub(crate) fn set(&self, result: Result<Receipt>) {
        let waiting = {
            let mut state = self.state.lock();
            state.result = Some(result.clone());
            std::mem::take(&mut state.on_answer)
        };
        self.changed.notify_all();
        for then in waiting {
            then(&result);
        }
    }
}
