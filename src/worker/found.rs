//! Topics that agents read although they were not there, or not known, when the worker started: those of
//! patterns. The front end looks for them; a group reads them beside its others from then on.

use super::Worker;
use crate::error::{Error, Result};
use parking_lot::RwLock;
use std::collections::{BTreeMap, BTreeSet};

/// Topics found by now.
#[derive(Default)]
pub(super) struct Found(RwLock<BTreeMap<String, Topic>>);

#[derive(Default)]
struct Topic {
    partitions: usize,
    readers: BTreeSet<String>,
}

impl Found {
    /// Does `agent` read `topic`?
    pub(super) fn has(&self, agent: &str, topic: &str) -> bool {
        self.0.read().get(topic).is_some_and(|one| one.readers.contains(agent))
    }

    /// Partitions of `topic`, if it was found.
    pub(super) fn partitions(&self, topic: &str) -> Option<usize> {
        self.0.read().get(topic).map(|one| one.partitions)
    }

    fn add(&self, agent: &str, topics: BTreeMap<String, usize>) {
        let mut found = self.0.write();
        for (name, partitions) in topics {
            let one = found.entry(name).or_default();
            one.partitions = partitions;
            one.readers.insert(agent.to_owned());
        }
    }

    fn of(&self, agent: &str) -> Vec<String> {
        let found = self.0.read();
        let read = found.iter().filter(|(_, one)| one.readers.contains(agent));
        read.map(|(name, _)| name.clone()).collect()
    }
}

impl Worker {
    /// Lets `agent` read these topics too, each with its number of partitions. Those that the group has stay
    /// with whoever has them.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for an agent that was not declared, [`Error::Stopped`] before the start and after the
    /// end, [`Error::Kafka`] if the group cannot subscribe.
    pub fn read_also(&self, agent: &str, topics: BTreeMap<String, usize>) -> Result<()> {
        let configs = &self.config.agents;
        let missing = || Error::Config(format!("no agent is called {agent}"));
        let id = &configs.iter().find(|one| one.name == agent).ok_or_else(missing)?.group;
        // Before the subscription, which brings the partitions.
        self.found.add(agent, topics);
        let mut all = BTreeSet::new();
        for one in configs.iter().filter(|one| one.group == *id) {
            all.extend(one.topics.iter().cloned());
            all.extend(self.found.of(&one.name));
        }
        let group = self.groups.lock().iter().find(|group| group.id == *id).cloned();
        let group = group.ok_or(Error::Stopped)?;
        let member = group.member.get().ok_or(Error::Stopped)?;
        // What another topic brings along is not subscribed.
        all.retain(|topic| group.attached.topics().all(|other| other != topic));
        member.resubscribe(&all.into_iter().collect::<Vec<_>>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_belongs_to_the_agents_that_it_was_found_for() {
        let found = Found::default();
        found.add("a", BTreeMap::from([("x".to_owned(), 3)]));
        found.add("b", BTreeMap::from([("x".to_owned(), 4), ("y".to_owned(), 1)]));
        assert!(found.has("a", "x") && !found.has("a", "y"));
        assert_eq!(found.partitions("x"), Some(4));
        assert_eq!(found.partitions("z"), None);
        assert_eq!(found.of("b"), ["x", "y"]);
    }
}
