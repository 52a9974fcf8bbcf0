//! All consumer groups: the state machines of [`super::group`] and [`super::consumer_group`] behind a
//! lock, and their clock.

mod consumers;
mod keeping;
mod known;
mod transactional;

use self::known::Known;
use super::{
    cluster::{Cluster, Coordinated},
    config::BrokerConfig,
    consumer_group::ConsumerGroup,
    group::{Answer, Committed, Group, Join},
    peer::Peer,
    storage::{Note, Storage},
};

use crate::clock::Clock;
use kafka_protocol::ResponseError;
use parking_lot::Mutex;
use std::{
    collections::BTreeMap,
    io,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::{Notify, oneshot};

/// Whom to tell.
pub(crate) type Reply = oneshot::Sender<Answer>;

/// All groups.
pub(crate) struct Groups {
    storage: Arc<Storage>,
    cluster: Arc<Cluster>,
    initial_delay: Duration,
    /// Longest silence of a member of the `consumer` protocol.
    consumer_session: Duration,
    clock: Clock,
    inner: Mutex<Inner>,
    /// Something is due earlier than the clock believes.
    earlier: Notify,
}

#[derive(Default)]
struct Inner {
    by_id: BTreeMap<String, Known>,
    /// What the clock sleeps for.
    alarm: Option<Instant>,
}

impl Groups {
    /// No groups yet.
    pub(crate) fn new(storage: Arc<Storage>, cluster: Arc<Cluster>, config: &BrokerConfig) -> Self {
        Self {
            storage,
            cluster,
            initial_delay: Duration::from_millis(config.initial_rebalance_delay_ms),
            consumer_session: Duration::from_millis(config.consumer_session_timeout_ms),
            clock: config.clock.clone(),
            inner: Mutex::default(),
            earlier: Notify::new(),
        }
    }

    fn new_group(&self) -> Known {
        Known::new(Group::new(self.initial_delay))
    }

    /// Works on a group, which is made if there is none, and sends the answers that come of it.
    pub(crate) fn with<R>(
        &self,
        id: &str,
        work: impl FnOnce(&mut Group<Reply>, Instant) -> R,
    ) -> R {
        let mut inner = self.inner.lock();
        inner.by_id.entry(id.to_owned()).or_insert_with(|| self.new_group());
        let work = |known: &mut Known, now| work(&mut known.group, now);
        self.work(&mut inner, id, work).expect("the group is there")
    }

    /// A client joins in the classic protocol; with `may_create` false the group has to be there.
    pub(crate) fn join(
        &self,
        id: &str,
        join: Join,
        reply: Reply,
        may_create: bool,
    ) -> Result<(), ResponseError> {
        let mut inner = self.inner.lock();
        if may_create {
            inner.by_id.entry(id.to_owned()).or_insert_with(|| self.new_group());
        }
        let joined = self.work(&mut inner, id, |known, now| {
            match &known.consumers {
                Some(consumers) if !consumers.is_empty() => {
                    return Err(ResponseError::InconsistentGroupProtocol);
                }
                Some(_) if may_create => known.consumers = None,
                _ => {}
            }
            known.group.join(join, reply, now);
            Ok(())
        });
        joined.unwrap_or(Err(ResponseError::UnknownMemberId))
    }

    /// A member goes, in either protocol; with an empty id, the one with this instance id is sent away.
    pub(crate) fn leave(
        &self,
        id: &str,
        member_id: &str,
        instance_id: Option<&str>,
    ) -> Result<(), ResponseError> {
        let left = self.work(&mut self.inner.lock(), id, |known, now| match &mut known.consumers {
            Some(consumers) => consumers.dismiss(member_id, instance_id),
            None => known.group.leave(member_id, instance_id, now),
        });
        left.unwrap_or(Err(ResponseError::UnknownMemberId))
    }

    /// Whether this caller may commit offsets for a group: by its member id and its generation or
    /// epoch, or, if both are nothing, because nobody is in the group.
    pub(crate) fn may_commit(
        &self,
        id: &str,
        member_id: &str,
        instance_id: Option<&str>,
        generation: i32,
    ) -> Result<(), ResponseError> {
        let mut inner = self.inner.lock();
        if generation < 0 {
            inner.by_id.entry(id.to_owned()).or_insert_with(|| self.new_group());
        }
        let allowed = self.work(&mut inner, id, |known, now| match &known.consumers {
            Some(consumers) => consumers.may_commit(member_id, generation),
            None => known.group.may_commit(member_id, instance_id, generation, now),
        });
        allowed.unwrap_or(Err(ResponseError::GroupIdNotFound))
    }

    /// Whether this caller, if it claims to be a member, may see what a group has committed.
    pub(crate) fn may_fetch(
        &self,
        id: &str,
        member_id: Option<&str>,
        epoch: i32,
    ) -> Result<(), ResponseError> {
        match self.inner.lock().by_id.get(id).and_then(|known| known.consumers.as_ref()) {
            Some(consumers) => consumers.may_fetch(member_id, epoch),
            None => Ok(()),
        }
    }

    /// Which of the topics members of a group subscribe to, in the same order.
    ///
    /// # Errors
    ///
    /// There is no such group, or its members are not consumers and what they use is their own.
    pub(crate) fn subscribed(&self, id: &str, topics: &[&str]) -> Result<Vec<bool>, ResponseError> {
        let inner = self.inner.lock();
        let known = inner.by_id.get(id).ok_or(ResponseError::GroupIdNotFound)?;
        if known.group.has_strangers() {
            return Err(ResponseError::NonEmptyGroup);
        }
        let subscribes = |topic: &&str| match &known.consumers {
            Some(consumers) => consumers.subscribes_to(topic),
            None => known.group.subscribes_to(topic),
        };
        Ok(topics.iter().map(subscribes).collect())
    }

    /// True if a group speaks the `consumer` protocol.
    pub(crate) fn has_consumers(&self, id: &str) -> bool {
        self.inner.lock().by_id.get(id).is_some_and(|known| known.consumers.is_some())
    }

    /// Works on a group if there is one.
    pub(crate) fn with_existing<R>(
        &self,
        id: &str,
        work: impl FnOnce(&mut Group<Reply>, Instant) -> R,
    ) -> Option<R> {
        self.work(&mut self.inner.lock(), id, |known, now| work(&mut known.group, now))
    }

    fn work<R>(
        &self,
        inner: &mut Inner,
        id: &str,
        work: impl FnOnce(&mut Known, Instant) -> R,
    ) -> Option<R> {
        let known = inner.by_id.get_mut(id)?;
        let result = work(known, self.clock.now());
        self.keep(id, known);
        send(&mut known.group);
        let due = known.next_deadline();
        if due.is_some_and(|due| inner.alarm.is_none_or(|alarm| due < alarm)) {
            inner.alarm = due;
            self.earlier.notify_one();
        }
        Some(result)
    }

    /// `peer` has spoken for a member.
    pub(crate) fn heard(&self, id: &str, member_id: &str, peer: &Arc<Peer>) {
        if self.clock.is_virtual()
            && let Some(known) = self.inner.lock().by_id.get_mut(id)
        {
            known.heard(member_id, peer);
        }
    }

    /// Takes members out of a group as if they had been silent for a session: those with this member
    /// id, instance id or client id. Returns how many.
    pub(crate) fn expel(&self, id: &str, name: &str) -> usize {
        let expel = |known: &mut Known, now| known.expel(name, now);
        self.work(&mut self.inner.lock(), id, expel).unwrap_or(0)
    }

    /// Sends a group, or all of them, through a new generation; returns how many had members.
    pub(crate) fn start_over(&self, id: Option<&str>) -> usize {
        let ids: Vec<String> = match id {
            Some(id) => vec![id.to_owned()],
            None => self.inner.lock().by_id.keys().cloned().collect(),
        };
        let start_over =
            |id: &String| self.work(&mut self.inner.lock(), id, Known::start_over).unwrap_or(false);
        ids.iter().filter(|id| start_over(id)).count()
    }

    /// Looks at every group, and at its members of the `consumer` protocol if it is one of that.
    pub(crate) fn each(&self, mut look: impl FnMut(&str, &Group<Reply>, Option<&ConsumerGroup>)) {
        for (id, known) in &self.inner.lock().by_id {
            look(id, &known.group, known.consumers.as_ref());
        }
    }

    /// Writes committed offsets down and remembers them.
    pub(crate) fn commit(
        &self,
        group: &str,
        offsets: Vec<(String, i32, Option<Committed>)>,
    ) -> io::Result<()> {
        self.with(group, |known, _| {
            // Under the lock, so that the last commit is the last note too.
            if self.storage.is_durable() {
                let note = |(topic, partition, committed): &(String, i32, Option<Committed>)| {
                    let (group, topic, committed) =
                        (group.to_owned(), topic.clone(), committed.clone());
                    Note::Commit { group, topic, partition: *partition, committed }
                };
                self.storage.note(&offsets.iter().map(note).collect::<Vec<_>>())?;
            }
            restore(known, offsets);
            Ok(())
        })
    }

    /// Puts back what a group had committed before a restart.
    pub(crate) fn restore(&self, group: &str, offsets: Vec<(String, i32, Option<Committed>)>) {
        self.with(group, |group, _| restore(group, offsets));
    }

    /// Forgets what was committed for a topic that is gone.
    pub(crate) fn forget_topic(&self, topic: &str) {
        self.inner.lock().by_id.values_mut().for_each(|k| k.group.offsets.remove_topic(topic));
    }

    /// Deletes a group that has no members.
    pub(crate) fn delete(&self, id: &str) -> Result<(), ResponseError> {
        let mut inner = self.inner.lock();
        let group = inner.by_id.get(id).ok_or(ResponseError::GroupIdNotFound)?;
        if !group.is_deletable() {
            return Err(ResponseError::NonEmptyGroup);
        }
        self.storage
            .note(&[Note::GroupGone { group: id.to_owned() }])
            .map_err(|_| ResponseError::KafkaStorageError)?;
        inner.by_id.remove(id);
        Ok(())
    }

    /// Lets `change` move coordinators. As on Kafka, the new one knows who is in a group, but not
    /// since when it is silent.
    pub(crate) fn move_coordinators<R>(&self, change: impl FnOnce(&Cluster) -> R) -> R {
        let mut inner = self.inner.lock();
        let before: Vec<Option<i32>> = inner.by_id.keys().map(|id| self.coordinator(id)).collect();
        let result = change(&self.cluster);
        let now = self.clock.now();
        for ((id, known), before) in inner.by_id.iter_mut().zip(before) {
            if self.coordinator(id) != before {
                known.renew(now);
            }
        }
        result
    }

    fn coordinator(&self, id: &str) -> Option<i32> {
        self.cluster.coordinator(Coordinated::Group(id))
    }

    /// Lets time pass for the groups; never returns.
    pub(crate) async fn run_clock(&self) {
        loop {
            match self.expire(self.clock.now()) {
                Some(due) => tokio::select! {
                    () = self.clock.sleep_until(due) => {}
                    () = self.earlier.notified() => {}
                },
                None => self.earlier.notified().await,
            }
        }
    }

    fn expire(&self, now: Instant) -> Option<Instant> {
        let mut inner = self.inner.lock();
        let mut next: Option<Instant> = None;
        for (id, known) in &mut inner.by_id {
            if known.next_deadline().is_some_and(|due| due <= now) {
                if self.coordinator(id).is_some() {
                    known.expire(now, self.clock.is_virtual());
                    self.keep(id, known);
                    send(&mut known.group);
                } else {
                    // Nobody is there to hear of its members, so nobody misses them.
                    known.renew(now);
                }
            }
            next = [next, known.next_deadline()].into_iter().flatten().min();
        }
        inner.alarm = next;
        next
    }
}

fn restore(group: &mut Group<Reply>, offsets: Vec<(String, i32, Option<Committed>)>) {
    for (topic, partition, committed) in offsets {
        match committed {
            Some(committed) => group.offsets.set(&topic, partition, committed),
            None => drop(group.offsets.remove(&topic, partition)),
        }
    }
}

fn send(group: &mut Group<Reply>) {
    for (reply, answer) in group.take_answers() {
        // The connection that asked may be gone.
        let _ = reply.send(answer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SESSION: Duration = Duration::from_secs(10);

    fn groups(clock: &Clock) -> Groups {
        let address = ("localhost".to_owned(), 9092);
        let cluster = Arc::new(Cluster::new([address.clone(), address]));
        let config = BrokerConfig { clock: clock.clone(), ..BrokerConfig::default() };
        let groups = Groups::new(Arc::new(Storage::Memory), cluster, &config);
        let join = Join {
            member_id: String::new(),
            new_member_id: "m".into(),
            instance_id: None,
            client_id: "c".into(),
            client_host: "/127.0.0.1".into(),
            session_timeout: SESSION,
            rebalance_timeout: SESSION,
            protocol_type: "consumer".into(),
            protocols: vec![("range".into(), bytes::Bytes::new())],
            takes_id_first: false,
            may_skip_assignment: false,
        };
        groups.join("g", join, oneshot::channel().0, true).unwrap();
        groups
    }

    fn members_after(groups: &Groups, clock: &Clock, time: Duration) -> usize {
        clock.advance(time);
        groups.expire(clock.now());
        groups.with("g", |group, _| group.members().len())
    }

    #[test]
    fn nobody_misses_a_member_while_there_is_no_coordinator() {
        let clock = Clock::standing_at(0);
        let groups = groups(&clock);
        for node in [1, 2] {
            groups.move_coordinators(|nodes| nodes.set_live(node, false));
        }
        assert_eq!(members_after(&groups, &clock, SESSION * 5), 1);
        for node in [1, 2] {
            groups.move_coordinators(|nodes| nodes.set_live(node, true));
        }
        assert_eq!(members_after(&groups, &clock, SESSION / 2), 1);
        assert_eq!(members_after(&groups, &clock, SESSION), 0);
    }

    #[test]
    fn a_new_coordinator_gives_members_all_their_time_and_another_node_changes_nothing() {
        for (node, left) in [(1, 1), (2, 0)] {
            let clock = Clock::standing_at(0);
            let groups = groups(&clock);
            assert_eq!(groups.coordinator("g"), Some(2));
            groups.move_coordinators(|nodes| nodes.set_live(2, false));
            assert_eq!(members_after(&groups, &clock, SESSION / 2), 1);
            // Back to the first, or not.
            groups.move_coordinators(|nodes| nodes.set_live(2, true));
            if node == 1 {
                groups.move_coordinators(|nodes| nodes.set_live(1, false));
            }
            assert_eq!(members_after(&groups, &clock, SESSION * 3 / 4), left, "without {node}");
        }
    }
}
