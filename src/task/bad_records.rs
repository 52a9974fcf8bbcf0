//! What becomes of records that cannot be decoded, by the policy of their reader.

use super::{
    dead_letter::{Phase, dead_letter},
    status::Status,
};
use crate::{
    codec::{BadRecord, Decoded},
    config::OnError,
    types::{OwnedRecord, Records, TopicPartition},
};

/// What the policy made of a poll.
pub(super) struct Sorted {
    /// Offset behind what is handed out.
    pub(super) next: i64,
    pub(super) letters: Vec<OwnedRecord>,
    /// Why the partition stops there, if it does.
    pub(super) stop: Option<String>,
}

/// Applies `policy` to what could not be decoded of `records`; if the partition stops, the batch ends
/// in front of the first bad record. `tp` is the partition that they are of.
pub(super) fn sort_out(
    (status, tp): (&Status, &TopicPartition),
    policy: OnError,
    records: &dyn Records,
    decoded: &mut Decoded,
) -> Sorted {
    let next = records.offset(records.len() - 1) + 1;
    let mut sorted = Sorted { next, letters: Vec::new(), stop: None };
    let Some(first) = decoded.bad.first() else { return sorted };
    match policy {
        OnError::Fail => {
            sorted.stop = Some(refusal(tp, records, first));
            sorted.next = records.offset(first.index);
            let before = decoded.rows.as_ref().map_or(first.index, |rows| {
                rows.partition_point(|&row| (row as usize) < first.index)
            });
            decoded.batch = decoded.batch.slice(0, before);
        }
        OnError::Skip => note_skipped((status, tp), records, &decoded.bad),
        OnError::Dlq => {
            let letter =
                |bad: &BadRecord| dead_letter(records, bad.index, tp, Phase::Decode, &bad.message);
            sorted.letters = decoded.bad.iter().map(letter).collect();
        }
    }
    sorted
}

fn refusal(tp: &TopicPartition, records: &dyn Records, bad: &BadRecord) -> String {
    format!(
        "record {} at offset {} cannot be decoded: {}. Nothing is lost: the partition waits in front of it. \
         Mend the record's producer or the model and restart, or declare on_error=\"skip\" or on_error=\"dlq\" to go on without such records",
        tp,
        records.offset(bad.index),
        bad.message
    )
}

fn note_skipped(
    (status, tp): (&Status, &TopicPartition),
    records: &dyn Records,
    bad: &[BadRecord],
) {
    let Some(first) = bad.first() else { return };
    tracing::warn!(
        target: "turbine.task",
        "{} {}: {} bad record(s) left out, the first at offset {}: {}",
        status.name,
        tp,
        bad.len(),
        records.offset(first.index),
        first.message
    );
}
