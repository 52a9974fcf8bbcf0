//! Reading a partition to its end: it ends where the position is at that end, whatever readers cannot see.

use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    config::RDKafkaLogLevel,
    producer::{BaseProducer, BaseRecord, Producer},
};
use std::{
    collections::BTreeMap,
    thread,
    time::{Duration, Instant},
};
use turbine::{
    broker::{Broker, BrokerConfig},
    clock::Clock,
    kafka::log_reader::{LogReader, Logs, Read},
    types::{Records as _, TopicPartition},
};

const TIMEOUT: Duration = Duration::from_secs(20);

/// A broker, by default the embedded one; that at `TURBINE_TEST_KAFKA` if it is set.
pub(crate) struct World {
    address: String,
    pub(crate) topic: TopicPartition,
    _broker: Option<Broker>,
}

impl World {
    pub(crate) fn new(settings: &[(&str, &str)]) -> Self {
        Self::at(std::env::var("TURBINE_TEST_KAFKA").ok(), Clock::system(), settings)
    }

    fn at(address: Option<String>, clock: Clock, settings: &[(&str, &str)]) -> Self {
        let config = BrokerConfig { clock, ..BrokerConfig::default() };
        let broker = address.is_none().then(|| Broker::start(config).unwrap());
        let address = address.unwrap_or_else(|| broker.as_ref().unwrap().address().to_owned());
        let name = format!("log-{}", uuid::Uuid::new_v4());
        let world = Self { address, topic: TopicPartition::new(name.clone(), 0), _broker: broker };
        let topic = NewTopic::new(&name, 1, TopicReplication::Fixed(1));
        let topic = settings.iter().fold(topic, |topic, (key, value)| topic.set(key, value));
        world.create(topic);
        world
    }

    fn create(&self, topic: NewTopic<'_>) {
        let (admin, options) = (self.admin(), AdminOptions::new());
        wait(admin.create_topics(&[topic], &options)).unwrap();
    }

    /// A further topic with one partition.
    pub(crate) fn another(&self) -> String {
        let name = format!("log-{}", uuid::Uuid::new_v4());
        self.create(NewTopic::new(&name, 1, TopicReplication::Fixed(1)));
        name
    }

    pub(crate) fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.address).set_log_level(RDKafkaLogLevel::Emerg);
        config
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.client().create().unwrap()
    }

    pub(crate) fn transactional(&self, id: &str) -> BaseProducer {
        let producer: BaseProducer = self
            .client()
            .set("transactional.id", format!("{}-{id}", self.topic.topic))
            .create()
            .unwrap();
        producer.init_transactions(TIMEOUT).unwrap();
        producer
    }

    pub(crate) fn plain(&self) -> BaseProducer {
        self.client().create().unwrap()
    }

    pub(crate) fn write(&self, producer: &BaseProducer, keys: impl IntoIterator<Item = usize>) {
        for key in keys {
            let key = format!("k{key}");
            let record = BaseRecord::to(&self.topic.topic).key(&key).payload("v").partition(0);
            producer.send(record).map_err(|(error, _)| error).unwrap();
        }
        producer.flush(TIMEOUT).unwrap();
    }

    fn commit(&self, producer: &BaseProducer, keys: impl IntoIterator<Item = usize>) {
        producer.begin_transaction().unwrap();
        self.write(producer, keys);
        producer.commit_transaction(TIMEOUT).unwrap();
    }

    pub(crate) fn delete_before(&self, offset: i64) {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&self.topic.topic, 0, Offset::Offset(offset)).unwrap();
        let (admin, options) = (self.admin(), AdminOptions::new());
        wait(admin.delete_records(&list, &options)).unwrap();
    }

    pub(crate) fn logs(&self) -> Logs {
        Logs::new(self.address.clone(), BTreeMap::new(), "reader".into())
    }
}

fn wait<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

#[derive(Debug, Default, PartialEq)]
struct Got {
    offsets: Vec<i64>,
    truncated: Vec<(i64, i64)>,
    position: i64,
}

fn step(reader: &mut LogReader, got: &mut Got, most: usize) -> bool {
    match reader.read(most, Duration::from_millis(20)).unwrap() {
        Read::Records(records) => {
            got.offsets.extend((0..records.len()).map(|i| records.offset(i)));
        }
        Read::Truncated(from, to) => got.truncated.push((from, to)),
        Read::Nothing => {}
        Read::End => {
            got.position = reader.position();
            return false;
        }
    }
    true
}

fn read_all(mut reader: LogReader) -> Got {
    let mut got = Got { position: reader.position(), ..Got::default() };
    let deadline = Instant::now() + TIMEOUT;
    while step(&mut reader, &mut got, 4096) {
        assert!(Instant::now() < deadline, "{got:?}, of {}", reader.end());
    }
    got
}

#[test]
fn an_empty_log_is_read_at_once() {
    let world = World::new(&[]);
    let got = read_all(world.logs().read(&world.topic, 0).unwrap());
    assert_eq!(got, Got::default());
}

#[test]
fn records_written_meanwhile_are_left_alone() {
    let world = World::new(&[]);
    let producer = world.plain();
    world.write(&producer, 0..10);
    let reader = world.logs().read(&world.topic, 4).unwrap();
    world.write(&producer, 10..20);
    let got = read_all(reader);
    assert_eq!(got.offsets, (4..10).collect::<Vec<_>>());
}

/// The end is behind the marker of a transaction that was aborted: no record ever has that offset.
#[test]
fn an_aborted_transaction_at_the_end_ends_the_reading() {
    let world = World::new(&[]);
    let producer = world.transactional("a");
    world.commit(&producer, 0..3);
    producer.begin_transaction().unwrap();
    world.write(&producer, 3..9);
    producer.abort_transaction(TIMEOUT).unwrap();
    let logs = world.logs();
    let got = read_all(logs.read(&world.topic, 0).unwrap());
    assert_eq!((got.offsets, got.position), (vec![0, 1, 2], 11));
    // From the middle of what was aborted, too.
    let got = read_all(logs.read(&world.topic, 6).unwrap());
    assert_eq!((got.offsets, got.position), (vec![], 11));
}

/// Records behind the beginning of another's transaction are not missed.
#[test]
fn a_transaction_that_is_open_at_the_start_is_waited_for() {
    let world = World::new(&[]);
    let (open, other) = (world.transactional("open"), world.transactional("other"));
    open.begin_transaction().unwrap();
    world.write(&open, 0..2);
    world.commit(&other, 2..4);
    let mut reader = world.logs().read(&world.topic, 0).unwrap();
    assert_eq!(reader.end(), 5);
    let mut got = Got::default();
    for _ in 0..10 {
        assert!(step(&mut reader, &mut got, 100));
    }
    assert_eq!(got.offsets, Vec::<i64>::new(), "nothing behind it is readable yet");
    open.abort_transaction(TIMEOUT).unwrap();
    assert_eq!(read_all(reader).offsets, [2, 3]);
}

/// What begins behind the end is not waited for.
#[test]
fn a_transaction_that_begins_later_does_not_count() {
    let world = World::new(&[]);
    let (done, later) = (world.transactional("done"), world.transactional("later"));
    world.commit(&done, 0..2);
    let reader = world.logs().read(&world.topic, 0).unwrap();
    later.begin_transaction().unwrap();
    world.write(&later, 2..4);
    assert_eq!(read_all(reader).offsets, [0, 1]);
}

#[test]
fn a_log_that_begins_later_says_what_is_gone() {
    let world = World::new(&[]);
    world.write(&world.plain(), 0..10);
    world.delete_before(6);
    let logs = world.logs();
    let bounds = logs.bounds(&world.topic).unwrap();
    assert_eq!((bounds.start, bounds.end), (6, 10));
    let got = read_all(logs.read(&world.topic, 2).unwrap());
    assert_eq!(got.truncated, [(2, 6)]);
    assert_eq!(got.offsets, [6, 7, 8, 9]);
    let got = read_all(logs.read(&world.topic, 99).unwrap());
    assert_eq!(got.offsets, [6, 7, 8, 9], "a log that was made again is read from its beginning");
}

/// The beginning of the log overtakes the reader.
#[test]
fn a_log_that_is_truncated_while_it_is_read_says_so() {
    let world = World::new(&[]);
    let producer = world.plain();
    let payload = "x".repeat(100_000);
    for key in 0..600 {
        let key = format!("k{key}");
        let record = BaseRecord::to(&world.topic.topic).key(&key).payload(&payload).partition(0);
        producer.send(record).map_err(|(error, _)| error).unwrap();
        if key.ends_with('9') {
            producer.flush(TIMEOUT).unwrap();
        }
    }
    producer.flush(TIMEOUT).unwrap();
    // 60 MB: more than the client fetches ahead.
    let mut reader = world.logs().read(&world.topic, 0).unwrap();
    let mut got = Got::default();
    let deadline = Instant::now() + TIMEOUT;
    while got.offsets.is_empty() {
        assert!(step(&mut reader, &mut got, 1) && Instant::now() < deadline);
    }
    world.delete_before(590);
    while step(&mut reader, &mut got, 4096) {
        assert!(Instant::now() < deadline, "{} of {}", reader.position(), reader.end());
    }
    let [(from, to)] = got.truncated[..] else { panic!("{:?}", got.truncated) };
    assert_eq!(to, 590);
    let expected: Vec<_> = (0..from).chain(590..600).collect();
    assert_eq!(got.offsets, expected);
}

/// Everything is gone while it is read.
#[test]
fn a_log_that_is_emptied_ends() {
    let world = World::new(&[]);
    world.write(&world.plain(), 0..10);
    let reader = world.logs().read(&world.topic, 0).unwrap();
    world.delete_before(10);
    let got = read_all(reader);
    // The client may have had them in its hands already.
    assert!(got.offsets.len() == 10 || got.truncated == [(0, 10)], "{got:?}");
}

/// What compaction has removed, at the end too, is not waited for.
#[test]
fn the_holes_of_a_compacted_log_are_passed() {
    let settings = [
        ("cleanup.policy", "compact"),
        ("segment.ms", "100"),
        ("min.cleanable.dirty.ratio", "0.01"),
        ("delete.retention.ms", "100"),
    ];
    let clock = Clock::standing_at(Clock::system().now_ms());
    let real = std::env::var("TURBINE_TEST_KAFKA").ok();
    let world = World::at(real.clone(), clock.clone(), &settings);
    let producer = world.transactional("a");
    world.commit(&producer, (0..50).map(|n| n % 5));
    world.commit(&producer, (0..50).map(|n| n % 5));
    let logs = world.logs();
    let deadline = Instant::now() + if real.is_some() { 3 * TIMEOUT } else { TIMEOUT };
    loop {
        clock.advance(Duration::from_secs(1));
        // A segment ends only when something is written behind it, and at the end stands an abort.
        producer.begin_transaction().unwrap();
        world.write(&producer, 900..905);
        producer.abort_transaction(TIMEOUT).unwrap();
        let reader = logs.read(&world.topic, 0).unwrap();
        let end = reader.end();
        let got = read_all(reader);
        assert_eq!(got.position, end);
        if got.offsets.len() <= 10 {
            assert!(got.offsets.len() >= 5, "the newest of each key stays: {got:?}");
            break;
        }
        assert!(Instant::now() < deadline, "nothing was compacted: {got:?}");
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_topic_that_is_not_there_is_an_error() {
    let world = World::new(&[]);
    let missing = TopicPartition::new("not-there.", 7);
    let Err(error) = world.logs().read(&missing, 0) else { panic!("there is no such partition") };
    assert!(error.to_string().contains("asking where not-there.[7] begins and ends"), "{error}");
}
