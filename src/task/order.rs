//! Offsets of a partition only grow; what it means if they do not.

use crate::types::{Records, TopicPartition};

/// Why `records` cannot follow what was handed out up to offset `end`, if they cannot.
///
/// Offsets only grow, unless somebody deleted the topic and made it anew, or brokers lost a part of
/// it; then the client library goes back to the start by itself.
pub(super) fn order_broken(
    records: &dyn Records,
    end: Option<i64>,
    tp: &TopicPartition,
) -> Option<String> {
    let mut least = end.unwrap_or(0);
    for i in 0..records.len() {
        let offset = records.offset(i);
        if offset < least {
            return Some(format!(
                "{tp} begins anew: offset {offset} came where {least} was due. The topic was deleted and made again, \
                 or its brokers lost records. Restart the worker to read what is there now"
            ));
        }
        least = offset + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::OwnedRecord;

    fn at(offsets: &[i64]) -> Vec<OwnedRecord> {
        offsets.iter().map(|&offset| OwnedRecord { offset, ..OwnedRecord::default() }).collect()
    }

    /// Holes are no break; going back is, within the records or against what was handed out before.
    #[test]
    fn only_going_back_breaks_the_order() {
        let tp = TopicPartition::new("t", 0);
        assert_eq!(order_broken(&at(&[3, 4, 90]), Some(3), &tp), None);
        assert_eq!(order_broken(&at(&[0]), None, &tp), None);
        let reason = order_broken(&at(&[3, 4, 2]), None, &tp).expect("broken");
        assert!(reason.contains("offset 2 came where 5 was due"), "{reason}");
        assert!(order_broken(&at(&[0]), Some(10), &tp).is_some());
    }
}
