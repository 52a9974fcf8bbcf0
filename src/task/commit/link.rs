//! What a task with transactions needs of the broker.

use crate::{
    engine::identity::Identity,
    error::Result,
    kafka::{consumer::GroupOffset, producer::Producer, transaction::GroupMetadata},
    types::TopicPartition,
};
use parking_lot::{Condvar, Mutex};
use std::{sync::Arc, time::Duration};

/// The member of the group whose task it is. Calls may block for the broker.
pub trait Member: Send + Sync {
    /// The member as it is now; none if it is about to leave, or has not joined.
    fn metadata(&self) -> Option<GroupMetadata>;
    /// What the group has committed for `tp`, once no transaction is about to change it.
    ///
    /// # Errors
    ///
    /// If the broker does not say.
    fn committed(&self, tp: &TopicPartition) -> Result<Option<GroupOffset>>;
    /// First offset of `tp` and the one behind its last, if the broker says.
    fn log(&self, tp: &TopicPartition) -> Option<(i64, i64)>;
    /// Which topic of which cluster `tp` is of now; its generation means nothing.
    ///
    /// # Errors
    ///
    /// If the broker does not say.
    fn identity(&self, tp: &TopicPartition) -> Result<Identity>;
    /// Is `tp` assigned to it?
    fn owns(&self, tp: &TopicPartition) -> bool;
}

/// Makes a producer with the transactional id of the task.
pub type MakeProducer = Box<dyn Fn() -> Result<Arc<Producer>> + Send + Sync>;

/// How a task reaches the broker.
pub struct Link {
    /// Its partition.
    pub tp: TopicPartition,
    /// Those of its other inputs.
    pub sides: Vec<TopicPartition>,
    /// Makes its producer.
    pub make: MakeProducer,
    /// Its member.
    pub member: Arc<dyn Member>,
    /// After so long the member knows what it has lost: it was heard by the group meanwhile.
    pub group_says: Duration,
}

/// The transactional id of a task; `name` tells tasks of several subscriptions to one topic apart.
#[must_use]
pub fn transactional_id(app_id: &str, tp: &TopicPartition, name: Option<&str>) -> String {
    let base = format!("{app_id}-{}-{}", tp.topic, tp.partition);
    name.map_or_else(|| base.clone(), |name| format!("{base}-{name}"))
}

/// Ends waits, and everything else, of a task that is let go of at once.
#[derive(Default)]
pub struct Gate {
    closed: Mutex<bool>,
    changed: Condvar,
}

impl Gate {
    /// From now on nothing more is done.
    pub fn close(&self) {
        *self.closed.lock() = true;
        self.changed.notify_all();
    }

    /// Is it over?
    pub fn is_closed(&self) -> bool {
        *self.closed.lock()
    }

    /// Waits, unless it is closed meanwhile.
    pub fn wait(&self, time: Duration) {
        let mut closed = self.closed.lock();
        if !*closed {
            self.changed.wait_for(&mut closed, time);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two subscriptions of one app to one topic never fence each other.
    #[test]
    fn ids_differ_by_subscription_and_partition() {
        let tp = TopicPartition::new("orders", 3);
        assert_eq!(transactional_id("shop", &tp, None), "shop-orders-3");
        assert_eq!(transactional_id("shop", &tp, Some("count")), "shop-orders-3-count");
    }
}
