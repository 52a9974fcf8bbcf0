//! The same *map* as the other programs, by hand: one thread a partition, from librdkafka through sonic-rs to librdkafka.
//!
//! It is the bound that a framework is measured against, not a program to use: nothing is committed, a record
//! that does not parse ends it, and it never stops by itself. `KAFKA`, `IN` and `OUT` are in the environment.

use rdkafka::Offset;
use rdkafka::TopicPartitionList;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, ThreadedProducer};
use serde::{Deserialize, Serialize};
use std::env;
use std::error::Error;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

const PARTITIONS: i32 = 4;

type Producer = ThreadedProducer<DefaultProducerContext>;
type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

/// What the workload reads of an event; the other fields are skipped.
#[derive(Deserialize)]
struct Event<'a> {
    id: i64,
    #[serde(borrow)]
    user: &'a str,
    amount: f64,
    #[serde(borrow)]
    kind: &'a str,
}

/// What it writes.
#[derive(Serialize)]
struct Mapped<'a> {
    id: i64,
    user: &'a str,
    eur: f64,
    kind: &'a str,
}

fn main() -> Outcome {
    let producer: Arc<Producer> = Arc::new(
        ClientConfig::new()
            .set("bootstrap.servers", env::var("KAFKA")?)
            .set("linger.ms", "50")
            .set("batch.num.messages", "100000")
            .set("batch.size", "1000000")
            .set("queue.buffering.max.messages", "2000000")
            .create()?,
    );
    let threads: Vec<_> = (0..PARTITIONS)
        .map(|partition| {
            let producer = Arc::clone(&producer);
            thread::spawn(move || map(partition, &producer))
        })
        .collect();
    for thread in threads {
        thread.join().expect("it returns its errors")?;
    }
    Ok(())
}

/// Maps one partition from its start, for ever.
fn map(partition: i32, producer: &Producer) -> Outcome {
    let output = env::var("OUT")?;
    let consumer = reader(partition)?;
    let mut buffer = Vec::with_capacity(256);
    loop {
        let Some(polled) = consumer.poll(Duration::from_millis(100)) else { continue };
        let Ok(message) = polled else { continue };
        let event: Event<'_> = sonic_rs::from_slice(message.payload().ok_or("a tombstone")?)?;
        let Event { id, user, amount, kind } = event;
        buffer.clear();
        sonic_rs::to_writer(&mut buffer, &Mapped { id, user, eur: amount * 0.9, kind })?;
        send(producer, BaseRecord::to(&output).key(user).payload(&buffer))?;
    }
}

fn reader(partition: i32) -> Outcome<BaseConsumer> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", env::var("KAFKA")?)
        .set("group.id", "limit")
        .set("enable.auto.commit", "false")
        .set("fetch.message.max.bytes", "4194304")
        .set("queued.min.messages", "200000")
        .create()?;
    let mut place = TopicPartitionList::new();
    place.add_partition_offset(&env::var("IN")?, partition, Offset::Beginning)?;
    consumer.assign(&place)?;
    Ok(consumer)
}

/// Enqueues `record`, waiting while the queue is full.
fn send(producer: &Producer, mut record: BaseRecord<'_, str, Vec<u8>>) -> Outcome {
    loop {
        match producer.send(record) {
            Ok(()) => return Ok(()),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                record = back;
                thread::sleep(Duration::from_millis(1));
            }
            Err((error, _)) => return Err(error.into()),
        }
    }
}
