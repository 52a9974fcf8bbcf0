//! The transactional producer and the members that commit with it, against the embedded broker.

use parking_lot::Mutex;
use std::{
    collections::BTreeMap,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};
use turbine::{
    broker::{Broker, BrokerConfig},
    config::StartAt,
    engine::{halt::Reason, identity::Identity},
    faults::{Action, Direction, Target, error_by_name},
    kafka::{
        consumer::{Attached, Begin, Committed, GroupConsumer, GroupOffset, Listener, Membership},
        flight::Flight,
        messages::Messages,
        outgoing::Outgoing,
        producer::Producer,
        queue::PartitionQueue,
        transaction::{GroupMetadata, Remedy},
    },
    metrics::Metrics,
    state::{Delta, MemoryStore, Space, Store, Writes},
    task::commit::{
        Commit, Ended, Ledger, LedgerParts, Link, Live, Member, NothingToCatchUp, Outbound, Output,
        Turns,
    },
    types::{Records as _, TopicPartition},
};

const TIMEOUT: Duration = Duration::from_secs(20);

fn broker() -> Broker {
    let config = BrokerConfig { default_partitions: 1, ..BrokerConfig::default() };
    Broker::start(config).unwrap()
}

fn counter() -> prometheus::IntCounter {
    prometheus::IntCounter::new("records", "records").unwrap()
}

fn transactional(broker: &Broker, id: &str) -> Arc<Producer> {
    let user = BTreeMap::new();
    let producer =
        Producer::transactional(&broker.address(), &user, id, 1 << 20, counter()).unwrap();
    let end = Instant::now() + TIMEOUT;
    while let Err(refusal) = producer.init(Duration::from_secs(5)) {
        assert!(refusal.remedy == Remedy::Retry && Instant::now() < end, "{refusal:?}");
    }
    producer
}

/// Writes one record a value and waits until each is acknowledged.
fn write(producer: &Producer, topic: &str, values: &[&str]) {
    let (landed, inbox) = mpsc::channel();
    let flight = Flight::new(move |result| landed.send(result).unwrap());
    for value in values {
        let record =
            Outgoing { value: Some(value.as_bytes()), partition: Some(0), ..Outgoing::default() };
        producer.send(topic, &record, Some(&flight), None).unwrap();
    }
    flight.seal();
    producer.hasten();
    inbox.recv_timeout(TIMEOUT).unwrap().unwrap();
}

/// A broker with these records in one committed transaction.
pub(super) fn broker_with(values: &[String]) -> Broker {
    let broker = broker();
    let writer = transactional(&broker, "writer");
    writer.begin().unwrap();
    write(&writer, "t", &values.iter().map(String::as_str).collect::<Vec<_>>());
    writer.commit().unwrap();
    broker
}

pub(super) fn numbers(of: std::ops::Range<i64>) -> Vec<String> {
    of.map(|n| n.to_string()).collect()
}

/// A member whose partitions all begin at the same place.
pub(super) struct Everything {
    begin: Begin,
    queues: Mutex<Vec<PartitionQueue>>,
    /// Partitions that were taken away, and why the member was shut out.
    pub(super) gone: Mutex<Vec<TopicPartition>>,
    pub(super) shut_out: Mutex<Option<String>>,
}

impl Listener for Everything {
    fn assigned(
        &self,
        partitions: Vec<(TopicPartition, PartitionQueue)>,
        _: &Committed<'_>,
    ) -> Vec<(TopicPartition, Begin)> {
        let (names, queues): (Vec<_>, Vec<_>) = partitions.into_iter().unzip();
        self.queues.lock().extend(queues);
        names.into_iter().map(|tp| (tp, self.begin)).collect()
    }

    fn revoked(&self, partitions: &[TopicPartition], _: bool) -> Vec<GroupOffset> {
        self.gone.lock().extend_from_slice(partitions);
        Vec::new()
    }

    fn shut_out(&self, why: &str) {
        *self.shut_out.lock() = Some(why.to_owned());
    }
}

impl Everything {
    pub(super) fn new(begin: Begin) -> Self {
        Self { begin, queues: Mutex::default(), gone: Mutex::default(), shut_out: Mutex::default() }
    }

    /// Gives the queues back.
    pub(super) fn clear(&self) {
        self.queues.lock().clear();
    }

    /// Values and offsets that come within `time`, or until there are `count`.
    pub(super) fn take(&self, count: usize, time: Duration) -> Vec<(i64, String)> {
        let end = Instant::now() + time;
        let mut records = Messages::default();
        while records.len() < count && Instant::now() < end {
            for queue in &*self.queues.lock() {
                queue.take(&mut records, 100, 1 << 20).unwrap();
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        let value = |i| String::from_utf8(records.value(i).unwrap().to_vec()).unwrap();
        (0..records.len()).map(|i| (records.offset(i), value(i))).collect()
    }
}

/// One that reads committed records of `topics`, of one partition.
pub(super) fn member<'a>(brokers: &'a str, group: &'a str, topics: &'a [String]) -> Membership<'a> {
    static NOTHING: (BTreeMap<String, String>, LazyLock<Attached>) =
        (BTreeMap::new(), LazyLock::new(Attached::default));
    Membership {
        brokers,
        user: &NOTHING.0,
        group,
        topics,
        attached: &NOTHING.1,
        start_at: StartAt::Earliest,
        partitions: 1,
        buffer_bytes: 1 << 20,
        tells_ends: false,
        is_exact: true,
        name: None,
    }
}

fn join(broker: &Broker, group: &str, begin: Begin) -> (GroupConsumer, Arc<Everything>) {
    let all = Arc::new(Everything::new(begin));
    let (address, topics) = (broker.address(), ["t".to_owned()]);
    let member = member(&address, group, &topics);
    let consumer = GroupConsumer::join(&member, Arc::clone(&all) as Arc<dyn Listener>).unwrap();
    let end = Instant::now() + TIMEOUT;
    while all.queues.lock().is_empty() {
        assert!(Instant::now() < end, "no partition was assigned");
        std::thread::sleep(Duration::from_millis(2));
    }
    (consumer, all)
}

pub(super) fn tp() -> TopicPartition {
    TopicPartition::new("t", 0)
}

/// Nothing arrives from a partition that is held, and from the one that is released nothing in front of
/// the offset, however much has been fetched.
#[test]
fn a_held_partition_begins_where_it_is_released() {
    let broker = broker_with(&numbers(0..50));
    let (member, all) = join(&broker, "g", Begin::Held);
    assert_eq!(all.take(1, Duration::from_millis(300)), []);
    member.release(&tp(), Some(40), &|| true).unwrap();
    let got = all.take(10, TIMEOUT);
    let wanted: Vec<_> = (40..50).map(|n| (n, n.to_string())).collect();
    assert_eq!(got, wanted);
    all.queues.lock().clear();
    member.leave();
}

/// The client's fetcher sleeps up to a second while there is nothing to fetch, and a release wakes it.
#[test]
fn a_partition_is_read_as_soon_as_it_is_released() {
    let broker = broker_with(&numbers(0..50));
    let (member, all) = join(&broker, "g", Begin::Held);
    let mut waited = Duration::ZERO;
    for from in [10, 20] {
        assert_eq!(all.take(1, Duration::from_millis(300)), [], "the fetcher is asleep by now");
        let began = Instant::now();
        member.release(&tp(), Some(from), &|| true).unwrap();
        assert_eq!(all.take(1, TIMEOUT).first().map(|(offset, _)| *offset), Some(from));
        waited += began.elapsed();
        all.queues.lock().clear();
        let again = member.hold_again(&tp(), TIMEOUT, &|| true).unwrap();
        all.queues.lock().push(again);
    }
    assert!(waited < Duration::from_secs(1), "{waited:?} for both");
    all.queues.lock().clear();
    member.leave();
}

/// Without an offset a partition that is released begins where a group without offsets does.
#[test]
fn a_release_without_an_offset_begins_at_the_beginning() {
    let broker = broker_with(&["first".to_owned(), "second".to_owned()]);
    let (member, all) = join(&broker, "g", Begin::Held);
    member.release(&tp(), None, &|| true).unwrap();
    let got = all.take(2, TIMEOUT);
    assert_eq!(got, [(0, "first".to_owned()), (1, "second".to_owned())]);
    all.queues.lock().clear();
    member.leave();
}

/// Who comes when the partition is somebody else's neither lets records come nor holds them up.
#[test]
fn who_is_late_neither_releases_nor_holds_a_partition() {
    let broker = broker_with(&["first".to_owned(), "second".to_owned()]);
    let (member, all) = join(&broker, "g", Begin::Held);
    member.release(&tp(), Some(0), &|| false).unwrap();
    assert_eq!(all.take(1, Duration::from_millis(300)), []);
    assert!(member.hold_again(&tp(), Duration::ZERO, &|| false).is_none());
    member.release(&tp(), Some(1), &|| true).unwrap();
    assert!(member.hold_again(&tp(), Duration::ZERO, &|| false).is_none());
    assert_eq!(all.take(1, TIMEOUT), [(1, "second".to_owned())]);
    all.queues.lock().clear();
    member.leave();
}

/// Where the beginning is was asked for, and the partition had somebody else's offset before the answer came.
#[test]
fn who_has_asked_for_the_beginning_and_is_late_does_not_move_the_partition() {
    let broker = broker_with(&numbers(0..50));
    let (member, all) = join(&broker, "g", Begin::Held);
    let target = Target::named("ListOffsets", None, None).unwrap();
    let held = broker.add_fault(target, Action::Hold(Direction::Requests), None).unwrap();
    let (asked, is_theirs) = (AtomicBool::new(false), AtomicBool::new(true));
    std::thread::scope(|scope| {
        let late = scope.spawn(|| {
            member.release(&tp(), None, &|| {
                asked.store(true, Ordering::SeqCst);
                is_theirs.load(Ordering::SeqCst)
            })
        });
        let end = Instant::now() + TIMEOUT;
        while !asked.load(Ordering::SeqCst) || held.hits() == 0 {
            assert!(Instant::now() < end, "nobody has asked where the beginning is");
            std::thread::sleep(Duration::from_millis(2));
        }
        is_theirs.store(false, Ordering::SeqCst);
        member.release(&tp(), Some(40), &|| true).unwrap();
        held.remove();
        late.join().unwrap().unwrap();
    });
    let wanted: Vec<_> = (40..50).map(|n| (n, n.to_string())).collect();
    // The client asks again after half a second, if it does.
    assert_eq!(all.take(11, Duration::from_secs(1)), wanted);
    all.queues.lock().clear();
    member.leave();
}

/// Records and offset of a transaction are seen together; those of an aborted one never.
#[test]
fn records_and_offset_take_effect_together() {
    let broker = broker();
    let writer = transactional(&broker, "writer");
    writer.begin().unwrap();
    write(&writer, "t", &["aborted"]);
    writer.abort().unwrap();
    let (member, all) = join(&broker, "g", Begin::At(0));
    assert_eq!(member.committed(&[tp()]).unwrap(), []);
    writer.begin().unwrap();
    write(&writer, "t", &["kept"]);
    let offset = GroupOffset { tp: tp(), offset: 3, metadata: "turbine:1:{}".into() };
    writer.send_offsets(std::slice::from_ref(&offset), &member.group_metadata().unwrap()).unwrap();
    writer.commit().unwrap();
    assert!(!writer.is_suspicious(), "nothing was out of the ordinary");
    assert_eq!(member.committed(&[tp()]).unwrap(), [offset]);
    let got: Vec<_> = all.take(1, TIMEOUT).into_iter().map(|(_, value)| value).collect();
    assert_eq!(got, ["kept"]);
    all.queues.lock().clear();
    member.leave();
}

/// Whoever has the transactional id later shuts the earlier one out, also in the middle of a transaction.
#[test]
fn a_second_producer_shuts_the_first_one_out() {
    let broker = broker();
    let first = transactional(&broker, "same");
    first.begin().unwrap();
    write(&first, "t", &["lost"]);
    let _second = transactional(&broker, "same");
    let refusal = first.commit().unwrap_err();
    assert_eq!(refusal.remedy, Remedy::Fenced, "{refusal:?}");
    assert_eq!(first.is_over(), Some(Remedy::Fenced));
    assert!(first.is_suspicious());
}

/// The client asks a coordinator again that is not done with the last transaction, twice a second if it is left alone.
#[test]
fn a_producer_begins_as_soon_as_the_last_transaction_is_settled() {
    let broker = broker();
    let busy = error_by_name("CONCURRENT_TRANSACTIONS").unwrap();
    let target = Target::named("InitProducerId", None, None).unwrap();
    let fault = broker.add_fault(target, Action::Fail(busy), Some(4)).unwrap();
    let began = Instant::now();
    let _producer = transactional(&broker, "busy");
    assert_eq!(fault.hits(), 4);
    assert!(began.elapsed() < Duration::from_millis(1_500), "{:?}", began.elapsed());
}

/// A member of a group as a task sees it.
struct OfGroup(Arc<GroupConsumer>, Identity);

impl Member for OfGroup {
    fn metadata(&self) -> Option<GroupMetadata> {
        self.0.group_metadata()
    }

    fn committed(&self, tp: &TopicPartition) -> turbine::error::Result<Option<GroupOffset>> {
        Ok(self.0.committed(std::slice::from_ref(tp))?.pop())
    }

    fn log(&self, tp: &TopicPartition) -> Option<(i64, i64)> {
        self.0.log(tp)
    }

    fn identity(&self, _: &TopicPartition) -> turbine::error::Result<Identity> {
        Ok(self.1.clone())
    }

    fn owns(&self, _: &TopicPartition) -> bool {
        true
    }
}

fn parts(broker: &Broker, member: &Arc<GroupConsumer>, store: &Arc<MemoryStore>) -> LedgerParts {
    let address = broker.address();
    let make =
        move || Producer::transactional(&address, &BTreeMap::new(), "task", 1 << 20, counter());
    LedgerParts {
        link: Link {
            sides: Vec::new(),
            tp: tp(),
            make: Box::new(make),
            member: Arc::new(OfGroup(Arc::clone(member), Identity::default())),
            group_says: Duration::ZERO,
        },
        store: Some(Arc::clone(store) as Arc<dyn Store>),
        log: None,
        catch_up: Box::new(NothingToCatchUp),
        metrics: Metrics::new().exact("task"),
        // Two owners that repeat their commits would shut each other out for ever.
        heartbeat: Duration::from_secs(3_600),
        gate: Arc::default(),
        turns: Turns::new(1),
    }
}

/// A member of a group on a topic that is there.
fn join_held(broker: &Broker) -> (Arc<GroupConsumer>, Arc<Everything>) {
    let writer = transactional(broker, "writer");
    writer.begin().unwrap();
    write(&writer, "t", &["record"; 20]);
    writer.commit().unwrap();
    let (member, all) = join(broker, "g", Begin::Held);
    (Arc::new(member), all)
}

fn commit(from: i64, next: i64, value: &'static str) -> Commit {
    let mut delta = Delta::default();
    delta.push(Space::STATE, Writes(vec![(b"key".to_vec(), Some(value.into()))]));
    let record = Outbound { value: Some(value.into()), ..Outbound::default() };
    let outputs = vec![Output::Record { topic: "out".into(), record, told: None }];
    Commit { from, next, delta, outputs: outputs.into(), ..Commit::default() }
}

/// State, offset and outputs are where the commit says; a later owner begins there, and the earlier one
/// finds itself shut out.
#[test]
fn a_ledger_goes_on_where_the_last_one_committed() {
    let (broker, store) = (broker(), Arc::new(MemoryStore::default()));
    let (member, all) = join_held(&broker);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let boot = |store: &Arc<MemoryStore>| {
        let parts = parts(&broker, &member, store);
        runtime
            .block_on(async { tokio::task::spawn_blocking(|| Ledger::boot(parts)).await.unwrap() })
    };
    let (first, live) = boot(&store).unwrap();
    assert_eq!(live, Live { at: None, inputs: Vec::new(), receipt: None });
    runtime.block_on(first.commit(commit(0, 7, "a"))).unwrap();
    runtime.block_on(first.commit(commit(7, 9, "b"))).unwrap();
    assert_eq!(store.get(Space::STATE, b"key").unwrap().as_deref(), Some(&b"b"[..]));
    let (second, live) = boot(&store).unwrap();
    assert_eq!(live.at, Some(9));
    let mark = store.mark().unwrap().unwrap();
    let receipt = live.receipt.unwrap();
    assert_eq!((mark.token, mark.hash), (receipt.token, receipt.hash));
    runtime.block_on(second.commit(commit(9, 10, "c"))).unwrap();
    // It asks who has the partition, and being told that it has, finds that somebody else went on.
    let ended = runtime.block_on(first.commit(commit(9, 11, "d"))).unwrap_err();
    assert!(matches!(ended, Ended::Void | Ended::Halted(_)), "{ended}");
    assert_eq!(member.committed(&[tp()]).unwrap()[0].offset, 10);
    all.queues.lock().clear();
    member.leave();
}

/// An idle task says again what it said last, so that the broker does not forget it.
#[test]
fn an_idle_ledger_repeats_its_last_commit() {
    let (broker, store) = (broker(), Arc::new(MemoryStore::default()));
    let (member, all) = join_held(&broker);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let heartbeat = Duration::from_millis(200);
    let parts = LedgerParts { heartbeat, ..parts(&broker, &member, &store) };
    let (ledger, _) = runtime
        .block_on(async { tokio::task::spawn_blocking(|| Ledger::boot(parts)).await.unwrap() })
        .unwrap();
    runtime.block_on(ledger.commit(commit(0, 7, "a"))).unwrap();
    let said = member.committed(&[tp()]).unwrap();
    let lost = GroupOffset { tp: tp(), offset: 1, metadata: String::new() };
    member.commit(std::slice::from_ref(&lost)).unwrap();
    let end = Instant::now() + TIMEOUT;
    while member.committed(&[tp()]).unwrap() != said {
        assert!(Instant::now() < end, "the offset was not said again");
        std::thread::sleep(Duration::from_millis(20));
    }
    runtime.block_on(ledger.commit(commit(7, 8, "b"))).unwrap();
    all.queues.lock().clear();
    member.leave();
}

/// Offsets of a topic mean nothing in another one, whatever its name; what is not known is not compared.
#[test]
fn a_ledger_does_not_take_a_topic_for_the_one_before_it() {
    let (broker, store) = (broker(), Arc::new(MemoryStore::default()));
    let (member, all) = join_held(&broker);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let boot = |topic: Option<&str>| {
        let mut parts = parts(&broker, &member, &store);
        let identity = Identity { topic: topic.map(str::to_owned), ..Identity::default() };
        parts.link.member = Arc::new(OfGroup(Arc::clone(&member), identity));
        runtime
            .block_on(async { tokio::task::spawn_blocking(|| Ledger::boot(parts)).await.unwrap() })
    };
    let (ledger, _) = boot(Some("first")).unwrap();
    runtime.block_on(ledger.commit(commit(0, 7, "a"))).unwrap();
    ledger.abandon();
    let Err(Ended::Halted(halt)) = boot(Some("second")) else { panic!("it has begun") };
    assert_eq!((halt.reason, halt.local), (Reason::AnotherTopic, Some(7)));
    for known in [None, Some("first")] {
        let (ledger, live) = boot(known).unwrap();
        assert_eq!(live.at, Some(7));
        ledger.abandon();
    }
    let noted = Identity::from_note(&store.note().unwrap().unwrap()).unwrap();
    assert_eq!(noted.topic.as_deref(), Some("first"), "what is not said is not forgotten");
    all.queues.lock().clear();
    member.leave();
}
