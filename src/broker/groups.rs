//! All consumer groups: the state machines of [`super::group`] behind a lock, and their clock.

use super::{
    group::{Answer, Committed, Group},
    peer::Peer,
    storage::{Note, Storage},
};
use crate::clock::Clock;
use kafka_protocol::ResponseError;
use parking_lot::Mutex;
use std::{
    collections::{BTreeMap, HashMap},
    io,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::{Notify, oneshot};

/// Whom to tell.
pub(crate) type Reply = oneshot::Sender<Answer>;

/// A group and who its members are.
struct Known {
    group: Group<Reply>,
    /// The client that last spoke for a member, by member id; kept only where it is asked for.
    peers: HashMap<String, Arc<Peer>>,
}

impl Known {
    fn expire(&mut self, now: Instant, is_virtual: bool) {
        if is_virtual {
            let peers = &self.peers;
            self.group.excuse(now, |id| peers.get(id).is_some_and(|p| p.is_connected()));
        }
        self.group.expire(now);
        send(&mut self.group);
    }
}

/// All groups.
pub(crate) struct Groups {
    storage: Arc<Storage>,
    initial_delay: Duration,
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
    /// No groups yet; the first members of a group will wait `initial_delay` for others.
    pub(crate) fn new(storage: Arc<Storage>, initial_delay: Duration, clock: Clock) -> Self {
        Self { storage, initial_delay, clock, inner: Mutex::default(), earlier: Notify::new() }
    }

    /// Works on a group, which is made if there is none, and sends the answers that come of it.
    pub(crate) fn with<R>(
        &self,
        id: &str,
        work: impl FnOnce(&mut Group<Reply>, Instant) -> R,
    ) -> R {
        let mut inner = self.inner.lock();
        if !inner.by_id.contains_key(id) {
            let group = Group::new(self.initial_delay);
            inner.by_id.insert(id.to_owned(), Known { group, peers: HashMap::new() });
        }
        self.work(&mut inner, id, work).expect("the group is there")
    }

    /// Works on a group if there is one.
    pub(crate) fn with_existing<R>(
        &self,
        id: &str,
        work: impl FnOnce(&mut Group<Reply>, Instant) -> R,
    ) -> Option<R> {
        self.work(&mut self.inner.lock(), id, work)
    }

    fn work<R>(
        &self,
        inner: &mut Inner,
        id: &str,
        work: impl FnOnce(&mut Group<Reply>, Instant) -> R,
    ) -> Option<R> {
        let group = &mut inner.by_id.get_mut(id)?.group;
        let result = work(group, self.clock.now());
        send(group);
        let due = group.next_deadline();
        if due.is_some_and(|due| inner.alarm.is_none_or(|alarm| due < alarm)) {
            inner.alarm = due;
            self.earlier.notify_one();
        }
        Some(result)
    }

    /// `peer` has spoken for a member.
    pub(crate) fn heard(&self, id: &str, member_id: &str, peer: &Arc<Peer>) {
        if !self.clock.is_virtual() {
            return;
        }
        if let Some(Known { group, peers }) = self.inner.lock().by_id.get_mut(id) {
            peers.retain(|id, _| group.knows(id));
            if group.knows(member_id) {
                peers.insert(member_id.to_owned(), Arc::clone(peer));
            }
        }
    }

    /// Takes members out of a group as if they had been silent for a session: those with this member
    /// id, instance id or client id. Returns how many.
    pub(crate) fn expel(&self, id: &str, name: &str) -> usize {
        self.with_existing(id, |group, now| group.expel(name, now)).unwrap_or(0)
    }

    /// Sends a group, or all of them, through a new generation; returns how many had members.
    pub(crate) fn start_over(&self, id: Option<&str>) -> usize {
        let ids: Vec<String> = match id {
            Some(id) => vec![id.to_owned()],
            None => self.inner.lock().by_id.keys().cloned().collect(),
        };
        let start_over = |id: &String| {
            self.with_existing(id, |group, now| group.start_over(now)).unwrap_or(false)
        };
        ids.iter().filter(|id| start_over(id)).count()
    }

    /// Looks at every group.
    pub(crate) fn each(&self, mut look: impl FnMut(&str, &Group<Reply>)) {
        self.inner.lock().by_id.iter().for_each(|(id, known)| look(id, &known.group));
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
        if !group.group.is_deletable() {
            return Err(ResponseError::NonEmptyGroup);
        }
        self.storage
            .note(&[Note::GroupGone { group: id.to_owned() }])
            .map_err(|_| ResponseError::KafkaStorageError)?;
        inner.by_id.remove(id);
        Ok(())
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
        for known in inner.by_id.values_mut() {
            if known.group.next_deadline().is_some_and(|due| due <= now) {
                known.expire(now, self.clock.is_virtual());
            }
            next = [next, known.group.next_deadline()].into_iter().flatten().min();
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
