//! Transactions of the embedded broker over restarts and over time, as librdkafka sees them.

use rdkafka::{
    ClientConfig, Message, TopicPartitionList,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, Consumer},
    error::KafkaError,
    producer::{BaseProducer, BaseRecord, Producer},
};
use std::time::{Duration, Instant};
use turbine::{
    broker::{Broker, BrokerConfig},
    clock::Clock,
};

const TIMEOUT: Duration = Duration::from_secs(20);

fn client(broker: &Broker) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", broker.address()).set_log_level(RDKafkaLogLevel::Emerg);
    config
}

fn producer(broker: &Broker, transactional_id: &str) -> BaseProducer {
    let producer: BaseProducer = client(broker)
        .set("transactional.id", transactional_id)
        .set("metadata.recovery.strategy", "none")
        .create()
        .unwrap();
    producer.init_transactions(TIMEOUT).unwrap();
    producer
}

fn write(producer: &BaseProducer, value: &str) {
    let record = BaseRecord::<(), _>::to("t").payload(value).partition(0);
    producer.send(record).map_err(|(e, _)| e).unwrap();
    producer.flush(TIMEOUT).unwrap();
}

/// Values that a reader of committed records gets, `count` at least, then those that come at once.
fn committed(broker: &Broker, count: usize) -> Vec<String> {
    let consumer: BaseConsumer = client(broker)
        .set("group.id", "reader")
        .set("isolation.level", "read_committed")
        .set("enable.partition.eof", "true")
        .create()
        .unwrap();
    let mut place = TopicPartitionList::new();
    place.add_partition_offset("t", 0, rdkafka::Offset::Beginning).unwrap();
    consumer.assign(&place).unwrap();
    let mut got = Vec::new();
    let end = Instant::now() + TIMEOUT;
    loop {
        assert!(Instant::now() < end, "{got:?}, expected {count}");
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(record)) => {
                got.push(String::from_utf8(record.payload().unwrap().to_vec()).unwrap());
            }
            Some(Err(KafkaError::PartitionEOF(_))) if got.len() >= count => return got,
            Some(Err(KafkaError::PartitionEOF(_))) | None => {}
            Some(Err(error)) => panic!("{error}"),
        }
    }
}

/// The owner of an open transaction goes on at the broker that comes back in the same place.
#[test]
fn an_open_transaction_goes_on_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let config = BrokerConfig {
        data_dir: Some(dir.path().into()),
        default_partitions: 1,
        ..BrokerConfig::default()
    };
    let broker = Broker::start(config.clone()).unwrap();
    let port = broker.address().rsplit(':').next().unwrap().parse().unwrap();
    let going = producer(&broker, "going");
    let leaving = producer(&broker, "leaving");
    going.begin_transaction().unwrap();
    leaving.begin_transaction().unwrap();
    write(&going, "before");
    write(&leaving, "left behind");
    broker.stop();
    drop(leaving);

    let broker = Broker::start(BrokerConfig { port, ..config }).unwrap();
    write(&going, "after");
    going.commit_transaction(TIMEOUT).unwrap();
    assert!(committed(&broker, 1) == ["before"], "the other one holds back what is behind it");
    drop(producer(&broker, "leaving"));
    assert_eq!(committed(&broker, 2), ["before", "after"]);
}

/// The broker's clock decides when a transaction is open for too long.
#[test]
fn a_transaction_is_aborted_when_the_clock_has_passed_its_timeout() {
    // librdkafka's records bear the time of this machine, which may not be far ahead.
    let clock = Clock::standing_at(Clock::system().now_ms());
    let config =
        BrokerConfig { clock: clock.clone(), default_partitions: 1, ..BrokerConfig::default() };
    let broker = Broker::start(config).unwrap();
    let slow = producer(&broker, "slow");
    slow.begin_transaction().unwrap();
    write(&slow, "late");
    let quick = producer(&broker, "quick");
    quick.begin_transaction().unwrap();
    write(&quick, "behind it");
    quick.commit_transaction(TIMEOUT).unwrap();

    clock.advance(Duration::from_secs(59));
    assert!(committed(&broker, 0).is_empty(), "it may be open for a minute");
    clock.advance(Duration::from_secs(1));
    assert_eq!(committed(&broker, 1), ["behind it"]);
    let refused = slow.commit_transaction(TIMEOUT).unwrap_err();
    assert!(refused.to_string().contains("fenced"), "{refused}");
}
