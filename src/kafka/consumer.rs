//! One member of a consumer group.
//!
//! A thread of its own serves the group: heartbeats, rebalances, errors. Records never pass through
//! it; each assigned partition has a [`PartitionQueue`] that its task polls. So nothing that a handler
//! does can make the group believe that this member is gone.

pub use super::{attached::Attached, hold::Begin, offsets::GroupOffset};

use super::{
    attached::Companions,
    failed,
    hold::Held,
    nudge::Nudge,
    offsets::{add, commit, committed, names},
    queue::{PartitionQueue, Polled},
    returning::{self, Leaving},
    settings,
    trouble::Trouble,
};
use crate::{
    config::StartAt,
    error::{Error, Result},
    types::TopicPartition,
};
use parking_lot::Mutex;
use rdkafka::{
    ClientContext, bindings as rd,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, Consumer, ConsumerContext, Rebalance},
    error::KafkaError,
};
use std::{
    collections::BTreeMap,
    ffi::CString,
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

/// Longest wait for the ends of a partition.
const LOG_TIMEOUT: Duration = Duration::from_secs(5);

/// Gives the committed offsets of partitions, of those that have one; waits for the broker, not for ever.
pub type Committed<'a> = dyn Fn(&[TopicPartition]) -> Result<Vec<GroupOffset>> + 'a;

/// Who is told about partitions. Calls come one after the other, from the group's thread.
pub trait Listener: Send + Sync {
    /// These partitions are ours; their records will come through the queues. Those that are returned
    /// begin there, the others at the committed offset, for which `committed` asks the broker.
    fn assigned(
        &self,
        partitions: Vec<(TopicPartition, PartitionQueue)>,
        committed: &Committed<'_>,
    ) -> Vec<(TopicPartition, Begin)>;
    /// These partitions are going. May block until their handlers are done; the offsets returned are
    /// committed before they go. `lost`: they are gone already, and nothing can be committed.
    fn revoked(&self, partitions: &[TopicPartition], lost: bool) -> Vec<GroupOffset>;
    /// The member is in the group no more and never will be; its partitions are somebody else's.
    fn shut_out(&self, why: &str) {
        tracing::error!(target: "turbine.kafka", "shut out of the group: {why}");
    }
}

/// Settings of a member.
pub struct Membership<'a> {
    /// `host:port,...`.
    pub brokers: &'a str,
    /// The user's librdkafka settings.
    pub user: &'a BTreeMap<String, String>,
    /// Group id.
    pub group: &'a str,
    /// Topics to subscribe to.
    pub topics: &'a [String],
    /// Topics whose partitions come and go with those of another one.
    pub attached: &'a Attached,
    /// Where a group without offsets starts.
    pub start_at: StartAt,
    /// Partitions of those topics, all together.
    pub partitions: usize,
    /// Bytes that may wait in all queues together.
    pub buffer_bytes: usize,
    /// Must queues know when they are at the end of their partition?
    pub tells_ends: bool,
    /// Are its offsets committed in transactions? Then nothing of an undecided one is read, whatever the
    /// user's settings say.
    pub is_exact: bool,
    /// By which name it comes back after a crash, if it has one.
    pub name: Option<&'a str>,
}

/// See the module.
pub struct GroupConsumer {
    client: Arc<ConsumerHandle>,
    stopping: Arc<AtomicBool>,
    thread: Mutex<Option<JoinHandle<()>>>,
    start_at: StartAt,
}

/// The client, kept alive by whoever holds memory of it.
pub(super) type ConsumerHandle = BaseConsumer<Context>;

/// What librdkafka calls back.
pub(super) struct Context {
    listener: Arc<dyn Listener>,
    handle: OnceLock<Weak<ConsumerHandle>>,
    trouble: Trouble,
    held: Held,
    nudge: Nudge,
    companions: Companions,
    pub(super) polled: Polled,
    /// Are records taken one at a time? See [`PartitionQueue::take`].
    pub(super) takes_singly: bool,
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        super::log(level as i32, facility, text);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let _ = error; // the reason says it in words
        self.trouble.note("consumer", reason);
    }
}

impl ConsumerContext for Context {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(list) => {
                let Some(handle) = self.handle.get().and_then(Weak::upgrade) else { return };
                let leads = names(list);
                add(list, &self.companions.begin(&leads));
                let assigned = names(list)
                    .into_iter()
                    .filter_map(|tp| {
                        let queue = PartitionQueue::split(&handle, &tp.topic, tp.partition)?;
                        Some((tp, queue))
                    })
                    .collect();
                let ask = |wanted: &[TopicPartition]| committed(consumer, wanted);
                let starts = self.listener.assigned(assigned, &ask);
                self.held.begin(consumer.client().native_ptr(), list, &starts);
            }
            Rebalance::Revoke(list) => {
                let lost = consumer.assignment_lost();
                let leads = names(list);
                let offsets = self.listener.revoked(&leads, lost);
                add(list, &self.companions.end(&leads));
                if !lost && let Err(error) = commit(consumer, &offsets) {
                    tracing::warn!(
                        target: "turbine.kafka",
                        "the last offsets of revoked partitions were not committed, their next owner repeats some records: {error}"
                    );
                }
            }
            Rebalance::Error(error) => {
                tracing::error!(target: "turbine.kafka", "rebalance: {error}");
            }
        }
    }

    fn post_rebalance(&self, _: &BaseConsumer<Self>, _: &Rebalance<'_>) {
        self.nudge.note_rebalance();
    }
}

/// Somebody who is in no group.
struct Nobody;

impl Listener for Nobody {
    fn assigned(
        &self,
        _: Vec<(TopicPartition, PartitionQueue)>,
        _: &Committed<'_>,
    ) -> Vec<(TopicPartition, Begin)> {
        Vec::new()
    }
    fn revoked(&self, _: &[TopicPartition], _: bool) -> Vec<GroupOffset> {
        Vec::new()
    }
}

/// A client that joins no group, and reads what it is told to.
pub(super) fn alone(config: &rdkafka::ClientConfig) -> Result<Arc<ConsumerHandle>> {
    let context = Context {
        listener: Arc::new(Nobody),
        handle: OnceLock::new(),
        trouble: Trouble::default(),
        held: Held::default(),
        nudge: Nudge::default(),
        companions: Companions::default(),
        polled: Polled::default(),
        // It has no rebalances, after which a position would count.
        takes_singly: false,
    };
    let client: ConsumerHandle = config
        .create_with_context(context)
        .map_err(|e| failed("creating a client for reading logs", &e))?;
    Ok(Arc::new(client))
}

impl GroupConsumer {
    /// Joins the group. Partitions come to `listener` as the group assigns them.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for settings that librdkafka refuses; [`Error::Kafka`] if it cannot subscribe.
    pub fn join(member: &Membership<'_>, listener: Arc<dyn Listener>) -> Result<Self> {
        settings::check(member.user)?;
        let mut config = settings::consumer(
            member.brokers,
            member.user,
            member.group,
            member.start_at,
            member.partitions,
            member.buffer_bytes,
        );
        if member.tells_ends {
            config.set("enable.partition.eof", "true");
        }
        if member.is_exact {
            config.set("isolation.level", "read_committed");
        }
        let leaving = returning::name(&mut config, member).then(Leaving::default);
        let context = Context {
            listener,
            handle: OnceLock::new(),
            trouble: Trouble::default(),
            held: Held::default(),
            nudge: Nudge::default(),
            companions: Companions::new(member.attached.clone()),
            polled: Polled::default(),
            takes_singly: member.tells_ends,
        };
        let client: ConsumerHandle = config
            .create_with_context(context)
            .map_err(|e| failed(format!("creating a consumer of group {}", member.group), &e))?;
        let client = Arc::new(client);
        // Set before the subscription, so before the first rebalance can ask for it.
        let _ = client.context().handle.set(Arc::downgrade(&client));
        subscribe(&client, member.topics)?;
        let stopping = Arc::new(AtomicBool::new(false));
        let thread = {
            let (client, stopping) = (Arc::clone(&client), Arc::clone(&stopping));
            std::thread::Builder::new()
                .name(format!("turbine-group-{}", member.group))
                .spawn(move || serve(&client, &stopping, leaving))
                .map_err(|e| Error::io("starting the group's thread", &e))?
        };
        let start_at = member.start_at;
        Ok(Self { client, stopping, thread: Mutex::new(Some(thread)), start_at })
    }

    /// Reads these topics from now on; partitions of those read before stay where they are.
    ///
    /// # Errors
    ///
    /// [`Error::Kafka`] if it cannot subscribe.
    pub fn resubscribe(&self, topics: &[String]) -> Result<()> {
        subscribe(&self.client, topics)
    }

    /// Commits `offsets` and waits for the broker's answer.
    ///
    /// # Errors
    ///
    /// [`Error::Kafka`]; with [`crate::error::Act::Fence`] the partitions belong to someone else.
    pub fn commit(&self, offsets: &[GroupOffset]) -> Result<()> {
        commit(&self.client, offsets)
    }

    /// What the group has committed, of those partitions that have something. If the member is exact,
    /// waits until no transaction is about to change it, some seconds at most.
    ///
    /// # Errors
    ///
    /// [`Error::Kafka`] if the broker does not say.
    pub fn committed(&self, partitions: &[TopicPartition]) -> Result<Vec<GroupOffset>> {
        committed(&self.client, partitions)
    }

    pub(super) fn handle(&self) -> &Arc<ConsumerHandle> {
        &self.client
    }

    pub(super) fn native(&self) -> *mut rd::rd_kafka_t {
        self.client.client().native_ptr()
    }

    pub(super) fn held(&self) -> &Held {
        &self.client.context().held
    }

    pub(super) fn start_at(&self) -> StartAt {
        self.start_at
    }

    /// End offset of a partition as the last fetch saw it; asks nobody.
    pub fn end_offset(&self, tp: &TopicPartition) -> Option<i64> {
        let topic = CString::new(&*tp.topic).ok()?;
        let (mut low, mut high) = (-1, -1);
        // SAFETY: a live handle, a C string, two integers to write to.
        let code = unsafe {
            rd::rd_kafka_get_watermark_offsets(
                self.native(),
                topic.as_ptr(),
                tp.partition,
                &raw mut low,
                &raw mut high,
            )
        };
        (code == rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR && high >= 0).then_some(high)
    }

    /// First offset of a partition and the one behind its last; asks the broker.
    pub fn log(&self, tp: &TopicPartition) -> Option<(i64, i64)> {
        self.client.fetch_watermarks(&tp.topic, tp.partition, LOG_TIMEOUT).ok()
    }

    /// Has it been so long out of touch that its partitions are somebody else's?
    pub fn has_lost(&self) -> bool {
        self.client.assignment_lost()
    }

    /// The client's last general error, if younger than `age`.
    pub fn trouble(&self, age: Duration) -> Option<String> {
        self.client.context().trouble.within(age)
    }

    /// Leaves the group: every partition is revoked (see [`Listener::revoked`]), then the thread ends.
    pub fn leave(&self) {
        self.stopping.store(true, Ordering::Release);
        if let Some(thread) = self.thread.lock().take() {
            // A thread that panicked has left nothing to wait for.
            let _ = thread.join();
        }
    }
}

fn subscribe(client: &ConsumerHandle, topics: &[String]) -> Result<()> {
    if topics.is_empty() {
        // Of a pattern that nothing fits yet; librdkafka takes no empty list.
        return Ok(());
    }
    let names: Vec<&str> = topics.iter().map(String::as_str).collect();
    client.subscribe(&names).map_err(|e| failed(format!("subscribing to {}", names.join(", ")), &e))
}

/// Longest time between two looks at the group.
const LOOK: Duration = Duration::from_millis(50);

/// Serves the group until the member has left it; one that is `leaving` by itself does so in front of the client library.
fn serve(client: &ConsumerHandle, stopping: &AtomicBool, mut leaving: Option<Leaving>) {
    let (mut closing, mut is_over) = (false, false);
    loop {
        let stops = stopping.load(Ordering::Acquire) && !closing;
        if stops && (is_over || leaving.as_mut().is_none_or(|one| one.has_left(client))) {
            closing = true;
            if let Err(error) = client.close_queue() {
                tracing::warn!(target: "turbine.kafka", "leaving the group: {error}");
                return;
            }
        }
        if closing && client.closed() {
            return;
        }
        // Records have queues of their own: what comes here is served inside, errors go to the context.
        let _ = client.poll(LOOK);
        if !is_over && let Some((_, why)) = client.client().fatal_error() {
            is_over = true;
            client.context().listener.shut_out(&why);
        }
        if !stops && !closing {
            client.context().nudge.serve(client);
        }
    }
}
