//! Groups as their members see them.

use super::*;
use kafka_protocol::ResponseError;
use proptest::prelude::*;
use std::time::Instant;

const SESSION: Duration = Duration::from_secs(45);
const REBALANCE: Duration = Duration::from_secs(60);

fn topic_id(name: &str) -> Uuid {
    Uuid::from_bytes(std::array::from_fn(|i| name.as_bytes().get(i).copied().unwrap_or(0)))
}

fn catalog(version: u64, topics: &[(&str, i32)]) -> Catalog {
    let topic = |(name, n): &(&str, i32)| ((*name).to_owned(), (topic_id(name), *n));
    Catalog { version, topics: topics.iter().map(topic).collect() }
}

fn partitions(topic: &str, numbers: impl IntoIterator<Item = i32>) -> Partitions {
    numbers.into_iter().map(|n| (topic_id(topic), n)).collect()
}

fn join(member_id: &str, topics: &[&str]) -> Heartbeat {
    Heartbeat {
        member_id: member_id.into(),
        client_id: format!("client of {member_id}"),
        rebalance_timeout: Some(REBALANCE),
        topics: Some(topics.iter().map(|t| (*t).to_owned()).collect()),
        owned: Some(Partitions::new()),
        ..Heartbeat::default()
    }
}

fn beat(member_id: &str, epoch: i32, owned: Option<Partitions>) -> Heartbeat {
    let client_id = format!("client of {member_id}");
    Heartbeat { member_id: member_id.into(), client_id, epoch, owned, ..Heartbeat::default() }
}

/// A group with a clock and the topics it lives with.
struct Play {
    group: ConsumerGroup,
    catalog: Catalog,
    now: Instant,
}

impl Play {
    /// A topic `t` with four partitions and `u` with two.
    fn new() -> Self {
        let catalog = catalog(1, &[("t", 4), ("u", 2)]);
        Self { group: ConsumerGroup::new("g", SESSION), catalog, now: Instant::now() }
    }

    fn say(&mut self, beat: &Heartbeat) -> Result<Answer, ResponseError> {
        self.group.heartbeat(beat, &self.catalog, self.now).map_err(|refused| refused.error)
    }

    fn told(&mut self, beat: &Heartbeat) -> (i32, Option<Partitions>) {
        let answer = self.say(beat).unwrap();
        (answer.epoch, answer.assigned)
    }

    fn assigned(&self, member_id: &str) -> Partitions {
        self.group.members[member_id].assigned.clone()
    }

    /// The broker is killed and started again.
    fn restart(&mut self) {
        let (kept, members) = self.group.kept();
        let text = serde_json::to_string(&(kept, members)).unwrap();
        let (kept, members): (Kept, BTreeMap<String, KeptMember>) =
            serde_json::from_str(&text).unwrap();
        let members = members.into_values();
        self.group = ConsumerGroup::restore("g", SESSION, kept, members, self.now);
    }

    /// `a` and `b`, with two partitions of `t` each, in epoch 2.
    fn of_two() -> Self {
        let mut play = Self::new();
        play.told(&join("a", &["t"]));
        play.told(&join("b", &["t"]));
        play.told(&beat("a", 1, Some(partitions("t", 0..4))));
        play.told(&beat("a", 1, Some(partitions("t", 0..2))));
        assert_eq!(play.told(&beat("b", 2, None)), (2, Some(partitions("t", 2..4))));
        assert_eq!(play.group.state(), State::Stable);
        play
    }
}

#[test]
fn a_partition_is_given_only_after_it_was_given_up() {
    let mut play = Play::new();
    assert_eq!(play.told(&join("a", &["t"])), (1, Some(partitions("t", 0..4))));
    assert_eq!(play.told(&join("b", &["t"])), (2, Some(Partitions::new())));
    let owned = || Some(partitions("t", 0..4));
    assert_eq!(play.told(&beat("a", 1, owned())), (1, Some(partitions("t", 0..2))));
    assert_eq!(play.told(&beat("a", 1, owned())), (1, None), "it still holds them");
    assert_eq!(play.told(&beat("a", 1, None)), (1, None), "it does not say");
    assert_eq!(play.told(&beat("b", 2, None)), (2, None));
    assert_eq!(play.group.state(), State::Reconciling);
    assert_eq!(play.told(&beat("a", 1, Some(partitions("t", 0..2)))), (2, None));
    assert_eq!(play.told(&beat("b", 2, None)), (2, Some(partitions("t", 2..4))));
    assert_eq!(play.group.state(), State::Stable);
}

#[test]
fn a_lost_answer_is_given_again_and_an_old_epoch_is_fenced() {
    let mut play = Play::of_two();
    let owned = partitions("t", 0..2);
    assert_eq!(play.told(&beat("a", 1, Some(owned.clone()))).0, 2, "the answer was lost");
    let fenced = Err(ResponseError::FencedMemberEpoch);
    assert_eq!(play.say(&beat("a", 1, None)), fenced, "nobody knows what it holds");
    assert_eq!(play.say(&beat("a", 1, Some(partitions("t", 0..3)))), fenced, "not its own");
    assert_eq!(play.say(&beat("a", 3, Some(owned))), fenced);
    assert_eq!(play.say(&join("a", &["t"])), fenced);
    assert_eq!(play.say(&beat("x", 1, None)), Err(ResponseError::UnknownMemberId));
}

#[test]
fn who_leaves_or_is_silent_makes_room() {
    let mut play = Play::of_two();
    let left = play.group.leave("a", None, LEAVE_EPOCH).unwrap();
    assert_eq!((left.epoch, play.group.state()), (-1, State::Assigning));
    assert_eq!(play.told(&beat("b", 2, None)), (3, Some(partitions("t", 0..4))));

    play.told(&join("c", &["u"]));
    assert_eq!(play.group.next_deadline(), Some(play.now + SESSION));
    play.now += SESSION - Duration::from_secs(1);
    play.told(&beat("c", 4, None));
    play.now += Duration::from_secs(1);
    play.group.expire(play.now);
    assert!(play.group.knows("c") && !play.group.knows("b"));
    assert!(play.group.leave("b", None, LEAVE_EPOCH).is_err());
    play.group.leave("c", None, LEAVE_EPOCH).unwrap();
    assert_eq!(play.group.state(), State::Empty);
}

#[test]
fn who_does_not_give_up_in_time_is_out() {
    let mut play = Play::new();
    play.told(&join("a", &["t"]));
    play.told(&join("b", &["t"]));
    let owned = Some(partitions("t", 0..4));
    play.told(&beat("a", 1, owned.clone()));
    for _ in 0..REBALANCE.as_secs() {
        assert_eq!(play.told(&beat("a", 1, owned.clone())).0, 1);
        play.told(&beat("b", 2, None));
        play.now += Duration::from_secs(1);
    }
    play.group.expire(play.now);
    assert_eq!(play.say(&beat("a", 1, owned)), Err(ResponseError::UnknownMemberId));
    assert_eq!(play.told(&beat("b", 2, None)), (3, Some(partitions("t", 0..4))));
}

#[test]
fn the_place_of_a_static_member_waits_for_its_next_self() {
    let mut play = Play::new();
    let named = |mut beat: Heartbeat| {
        beat.instance_id = Some("i".into());
        beat
    };
    let all = partitions("t", 0..4);
    play.told(&named(join("a1", &["t"])));
    let held = Err(ResponseError::UnreleasedInstanceId);
    assert_eq!(play.say(&named(join("a2", &["t"]))), held);
    let fenced = Err(ResponseError::FencedInstanceId);
    assert_eq!(play.say(&named(beat("a2", 1, None))), fenced);

    assert_eq!(play.group.leave("a1", Some("i"), LEAVE_PLACE_EPOCH).unwrap().epoch, -2);
    assert_eq!(play.told(&join("b", &["t"])), (2, Some(Partitions::new())), "nothing is free");
    assert_eq!(play.told(&named(join("a2", &["t"]))), (2, Some(partitions("t", 0..2))));
    assert_eq!(play.told(&beat("b", 2, None)), (2, Some(partitions("t", 2..4))));
    assert_eq!(play.say(&named(beat("a1", 1, None))), fenced);

    play.group.leave("a2", Some("i"), LEAVE_PLACE_EPOCH).unwrap();
    play.now += SESSION - Duration::from_secs(1);
    play.told(&beat("b", 2, None));
    play.now += Duration::from_secs(1);
    play.group.expire(play.now);
    assert_eq!(play.told(&beat("b", 2, None)), (3, Some(all)), "it did not come back");
}

#[test]
fn new_topics_and_partitions_are_shared_at_the_next_heartbeat() {
    let mut play = Play::new();
    let mut all = join("a", &["t"]);
    all.pattern = Some("v-.*".into());
    play.told(&all);
    assert_eq!(play.told(&beat("a", 1, None)), (1, None));
    play.catalog = catalog(2, &[("other", 1), ("t", 4), ("u", 2)]);
    assert_eq!(play.told(&beat("a", 1, None)), (1, None), "not its concern");
    play.catalog = catalog(3, &[("t", 5), ("v-1", 1), ("av-1", 1)]);
    let more = &partitions("t", 0..5) | &partitions("v-1", 0..1);
    assert_eq!(play.told(&beat("a", 1, None)), (2, Some(more)));
    play.catalog = catalog(4, &[("t", 5)]);
    let left = partitions("t", 0..5);
    assert_eq!(play.told(&beat("a", 2, Some(left.clone()))), (3, Some(left)));
}

#[test]
fn a_pattern_that_is_none_is_refused_and_leaves_everything_as_it_was() {
    let mut play = Play::of_two();
    let wrong = Heartbeat { pattern: Some("a(".into()), ..beat("a", 2, None) };
    let refused = play.group.heartbeat(&wrong, &play.catalog, play.now).unwrap_err();
    assert_eq!(refused.error, ResponseError::InvalidRegularExpression);
    assert!(refused.message.contains("`a(`"), "{}", refused.message);
    assert_eq!((play.group.epoch(), play.told(&beat("a", 2, None))), (2, (2, None)));
}

#[test]
fn ranges_keep_partitions_of_the_same_number_together() {
    let mut play = Play::new();
    play.catalog = catalog(1, &[("t", 4), ("u", 4), ("v", 3)]);
    let range =
        |id: &str| Heartbeat { assignor: Some(Assignor::Range), ..join(id, &["t", "u", "v"]) };
    play.told(&range("b"));
    let mut named = range("z");
    named.instance_id = Some("first".into());
    play.told(&named);
    let target = |play: &Play, id: &str| play.group.members[id].target.clone();
    let of = |numbers: std::ops::Range<i32>, v: std::ops::Range<i32>| {
        &(&partitions("t", numbers.clone()) | &partitions("u", numbers)) | &partitions("v", v)
    };
    assert_eq!(target(&play, "z"), of(0..2, 0..2), "members with an instance id come first");
    assert_eq!(target(&play, "b"), of(2..4, 2..3));
}

#[test]
fn the_assignor_that_most_name_is_taken() {
    let mut play = Play::new();
    let with = |id: &str, assignor| Heartbeat { assignor, ..join(id, &["t"]) };
    play.told(&with("a", None));
    assert_eq!(play.group.assignor(), Assignor::Uniform);
    play.told(&with("b", Some(Assignor::Range)));
    assert_eq!(play.group.assignor(), Assignor::Range);
    play.told(&with("c", Some(Assignor::Uniform)));
    assert_eq!(play.group.assignor(), Assignor::Uniform);
}

#[test]
fn only_members_in_their_epoch_commit_unless_there_are_none() {
    let mut play = Play::of_two();
    assert_eq!(play.group.may_commit("a", 2), Ok(()));
    assert_eq!(play.group.may_commit("a", 1), Err(ResponseError::StaleMemberEpoch));
    assert_eq!(play.group.may_commit("", -1), Err(ResponseError::UnknownMemberId));
    assert_eq!(play.group.may_fetch(None, -1), Ok(()));
    assert_eq!(play.group.may_fetch(Some("x"), 2), Err(ResponseError::UnknownMemberId));
    assert_eq!(play.group.expel("client of a") + play.group.expel("b"), 2);
    assert_eq!(play.group.may_commit("", -1), Ok(()));
    assert!(!play.group.start_over() && play.say(&beat("a", 2, None)).is_err());
}

#[test]
fn a_group_that_starts_over_gives_up_everything_first() {
    let mut play = Play::of_two();
    assert!(play.group.start_over());
    let nothing = || Some(Partitions::new());
    assert_eq!(play.told(&beat("a", 2, Some(partitions("t", 0..2)))), (2, nothing()));
    assert_eq!(play.told(&beat("b", 2, Some(partitions("t", 2..4)))), (2, nothing()));
    assert_eq!(play.told(&beat("a", 2, nothing())).0, 3);
    assert!(play.assigned("a").is_empty(), "the other one still has some");
    assert_eq!(play.told(&beat("b", 2, nothing())).1.unwrap().len(), 2);
    assert_eq!(play.told(&beat("a", 3, nothing())).1.unwrap().len(), 2);
    assert_eq!(play.group.state(), State::Stable);
}

#[test]
fn a_member_that_is_still_there_is_excused_and_one_that_left_its_place_is_not() {
    let mut play = Play::of_two();
    let named = Heartbeat { instance_id: Some("i".into()), ..join("c", &["u"]) };
    play.told(&named);
    play.group.leave("c", Some("i"), LEAVE_PLACE_EPOCH).unwrap();
    play.now += 10 * SESSION;
    play.group.excuse(play.now, |id| id != "b");
    play.group.expire(play.now);
    let left: Vec<&str> = play.group.members().map(|m| &*m.id).collect();
    assert_eq!(left, ["a"]);
}

#[test]
fn members_of_a_restored_group_go_on_in_their_epoch() {
    let mut play = Play::of_two();
    play.told(&join("c", &["t"]));
    let owned = Some(partitions("t", 2..4));
    let told = play.told(&beat("b", 2, owned.clone()));
    play.restart();
    assert_eq!(play.told(&beat("a", 2, None)).0, 3);
    assert_eq!(play.told(&beat("b", 2, owned)), (2, None), "it has to give up the same one");
    assert_eq!(play.told(&beat("b", 2, told.1)).0, 3);
    assert_eq!(play.told(&beat("c", 3, None)).1.unwrap().len(), 1);
    assert_eq!((play.group.state(), play.group.epoch()), (State::Stable, 3));
}

/// A client that does what the broker says, sooner or later.
#[derive(Clone, Default)]
struct Client {
    is_member: bool,
    epoch: i32,
    /// What it reads.
    owned: Partitions,
    /// What it may read, once it gives up the rest.
    assigned: Partitions,
    topics: Vec<&'static str>,
    assignor: Option<Assignor>,
}

#[derive(Clone, Debug)]
enum Step {
    Subscribe(usize, Vec<&'static str>, Option<Assignor>),
    /// A heartbeat; with `true` its answer is lost.
    Beat(usize, bool),
    GiveUp(usize),
    Leave(usize),
    LeavePlace(usize),
    Expel(usize),
    Topic(&'static str, i32),
    Pass(u64),
    StartOver,
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let client = || 0..4usize;
    let topics = proptest::sample::subsequence(vec!["t", "u", "v"], 0..=3);
    let assignor =
        proptest::sample::select(vec![None, Some(Assignor::Range), Some(Assignor::Uniform)]);
    let topic = (proptest::sample::select(vec!["t", "u", "v"]), 0..7i32);
    let step = prop_oneof![
        4 => (client(), topics, assignor).prop_map(|(c, t, a)| Step::Subscribe(c, t, a)),
        12 => (client(), any::<bool>()).prop_map(|(c, lost)| Step::Beat(c, lost)),
        6 => client().prop_map(Step::GiveUp),
        1 => client().prop_map(Step::Leave),
        1 => client().prop_map(Step::LeavePlace),
        1 => client().prop_map(Step::Expel),
        2 => topic.prop_map(|(name, count)| Step::Topic(name, count)),
        2 => (1..50u64).prop_map(Step::Pass),
        1 => Just(Step::StartOver),
        1 => Just(Step::Restart),
    ];
    proptest::collection::vec(step, 1..120)
}

/// A group, its clients (`m0`, `m1` with instance ids) and the topics.
struct World {
    play: Play,
    clients: Vec<Client>,
    topics: BTreeMap<&'static str, i32>,
    epochs: (i32, i32),
}

impl World {
    fn new() -> Self {
        let topics = BTreeMap::from([("t", 4), ("u", 2), ("v", 1)]);
        let mut world =
            Self { play: Play::new(), clients: vec![Client::default(); 4], topics, epochs: (0, 0) };
        world.renew_catalog();
        world
    }

    fn renew_catalog(&mut self) {
        let topics: Vec<_> = self.topics.iter().map(|(n, c)| (*n, *c)).collect();
        self.play.catalog = catalog(self.play.catalog.version + 1, &topics);
    }

    fn instance(c: usize) -> Option<String> {
        (c < 2).then(|| format!("i{c}"))
    }

    fn beat(&mut self, c: usize, is_lost: bool) {
        let client = &self.clients[c];
        let mut beat = join(&format!("m{c}"), &client.topics);
        beat.instance_id = Self::instance(c);
        beat.assignor = client.assignor;
        if client.is_member {
            (beat.epoch, beat.owned) = (client.epoch, Some(client.owned.clone()));
        }
        let answer = self.play.group.heartbeat(&beat, &self.play.catalog, self.play.now);
        let client = &mut self.clients[c];
        match answer {
            Err(_) => {
                (client.is_member, client.epoch) = (false, 0);
                client.owned.clear();
                client.assigned.clear();
            }
            Ok(_) if is_lost => {}
            Ok(answer) => {
                (client.is_member, client.epoch) = (true, answer.epoch);
                if let Some(assigned) = answer.assigned {
                    client.owned.extend(assigned.iter().copied());
                    client.assigned = assigned;
                }
            }
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Subscribe(c, topics, assignor) => {
                (self.clients[c].topics, self.clients[c].assignor) = (topics, assignor);
            }
            Step::Beat(c, is_lost) => self.beat(c, is_lost),
            Step::GiveUp(c) => self.clients[c].owned = self.clients[c].assigned.clone(),
            Step::Leave(c) | Step::LeavePlace(c) => {
                let epoch = match step {
                    Step::LeavePlace(_) if c < 2 => LEAVE_PLACE_EPOCH,
                    _ => LEAVE_EPOCH,
                };
                let instance = Self::instance(c);
                let _ = self.play.group.leave(&format!("m{c}"), instance.as_deref(), epoch);
                let Client { topics, assignor, .. } = self.clients[c].clone();
                self.clients[c] = Client { topics, assignor, ..Client::default() };
            }
            Step::Expel(c) => drop(self.play.group.expel(&format!("m{c}"))),
            Step::Topic(name, count) => {
                // A topic grows, or is deleted.
                let before = self.topics.remove(name).unwrap_or(0);
                if count > 0 {
                    self.topics.insert(name, before.max(count));
                }
                self.renew_catalog();
            }
            Step::Pass(seconds) => {
                self.play.now += Duration::from_secs(seconds);
                self.play.group.expire(self.play.now);
            }
            Step::StartOver => drop(self.play.group.start_over()),
            Step::Restart => self.play.restart(),
        }
    }

    /// What may never be otherwise.
    fn check(&mut self) {
        let group = &self.play.group;
        let mut held = Partitions::new();
        for member in group.members() {
            for partition in member.assigned.iter().chain(&member.revoking) {
                assert!(held.insert(*partition), "{partition:?} is held twice");
            }
            assert!(member.epoch <= group.assignment_epoch());
        }
        for (c, client) in self.clients.iter().enumerate().filter(|(_, c)| c.is_member) {
            if let Some(member) = group.members.get(&format!("m{c}")).filter(|m| m.epoch > 0) {
                let unknown = client.owned.iter().find(|p| !member.holds(p));
                assert_eq!(unknown, None, "m{c} reads what may be another's");
            }
        }
        let epochs = (group.epoch(), group.assignment_epoch());
        assert!(epochs.0 >= self.epochs.0 && epochs.1 >= self.epochs.1 && epochs.1 <= epochs.0);
        assert!(group.next_deadline().is_none_or(|due| due > self.play.now));
        self.epochs = epochs;
    }

    /// Everybody does what they should until nothing changes.
    fn settle(&mut self) {
        self.step(Step::Pass(SESSION.as_secs().max(REBALANCE.as_secs())));
        for _ in 0..12 {
            for c in 0..self.clients.len() {
                self.beat(c, false);
                self.step(Step::GiveUp(c));
                self.check();
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Whatever clients do: no partition is held twice, no client reads what may be another's, no
    /// epoch goes back. And when they do as they are told, every partition that somebody wants is
    /// owned, as equally as can be.
    #[test]
    fn partitions_have_one_owner_and_in_the_end_everyone_has_theirs(steps in steps()) {
        let mut world = World::new();
        for step in steps {
            world.step(step);
            world.check();
        }
        world.settle();
        prop_assert_eq!(world.play.group.state(), State::Stable);
        let mut wanted = Partitions::new();
        for (name, (id, count)) in &world.play.catalog.topics {
            if world.clients.iter().any(|c| c.topics.contains(&name.as_str())) {
                wanted.extend((0..*count).map(|n| (*id, n)));
            }
        }
        let owned: Vec<&Partitions> = world.clients.iter().map(|c| &c.owned).collect();
        let all: Partitions = owned.iter().flat_map(|o| o.iter().copied()).collect();
        prop_assert_eq!(&all, &wanted);
        prop_assert_eq!(all.len(), owned.iter().map(|o| o.len()).sum::<usize>());
        let is_uniform = world.play.group.assignor() == Assignor::Uniform;
        let first = &world.clients[0].topics;
        if is_uniform && world.clients.iter().all(|c| c.topics == *first) {
            // The target knows the assignor of its epoch only.
            world.step(Step::StartOver);
            world.settle();
            let counts = world.clients.iter().map(|c| c.owned.len());
            prop_assert!(counts.clone().max().unwrap() - counts.min().unwrap() <= 1);
        }
    }

    /// Of a member that comes, the uniform assignor gives the others no more to move than it takes.
    #[test]
    fn a_new_member_takes_its_share_and_nothing_else_moves(members in 1..6usize, count in 1..30i32) {
        let mut play = Play::new();
        play.catalog = catalog(1, &[("t", count)]);
        for i in 0..members {
            play.told(&join(&format!("m{i}"), &["t"]));
        }
        let before: Vec<Partitions> =
            (0..members).map(|i| play.group.members[&format!("m{i}")].target.clone()).collect();
        play.told(&join("new", &["t"]));
        for (i, before) in before.iter().enumerate() {
            let after = &play.group.members[&format!("m{i}")].target;
            prop_assert!(after.is_subset(before));
        }
        let share = count as usize / (members + 1);
        prop_assert_eq!(play.group.members["new"].target.len(), share);
    }
}
