use super::*;
use crate::engine::horizon::Point;
use crate::engine::receipt::Receipt;
use proptest::prelude::*;

fn mark(next: i64, token: u64) -> Mark {
    Mark { next, token, hash: 0, log: -1 }
}

fn receipt(position: i64, token: u64) -> Metadata {
    Metadata::Receipt(Receipt::plain(position, token))
}

fn local(mark: Option<Mark>, pending: Option<(i64, i64, u64)>) -> Local {
    let pending = pending.map(|(from, next, token)| Undecided { from, next, token });
    Local { mark, pending, identity: None }
}

fn remote(committed: Option<(i64, Metadata)>) -> Remote {
    Remote { committed, log: Some((0, 100)), identity: Identity::default() }
}

fn reason(decision: &Decision) -> Reason {
    match &decision.then {
        Then::Halt(halt) => halt.reason,
        other => panic!("{other:?}"),
    }
}

/// State and offset of the same commit: nothing is to be done.
#[test]
fn what_agrees_goes_on() {
    let decision = reconcile(&local(Some(mark(7, 3)), None), &remote(Some((7, receipt(7, 3)))));
    assert_eq!(decision, Decision { pending: Undo::Leave, then: Then::Live(7) });
}

/// Nothing anywhere: the first start of all.
#[test]
fn a_first_start_is_fresh() {
    let decision = reconcile(&local(None, None), &remote(None));
    assert_eq!(decision, Decision { pending: Undo::Leave, then: Then::Fresh });
    let decision = reconcile(&local(None, Some((0, 5, 9))), &remote(None));
    assert_eq!(decision, Decision { pending: Undo::Discard, then: Then::Fresh });
}

/// The token beside the offset is that of the pending commit: it took effect.
#[test]
fn the_token_of_the_pending_commit_rolls_it_forward() {
    for before in [Some(mark(4, 2)), None] {
        let decision =
            reconcile(&local(before, Some((4, 7, 3))), &remote(Some((7, receipt(7, 3)))));
        assert_eq!(decision, Decision { pending: Undo::RollForward, then: Then::Live(7) });
    }
}

/// Any other token: it did not, and the store stays as it is.
#[test]
fn another_token_discards_the_pending_commit() {
    let decision =
        reconcile(&local(Some(mark(4, 2)), Some((4, 7, 3))), &remote(Some((4, receipt(4, 2)))));
    assert_eq!(decision, Decision { pending: Undo::Discard, then: Then::Live(4) });
    // The same offsets by another attempt, elsewhere: the state of that one has to come from there.
    let decision =
        reconcile(&local(Some(mark(4, 2)), Some((4, 7, 3))), &remote(Some((7, receipt(7, 8)))));
    let then = Then::CatchUp { from: Some(4), to: 7, token: 8, hash: 0 };
    assert_eq!(decision, Decision { pending: Undo::Discard, then });
}

/// A commit that read nothing has the offset of the one before it; only its token tells.
#[test]
fn a_commit_of_a_timer_is_told_by_its_token() {
    let committed = remote(Some((4, receipt(4, 3))));
    let decision = reconcile(&local(Some(mark(4, 2)), Some((4, 4, 3))), &committed);
    assert_eq!(decision, Decision { pending: Undo::RollForward, then: Then::Live(4) });
    let decision = reconcile(&local(Some(mark(4, 2)), None), &committed);
    let then = Then::CatchUp { from: Some(4), to: 4, token: 3, hash: 0 };
    assert_eq!(decision, Decision { pending: Undo::Leave, then });
}

/// A pending commit that does not begin where the store is cannot be applied, whatever its token.
#[test]
fn a_pending_commit_from_elsewhere_is_not_applied() {
    let decision =
        reconcile(&local(Some(mark(2, 1)), Some((4, 7, 3))), &remote(Some((7, receipt(7, 3)))));
    let then = Then::CatchUp { from: Some(2), to: 7, token: 3, hash: 0 };
    assert_eq!(decision, Decision { pending: Undo::Discard, then });
}

/// Older state, or none, is brought to the committed offset and not beyond.
#[test]
fn older_state_is_caught_up() {
    let mut committed = Receipt::plain(9, 5);
    committed.hash = 77;
    let committed = remote(Some((9, Metadata::Receipt(committed))));
    for (before, from) in [(Some(mark(4, 2)), Some(4)), (None, None)] {
        let then = Then::CatchUp { from, to: 9, token: 5, hash: 77 };
        assert_eq!(reconcile(&local(before, None), &committed).then, then);
    }
}

/// State beyond the committed offset comes from no crash, unless it was written at least once.
#[test]
fn state_ahead_of_the_offset_halts() {
    let decision = reconcile(&local(Some(mark(9, 5)), None), &remote(Some((4, receipt(4, 2)))));
    let Then::Halt(halt) = decision.then else { panic!("{decision:?}") };
    assert_eq!((halt.reason, halt.local, halt.committed), (Reason::StateAhead, Some(9), Some(4)));
    assert!(halt.to_string().contains("state at 9, committed 4"), "{halt}");
    let decision = reconcile(&local(Some(mark(9, 0)), None), &remote(Some((4, Metadata::Empty))));
    assert_eq!(decision.then, Then::Adopt(9));
}

/// Without a committed offset the state's word counts, where it can be trusted.
#[test]
fn a_lost_offset_is_taken_from_the_state() {
    let state = local(Some(mark(9, 5)), None);
    assert_eq!(reconcile(&state, &remote(None)).then, Then::Adopt(9));
    for log in [Some((10, 20)), Some((0, 8)), None] {
        let decision = reconcile(&state, &Remote { log, ..remote(None) });
        assert_eq!(reason(&decision), Reason::OffsetsLost, "{log:?}");
    }
    // Did the commit behind the state take effect before the offset was lost?
    let decision = reconcile(&local(Some(mark(9, 5)), Some((9, 12, 6))), &remote(None));
    assert_eq!((reason(&decision), decision.pending), (Reason::OffsetsLost, Undo::Leave));
    // In front of the first commit of all there was no offset to lose.
    let decision = reconcile(&local(Some(mark(9, 0)), Some((9, 12, 6))), &remote(None));
    assert_eq!(decision, Decision { pending: Undo::Discard, then: Then::Adopt(9) });
}

/// Offsets that something else put there are not worked from.
#[test]
fn foreign_offsets_halt() {
    let state = local(Some(mark(4, 2)), None);
    let with = |metadata| reason(&reconcile(&state, &remote(Some((7, metadata)))));
    assert_eq!(with(Metadata::Foreign), Reason::ForeignOffsets);
    assert_eq!(with(Metadata::Empty), Reason::ForeignOffsets);
    assert_eq!(with(Metadata::Newer), Reason::NewerMetadata);
}

/// State of another input is not applied to this one; state of another generation begins anew.
#[test]
fn the_identity_of_the_input_is_checked() {
    let known = |cluster: &str, topic: &str, generation| Identity {
        cluster: Some(cluster.into()),
        topic: Some(topic.into()),
        generation,
    };
    let here = Remote { identity: known("c", "t", 0), ..remote(Some((7, receipt(7, 3)))) };
    let state = |identity| Local { identity: Some(identity), ..local(Some(mark(7, 3)), None) };
    let of = |identity| reconcile(&state(identity), &here);
    assert_eq!(reason(&of(known("d", "t", 0))), Reason::AnotherCluster);
    assert_eq!(reason(&of(known("c", "u", 0))), Reason::AnotherTopic);
    assert_eq!(of(known("c", "t", 0)).then, Then::Live(7));
    let then = Then::CatchUp { from: None, to: 7, token: 3, hash: 0 };
    assert_eq!(of(known("c", "t", 1)).then, then);
    // Without state there is nothing to mix up.
    let nothing = Local { identity: Some(known("d", "t", 0)), ..Local::default() };
    assert!(matches!(reconcile(&nothing, &here).then, Then::CatchUp { .. }));
}

/// What is missing from the input is said, where it can be known.
#[test]
fn missing_input_halts() {
    let state = local(Some(mark(7, 3)), None);
    let with = |log| reconcile(&state, &Remote { log, ..remote(Some((7, receipt(7, 3)))) });
    assert_eq!(reason(&with(Some((8, 9)))), Reason::InputTruncated);
    assert_eq!(reason(&with(Some((0, 6)))), Reason::LogTruncated);
    assert_eq!(with(Some((8, 8))).then, Then::Live(7));
    assert_eq!(with(None).then, Then::Live(7));
}

/// What the decision's first part leaves in the store.
fn first(local: &Local, decision: &Decision) -> Local {
    let mut after = local.clone();
    match (decision.pending, local.pending) {
        (Undo::RollForward, Some(pending)) => {
            after.mark = Some(mark(pending.next, pending.token));
            after.pending = None;
        }
        (Undo::Discard, _) => after.pending = None,
        _ => {}
    }
    after
}

/// What the whole decision leaves.
fn both(local: &Local, remote: &Remote, decision: &Decision) -> Local {
    let mut after = first(local, decision);
    if let Then::CatchUp { from, to, token, .. } = decision.then {
        after.mark = Some(mark(to, token));
        if from.is_none() {
            let known = remote.committed.as_ref().and_then(|(_, metadata)| metadata.receipt());
            let generation = known.map_or(0, |receipt| receipt.generation);
            after.identity = Some(Identity { generation, ..remote.identity.clone() });
        }
    }
    after
}

fn at(then: &Then) -> Option<i64> {
    match then {
        Then::Live(at) | Then::Adopt(at) => Some(*at),
        Then::CatchUp { to, .. } => Some(*to),
        Then::Fresh | Then::Halt(_) => None,
    }
}

fn identity() -> impl Strategy<Value = Identity> {
    let name = || prop_oneof![3 => Just(Some("a".to_owned())), 1 => Just(None), 1 => Just(Some("b".into()))];
    (name(), name(), 0..2_u32).prop_map(|(cluster, topic, generation)| Identity {
        cluster,
        topic,
        generation,
    })
}

/// Any store.
pub(in crate::engine) fn locals() -> impl Strategy<Value = Local> {
    let mark = prop::option::weighted(0.8, (0..5_i64, 0..4_u64).prop_map(|(n, t)| mark(n, t)));
    let pending = (0..5_i64, 0..3_i64, 0..4_u64).prop_map(|(from, width, token)| Undecided {
        from,
        next: from + width,
        token,
    });
    (mark, prop::option::of(pending), prop::option::of(identity()))
        .prop_map(|(mark, pending, identity)| Local { mark, pending, identity })
}

/// Any broker.
pub(in crate::engine) fn remotes() -> impl Strategy<Value = Remote> {
    let metadata = prop_oneof![
        8 => (0..3_i64, 0..4_u64, 0..2_u32).prop_map(Some),
        1 => Just(None),
    ];
    let committed = (0..5_i64, metadata, 0..3_usize).prop_map(|(offset, receipt, other)| {
        let metadata = match receipt {
            Some((ahead, token, generation)) => {
                let point = Point { offset, ..Point::plain(offset + ahead) };
                Metadata::Receipt(Receipt { point, generation, ..Receipt::plain(offset, token) })
            }
            None => [Metadata::Empty, Metadata::Newer, Metadata::Foreign][other],
        };
        (offset, metadata)
    });
    let log = prop::option::weighted(0.8, (0..3_i64, 0..8_i64).prop_map(|(s, n)| (s, s + n)));
    (prop::option::weighted(0.8, committed), log, identity())
        .prop_map(|(committed, log, identity)| Remote { committed, log, identity })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    /// Every combination is decided; what was decided and carried out is not decided again, also
    /// where a crash came in between.
    #[test]
    fn decisions_are_total_and_idempotent(local in locals(), remote in remotes()) {
        let decision = reconcile(&local, &remote);
        if let Then::Halt(_) = decision.then {
            prop_assert_eq!(decision.pending, Undo::Leave);
            return Ok(());
        }
        if decision.pending == Undo::RollForward {
            prop_assert_eq!(local.pending.map(|one| one.token), Some(remote.token()));
        } else {
            prop_assert_eq!(decision.pending == Undo::Discard, local.pending.is_some());
        }
        let done = both(&local, &remote, &decision);
        let again = reconcile(&done, &remote);
        prop_assert_eq!(again.pending, Undo::Leave);
        prop_assert!(!matches!(again.then, Then::CatchUp { .. } | Then::Halt(_)), "{:?}", again);
        prop_assert_eq!(at(&again.then), at(&decision.then));
        let half = first(&local, &decision);
        let rest = reconcile(&half, &remote);
        let whole = both(&half, &remote, &rest);
        prop_assert_eq!(whole.mark, done.mark);
    }
}
