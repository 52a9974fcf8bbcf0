//! Batches leave in the order in which they were begun, whichever is done first.
//!
//! A batch that needs no handler (markers behind the last record, records that are all bad, windows that nothing
//! came out of) is done at once, while one in front of it may be with its handler for long. Where each commit has
//! an offset of its own, the later one must not be made first: whoever goes on behind it never sees the records of
//! the earlier one.
//!
//! # Guarantees
//!
//! * A batch passes once all that were begun before it have passed.
//! * Once one is given back, neither it nor any behind it passes.

use crate::engine::tracker::Ticket;
use parking_lot::Mutex;
use std::collections::BTreeMap;

/// See the module. Tickets are those of one tracker, none left out.
pub(super) struct Turnstile<T>(Mutex<Inner<T>>);

struct Inner<T> {
    /// Who passes next.
    next: Ticket,
    /// The first that must not pass any more.
    end: Ticket,
    early: BTreeMap<Ticket, T>,
}

impl<T> Default for Turnstile<T> {
    fn default() -> Self {
        Self(Mutex::new(Inner { next: 0, end: Ticket::MAX, early: BTreeMap::new() }))
    }
}

impl<T> Turnstile<T> {
    /// Batch `ticket` is done: `out` gets it, and those that it held up, in their order; or it waits.
    ///
    /// # Errors
    ///
    /// The batch, if it is not to pass any more.
    pub(super) fn pass(&self, ticket: Ticket, batch: T, mut out: impl FnMut(T)) -> Result<(), T> {
        let mut inner = self.0.lock();
        if ticket >= inner.end {
            return Err(batch);
        }
        inner.early.insert(ticket, batch);
        // Under the lock: who is let out by somebody else does not overtake.
        loop {
            let next = inner.next;
            let Some(batch) = inner.early.remove(&next) else { return Ok(()) };
            out(batch);
            inner.next += 1;
        }
    }

    /// Lets none pass from `ticket` on; those that have waited.
    pub(super) fn close(&self, ticket: Ticket) -> Vec<T> {
        let mut inner = self.0.lock();
        inner.end = inner.end.min(ticket);
        let end = inner.end;
        inner.early.split_off(&end).into_values().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Whatever is done first: batches come out one after the other from the first on, none twice and none
        /// from the one on that was given back; who does not come out by then is told so.
        #[test]
        fn batches_come_out_in_their_order(
            order in Just((0..20_u64).collect::<Vec<_>>()).prop_shuffle(),
            given_back in prop::option::of((0..20_u64, 0..20_usize)),
        ) {
            let turnstile = Turnstile::default();
            let (mut out, mut refused) = (Vec::new(), Vec::new());
            for (step, &ticket) in order.iter().enumerate() {
                if let Some((at, _)) = given_back.filter(|&(_, when)| when == step) {
                    refused.extend(turnstile.close(at));
                }
                if given_back.is_none_or(|(at, when)| ticket != at || step < when) {
                    let passed = turnstile.pass(ticket, ticket, |one| out.push(one));
                    refused.extend(passed.err());
                }
            }
            let count = out.len() as u64;
            prop_assert_eq!(&out, &(0..count).collect::<Vec<_>>());
            let Some((at, when)) = given_back else {
                prop_assert_eq!(count, 20);
                return Ok(());
            };
            let was_out = order[..when].iter().copied().collect::<std::collections::BTreeSet<_>>();
            let before = (0..20).take_while(|ticket| was_out.contains(ticket)).count() as u64;
            prop_assert_eq!(count, before.max(at));
            // The one that was given back is told of by whoever does that.
            let is_itself = u64::from(!was_out.contains(&at));
            prop_assert_eq!(refused.len() as u64 + count + is_itself, 20);
        }
    }
}
