//! Offsets of a task with several inputs, in front of the machine, which knows one number: the sum of them.
//!
//! # Guarantees
//!
//! * One transaction carries the offsets of all inputs, so that the number beside the token is that of the
//!   commit with this token; offsets that something else has set are told apart.
//! * An input whose records are gone, or not there yet, is seen as such, whatever the others are at.

use super::driver::Driver;
use crate::{
    engine::{
        horizon::Point,
        inputs::log_of,
        receipt::{Metadata, Receipt},
    },
    error::Result,
    kafka::consumer::GroupOffset,
    types::TopicPartition,
};

/// What is committed, with what stands beside it, and the first record and the end of the log.
pub(super) type Found = (Option<(i64, Metadata)>, Option<(i64, i64)>);

impl Driver {
    fn tps(&self) -> Vec<TopicPartition> {
        std::iter::once(&self.link.tp).chain(&self.link.sides).cloned().collect()
    }

    /// What is committed of all inputs together. An input that was never committed counts when it is.
    pub(super) fn committed_of_each(&mut self) -> Result<Found> {
        let inputs = self.tps();
        let found: Vec<_> =
            inputs.iter().map(|tp| self.link.member.committed(tp)).collect::<Result<_>>()?;
        self.inputs = found.iter().map(|one| one.as_ref().map(|one| one.offset)).collect();
        if self.inputs.iter().all(Option::is_none) {
            return Ok((None, self.link.member.log(&self.link.tp)));
        }
        let at = self.inputs.iter().flatten().sum();
        let found: Vec<_> = found.iter().map(Option::as_ref).collect();
        Ok((Some((at, metadata(at, &found))), self.log(&inputs, at)))
    }

    /// The log of the first input, or of one whose offset is not in its log, as the number `at` sees it.
    fn log(&mut self, inputs: &[TopicPartition], at: i64) -> Option<(i64, i64)> {
        let mut first = None;
        for (tp, offset) in inputs.iter().zip(&self.inputs) {
            let (Some(offset), Some(log)) = (*offset, self.link.member.log(tp)) else { continue };
            let seen = log_of(at, offset, log);
            if offset < log.0 && log.0 < log.1 || offset > log.1 {
                let (start, end) = log;
                let trouble = format!("{tp} is committed up to {offset} and has {start} to {end}");
                self.trouble = Some(trouble);
                return Some(seen);
            }
            first = first.or(Some(seen));
        }
        first
    }

    /// What a transaction commits for `receipt`.
    pub(super) fn offsets(&self, receipt: &Receipt) -> Vec<GroupOffset> {
        let metadata = receipt.to_metadata();
        if self.link.sides.is_empty() {
            let (tp, offset) = (self.link.tp.clone(), receipt.point.offset);
            return vec![GroupOffset { tp, offset, metadata }];
        }
        let of_commit = self.commit.as_ref().map(|commit| &commit.inputs);
        let of_commit = of_commit.map(|each| each.iter().copied().map(Some).collect());
        let each: Vec<_> = of_commit.unwrap_or_else(|| self.inputs.clone());
        let mut texts = std::iter::once(metadata);
        let offset = |(tp, offset): (TopicPartition, Option<i64>)| {
            let metadata = texts.next().unwrap_or_default();
            offset.map(|offset| GroupOffset { tp, offset, metadata })
        };
        self.tps().into_iter().zip(each).filter_map(offset).collect()
    }
}

/// The receipt of number `at`, unless offsets were set since it was written. It stands beside the first offset; a
/// reset writes one beside each, about that alone.
fn metadata(at: i64, found: &[Option<&GroupOffset>]) -> Metadata {
    let text = found.first().copied().flatten().map_or("", |one| one.metadata.as_str());
    let read = |one: &&GroupOffset| Metadata::read(one.offset, &one.metadata).receipt().copied();
    let was_reset = |one: &&GroupOffset| read(one).is_some_and(|it| it.is_beginning());
    if let Some(one) = found.first().copied().flatten().as_ref().and_then(read)
        && found.iter().flatten().all(was_reset)
    {
        return Metadata::Receipt(Receipt { point: Point::plain(at), ..one });
    }
    match Metadata::read(at, text) {
        Metadata::Receipt(receipt) if receipt.position() != at => Metadata::Foreign,
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receipt_beside_offsets_that_were_set_since_is_foreign() {
        let receipt = Receipt::plain(30, 7);
        let seen = |at, text: &str| metadata(at, &[Some(&offset(at - 10, text)), None]);
        assert_eq!(seen(30, &receipt.to_metadata()), Metadata::Receipt(receipt));
        for moved in [29, 31] {
            assert_eq!(seen(moved, &receipt.to_metadata()), Metadata::Foreign);
        }
        assert_eq!(seen(30, ""), Metadata::Empty);
    }

    #[test]
    fn a_reset_of_each_input_is_one_of_all() {
        let reset = |at| Receipt { generation: 5, time_ms: 9, ..Receipt::plain(at, 0) };
        let set = |at: i64| offset(at, &reset(at).to_metadata());
        let (first, second, plain) = (set(10), set(20), offset(20, ""));
        assert_eq!(metadata(30, &[Some(&first), Some(&second)]), Metadata::Receipt(reset(30)));
        assert_eq!(metadata(10, &[Some(&first), None]), Metadata::Receipt(reset(10)));
        assert_eq!(metadata(30, &[Some(&first), Some(&plain)]), Metadata::Foreign);
    }

    fn offset(offset: i64, text: &str) -> GroupOffset {
        let tp = TopicPartition::new("t", 0);
        GroupOffset { tp, offset, metadata: text.to_owned() }
    }
}
