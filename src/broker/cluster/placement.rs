//! Which nodes hold a partition.

use super::{NodeIds, TopicError};

/// Copies of a partition where nobody said how many, if there are as many nodes.
const REPLICATION: usize = 3;

/// What partitions a topic gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// So many, over the nodes in turn.
    Spread {
        /// Number of partitions.
        partitions: i32,
        /// Copies of each; `None` for as many as the cluster likes.
        factor: Option<i16>,
    },
    /// These nodes for each partition, the preferred leader first.
    Given(Vec<Vec<i32>>),
}

impl From<i32> for Layout {
    fn from(partitions: i32) -> Self {
        Self::Spread { partitions, factor: None }
    }
}

/// Copies of a partition where nobody said how many.
pub(crate) fn default_factor(nodes: i32) -> i16 {
    REPLICATION.min(nodes as usize) as i16
}

/// The nodes of partition `partition`: partition 0 starts at node 1, partition 1 at node 2, and so
/// on, and the next nodes have the copies. Nodes that are down come last.
pub(crate) fn place(nodes: i32, live: &NodeIds, partition: i32, factor: i16) -> Vec<i32> {
    let in_turn = (0..nodes).map(|step| (partition + step) % nodes + 1);
    let (mut first, last): (Vec<i32>, Vec<i32>) = in_turn.partition(|id| live.contains(id));
    first.extend(last);
    first.truncate(usize::try_from(factor).unwrap_or(0));
    first
}

/// Whether a partition can have so many copies.
pub(crate) fn check_factor(nodes: i32, live: &NodeIds, factor: i16) -> Result<(), TopicError> {
    let refused = |reason: String| Err(TopicError::Replication(reason));
    if factor <= 0 {
        return refused(
            "Replication factor must be larger than 0, or -1 to use the default value.".into(),
        );
    }
    if i32::from(factor) > nodes {
        return refused(format!(
            "Unable to replicate the partition {factor} time(s): The target replication factor of \
             {factor} cannot be reached because only {nodes} broker(s) are registered."
        ));
    }
    if live.is_empty() {
        return refused(format!(
            "Unable to replicate the partition {factor} time(s): All brokers are currently fenced."
        ));
    }
    Ok(())
}

/// Whether the nodes that somebody has chosen can hold partitions with `factor` copies; `None`
/// stands for as many as the first partition has.
pub(crate) fn check_given(
    nodes: i32,
    live: &NodeIds,
    given: &[Vec<i32>],
    factor: Option<usize>,
) -> Result<(), TopicError> {
    let refused = |reason: String| Err(TopicError::Assignment(reason));
    let mut factor = factor;
    for (number, ids) in given.iter().enumerate() {
        if ids.is_empty() {
            return refused(
                "The manual partition assignment includes an empty replica list.".into(),
            );
        }
        for (at, id) in ids.iter().enumerate() {
            if !(1..=nodes).contains(id) {
                return refused(format!(
                    "The manual partition assignment includes broker {id}, but no such broker is \
                     registered."
                ));
            }
            if ids[..at].contains(id) {
                return refused(format!(
                    "The manual partition assignment includes the broker {id} more than once."
                ));
            }
        }
        let expected = *factor.get_or_insert(ids.len());
        if ids.len() != expected {
            return refused(format!(
                "The manual partition assignment includes a partition with {} replica(s), but this \
                 is not consistent with previous partitions, which have {expected} replica(s).",
                ids.len()
            ));
        }
        if !ids.iter().any(|id| live.contains(id)) {
            return refused(format!(
                "All brokers specified in the manual partition assignment for partition {number} \
                 are fenced or in controlled shutdown."
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_go_over_the_nodes_in_turn() {
        let all: NodeIds = (1..=3).collect();
        let placed: Vec<_> = (0..4).map(|p| place(3, &all, p, 2)).collect();
        assert_eq!(placed, [[1, 2], [2, 3], [3, 1], [1, 2]]);
        let two: NodeIds = [1, 3].into();
        assert_eq!(place(3, &two, 1, 3), [3, 1, 2], "node 2 is down");
        assert_eq!(place(3, &two, 1, 1), [3]);
    }

    #[test]
    fn a_cluster_has_no_more_copies_than_nodes() {
        let all: NodeIds = (1..=2).collect();
        assert!(check_factor(2, &all, 2).is_ok());
        for (live, factor) in [(&all, 3), (&all, 0), (&all, -2), (&NodeIds::new(), 1)] {
            let refused = check_factor(2, live, factor);
            assert!(matches!(refused, Err(TopicError::Replication(_))), "{factor}");
        }
        assert_eq!([1, 2, 3, 9].map(default_factor), [1, 2, 3, 3]);
    }

    #[test]
    fn nodes_that_were_chosen_exist_once_and_in_equal_numbers() {
        let live: NodeIds = [1, 2].into();
        let check = |given: &[&[i32]], factor| {
            let given: Vec<Vec<i32>> = given.iter().map(|ids| ids.to_vec()).collect();
            check_given(3, &live, &given, factor)
        };
        assert!(check(&[&[1, 2], &[3, 1]], None).is_ok());
        for (given, factor) in [
            (&[&[][..]][..], None),
            (&[&[1, 1][..]][..], None),
            (&[&[4][..]][..], None),
            (&[&[0][..]][..], None),
            (&[&[1, 2][..], &[1][..]][..], None),
            (&[&[1, 2][..]][..], Some(1)),
            (&[&[3][..]][..], None),
        ] {
            assert!(matches!(check(given, factor), Err(TopicError::Assignment(_))), "{given:?}");
        }
    }
}
