//! The fault proxy in front of two nodes, as librdkafka sees it.

use rdkafka::{
    ClientConfig, Message, Offset, TopicPartitionList,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, Consumer},
    error::RDKafkaErrorCode,
    producer::{BaseProducer, BaseRecord, Producer},
};
use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};
use turbine::{
    broker::{Broker, BrokerConfig, Wanted},
    error::Error,
    faults::{Action, Direction, Target},
    proxy::FaultProxy,
};

const TIMEOUT: Duration = Duration::from_secs(20);
const PARTITIONS: i32 = 4;

/// A cluster of two nodes, and a proxy that knows of one.
fn cluster() -> (Broker, FaultProxy) {
    let config =
        BrokerConfig { nodes: 2, default_partitions: PARTITIONS, ..BrokerConfig::default() };
    let broker = Broker::start(config).unwrap();
    let proxy = FaultProxy::start(&broker.addresses()[0]).unwrap();
    (broker, proxy)
}

fn client(proxy: &FaultProxy) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", proxy.address())
        .set("reconnect.backoff.ms", "1")
        .set("reconnect.backoff.max.ms", "20")
        .set("retry.backoff.ms", "1")
        .set_log_level(RDKafkaLogLevel::Emerg);
    config
}

fn writer(proxy: &FaultProxy) -> BaseProducer {
    client(proxy).set("enable.idempotence", "true").create().unwrap()
}

/// Writes the numbers below `count`, over all partitions.
fn write(producer: &BaseProducer, count: i32) {
    for i in 0..count {
        let value = i.to_string();
        let record = BaseRecord::<str, str>::to("t").payload(&value).partition(i % PARTITIONS);
        producer.send(record).map_err(|(e, _)| e).unwrap();
    }
    producer.flush(TIMEOUT).unwrap();
}

/// The numbers in the topic, each as often as it is there, in order.
fn written(broker: &Broker) -> Vec<i32> {
    let records = broker.records("t", Wanted::default()).unwrap();
    let number = |value: Option<Vec<u8>>| String::from_utf8(value.unwrap()).unwrap().parse();
    let mut numbers: Vec<i32> = records.into_iter().map(|r| number(r.value).unwrap()).collect();
    numbers.sort_unstable();
    numbers
}

fn target(api: &str) -> Target {
    Target::named(api, None, None).unwrap()
}

fn until(why: &str, condition: impl Fn() -> bool) {
    let end = Instant::now() + TIMEOUT;
    while !condition() {
        assert!(Instant::now() < end, "{why}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn clients_of_two_nodes_stay_behind_the_proxy_and_lose_nothing_to_its_faults() {
    let (broker, proxy) = cluster();
    let producer = writer(&proxy);
    write(&producer, 100);
    let metadata = producer.client().fetch_metadata(None, TIMEOUT).unwrap();
    let nodes: BTreeSet<String> =
        metadata.brokers().iter().map(|node| format!("{}:{}", node.host(), node.port())).collect();
    assert_eq!(nodes.len(), 2);
    assert!(nodes.contains(proxy.address()));
    assert!(broker.addresses().iter().all(|address| !nodes.contains(address)));

    let rules: Vec<_> = [Action::DropResponse, Action::Disconnect, Action::Fail(6)]
        .into_iter()
        .map(|action| proxy.add_fault(target("Produce"), action, Some(2)).unwrap())
        .collect();
    write(&producer, 100);
    assert_eq!(rules.iter().map(|rule| rule.hits()).collect::<Vec<_>>(), [2, 2, 2]);
    let twice: Vec<i32> = (0..100).flat_map(|n| [n, n]).collect();
    assert_eq!(written(&broker), twice, "none lost, none doubled");

    let consumer: BaseConsumer = client(&proxy).set("group.id", "g").create().unwrap();
    let mut places = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        places.add_partition_offset("t", partition, Offset::Beginning).unwrap();
    }
    consumer.assign(&places).unwrap();
    let mut got = 0;
    let end = Instant::now() + TIMEOUT;
    while got < 200 {
        assert!(Instant::now() < end, "{got} of 200 records");
        got += usize::from(
            consumer
                .poll(Duration::from_millis(100))
                .is_some_and(|r| r.unwrap().payload().is_some()),
        );
    }
}

#[test]
fn once_a_cut_has_returned_nothing_arrives_until_it_is_taken_back() {
    let (broker, proxy) = cluster();
    let producer = writer(&proxy);
    write(&producer, 4);
    proxy.cut();
    for i in 4..8 {
        let value = i.to_string();
        let record = BaseRecord::<str, str>::to("t").payload(&value).partition(i % PARTITIONS);
        producer.send(record).map_err(|(e, _)| e).unwrap();
    }
    let error = producer.flush(Duration::from_millis(500)).unwrap_err();
    assert_eq!(error.rdkafka_error_code(), Some(RDKafkaErrorCode::OperationTimedOut));
    until("no connection is left", || proxy.connections() == 0);
    assert_eq!(written(&broker), [0, 1, 2, 3]);
    assert!(proxy.is_cut());
    proxy.restore();
    producer.flush(TIMEOUT).unwrap();
    assert_eq!(written(&broker), (0..8).collect::<Vec<_>>());
}

#[test]
fn what_is_held_goes_on_when_it_is_released() {
    let (broker, proxy) = cluster();
    let producer = writer(&proxy);
    write(&producer, 4);
    let held = Action::Hold(Direction::Requests);
    let held = proxy.add_fault(target("Produce"), held, None).unwrap();
    let record = BaseRecord::<str, str>::to("t").payload("4").partition(0);
    producer.send(record).map_err(|(e, _)| e).unwrap();
    until("the request is at the proxy", || held.hits() == 1);
    assert_eq!(written(&broker), [0, 1, 2, 3]);
    proxy.rules().release();
    producer.flush(TIMEOUT).unwrap();
    assert_eq!(written(&broker), [0, 1, 2, 3, 4]);
}

#[test]
fn a_proxy_ends_with_its_connections_and_refuses_what_cannot_be() {
    let (_broker, proxy) = cluster();
    let producer = writer(&proxy);
    write(&producer, 4);
    assert!(proxy.connections() > 0);
    let vote = proxy.add_fault(target("Vote"), Action::Fail(1), None);
    assert!(matches!(vote, Err(Error::Config(message)) if message.contains("Vote cannot be")));
    proxy.close();
    proxy.close();
    assert_eq!(proxy.connections(), 0);
    let refused = std::net::TcpStream::connect(proxy.address()).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    assert!(matches!(FaultProxy::start("nowhere"), Err(Error::Config(_))));
}
