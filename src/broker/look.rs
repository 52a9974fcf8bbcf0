//! What tests ask the broker itself, without a client: topics, records, groups.

use super::{
    log::{Aborted, BatchHeader, Content, Isolation, Log, ReadError, contents},
    server::Broker,
};
use crate::error::{Error, Result};
use std::{collections::BTreeMap, io};

/// Bytes of batches that are taken out of a log at a time.
const READ_BYTES: usize = 1 << 20;

/// A record in a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicRecord {
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// Its timestamp, in ms since the Unix epoch.
    pub timestamp_ms: i64,
    /// Its key, if it has one.
    pub key: Option<Vec<u8>>,
    /// Its value; none is a tombstone.
    pub value: Option<Vec<u8>>,
    /// Its headers.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

/// A consumer group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupState {
    /// `Stable`, `Empty` and so on.
    pub state: String,
    /// `client.id` of each member, by member id.
    pub members: BTreeMap<String, String>,
}

/// Which records [`Broker::records`] gives.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// Of this partition; none is of all, one after the other.
    pub partition: Option<i32>,
    /// From this offset on.
    pub from: i64,
    /// At most so many.
    pub limit: usize,
    /// True: only those that consumers see that read what is committed.
    pub committed: bool,
}

impl Default for Wanted {
    fn default() -> Self {
        Self { partition: None, from: 0, limit: usize::MAX, committed: true }
    }
}

impl Broker {
    /// Topics and their number of partitions.
    #[must_use]
    pub fn topics(&self) -> BTreeMap<String, usize> {
        let topics = self.shared().topics.all();
        topics.iter().map(|topic| (topic.name.clone(), topic.partitions.len())).collect()
    }

    /// Records of a topic, those of a partition in their order.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if there is no such topic or partition, [`Error::Io`] if a log cannot be
    /// read.
    pub fn records(&self, topic: &str, wanted: Wanted) -> Result<Vec<TopicRecord>> {
        let missing = |what: String| Error::Config(format!("there is no {what}"));
        let found = self.shared().topics.get(topic);
        let found = found.ok_or_else(|| missing(format!("topic {topic}")))?;
        let count = found.partitions.len() as i32;
        let numbers = match wanted.partition {
            None => 0..count,
            Some(number) if (0..count).contains(&number) => number..number + 1,
            Some(number) => return Err(missing(format!("partition {number} of topic {topic}"))),
        };
        let mut records = Vec::new();
        for number in numbers {
            let partition = found.partition(number).expect("it was counted");
            read(&partition.log, number, wanted, &mut records)
                .map_err(|e| Error::io(format!("log of {topic}[{number}]"), &e))?;
        }
        Ok(records)
    }

    /// Groups by their ids.
    #[must_use]
    pub fn groups(&self) -> BTreeMap<String, GroupState> {
        let mut groups = BTreeMap::new();
        self.shared().groups.each(|id, group, consumers| {
            let classic = group.members().iter().map(|m| (m.id.clone(), m.client_id.clone()));
            let mut members: BTreeMap<_, _> = classic.collect();
            let mut state = group.state().name();
            if let Some(consumers) = consumers {
                state = consumers.state().name();
                members.extend(consumers.members().map(|m| (m.id.clone(), m.client_id.clone())));
            }
            groups.insert(id.to_owned(), GroupState { state: state.to_owned(), members });
        });
        groups
    }

    /// Committed offsets of a group, by topic and partition; empty if there is no such group.
    #[must_use]
    pub fn committed(&self, group: &str) -> BTreeMap<(String, i32), i64> {
        let mut committed = BTreeMap::new();
        self.shared().groups.each(|id, found, _| {
            if id == group {
                for (topic, partitions) in found.offsets.iter() {
                    let offsets =
                        partitions.iter().map(|(n, c)| ((topic.to_owned(), *n), c.offset));
                    committed.extend(offsets);
                }
            }
        });
        committed
    }
}

/// Appends the wanted records of a log.
fn read(
    log: &parking_lot::Mutex<Log>,
    partition: i32,
    wanted: Wanted,
    records: &mut Vec<TopicRecord>,
) -> io::Result<()> {
    let isolation =
        if wanted.committed { Isolation::ReadCommitted } else { Isolation::ReadUncommitted };
    let mut from = wanted.from.max(log.lock().start_offset());
    while records.len() < wanted.limit {
        let (batches, aborted) = {
            let log = log.lock();
            if from >= log.end_for(isolation) {
                break;
            }
            let read = match isolation {
                Isolation::ReadCommitted => log.read_committed(from, READ_BYTES, true),
                Isolation::ReadUncommitted => {
                    log.read(from, READ_BYTES, true).map(|batches| (batches, Vec::new()))
                }
            };
            match read {
                Ok(read) => read,
                // They went while this looked away: go on with what is left.
                Err(ReadError::OutOfRange { start, .. }) if start > from => {
                    from = start;
                    continue;
                }
                Err(ReadError::OutOfRange { .. }) => break,
                Err(ReadError::Io(error)) => return Err(error),
            }
        };
        let mut rest = &batches[..];
        while !rest.is_empty() {
            let header = BatchHeader::parse(rest)
                .map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e.to_string()))?;
            if !header.is_control() && !is_aborted(&header, &aborted) {
                let contents = contents(rest)?.into_iter().filter(|r| r.offset >= from);
                records.extend(contents.map(|content| placed(partition, content)));
            }
            rest = rest.get(header.bytes..).unwrap_or_default();
            from = header.last_offset() + 1;
        }
        if batches.is_empty() {
            break;
        }
    }
    records.truncate(wanted.limit);
    Ok(())
}

fn is_aborted(batch: &BatchHeader, aborted: &[Aborted]) -> bool {
    batch.is_transactional()
        && aborted.iter().any(|transaction| {
            transaction.producer_id == batch.producer_id
                && (transaction.first_offset..=transaction.last_offset).contains(&batch.base_offset)
        })
}

fn placed(partition: i32, content: Content) -> TopicRecord {
    let Content { offset, timestamp_ms, key, value, headers } = content;
    TopicRecord { partition, offset, timestamp_ms, key, value, headers }
}
