//! Where the records of a commit have come to stand in its changelogs.

use crate::{kafka::answer::Answer, task::changelog::Written};
use std::sync::Arc;

/// The first and the last record of each topic; a topic's records are sent one behind the other.
#[derive(Default)]
pub struct Logged(Vec<OfTopic>);

struct OfTopic {
    topic: Arc<str>,
    first: Arc<Answer>,
    last: Arc<Answer>,
    count: i64,
}

impl Logged {
    /// Adds a record to `topic` that was just sent.
    pub fn add(&mut self, topic: &Arc<str>, answer: Arc<Answer>) {
        match self.0.last_mut().filter(|one| one.topic == *topic) {
            Some(one) => {
                one.last = answer;
                one.count += 1;
            }
            None => {
                let (topic, first) = (Arc::clone(topic), Arc::clone(&answer));
                self.0.push(OfTopic { topic, first, last: answer, count: 1 });
            }
        }
    }

    /// Where they are, in the order in which they were sent; topics without an acknowledgement are left out.
    #[must_use]
    pub fn written(&self) -> Vec<Written> {
        let at = |answer: &Answer| Some(answer.get()?.ok()?.offset);
        let written = |one: &OfTopic| {
            let (topic, count) = (Arc::clone(&one.topic), one.count);
            Some(Written { topic, first: at(&one.first)?, next: at(&one.last)? + 1, count })
        };
        self.0.iter().filter_map(written).collect()
    }
}
