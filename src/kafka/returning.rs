//! Members that come back after a crash: what Kafka calls static members.
//!
//! Whoever joins under the name of a member that is gone takes its partitions over at once. Under no name, or another
//! one, everybody waits until the group misses the one that is gone, which takes the session timeout.
//!
//! # Guarantees
//!
//! * A group gives a member that comes back what it had, whatever it asks for: so a name stands for one list of
//!   topics and one number of partitions.
//! * Whoever stops in order leaves the group at once. By itself the client library leaves it waiting.
//!
//! # Not here
//!
//! Members of groups whose protocol is `consumer` (KIP-848): there the client library cannot leave for good.

use super::consumer::{ConsumerHandle, Membership};
use rdkafka::{ClientConfig, bindings as rd, consumer::Consumer};
use std::{collections::BTreeSet, ffi::CStr};
use twox_hash::XxHash3_64;

const SETTING: &str = "group.instance.id";
/// Looks at the group until whoever leaves does not wait for its answer any longer: some seconds.
const MOST_LOOKS: u32 = 60;

/// Gives the member its name, unless the user has; says whether it is ours.
pub(super) fn name(config: &mut ClientConfig, member: &Membership<'_>) -> bool {
    if let Some(given) = member.user.get(SETTING) {
        if given.is_empty() {
            config.remove(SETTING);
        }
        return false;
    }
    let is_classic = config.get("group.protocol").is_none_or(|protocol| protocol == "classic");
    let Some(name) = member.name.filter(|_| is_classic) else { return false };
    let topics: BTreeSet<&str> = member.topics.iter().map(String::as_str).collect();
    let mut reads = member.partitions.to_string();
    topics.iter().for_each(|topic| reads.extend(["\n", topic]));
    config.set(SETTING, format!("{name}-{:016x}", XxHash3_64::oneshot(reads.as_bytes())));
    true
}

/// How far a member is that leaves.
#[derive(Default)]
pub(super) struct Leaving {
    looks: u32,
    has_begun: bool,
}

impl Leaving {
    /// Gives everything back, then leaves; true once that is done, or takes too long. To be called between two looks
    /// at the group.
    pub(super) fn has_left(&mut self, client: &ConsumerHandle) -> bool {
        self.looks += 1;
        let is_known = !number(client).is_empty();
        if self.has_begun {
            // The last step is that the client forgets its number.
            return !is_known || self.looks > MOST_LOOKS;
        }
        // The group has the member as soon as it is asked, and only who has the answer can leave.
        if is_known || self.looks > MOST_LOOKS || !reads_topics(client) {
            client.unsubscribe();
            *self = Self { looks: 0, has_begun: true };
        }
        false
    }
}

fn reads_topics(client: &ConsumerHandle) -> bool {
    client.subscription().is_ok_and(|topics| topics.count() > 0)
}

/// Under which number the group knows the member; empty if it does not.
fn number(client: &ConsumerHandle) -> String {
    let rk = client.client().native_ptr();
    // SAFETY: a live consumer; the text is ours, read once and given back.
    unsafe {
        let text = rd::rd_kafka_memberid(rk);
        if text.is_null() {
            return String::new();
        }
        let number = CStr::from_ptr(text).to_string_lossy().into_owned();
        rd::rd_kafka_mem_free(rk, text.cast());
        number
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::StartAt, kafka::attached::Attached};
    use std::collections::BTreeMap;

    fn named(user: &[(&str, &str)], topics: &[&str], partitions: usize) -> Option<String> {
        let user: BTreeMap<_, _> =
            user.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let topics: Vec<_> = topics.iter().map(|topic| (*topic).to_owned()).collect();
        let member = Membership {
            brokers: "localhost:1",
            user: &user,
            group: "g",
            topics: &topics,
            attached: &Attached::default(),
            start_at: StartAt::Earliest,
            partitions,
            buffer_bytes: 1 << 20,
            tells_ends: false,
            is_exact: false,
            name: Some("n"),
        };
        let mut config = ClientConfig::new();
        user.iter().for_each(|(key, value)| {
            config.set(key, value);
        });
        name(&mut config, &member);
        config.get(SETTING).map(str::to_owned)
    }

    #[test]
    fn a_name_stands_for_its_topics_and_partitions() {
        let first = named(&[], &["a", "b"], 4).unwrap();
        assert!(first.starts_with("n-"));
        assert_eq!(named(&[], &["b", "a"], 4).unwrap(), first);
        for (topics, partitions) in [(&["a"][..], 4), (&["a", "b", "c"], 4), (&["a", "b"], 5)] {
            assert_ne!(named(&[], topics, partitions).unwrap(), first);
        }
    }

    #[test]
    fn users_have_the_last_word() {
        assert_eq!(named(&[(SETTING, "mine")], &["a"], 4).as_deref(), Some("mine"));
        assert_eq!(named(&[(SETTING, "")], &["a"], 4), None);
        assert_eq!(named(&[("group.protocol", "consumer")], &["a"], 4), None);
    }
}
