//! Who is to own what.

use super::{Member, Partitions};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use uuid::Uuid;

/// How partitions are shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Assignor {
    /// As equally as can be, and as few as can be move.
    Uniform,
    /// Each topic in ranges: partitions of the same number, of topics with the same number of
    /// partitions and subscribers, are together.
    Range,
}

impl Assignor {
    /// All of them; the first is the one of a group whose members do not care.
    pub(crate) const ALL: [Self; 2] = [Self::Uniform, Self::Range];

    /// The name that clients know.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Range => "range",
        }
    }

    /// The one with this name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|a| a.name() == name)
    }
}

/// Topics by name, with id and number of partitions.
type Topics = BTreeMap<String, (Uuid, i32)>;

/// What each member is to own, by member id; members that get nothing may be missing.
pub(super) fn assign(
    assignor: Assignor,
    members: &BTreeMap<String, Member>,
    topics: &Topics,
) -> BTreeMap<String, Partitions> {
    match assignor {
        Assignor::Uniform => uniform(members, topics),
        Assignor::Range => range(members, topics),
    }
}

fn range(members: &BTreeMap<String, Member>, topics: &Topics) -> BTreeMap<String, Partitions> {
    let mut in_order: Vec<&Member> = members.values().collect();
    // Members with an instance id keep their place when their member id changes.
    in_order.sort_by_key(|m| (m.instance_id.is_none(), m.instance_id.as_ref().unwrap_or(&m.id)));
    let mut targets: BTreeMap<String, Partitions> = BTreeMap::new();
    for (name, &(id, partitions)) in topics {
        let subscribers: Vec<&&Member> =
            in_order.iter().filter(|m| m.subscription.matches(name)).collect();
        let mut rest = 0..partitions;
        for (at, member) in subscribers.iter().enumerate() {
            let left = (subscribers.len() - at) as i32;
            // Rounded up: the first ones get the odd partitions.
            let share = (rest.len() as i32 + left - 1) / left;
            let target = targets.entry(member.id.clone()).or_default();
            target.extend(rest.by_ref().take(share as usize).map(|p| (id, p)));
        }
    }
    targets
}

/// A partition, and who may have it, as indices of members.
struct Choice<'a> {
    partition: (Uuid, i32),
    subscribers: &'a [usize],
    owner: Option<usize>,
}

/// Everybody keeps what they have up to their share, what nobody has goes to those with the least, and
/// then, where not everybody may have everything, partitions move from those with more to those with
/// at least two less.
fn uniform(members: &BTreeMap<String, Member>, topics: &Topics) -> BTreeMap<String, Partitions> {
    let members: Vec<&Member> = members.values().collect();
    let subscribers: Vec<Vec<usize>> = topics
        .keys()
        .map(|name| {
            let wants = |at: &usize| members[*at].subscription.matches(name);
            (0..members.len()).filter(wants).collect()
        })
        .collect();
    let mut load = vec![0usize; members.len()];
    let mut choices: Vec<Choice<'_>> = Vec::new();
    for (subscribers, &(id, partitions)) in subscribers.iter().zip(topics.values()) {
        for partition in (0..partitions).map(|p| (id, p)) {
            let has = |at: &&usize| members[**at].target.contains(&partition);
            let owner = subscribers.iter().find(has).copied();
            owner.into_iter().for_each(|at| load[at] += 1);
            choices.push(Choice { partition, subscribers, owner });
        }
    }
    if subscribers.iter().all(|s| s.len() == members.len()) {
        cap(&mut choices, &mut load);
    }
    for choice in choices.iter_mut().filter(|c| c.owner.is_none()) {
        choice.owner = choice.subscribers.iter().copied().min_by_key(|at| load[*at]);
        choice.owner.into_iter().for_each(|at| load[at] += 1);
    }
    while balance(&mut choices, &mut load) {}
    let mut targets: BTreeMap<String, Partitions> = BTreeMap::new();
    for choice in choices {
        if let Some(owner) = choice.owner {
            targets.entry(members[owner].id.clone()).or_default().insert(choice.partition);
        }
    }
    targets
}

/// Takes from everybody what is above their share of all partitions.
fn cap(choices: &mut [Choice<'_>], load: &mut [usize]) {
    if load.is_empty() {
        return;
    }
    let (share, mut odd) = (choices.len() / load.len(), choices.len() % load.len());
    let may_keep = |load: &usize| {
        let is_odd = *load > share && odd > 0;
        odd -= usize::from(is_odd);
        share + usize::from(is_odd)
    };
    let most: Vec<usize> = load.iter().map(may_keep).collect();
    // The last partitions move: a member keeps its first ones.
    for choice in choices.iter_mut().rev() {
        if let Some(owner) = choice.owner.filter(|at| load[*at] > most[*at]) {
            load[owner] -= 1;
            choice.owner = None;
        }
    }
}

/// One round of moves; false if there was none. Each move makes the loads more equal, so it ends.
fn balance(choices: &mut [Choice<'_>], load: &mut [usize]) -> bool {
    let mut has_moved = false;
    for choice in choices.iter_mut().rev() {
        let Some(owner) = choice.owner else { continue };
        let least = choice.subscribers.iter().copied().min_by_key(|at| load[*at]);
        if let Some(least) = least.filter(|at| load[*at] + 1 < load[owner]) {
            load[owner] -= 1;
            load[least] += 1;
            choice.owner = Some(least);
            has_moved = true;
        }
    }
    has_moved
}
