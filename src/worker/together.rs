//! Which topics are read together, because their agents share tables.
//!
//! The one whose name comes first leads: whoever has its partition `i` has partition `i` of the others. Topics
//! with other numbers of partitions cannot be read together: the same key is in partitions of other numbers
//! there. They stay by themselves, and what their agents write to a shared table is refused.

use crate::kafka::consumer::Attached;
use std::collections::{BTreeMap, BTreeSet};

/// The topics of `lists` that are among `read`, by the one that leads them; `known` has their partitions.
pub(super) fn attached(
    lists: &[Vec<String>],
    read: &BTreeSet<String>,
    known: &BTreeMap<String, usize>,
) -> Attached {
    let mut attached = BTreeMap::new();
    for list in lists {
        let mut by_count: BTreeMap<i32, BTreeSet<&String>> = BTreeMap::new();
        for topic in list.iter().filter(|topic| read.contains(*topic)) {
            let count = known.get(topic).and_then(|&count| i32::try_from(count).ok());
            by_count.entry(count.unwrap_or_default()).or_default().insert(topic);
        }
        if by_count.len() > 1 {
            tracing::warn!(target: "turbine.worker", "{}", differ(&by_count));
        }
        for (count, topics) in by_count {
            let mut topics = topics.into_iter().cloned();
            let Some(lead) = topics.next() else { continue };
            let others: Vec<_> = topics.map(|topic| (topic, count)).collect();
            if !others.is_empty() {
                attached.insert(lead, others);
            }
        }
    }
    Attached(attached)
}

fn differ(by_count: &BTreeMap<i32, BTreeSet<&String>>) -> String {
    let each = by_count.iter().flat_map(|(count, topics)| {
        topics.iter().map(move |topic| format!("{topic} has {count} partitions"))
    });
    format!(
        "agents of several topics use the same table, and the topics differ: {}. A key is in another partition \
         of each, so only agents of one of them can write the table; the others are refused when they do. To \
         share it, give the topics the same number of partitions, or send to one topic and write there",
        each.collect::<Vec<_>>().join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(lists: &[&[&str]], known: &[(&str, usize)]) -> BTreeMap<String, Vec<(String, i32)>> {
        let lists: Vec<Vec<String>> =
            lists.iter().map(|list| list.iter().map(|&t| t.to_owned()).collect()).collect();
        let known: BTreeMap<_, _> = known.iter().map(|&(t, n)| (t.to_owned(), n)).collect();
        attached(&lists, &known.keys().cloned().collect(), &known).0
    }

    #[test]
    fn the_first_by_name_leads_whatever_the_order_of_declaration() {
        let wanted = [("a".to_owned(), vec![("b".to_owned(), 4), ("c".to_owned(), 4)])].into();
        for list in [["a", "b", "c"], ["c", "b", "a"], ["b", "a", "c"]] {
            assert_eq!(of(&[&list], &[("a", 4), ("b", 4), ("c", 4)]), wanted);
        }
    }

    #[test]
    fn topics_with_other_numbers_of_partitions_stay_by_themselves() {
        let found = of(&[&["a", "b", "c"]], &[("a", 4), ("b", 8), ("c", 8)]);
        assert_eq!(found, [("b".to_owned(), vec![("c".to_owned(), 8)])].into());
        assert!(of(&[&["a", "b"]], &[("a", 4), ("b", 8)]).is_empty());
    }

    #[test]
    fn what_nobody_reads_is_left_out() {
        assert!(of(&[&["a", "gone"]], &[("a", 4)]).is_empty());
    }

    #[test]
    fn who_declares_different_numbers_reads_them() {
        let (a, b) = ("a".to_owned(), "b".to_owned());
        let by_count = [(4, [&a].into()), (8, [&b].into())].into();
        let said = differ(&by_count);
        assert!(said.contains("a has 4 partitions, b has 8 partitions"), "{said}");
    }
}
