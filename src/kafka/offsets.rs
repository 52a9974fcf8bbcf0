//! Offsets of a group, and lists of them as librdkafka has them.

use super::{consumer::ConsumerHandle, failed};
use crate::{error::Result, types::TopicPartition};
use rdkafka::{
    Offset, TopicPartitionList, bindings as rd,
    consumer::{CommitMode, Consumer},
    topic_partition_list::TopicPartitionListElem,
};
use std::{ffi::CString, time::Duration};

/// Longest wait for committed offsets.
const COMMITTED_TIMEOUT: Duration = Duration::from_secs(10);

/// An offset that a group commits, with a text of its own beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupOffset {
    /// Its partition.
    pub tp: TopicPartition,
    /// The next record to read.
    pub offset: i64,
    /// Whatever the group wants to find again.
    pub metadata: String,
}

/// The partitions of a list.
pub(super) fn names(list: &TopicPartitionList) -> Vec<TopicPartition> {
    list.elements().iter().map(|e| TopicPartition::new(e.topic(), e.partition())).collect()
}

/// A list of offsets that are to be committed.
pub(super) fn to_list(offsets: &[GroupOffset]) -> Result<TopicPartitionList> {
    let mut list = TopicPartitionList::with_capacity(offsets.len());
    for GroupOffset { tp, offset, metadata } in offsets {
        let mut one = list.add_partition(&tp.topic, tp.partition);
        one.set_offset(Offset::Offset(*offset))
            .map_err(|e| failed(format!("committing {tp}"), &e))?;
        if !metadata.is_empty() {
            one.set_metadata(metadata);
        }
    }
    Ok(list)
}

/// Adds partitions to an assignment that is about to change.
pub(super) fn add(list: &TopicPartitionList, partitions: &[TopicPartition]) {
    for tp in partitions {
        let Ok(topic) = CString::new(&*tp.topic) else { continue };
        // SAFETY: the list is alive and not used by another thread during the rebalance; the name is copied.
        unsafe {
            rd::rd_kafka_topic_partition_list_add(list.ptr(), topic.as_ptr(), tp.partition);
        }
    }
}

/// Makes partition `tp` of an assignment begin at `offset`.
pub(super) fn begin_at(list: &TopicPartitionList, tp: &TopicPartition, offset: i64) {
    let Ok(topic) = CString::new(&*tp.topic) else { return };
    // SAFETY: the list is alive and not used by another thread during the rebalance, the name is a C
    // string; a partition that is not in the list changes nothing.
    unsafe {
        rd::rd_kafka_topic_partition_list_set_offset(
            list.ptr(),
            topic.as_ptr(),
            tp.partition,
            offset,
        );
    }
}

/// What the group has committed, of those partitions that have something. A consumer that reads
/// committed records waits until no transaction is about to change it.
pub(super) fn committed(
    consumer: &ConsumerHandle,
    wanted: &[TopicPartition],
) -> Result<Vec<GroupOffset>> {
    let mut list = TopicPartitionList::with_capacity(wanted.len());
    for tp in wanted {
        list.add_partition(&tp.topic, tp.partition);
    }
    let found = consumer
        .committed_offsets(list, COMMITTED_TIMEOUT)
        .map_err(|e| failed("asking for committed offsets", &e))?;
    let one = |one: TopicPartitionListElem<'_>| match one.error() {
        Err(error) => Some(Err(failed("asking for committed offsets", &error))),
        Ok(()) => match one.offset() {
            Offset::Offset(offset) => Some(Ok(GroupOffset {
                tp: TopicPartition::new(one.topic(), one.partition()),
                offset,
                metadata: one.metadata().to_owned(),
            })),
            _ => None,
        },
    };
    found.elements().into_iter().filter_map(one).collect()
}

/// Commits `offsets` and waits for the answer.
pub(super) fn commit(consumer: &ConsumerHandle, offsets: &[GroupOffset]) -> Result<()> {
    if offsets.is_empty() {
        return Ok(());
    }
    let list = to_list(offsets)?;
    consumer.commit(&list, CommitMode::Sync).map_err(|e| failed("committing offsets", &e))
}
