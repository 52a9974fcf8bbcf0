//! The embedded broker, as librdkafka sees it.

use rdkafka::{
    ClientConfig, Message, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, Consumer},
    producer::{BaseProducer, BaseRecord, Producer},
};
use std::time::{Duration, Instant};
use turbine::{
    broker::{Broker, BrokerConfig},
    error::Error,
    faults::{Action, Target},
};

const TIMEOUT: Duration = Duration::from_secs(20);

fn client(broker: &Broker) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", broker.address()).set_log_level(RDKafkaLogLevel::Emerg);
    config
}

async fn create(broker: &Broker, topic: &str, partitions: i32) {
    let admin: AdminClient<DefaultClientContext> = client(broker).create().unwrap();
    let topic = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
    for created in admin.create_topics([&topic], &AdminOptions::new()).await.unwrap() {
        created.unwrap();
    }
}

/// Writes the numbers `0..count`, one batch or many as librdkafka likes.
fn produce(broker: &Broker, topic: &str, count: usize, codec: &str) {
    let producer: BaseProducer = client(broker)
        .set("enable.idempotence", "true")
        .set("compression.type", codec)
        .create()
        .unwrap();
    for i in 0..count {
        let value = i.to_string();
        let record = BaseRecord::to(topic).payload(&value).key("k").partition(0);
        producer.send(record).map_err(|(e, _)| e).unwrap();
    }
    producer.flush(TIMEOUT).unwrap();
}

/// Reads numbers as a member of a group and commits behind the last.
fn read_as_group(broker: &Broker, topic: &str, count: usize) -> Vec<usize> {
    let consumer: BaseConsumer = client(broker)
        .set("group.id", "g")
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.commit", "false")
        .create()
        .unwrap();
    consumer.subscribe(&[topic]).unwrap();
    let mut got = Vec::new();
    let end = Instant::now() + TIMEOUT;
    while got.len() < count {
        assert!(Instant::now() < end, "{} of {count} records", got.len());
        if let Some(record) = consumer.poll(Duration::from_millis(100)) {
            let record = record.unwrap();
            got.push(std::str::from_utf8(record.payload().unwrap()).unwrap().parse().unwrap());
        }
    }
    consumer.commit_consumer_state(rdkafka::consumer::CommitMode::Sync).unwrap();
    got
}

fn committed(broker: &Broker, topic: &str) -> Offset {
    let consumer: BaseConsumer = client(broker).set("group.id", "g").create().unwrap();
    let mut wanted = TopicPartitionList::new();
    wanted.add_partition(topic, 0);
    let found = consumer.committed_offsets(wanted, TIMEOUT).unwrap();
    found.elements()[0].offset()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_reads_what_an_idempotent_producer_wrote_in_every_codec() {
    let broker = Broker::start(BrokerConfig::default()).unwrap();
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        create(&broker, codec, 1).await;
        produce(&broker, codec, 2_000, codec);
        let expected: Vec<usize> = (0..2_000).collect();
        assert_eq!(read_as_group(&broker, codec, 2_000), expected, "{codec}");
        assert_eq!(committed(&broker, codec), Offset::Offset(2_000), "{codec}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn records_and_commits_are_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let config = BrokerConfig { data_dir: Some(dir.path().into()), ..BrokerConfig::default() };
    let broker = Broker::start(config.clone()).unwrap();
    create(&broker, "t", 1).await;
    produce(&broker, "t", 500, "zstd");
    assert_eq!(read_as_group(&broker, "t", 500).len(), 500);
    broker.stop();

    let broker = Broker::start(config).unwrap();
    assert_eq!(committed(&broker, "t"), Offset::Offset(500));
    produce(&broker, "t", 3, "none");
    assert_eq!(read_as_group(&broker, "t", 3), [0, 1, 2], "goes on behind the commit");
}

/// Responses to the first produce requests are lost and the connection with them: librdkafka sends
/// the batches again, and the broker knows them.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_is_sent_again_is_in_the_log_once() {
    let broker = Broker::start(BrokerConfig::default()).unwrap();
    create(&broker, "t", 1).await;
    let target = Target::named("Produce", None, None).unwrap();
    let lost = broker.add_fault(target, Action::DropResponse, Some(5)).unwrap();
    let producer: BaseProducer = client(&broker)
        .set("enable.idempotence", "true")
        .set("batch.num.messages", "10")
        .set("retry.backoff.ms", "1")
        .set("reconnect.backoff.ms", "1")
        .create()
        .unwrap();
    for i in 0..200 {
        let value = i.to_string();
        let record = BaseRecord::<str, str>::to("t").payload(&value).partition(0);
        producer.send(record).map_err(|(e, _)| e).unwrap();
    }
    producer.flush(TIMEOUT).unwrap();
    assert_eq!(lost.hits(), 5);
    let expected: Vec<usize> = (0..200).collect();
    assert_eq!(read_as_group(&broker, "t", 200), expected);
    assert_eq!(committed(&broker, "t"), Offset::Offset(200));
}

#[tokio::test]
async fn a_broker_may_start_and_end_inside_a_runtime() {
    let first = Broker::start(BrokerConfig::default()).unwrap();
    let second = Broker::start(BrokerConfig::default()).unwrap();
    assert_ne!(first.address(), second.address());
    first.stop();
    first.stop();
    let address = second.address();
    drop(second);
    let refused = std::net::TcpStream::connect(address).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
}

#[test]
fn wrong_settings_are_the_callers_fault_and_say_what_to_give() {
    let config = BrokerConfig { default_partitions: 0, ..BrokerConfig::default() };
    let Err(Error::Config(message)) = Broker::start(config) else { panic!("0 partitions") };
    assert_eq!(message, "default_partitions is 0: give 1 to 10000");

    let taken = Broker::start(BrokerConfig::default()).unwrap();
    let port = taken.address().rsplit(':').next().unwrap().parse().unwrap();
    let again = Broker::start(BrokerConfig { port, ..BrokerConfig::default() });
    assert!(matches!(again, Err(Error::Io { what, .. }) if what.contains(&taken.address())));
}
