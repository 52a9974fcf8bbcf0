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
        let text = found.first().and_then(Option::as_ref).map_or("", |one| one.metadata.as_str());
        Ok((Some((at, metadata(at, text))), self.log(&inputs, at)))
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

/// The receipt of number `at`, unless offsets were set since it was written.
fn metadata(at: i64, text: &str) -> Metadata {
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
        assert_eq!(metadata(30, &receipt.to_metadata()), Metadata::Receipt(receipt));
        for moved in [29, 31] {
            assert_eq!(metadata(moved, &receipt.to_metadata()), Metadata::Foreign);
        }
        assert_eq!(metadata(30, ""), Metadata::Empty);
    }
}
