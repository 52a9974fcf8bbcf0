//! The producer of a process against the embedded broker: records sent one by one, and beside them rows.

use std::{collections::BTreeMap, sync::Arc, time::Duration};
use turbine::{
    broker::{Broker, BrokerConfig},
    kafka::{
        answer::Answer,
        flight::Flight,
        outgoing::{Outgoing, Rows},
        producer::Producer,
    },
};

const TIMEOUT: Duration = Duration::from_secs(20);

fn broker() -> Broker {
    let config = BrokerConfig { default_partitions: 1, ..BrokerConfig::default() };
    Broker::start(config).unwrap()
}

fn producer(address: &str, user: &[(&str, &str)]) -> Arc<Producer> {
    let counter = prometheus::IntCounter::new("records", "records").unwrap();
    let user = user.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Producer::new(address, &user.collect::<BTreeMap<_, _>>(), 64 << 20, counter).unwrap()
}

fn send(producer: &Producer, record: &Outgoing<'_>) -> Arc<Answer> {
    let answer = Arc::new(Answer::default());
    producer.send("t", record, None, Some(Arc::clone(&answer))).unwrap();
    answer
}

fn offset(answer: &Answer) -> i64 {
    answer.wait(TIMEOUT).expect("an answer in time").expect("it was written").offset
}

#[test]
fn records_of_a_topic_keep_the_order_of_the_calls_however_they_are_sent() {
    let broker = broker();
    let producer = producer(&broker.address(), &[]);
    let header = [("name".to_owned(), Some(b"value".to_vec()))];
    let large = vec![b'x'; 100_000];
    let flight = Flight::new(|_| ());
    let (mut answers, mut next) = (Vec::new(), 0);
    for round in 0..50 {
        let plain = Outgoing { value: Some(b"plain"), ..Outgoing::default() };
        let others = [
            Outgoing { headers: &header, ..plain.clone() },
            Outgoing { partition: Some(0), ..plain.clone() },
            Outgoing { timestamp_ms: Some(1_000), ..plain.clone() },
            Outgoing { value: Some(&large), ..plain.clone() },
        ];
        for record in [&plain, &plain, &others[round % 4], &plain] {
            answers.push((next, send(&producer, record)));
            next += 1;
        }
        let rows = Rows { bytes: "ab".into(), ends: vec![1, 2], ..Rows::default() };
        assert!(producer.send_rows("t", &rows, 0..2, &flight).unwrap().is_empty());
        next += 2;
    }
    flight.seal();
    for (wanted, answer) in answers {
        assert_eq!(offset(&answer), wanted);
    }
}

#[test]
fn records_that_find_the_clients_queue_full_wait_in_their_order() {
    let broker = broker();
    let producer = producer(&broker.address(), &[("queue.buffering.max.messages", "7")]);
    let record = Outgoing { key: Some(b"k"), value: Some(b"v"), ..Outgoing::default() };
    let answers: Vec<_> = (0..300).map(|_| send(&producer, &record)).collect();
    for (wanted, answer) in (0..).zip(&answers) {
        assert_eq!(offset(answer), wanted);
    }
    assert_eq!(producer.flush(TIMEOUT), 0);
}

#[test]
fn whoever_waits_for_a_record_that_is_dropped_is_told() {
    // Nobody listens there.
    let producer = producer("127.0.0.1:1", &[("queue.buffering.max.messages", "7")]);
    let record = Outgoing { value: Some(b"v"), ..Outgoing::default() };
    let answers: Vec<_> = (0..20).map(|_| send(&producer, &record)).collect();
    let (landed, inbox) = std::sync::mpsc::channel();
    producer.turn_epoch(move |result| landed.send(result.is_err()).unwrap());
    producer.purge();
    for answer in answers {
        assert!(answer.wait(TIMEOUT).expect("an answer in time").is_err());
    }
    assert_eq!(inbox.recv_timeout(TIMEOUT), Ok(true), "what they were sent with has failed");
    // The client forgets a record a moment after it told of it.
    assert_eq!(producer.flush(TIMEOUT), 0);
}
