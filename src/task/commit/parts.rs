//! Cuts what a commit writes into parts, one of which is sent when the one before it is acknowledged.

use super::output::Output;
use crate::kafka::outgoing::Load;
use std::ops::Range;

/// Some of the records of one output, which has this place among all.
pub(super) type Slice = (usize, Range<usize>);

/// How far the parts have come: the next record is in this output, at this place.
#[derive(Debug, Default)]
pub(super) struct Parts {
    output: usize,
    record: usize,
}

impl Parts {
    /// The next of `outputs`, as many as `load` has room for and one at least; empty when there are no more.
    pub(super) fn next<'a>(
        &mut self,
        outputs: impl Iterator<Item = &'a Output>,
        mut load: Load,
    ) -> Vec<Slice> {
        let mut part = Vec::new();
        for output in outputs.skip(self.output) {
            let (from, count) = (self.record, output.len());
            let to = output.fill(from, &mut load);
            // One that does not fit goes alone.
            let is_large = part.is_empty() && to == from && from < count;
            let to = if is_large { from + 1 } else { to };
            if from < to {
                part.push((self.output, from..to));
            }
            let is_whole = to == count;
            (self.output, self.record) =
                if is_whole { (self.output + 1, 0) } else { (self.output, to) };
            if is_large || !is_whole {
                break;
            }
        }
        part
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::output::{Outbound, Output},
        *,
    };
    use crate::kafka::outgoing::Rows;
    use proptest::prelude::*;

    /// Rows of so many bytes each, or one record of so many bytes.
    fn output(sizes: &[usize], is_record: bool) -> Output {
        let topic = "t".into();
        if is_record {
            let value = Some(vec![b'v'; sizes.iter().sum()].into());
            let record = Outbound { value, ..Outbound::default() };
            return Output::Record { topic, record, told: None };
        }
        let mut rows = Rows::default();
        let ends = sizes.iter().scan(0, |end, size| {
            *end += size;
            Some(*end)
        });
        rows.ends = ends.collect();
        rows.bytes = vec![b'v'; rows.ends.last().copied().unwrap_or(0)].into();
        Output::Rows { topic, rows }
    }

    proptest! {
        /// Every record is in one part, in the order of all; a part is one record or has room, and would not have with the
        /// next one.
        #[test]
        fn parts_are_everything_once_and_as_much_as_there_is_room_for(
            sizes in prop::collection::vec((prop::collection::vec(0_usize..300, 0..12), any::<bool>()), 0..8),
            bytes in 1_usize..900, records in 0_usize..9,
        ) {
            let outputs: Vec<_> = sizes.iter().map(|(sizes, is_record)| output(sizes, *is_record)).collect();
            let wanted: Vec<_> = outputs.iter().enumerate().flat_map(|(i, one)| (0..one.len()).map(move |j| (i, j))).collect();
            let load = Load { bytes, records };
            let (mut parts, mut seen) = (Parts::default(), Vec::new());
            loop {
                let part = parts.next(outputs.iter(), load);
                if part.is_empty() {
                    break;
                }
                let mut room = load;
                let count: usize = part.iter().map(|(_, which)| which.len()).sum();
                let fits = part.iter().all(|(i, which)| outputs[*i].fill(which.start, &mut room) >= which.end);
                prop_assert!(fits || count == 1);
                seen.extend(part.into_iter().flat_map(|(i, which)| which.map(move |j| (i, j))));
                if let (Some((i, j)), true) = (wanted.get(seen.len()), fits) {
                    prop_assert_eq!(outputs[*i].fill(*j, &mut room), *j, "there was room for more");
                }
            }
            prop_assert_eq!(seen, wanted);
        }
    }
}
