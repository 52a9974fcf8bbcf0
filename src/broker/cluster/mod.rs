//! The nodes of the cluster, and who of them leads and coordinates what.
//!
//! All nodes live in this process and share the logs: a copy on another node is only a name in a
//! list. What clients can see of nodes, leaders and replicas is as on a cluster of processes.

mod placement;
mod replicas;

pub(crate) use placement::{Layout, check_factor, check_given, default_factor, place};
pub(crate) use replicas::{NodeIds, NotElected, Replicas};

use super::topics::TopicError;
use parking_lot::RwLock;

/// Most nodes of a cluster; each has a listener.
pub(crate) const MAX_NODES: i32 = 100;
/// Kafka spreads groups over so many partitions of an internal topic, and transactions as well; a
/// group's coordinator is the leader of its partition.
const SLOTS: i32 = 50;

/// Where a node is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// Id of the node.
    pub(crate) id: i32,
    /// Host that clients are told.
    pub(crate) host: String,
    /// Port that clients are told.
    pub(crate) port: u16,
}

/// What is spread over the nodes besides partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coordinated<'a> {
    /// A consumer group.
    Group(&'a str),
    /// The transactions of a producer.
    Transaction(&'a str),
}

/// The nodes.
pub(crate) struct Cluster {
    endpoints: Vec<Endpoint>,
    state: RwLock<State>,
}

struct State {
    live: NodeIds,
    groups: Vec<Replicas>,
    transactions: Vec<Replicas>,
}

impl State {
    fn slots(&mut self) -> impl Iterator<Item = &mut Replicas> {
        self.groups.iter_mut().chain(&mut self.transactions)
    }
}

impl Cluster {
    /// Nodes 1, 2, ... at these addresses, all of them live.
    pub(crate) fn new(addresses: impl IntoIterator<Item = (String, u16)>) -> Self {
        let endpoints: Vec<Endpoint> =
            (1..).zip(addresses).map(|(id, (host, port))| Endpoint { id, host, port }).collect();
        let nodes = endpoints.len() as i32;
        let live: NodeIds = (1..=nodes).collect();
        let slot = |n| Replicas::new(place(nodes, &live, n, default_factor(nodes)), &live, 0);
        let groups: Vec<Replicas> = (0..SLOTS).map(slot).collect();
        let transactions = groups.clone();
        Self { endpoints, state: RwLock::new(State { live, groups, transactions }) }
    }

    /// Number of nodes, live or not.
    pub(crate) fn nodes(&self) -> i32 {
        self.endpoints.len() as i32
    }

    /// The nodes that are up.
    pub(crate) fn live(&self) -> NodeIds {
        self.state.read().live.clone()
    }

    /// Where the nodes that are up are reached.
    pub(crate) fn live_endpoints(&self) -> Vec<Endpoint> {
        let state = self.state.read();
        self.endpoints.iter().filter(|e| state.live.contains(&e.id)).cloned().collect()
    }

    /// Where a node is reached.
    pub(crate) fn endpoint(&self, id: i32) -> Option<&Endpoint> {
        self.endpoints.get(usize::try_from(id).ok()?.checked_sub(1)?)
    }

    /// Who answers for the cluster: the first node that is up; -1 if none is.
    pub(crate) fn controller(&self) -> i32 {
        self.state.read().live.first().copied().unwrap_or(-1)
    }

    /// The node that coordinates a group or a transactional id; `None` if all that could are down.
    pub(crate) fn coordinator(&self, of: Coordinated<'_>) -> Option<i32> {
        let state = self.state.read();
        let (slots, id) = match of {
            Coordinated::Group(id) => (&state.groups, id),
            Coordinated::Transaction(id) => (&state.transactions, id),
        };
        slots[slot(id)].leader()
    }

    /// A node has come or gone; the nodes that are up now, or `None` if it was so already.
    pub(crate) fn set_live(&self, id: i32, is_live: bool) -> Option<NodeIds> {
        let mut state = self.state.write();
        let changed = if is_live { state.live.insert(id) } else { state.live.remove(&id) };
        if !changed {
            return None;
        }
        let live = state.live.clone();
        for slot in state.slots() {
            slot.settle(&live, false);
        }
        Some(live)
    }

    /// Coordinators return to the nodes where they were at first, as far as these are up.
    pub(crate) fn prefer_first_coordinators(&self) {
        for slot in self.state.write().slots() {
            // One that is there already, or cannot be, stays where it is.
            let _ = slot.elect_preferred();
        }
    }
}

/// The slot of an id, as Kafka's brokers compute it.
fn slot(id: &str) -> usize {
    let hash = id
        .encode_utf16()
        .fold(0_i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)));
    ((hash & i32::MAX) % SLOTS) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster(nodes: u16) -> Cluster {
        Cluster::new((0..nodes).map(|n| ("localhost".to_owned(), 9092 + n)))
    }

    #[test]
    fn slots_are_those_of_a_java_hash() {
        // "hello".hashCode() is 99162322; the hash of the second is the least number there is.
        assert_eq!(slot("hello"), 22);
        assert_eq!(slot("polygenelubricants"), 0);
    }

    #[test]
    fn coordinators_are_spread_and_move_when_their_node_goes() {
        let cluster = cluster(3);
        let names: Vec<String> = (0..60).map(|n| format!("group-{n}")).collect();
        let coordinators = || -> Vec<i32> {
            let found = |name: &String| cluster.coordinator(Coordinated::Group(name)).unwrap();
            names.iter().map(found).collect()
        };
        let before = coordinators();
        assert_eq!(before.iter().copied().collect::<NodeIds>(), [1, 2, 3].into());
        assert_eq!(cluster.set_live(2, false), Some([1, 3].into()));
        assert_eq!(cluster.set_live(2, false), None, "it is down already");
        let after = coordinators();
        assert!(after.iter().all(|id| *id != 2));
        assert!(before.iter().zip(&after).all(|(was, is)| was == is || *was == 2));
        cluster.set_live(2, true);
        assert_eq!(coordinators(), after, "they stay where they are");
        cluster.prefer_first_coordinators();
        assert_eq!(coordinators(), before);
    }

    #[test]
    fn without_nodes_nobody_coordinates() {
        let cluster = cluster(1);
        assert_eq!((cluster.controller(), cluster.live_endpoints().len()), (1, 1));
        cluster.set_live(1, false);
        assert_eq!((cluster.controller(), cluster.live_endpoints().len()), (-1, 0));
        assert_eq!(cluster.coordinator(Coordinated::Transaction("t")), None);
        assert_eq!(cluster.endpoint(1).unwrap().port, 9092);
        assert!(cluster.endpoint(0).is_none() && cluster.endpoint(2).is_none());
    }
}
