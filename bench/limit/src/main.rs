//! The same work as the other programs, by hand: one thread a partition, from librdkafka through sonic-rs to librdkafka.
//!
//! `WORK=map|count|window`, `KAFKA`, `IN` and `OUT` are in the environment. It is the bound that a framework is
//! measured against, not a program to use: nothing is committed or kept, a record that does not parse ends it, late
//! events open a window again, and it never stops by itself.

use ahash::AHashMap;
use rdkafka::Offset;
use rdkafka::TopicPartitionList;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, ThreadedProducer};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
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
    ts: i64,
    amount: f64,
    #[serde(borrow)]
    kind: &'a str,
}

/// What *map* writes.
#[derive(Serialize)]
struct Mapped<'a> {
    id: i64,
    user: &'a str,
    eur: f64,
    kind: &'a str,
}

/// What *count* writes.
#[derive(Serialize)]
struct Counted<'a> {
    user: &'a str,
    count: u64,
}

/// What *window* writes.
#[derive(Serialize)]
struct Closed<'a> {
    user: &'a str,
    window_start_ms: i64,
    window_end_ms: i64,
    n: u64,
    total: f64,
}

const SIZE_MS: i64 = 10_000;

fn main() -> Outcome {
    let mode = env::var("WORK")?;
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
            let out = Out {
                producer: Arc::clone(&producer),
                topic: env::var("OUT")?,
                buffer: Vec::new(),
            };
            let work: Box<dyn Work + Send> = match mode.as_str() {
                "map" => Box::new(Map),
                "count" => Box::<Count>::default(),
                "window" | "tumbling" => Box::<Window>::default(),
                other => return Err(format!("no workload {other}: map, count or window").into()),
            };
            Ok(thread::spawn(move || run(partition, work, out)))
        })
        .collect::<Outcome<_>>()?;
    for thread in threads {
        thread.join().expect("it returns its errors")?;
    }
    Ok(())
}

/// What is done with an event.
trait Work {
    fn take(&mut self, event: &Event<'_>, out: &mut Out) -> Outcome;
}

struct Map;

impl Work for Map {
    fn take(&mut self, event: &Event<'_>, out: &mut Out) -> Outcome {
        let Event { id, user, amount, kind, .. } = *event;
        out.send(user, &Mapped { id, user, eur: amount * 0.9, kind })
    }
}

#[derive(Default)]
struct Count(AHashMap<String, u64>);

impl Work for Count {
    fn take(&mut self, event: &Event<'_>, out: &mut Out) -> Outcome {
        let user = event.user;
        let count = match self.0.get_mut(user) {
            Some(count) => count,
            None => self.0.entry(user.to_owned()).or_default(),
        };
        *count += 1;
        out.send(user, &Counted { user, count: *count })
    }
}

#[derive(Default)]
struct Window(BTreeMap<i64, AHashMap<String, (u64, f64)>>);

impl Work for Window {
    fn take(&mut self, event: &Event<'_>, out: &mut Out) -> Outcome {
        let start = event.ts.div_euclid(SIZE_MS) * SIZE_MS;
        let users = self.0.entry(start).or_default();
        let (n, total) = match users.get_mut(event.user) {
            Some(pane) => pane,
            None => users.entry(event.user.to_owned()).or_default(),
        };
        *n += 1;
        *total += event.amount;
        while let Some(first) = self.0.first_entry().filter(|w| w.key() + SIZE_MS <= event.ts) {
            let (window_start_ms, users) = first.remove_entry();
            let window_end_ms = window_start_ms + SIZE_MS;
            for (user, (n, total)) in users {
                let user = user.as_str();
                out.send(user, &Closed { user, window_start_ms, window_end_ms, n, total })?;
            }
        }
        Ok(())
    }
}

/// Works through one partition from its start, for ever.
fn run(partition: i32, mut work: Box<dyn Work + Send>, mut out: Out) -> Outcome {
    let consumer = reader(partition)?;
    loop {
        let Some(polled) = consumer.poll(Duration::from_millis(100)) else { continue };
        let Ok(message) = polled else { continue };
        let event: Event<'_> = sonic_rs::from_slice(message.payload().ok_or("a tombstone")?)?;
        work.take(&event, &mut out)?;
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

/// Where outputs go.
struct Out {
    producer: Arc<Producer>,
    topic: String,
    buffer: Vec<u8>,
}

impl Out {
    /// Enqueues `value` as JSON, waiting while the queue is full.
    fn send(&mut self, key: &str, value: &impl Serialize) -> Outcome {
        self.buffer.clear();
        sonic_rs::to_writer(&mut self.buffer, value)?;
        let mut record = BaseRecord::to(&self.topic).key(key).payload(&self.buffer);
        loop {
            match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    record = back;
                    thread::sleep(Duration::from_millis(1));
                }
                Err((error, _)) => return Err(error.into()),
            }
        }
    }
}
