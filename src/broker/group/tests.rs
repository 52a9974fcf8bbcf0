//! Groups as their members see them; the handle of a request is the name of its client.

use super::*;
use proptest::prelude::*;
use std::{collections::BTreeMap, time::Duration};

const SESSION: Duration = Duration::from_secs(10);
const REBALANCE: Duration = Duration::from_secs(60);

fn join_as(member_id: &str, instance_id: Option<&str>, new_member_id: &str) -> Join {
    Join {
        member_id: member_id.into(),
        new_member_id: new_member_id.into(),
        instance_id: instance_id.map(Into::into),
        client_id: "c".into(),
        client_host: "/127.0.0.1".into(),
        session_timeout: SESSION,
        rebalance_timeout: REBALANCE,
        protocol_type: "consumer".into(),
        protocols: vec![("range".into(), Bytes::from_static(b"r"))],
        takes_id_first: false,
        may_skip_assignment: false,
    }
}

fn sync_as(member_id: &str, generation: i32, assignments: &[(&str, &'static [u8])]) -> Sync {
    Sync {
        member_id: member_id.into(),
        instance_id: None,
        generation,
        protocol_type: None,
        protocol: None,
        assignments: assignments
            .iter()
            .map(|(id, bytes)| ((*id).to_owned(), Bytes::from_static(bytes)))
            .collect(),
    }
}

/// A group with a clock and the answers that were given.
struct Play {
    group: Group<&'static str>,
    now: Instant,
    answers: BTreeMap<&'static str, Answer>,
}

impl Play {
    fn new() -> Self {
        Self { group: Group::new(Duration::ZERO), now: Instant::now(), answers: BTreeMap::new() }
    }

    fn collect(&mut self) {
        for (client, answer) in self.group.take_answers() {
            assert!(self.answers.insert(client, answer).is_none(), "{client} was told twice");
        }
    }

    fn join(&mut self, client: &'static str, join: Join) {
        self.group.join(join, client, self.now);
        self.collect();
    }

    fn sync(&mut self, client: &'static str, sync: Sync) {
        self.group.sync(sync, client, self.now);
        self.collect();
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.group.expire(self.now);
        self.collect();
    }

    fn joined(&mut self, client: &str) -> Joined {
        match self.answers.remove(client) {
            Some(Answer::Joined(Ok(joined))) => joined,
            other => panic!("{client} was told {other:?}"),
        }
    }

    fn refused(&mut self, client: &str) -> JoinRefused {
        match self.answers.remove(client) {
            Some(Answer::Joined(Err(refused))) => refused,
            other => panic!("{client} was told {other:?}"),
        }
    }

    fn synced(&mut self, client: &str) -> Result<Bytes, ResponseError> {
        match self.answers.remove(client) {
            Some(Answer::Synced(result)) => result.map(|synced| synced.assignment),
            other => panic!("{client} was told {other:?}"),
        }
    }

    /// A stable group of the members `a` (leader) and `b`, in generation 2.
    fn of_two() -> Self {
        let mut play = Self::new();
        play.join("a", join_as("", None, "a"));
        play.joined("a");
        play.join("b", join_as("", None, "b"));
        play.join("a", join_as("a", None, ""));
        assert_eq!(play.joined("a").members.len(), 2);
        assert!(play.joined("b").members.is_empty());
        play.sync("b", sync_as("b", 2, &[]));
        play.sync("a", sync_as("a", 2, &[("a", b"0"), ("b", b"1")]));
        assert_eq!(
            (play.synced("a").unwrap(), play.synced("b").unwrap()),
            ("0".into(), "1".into())
        );
        play
    }

    fn heartbeat(&mut self, member: &str, generation: i32) -> Result<(), ResponseError> {
        self.group.heartbeat(member, None, generation, self.now)
    }
}

#[test]
fn two_members_share_a_generation_and_one_leads() {
    let mut play = Play::of_two();
    assert_eq!(play.group.state(), State::Stable);
    assert_eq!(play.heartbeat("a", 2), Ok(()));
    assert_eq!(play.heartbeat("a", 1), Err(ResponseError::IllegalGeneration));
    assert_eq!(play.heartbeat("x", 2), Err(ResponseError::UnknownMemberId));
}

#[test]
fn a_new_client_is_given_an_id_first_and_the_others_wait_for_it() {
    let mut play = Play::new();
    let takes_id = |mut join: Join| {
        join.takes_id_first = true;
        join
    };
    play.join("a", takes_id(join_as("", None, "id-a")));
    let refused = play.refused("a");
    assert_eq!((refused.error, &*refused.member_id), (ResponseError::MemberIdRequired, "id-a"));
    play.join("b", takes_id(join_as("", None, "id-b")));
    play.refused("b");
    play.join("a", takes_id(join_as("id-a", None, "")));
    assert!(play.answers.is_empty(), "b is still to come");
    play.join("b", takes_id(join_as("id-b", None, "")));
    assert_eq!((play.joined("a").generation, play.joined("b").generation), (1, 1));
    play.join("c", takes_id(join_as("id-c", None, "")));
    assert_eq!(play.refused("c").error, ResponseError::UnknownMemberId);
}

#[test]
fn who_takes_an_id_and_does_not_come_is_forgotten() {
    let mut play = Play::new();
    let mut first = join_as("", None, "gone");
    first.takes_id_first = true;
    play.join("x", first);
    play.refused("x");
    play.join("a", join_as("", None, "a"));
    assert!(play.answers.is_empty());
    assert_eq!(play.group.next_deadline(), Some(play.now + SESSION));
    play.pass(SESSION);
    assert_eq!(play.joined("a").generation, 1);
}

#[test]
fn members_who_start_together_share_the_first_generation() {
    let mut play = Play::new();
    play.group = Group::new(Duration::from_secs(3));
    play.join("a", join_as("", None, "a"));
    play.pass(Duration::from_secs(2));
    play.join("b", join_as("", None, "b"));
    assert!(play.answers.is_empty());
    assert_eq!(play.group.next_deadline(), Some(play.now + Duration::from_secs(1)));
    play.pass(Duration::from_secs(1));
    assert_eq!((play.joined("a").members.len(), play.joined("b").generation), (2, 1));
}

#[test]
fn a_silent_member_is_out_and_the_rest_rebalances() {
    let mut play = Play::of_two();
    play.pass(SESSION - Duration::from_secs(1));
    assert_eq!(play.heartbeat("a", 2), Ok(()));
    play.pass(Duration::from_secs(1));
    assert_eq!(play.group.members().len(), 1);
    assert_eq!(play.heartbeat("a", 2), Err(ResponseError::RebalanceInProgress));
    play.join("a", join_as("a", None, ""));
    assert_eq!(play.joined("a").generation, 3);
}

#[test]
fn who_does_not_join_again_in_time_is_out() {
    let mut play = Play::of_two();
    play.join("c", join_as("", None, "c"));
    play.join("a", join_as("a", None, ""));
    for _ in 0..REBALANCE.as_secs() - 1 {
        play.pass(Duration::from_secs(1));
        assert_eq!(play.heartbeat("b", 2), Err(ResponseError::RebalanceInProgress));
    }
    assert!(play.answers.is_empty());
    play.pass(Duration::from_secs(1));
    assert_eq!(play.joined("a").members.len(), 2);
    assert_eq!(play.heartbeat("b", 2), Err(ResponseError::UnknownMemberId));
}

#[test]
fn a_leader_that_does_not_assign_is_out() {
    let mut play = Play::new();
    play.join("a", join_as("", None, "a"));
    play.joined("a");
    play.join("b", join_as("", None, "b"));
    play.join("a", join_as("a", None, ""));
    play.joined("a");
    play.joined("b");
    play.sync("b", sync_as("b", 2, &[]));
    for _ in 0..REBALANCE.as_secs() {
        play.pass(Duration::from_secs(1));
        let _ = play.heartbeat("a", 2);
    }
    assert_eq!(play.synced("b"), Err(ResponseError::RebalanceInProgress));
    play.join("b", join_as("b", None, ""));
    assert_eq!(play.joined("b").leader, "b");
}

#[test]
fn a_leaving_member_makes_room_at_once() {
    let mut play = Play::of_two();
    play.group.leave("a", None, play.now).unwrap();
    assert_eq!(play.group.leave("a", None, play.now), Err(ResponseError::UnknownMemberId));
    play.join("b", join_as("b", None, ""));
    assert_eq!(play.joined("b").leader, "b");
    play.sync("b", sync_as("b", 3, &[("b", b"01")]));
    assert_eq!(play.synced("b").unwrap(), "01");
    play.group.leave("b", None, play.now).unwrap();
    assert!(play.group.state() == State::Empty && play.group.is_deletable());
}

#[test]
fn a_sync_of_an_old_generation_or_in_a_rebalance_is_told_so() {
    let mut play = Play::of_two();
    play.sync("a", sync_as("a", 1, &[]));
    assert_eq!(play.synced("a"), Err(ResponseError::IllegalGeneration));
    play.sync("a", sync_as("a", 2, &[]));
    assert_eq!(play.synced("a").unwrap(), "0", "the answer may have been lost");
    play.join("c", join_as("", None, "c"));
    play.sync("a", sync_as("a", 2, &[]));
    assert_eq!(play.synced("a"), Err(ResponseError::RebalanceInProgress));
}

#[test]
fn a_protocol_that_not_everybody_speaks_is_refused() {
    let mut play = Play::of_two();
    let mut other = join_as("", None, "c");
    other.protocols = vec![("sticky".into(), Bytes::new())];
    play.join("c", other);
    assert_eq!(play.refused("c").error, ResponseError::InconsistentGroupProtocol);
    let mut connect = join_as("", None, "c");
    connect.protocol_type = "connect".into();
    play.join("c", connect);
    assert_eq!(play.refused("c").error, ResponseError::InconsistentGroupProtocol);
}

#[test]
fn the_protocol_that_most_prefer_wins() {
    let mut play = Play::new();
    let both = |first: &str, second: &str, id: &str| {
        let mut join = join_as("", None, id);
        join.protocols = vec![(first.into(), Bytes::new()), (second.into(), Bytes::new())];
        join
    };
    play.join("a", both("range", "sticky", "a"));
    assert_eq!(play.joined("a").protocol, "range");
    play.join("b", both("sticky", "range", "b"));
    play.join("c", both("sticky", "range", "c"));
    let mut again = both("range", "sticky", "");
    again.member_id = "a".into();
    play.join("a", again);
    assert_eq!(play.joined("a").protocol, "sticky");
}

#[test]
fn a_restarted_static_member_gets_its_place_back_without_a_rebalance() {
    let mut play = Play::new();
    play.join("a", join_as("", Some("i"), "a1"));
    assert_eq!(play.joined("a").generation, 1);
    play.sync("a", sync_as("a1", 1, &[("a1", b"0")]));
    play.synced("a").unwrap();

    let mut again = join_as("", Some("i"), "a2");
    again.may_skip_assignment = true;
    play.join("a", again);
    let joined = play.joined("a");
    assert_eq!((joined.generation, &*joined.leader, joined.skip_assignment), (1, "a2", true));
    let mut sync = sync_as("a2", 1, &[]);
    sync.instance_id = Some("i".into());
    play.sync("a", sync);
    assert_eq!(play.synced("a").unwrap(), "0");
    let fenced = play.group.heartbeat("a1", Some("i"), 1, play.now);
    assert_eq!(fenced, Err(ResponseError::FencedInstanceId));
}

#[test]
fn an_old_client_that_leads_is_not_told_so_when_it_comes_back() {
    let mut play = Play::new();
    play.join("a", join_as("", Some("i"), "a1"));
    play.joined("a");
    play.sync("a", sync_as("a1", 1, &[("a1", b"0")]));
    play.synced("a").unwrap();
    play.join("a", join_as("", Some("i"), "a2"));
    let joined = play.joined("a");
    assert_eq!((&*joined.leader, &*joined.member_id, joined.members.len()), ("a1", "a2", 0));
}

#[test]
fn a_static_member_is_sent_away_by_its_instance_id() {
    let mut play = Play::new();
    play.join("a", join_as("", Some("i"), "a1"));
    play.joined("a");
    assert!(play.group.leave("", Some("other"), play.now).is_err());
    play.group.leave("", Some("i"), play.now).unwrap();
    assert!(play.group.members().is_empty());
}

#[test]
fn only_members_commit_unless_there_are_none() {
    let mut play = Play::new();
    assert_eq!(play.group.may_commit("", None, -1, play.now), Ok(()));
    let mut play = Play::of_two();
    let now = play.now;
    assert_eq!(play.group.may_commit("", None, -1, now), Err(ResponseError::UnknownMemberId));
    assert_eq!(play.group.may_commit("b", None, 1, now), Err(ResponseError::IllegalGeneration));
    play.join("c", join_as("", None, "c"));
    assert_eq!(play.group.may_commit("b", None, 2, now), Ok(()), "while it gives up partitions");
    play.join("a", join_as("a", None, ""));
    play.join("b", join_as("b", None, ""));
    let wait = Err(ResponseError::RebalanceInProgress);
    assert_eq!(play.group.may_commit("b", None, 3, now), wait, "it has nothing yet");
}

#[test]
fn a_member_that_is_still_there_is_excused_and_a_missing_one_is_not() {
    let mut play = Play::of_two();
    play.now += 6 * SESSION;
    play.group.excuse(play.now, |id| id == "a");
    play.pass(Duration::ZERO);
    let left: Vec<&str> = play.group.members().iter().map(|m| &*m.id).collect();
    assert_eq!(left, ["a"]);
    assert_eq!(play.heartbeat("a", 2), Err(ResponseError::RebalanceInProgress));

    play.now += 2 * REBALANCE;
    play.group.excuse(play.now, |id| id == "a");
    play.pass(Duration::ZERO);
    assert!(play.group.knows("a"), "it may still join");
    play.pass(REBALANCE);
    assert!(play.group.members().is_empty(), "and if it is gone, it is out");
}

#[test]
fn a_handed_out_id_waits_for_a_client_that_is_still_there() {
    let mut play = Play::new();
    let mut first = join_as("", None, "id");
    first.takes_id_first = true;
    play.join("x", first);
    play.refused("x");
    play.now += 2 * SESSION;
    play.group.excuse(play.now, |id| id == "id");
    play.pass(Duration::ZERO);
    assert!(play.group.knows("id"));
    assert!(play.group.is_deletable(), "who has not come is no member");
    play.pass(SESSION);
    assert!(!play.group.knows("id"));
}

#[test]
fn a_member_is_expelled_by_each_of_its_names() {
    let mut play = Play::of_two();
    assert_eq!(play.group.expel("nobody", play.now), 0);
    assert_eq!(play.group.expel("a", play.now), 1);
    assert_eq!(play.heartbeat("b", 2), Err(ResponseError::RebalanceInProgress));
    assert_eq!(play.group.expel("c", play.now), 1, "its client's name");
    assert_eq!(play.group.state(), State::Empty);
    play.join("s", join_as("", Some("i"), "s1"));
    assert_eq!(play.group.expel("i", play.now), 1, "its owner's name");
}

#[test]
fn a_group_that_starts_over_asks_everybody_to_join_again() {
    let mut play = Play::new();
    assert!(!play.group.start_over(play.now));
    let mut play = Play::of_two();
    assert!(play.group.start_over(play.now));
    for member in ["a", "b"] {
        assert_eq!(play.heartbeat(member, 2), Err(ResponseError::RebalanceInProgress));
        play.join(member, join_as(member, None, ""));
    }
    assert_eq!((play.joined("a").generation, play.joined("b").generation), (3, 3));
}

#[test]
fn members_of_a_restored_group_go_on_in_their_generation() {
    let mut play = Play::of_two();
    let kept = play.group.take_news().unwrap();
    assert_eq!(play.group.take_news(), None, "nothing has changed since");
    let mut after = Play::new();
    after.group.restore(kept.clone(), after.now);
    assert_eq!(after.heartbeat("a", 2), Ok(()));
    assert_eq!(after.group.may_commit("b", None, 2, after.now), Ok(()));
    after.sync("b", sync_as("b", 2, &[]));
    assert_eq!(after.synced("b").unwrap(), "1");
    assert_eq!(after.group.next_deadline(), Some(after.now + SESSION), "sessions begin anew");

    after.group.leave("a", None, after.now).unwrap();
    assert_eq!(after.group.take_news(), None, "a rebalance that a kill cuts short begins anew");
    after.group.leave("b", None, after.now).unwrap();
    let empty = after.group.take_news().unwrap();
    assert_eq!((empty.members.len(), empty.generation), (0, 3));
    let text = serde_json::to_string(&kept).unwrap();
    assert_eq!(serde_json::from_str::<Kept>(&text).unwrap(), kept);
}

#[derive(Clone, Debug)]
enum Step {
    Join(usize, bool),
    Sync(usize),
    Heartbeat(usize),
    Leave(usize),
    Pass(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let client = 0..4usize;
    let step = prop_oneof![
        4 => (client.clone(), any::<bool>()).prop_map(|(c, fresh)| Step::Join(c, fresh)),
        3 => client.clone().prop_map(Step::Sync),
        2 => client.clone().prop_map(Step::Heartbeat),
        1 => client.prop_map(Step::Leave),
        2 => (1..40u64).prop_map(Step::Pass),
    ];
    proptest::collection::vec(step, 1..80)
}

#[derive(Clone, Default)]
struct Client {
    id: String,
    generation: i32,
}

proptest! {
    /// Whatever members do: every request is answered exactly once when all time has passed, no
    /// generation has two leaders, and everyone in a generation has the same protocol.
    #[test]
    fn every_request_is_answered_once(steps in steps(), delay in 0..4u64) {
        let mut group: Group<usize> = Group::new(Duration::from_secs(delay));
        let mut now = Instant::now();
        let mut clients = vec![Client::default(); 4];
        let mut asked: Vec<usize> = Vec::new();
        let mut told = 0;
        let mut leaders: BTreeMap<i32, String> = BTreeMap::new();
        let mut fresh_ids = 0;
        let mut request = |client: usize| { asked.push(client); asked.len() - 1 };
        let mut owners: Vec<usize> = Vec::new();
        for step in steps.into_iter().chain([Step::Pass(1_000), Step::Pass(1_000), Step::Pass(1_000)]) {
            match step {
                Step::Join(c, fresh) => {
                    fresh_ids += 1;
                    let id = if fresh { "" } else { &clients[c].id };
                    let mut join = join_as(id, None, &format!("m{fresh_ids}"));
                    join.takes_id_first = c % 2 == 0;
                    owners.push(c);
                    group.join(join, request(c), now);
                }
                Step::Sync(c) => {
                    owners.push(c);
                    let sync = sync_as(&clients[c].id, clients[c].generation, &[]);
                    group.sync(sync, request(c), now);
                }
                Step::Heartbeat(c) => {
                    let _ = group.heartbeat(&clients[c].id, None, clients[c].generation, now);
                }
                Step::Leave(c) => drop(group.leave(&clients[c].id, None, now)),
                Step::Pass(seconds) => now += Duration::from_secs(seconds),
            }
            group.expire(now);
            let mut answered = std::collections::HashSet::new();
            for (handle, answer) in group.take_answers() {
                told += 1;
                prop_assert!(answered.insert(handle));
                let client = &mut clients[owners[handle]];
                match answer {
                    Answer::Joined(Ok(joined)) => {
                        let leader = leaders.entry(joined.generation).or_insert_with(|| joined.leader.clone());
                        prop_assert_eq!(&*leader, &joined.leader);
                        prop_assert_eq!(&joined.protocol, "range");
                        prop_assert_eq!(joined.members.is_empty(), joined.leader != joined.member_id);
                        *client = Client { id: joined.member_id, generation: joined.generation };
                    }
                    Answer::Joined(Err(refused)) => client.id = refused.member_id,
                    Answer::Synced(_) => {}
                }
            }
            prop_assert_eq!(group.members().is_empty(), group.state() == State::Empty);
            prop_assert!(group.next_deadline().is_none_or(|due| due > now));
        }
        prop_assert_eq!(told, asked.len());
        prop_assert!(group.is_deletable());
    }
}
