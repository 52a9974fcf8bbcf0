//! Any order of events, also such as cannot happen.

use super::{Answer, Effect, Event, Machine, Options, Proposal};
use crate::engine::{
    halt::{Halt, Reason},
    horizon::Point,
    reconcile::tests::{locals, remotes},
};
use proptest::prelude::*;

fn answer() -> impl Strategy<Value = Answer> {
    use Answer::{Abortable, Fenced, Ok, Refused, Retriable, Unknown};
    prop_oneof![6 => Just(Ok), 1 => Just(Retriable), 1 => Just(Abortable), 1 => Just(Unknown), 1 => Just(Fenced), 1 => Just(Refused)]
}

fn proposal() -> impl Strategy<Value = Proposal> {
    (0..5_i64, 0..3_i64).prop_map(|(from, width)| Proposal {
        from,
        point: Point::plain(from + width),
        hash: 0,
        time_ms: 0,
    })
}

/// Any event at all.
fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        Just(Event::Boot),
        answer().prop_map(Event::Initialised),
        remotes().prop_map(Event::Fetched),
        Just(Event::NotFetched),
        locals().prop_map(Event::LocalState),
        Just(Event::CaughtUp),
        Just(Event::StoreFailed(Halt::of(Reason::StoreFailed))),
        (proposal(), 0..9_u64).prop_map(|(proposal, token)| Event::Submitted { proposal, token }),
        answer().prop_map(Event::Flushed),
        Just(Event::Prepared),
        answer().prop_map(Event::OffsetsSent),
        answer().prop_map(Event::Committed),
        answer().prop_map(Event::Aborted),
        Just(Event::Applied),
        Just(Event::Discarded),
        (0..9_u64).prop_map(|token| Event::WaitedFor { token }),
        any::<bool>().prop_map(Event::Owner),
        Just(Event::Suspicious),
        Just(Event::IdleHeartbeat),
        Just(Event::OwnershipLost),
    ]
}

/// The event that the machine waits for, or what may come at any time.
fn fitting(effects: &[Effect], drawn: Event, token: u64) -> Event {
    let Some(last) = effects.iter().rev().find(|effect| !matches!(effect, Effect::DropProducer))
    else {
        return drawn;
    };
    match last {
        Effect::InitProducer => Event::Initialised(Answer::Ok),
        Effect::AskOwner => Event::Owner(true),
        Effect::Backoff { .. } => Event::WaitedFor { token },
        Effect::Apply | Effect::RollForward => Event::Applied,
        Effect::Discard => Event::Discarded,
        Effect::SendOffsets(_) => Event::OffsetsSent(Answer::Ok),
        Effect::Commit => Event::Committed(Answer::Ok),
        Effect::Flush => Event::Flushed(Answer::Ok),
        _ => drawn,
    }
}

/// What has to be true of the order of effects, whatever happened.
#[derive(Default)]
struct Rules {
    is_open: bool,
    has_offsets: bool,
    is_flushed: bool,
    is_prepared: bool,
    is_committed: bool,
    is_over: bool,
    tokens: Vec<u64>,
}

impl Rules {
    fn event(&mut self, event: &Event) {
        match event {
            Event::Flushed(Answer::Ok) => self.is_flushed = true,
            Event::Prepared => self.is_prepared = true,
            Event::Committed(Answer::Ok) => self.is_committed = true,
            _ => {}
        }
    }

    fn effect(&mut self, effect: &Effect, has_store: bool) {
        assert!(!self.is_over, "{effect:?} after the end");
        match effect {
            Effect::Begin => {
                assert!(!self.is_open, "a transaction in a transaction");
                *self = Self {
                    is_open: true,
                    tokens: std::mem::take(&mut self.tokens),
                    ..Self::default()
                };
            }
            Effect::Prepare { token, .. } => {
                assert!(*token != 0 && !self.tokens.contains(token), "{token} was used");
                self.tokens = vec![*token];
                self.is_prepared = false;
            }
            Effect::Produce => self.is_flushed = false,
            Effect::SendOffsets(receipt) => {
                let is_new = self.tokens.contains(&receipt.token);
                let is_staged = self.is_flushed && (self.is_prepared || !has_store);
                assert!(self.is_open && (is_staged || !is_new), "offsets too early");
                self.has_offsets = true;
            }
            Effect::Commit => assert!(self.is_open && self.has_offsets, "nothing to commit"),
            Effect::Apply => assert!(self.is_committed, "applied too early"),
            Effect::Abort => assert!(self.is_open, "nothing to abort"),
            Effect::InitProducer => assert!(!self.is_open, "a producer beside a producer"),
            Effect::Release | Effect::Halt(_) => self.is_over = true,
            _ => {}
        }
        let ends = [Effect::DropProducer, Effect::Apply, Effect::Discard];
        let is_live =
            matches!(effect, Effect::Live { .. } | Effect::Done { .. } | Effect::Backoff { .. });
        self.is_open &= !ends.contains(effect) && !is_live;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Nothing makes the machine panic, forget the order, or go on after its end.
    #[test]
    fn any_order_of_events_is_survived(
        has_store in any::<bool>(),
        drawn in prop::collection::vec((event(), 0..10_u8), 1..80),
    ) {
        let mut machine = Machine::new(Options { has_store, most_aborts: 2 });
        let mut rules = Rules::default();
        let mut last = Vec::new();
        for (place, (event, chance)) in drawn.into_iter().enumerate() {
            let event = if chance < 6 { fitting(&last, event, 100 + place as u64) } else { event };
            rules.event(&event);
            let before = machine.clone();
            let effects = machine.on(event);
            for effect in &effects {
                rules.effect(effect, has_store);
            }
            if before.is_over() {
                prop_assert!(effects.is_empty() && machine.stage() == before.stage());
            }
            if !effects.is_empty() {
                last = effects;
            }
        }
    }
}
