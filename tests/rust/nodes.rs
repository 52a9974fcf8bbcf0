//! An embedded broker with several nodes, of which some go down.

use rdkafka::{
    ClientConfig, Message, TopicPartitionList,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, CommitMode, Consumer},
    error::{KafkaError, RDKafkaErrorCode},
    producer::{BaseProducer, BaseRecord, Producer},
};
use std::{
    collections::BTreeSet,
    net::TcpStream,
    time::{Duration, Instant},
};
use turbine::{
    broker::{Broker, BrokerConfig},
    error::Error,
};

const TIMEOUT: Duration = Duration::from_secs(30);

fn start(nodes: i32) -> Broker {
    Broker::start(BrokerConfig { nodes, ..BrokerConfig::default() }).unwrap()
}

fn client(broker: &Broker) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", broker.address())
        .set("topic.metadata.refresh.fast.interval.ms", "20")
        .set("reconnect.backoff.ms", "1")
        .set("reconnect.backoff.max.ms", "20")
        .set_log_level(RDKafkaLogLevel::Emerg);
    config
}

async fn create(broker: &Broker, topic: &NewTopic<'_>) -> Result<(), (String, RDKafkaErrorCode)> {
    let admin: AdminClient<DefaultClientContext> = client(broker).create().unwrap();
    let created = admin.create_topics([topic], &AdminOptions::new()).await.unwrap();
    created.into_iter().next().unwrap().map(drop)
}

/// Leader, replicas and replicas in sync of each partition.
fn partitions(broker: &Broker, topic: &str) -> Vec<(i32, Vec<i32>, Vec<i32>)> {
    let consumer: BaseConsumer = client(broker).create().unwrap();
    let metadata = consumer.fetch_metadata(Some(topic), TIMEOUT).unwrap();
    let found = &metadata.topics()[0];
    let partition = |p: &rdkafka::metadata::MetadataPartition| {
        (p.leader(), p.replicas().to_vec(), p.isr().to_vec())
    };
    found.partitions().iter().map(partition).collect()
}

fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let end = Instant::now() + TIMEOUT;
    while !is_so() {
        assert!(Instant::now() < end, "{what}: in vain");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_see_leaders_replicas_and_nodes_of_a_cluster() {
    let broker = start(3);
    assert_eq!(broker.addresses().len(), 3);
    assert_eq!(broker.address(), broker.addresses().join(","));
    create(&broker, &NewTopic::new("t", 3, TopicReplication::Fixed(2))).await.unwrap();
    let expected = [[1, 2], [2, 3], [3, 1]].map(|ids| (ids[0], ids.to_vec(), ids.to_vec()));
    assert_eq!(partitions(&broker, "t"), expected);

    let consumer: BaseConsumer = client(&broker).create().unwrap();
    let metadata = consumer.fetch_metadata(None, TIMEOUT).unwrap();
    let nodes: BTreeSet<String> =
        metadata.brokers().iter().map(|b| format!("{}:{}", b.host(), b.port())).collect();
    assert_eq!(nodes, broker.addresses().into_iter().collect());

    let (_, error) =
        create(&broker, &NewTopic::new("x", 1, TopicReplication::Fixed(4))).await.unwrap_err();
    assert_eq!(error, RDKafkaErrorCode::InvalidReplicationFactor);
    let given = TopicReplication::Variable(&[&[3, 1], &[2, 3]]);
    create(&broker, &NewTopic::new("given", 2, given)).await.unwrap();
    let leaders: Vec<i32> = partitions(&broker, "given").iter().map(|p| p.0).collect();
    assert_eq!(leaders, [3, 2]);
    let given = TopicReplication::Variable(&[&[4, 1]]);
    let (_, error) = create(&broker, &NewTopic::new("y", 1, given)).await.unwrap_err();
    assert_eq!(error, RDKafkaErrorCode::InvalidReplicaAssignment);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_down_refuses_and_its_leaders_move() {
    let broker = start(3);
    create(&broker, &NewTopic::new("two", 3, TopicReplication::Fixed(2))).await.unwrap();
    create(&broker, &NewTopic::new("one", 3, TopicReplication::Fixed(1))).await.unwrap();
    broker.down(2).unwrap();
    broker.down(2).unwrap();
    assert!(TcpStream::connect(&broker.addresses()[1]).is_err());
    assert_eq!(
        partitions(&broker, "two"),
        [(1, vec![1, 2], vec![1]), (3, vec![2, 3], vec![3]), (3, vec![3, 1], vec![3, 1])]
    );
    assert_eq!(partitions(&broker, "one")[1], (-1, vec![2], vec![2]));
    broker.up(2).unwrap();
    broker.up(2).unwrap();
    assert!(TcpStream::connect(&broker.addresses()[1]).is_ok());
    assert_eq!(partitions(&broker, "one")[1], (2, vec![2], vec![2]));
    assert_eq!(partitions(&broker, "two")[1], (3, vec![2, 3], vec![3, 2]), "it stays at 3");
    for node in [0, -1, 4] {
        assert!(matches!(broker.down(node), Err(Error::Config(_))), "{node}");
    }
    broker.stop();
    broker.down(1).unwrap();
    broker.up(1).unwrap();
    assert!(TcpStream::connect(&broker.addresses()[0]).is_err(), "a stop is for good");
}

/// One node after the other goes down and comes back while an idempotent producer writes.
#[tokio::test(flavor = "multi_thread")]
async fn failovers_lose_and_repeat_no_record_of_an_idempotent_producer() {
    const COUNT: usize = 3_000;
    let broker = start(3);
    create(&broker, &NewTopic::new("t", 1, TopicReplication::Fixed(3))).await.unwrap();
    let producer: BaseProducer = client(&broker)
        .set("enable.idempotence", "true")
        .set("batch.num.messages", "10")
        .set("retry.backoff.ms", "1")
        .set("retry.backoff.max.ms", "20")
        .create()
        .unwrap();
    let mut down = None;
    for i in 0..COUNT {
        if i % 250 == 125 {
            let node = (i / 250 % 3 + 1) as i32;
            broker.down(node).unwrap();
            down = Some(node);
        } else if let Some(node) = down.take_if(|_| i % 250 == 0) {
            producer.flush(TIMEOUT).unwrap();
            broker.up(node).unwrap();
        }
        let value = i.to_string();
        let record = BaseRecord::<str, str>::to("t").payload(&value).partition(0);
        producer.send(record).map_err(|(e, _)| e).unwrap();
        producer.poll(Duration::ZERO);
    }
    producer.flush(TIMEOUT).unwrap();

    let consumer: BaseConsumer =
        client(&broker).set("group.id", "g").set("auto.offset.reset", "earliest").create().unwrap();
    consumer.subscribe(&["t"]).unwrap();
    let end = Instant::now() + TIMEOUT;
    for i in 0..COUNT {
        let record = loop {
            assert!(Instant::now() < end, "{i} of {COUNT} records");
            match consumer.poll(Duration::from_millis(100)) {
                Some(Ok(record)) => break record,
                Some(Err(error)) => assert!(is_passing(&error), "{error}"),
                None => {}
            }
        };
        assert_eq!(record.payload().unwrap(), i.to_string().as_bytes());
        if i % 1_000 == 500 {
            // The group's coordinator may be this one, or the leader that is read from.
            broker.down(i as i32 / 1_000 + 1).unwrap();
            consumer.commit_message(&record, CommitMode::Async).unwrap();
        }
        if i % 1_000 == 900 {
            broker.up(i as i32 / 1_000 + 1).unwrap();
        }
    }
}

fn is_passing(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(RDKafkaErrorCode::BrokerTransportFailure | RDKafkaErrorCode::AllBrokersDown)
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_goes_on_at_another_coordinator() {
    let broker = start(3);
    create(&broker, &NewTopic::new("t", 1, TopicReplication::Fixed(3))).await.unwrap();
    let consumer: BaseConsumer = client(&broker).set("group.id", "g").create().unwrap();
    let mut offsets = TopicPartitionList::new();
    for (offset, node) in (1..).zip([1, 2, 3]) {
        broker.down(node).unwrap();
        offsets.add_partition_offset("t", 0, rdkafka::Offset::Offset(offset)).unwrap();
        wait_until("a commit", || consumer.commit(&offsets, CommitMode::Sync).is_ok());
        let mut wanted = TopicPartitionList::new();
        wanted.add_partition("t", 0);
        let found = consumer.committed_offsets(wanted, TIMEOUT).unwrap();
        assert_eq!(found.elements()[0].offset(), rdkafka::Offset::Offset(offset));
        broker.up(node).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn too_few_replicas_in_sync_refuse_records_that_all_should_have() {
    let broker = start(2);
    let topic = NewTopic::new("t", 1, TopicReplication::Fixed(2)).set("min.insync.replicas", "2");
    create(&broker, &topic).await.unwrap();
    broker.down(2).unwrap();
    let produce = |acks| {
        let producer: BaseProducer =
            client(&broker).set("acks", acks).set("message.timeout.ms", "300").create().unwrap();
        let record = BaseRecord::<str, str>::to("t").payload("x").partition(0);
        producer.send(record).map_err(|(e, _)| e).unwrap();
        drop(producer.flush(TIMEOUT));
        let consumer: BaseConsumer = client(&broker).create().unwrap();
        consumer.fetch_watermarks("t", 0, TIMEOUT).unwrap().1
    };
    assert_eq!(produce("all"), 0);
    assert_eq!(produce("1"), 1);
    broker.up(2).unwrap();
    assert_eq!(produce("all"), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_take_consecutive_ports_and_may_be_advertised_elsewhere() {
    let try_it = || {
        let free = start(1).addresses().remove(0);
        let port: u16 = free.rsplit(':').next().unwrap().parse().unwrap();
        let advertised = Some("127.0.0.2".to_owned());
        let config = BrokerConfig { nodes: 2, port, advertised, ..BrokerConfig::default() };
        Broker::start(config).map(|broker| (broker, port))
    };
    // The next port may be somebody's.
    let (broker, port) = (0..50).find_map(|_| try_it().ok()).unwrap();
    assert_eq!(
        broker.addresses(),
        [format!("127.0.0.1:{port}"), format!("127.0.0.1:{}", port + 1)]
    );
    let consumer: BaseConsumer = client(&broker).create().unwrap();
    let metadata = consumer.fetch_metadata(None, TIMEOUT).unwrap();
    assert!(metadata.brokers().iter().all(|b| b.host() == "127.0.0.2"));
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_and_epochs_survive_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let data_dir = Some(dir.path().to_path_buf());
    let config = BrokerConfig { nodes: 3, data_dir, ..BrokerConfig::default() };
    let broker = Broker::start(config.clone()).unwrap();
    let given = TopicReplication::Variable(&[&[3, 1]]);
    create(&broker, &NewTopic::new("t", 1, given)).await.unwrap();
    broker.down(3).unwrap();
    broker.stop();
    let broker = Broker::start(config.clone()).unwrap();
    assert_eq!(partitions(&broker, "t"), [(3, vec![3, 1], vec![3, 1])]);
    broker.stop();
    let broker = Broker::start(BrokerConfig { nodes: 2, ..config }).unwrap();
    assert_eq!(partitions(&broker, "t"), [(1, vec![1], vec![1])], "there is no node 3");
}
