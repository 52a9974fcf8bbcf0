use super::*;
use crate::state::Writes;
use proptest::prelude::*;

fn names() -> Arc<[Arc<str>]> {
    ["state", "windows", "timers"].map(Arc::from).into()
}

fn changelog() -> Changelog {
    Changelog::deltas("app-name-changelog".into(), source(Some("first")), 3, names())
}

fn source(id: Option<&str>) -> Source {
    Source { topic: "orders".into(), id: id.map(Arc::from) }
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..12)
}

fn delta() -> impl Strategy<Value = Delta> {
    let writes = prop::collection::vec((bytes(), prop::option::of(bytes())), 0..6).prop_map(Writes);
    prop::collection::btree_map((0_u16..3).prop_map(Space), writes, 0..3)
        .prop_map(|spaces| Delta(spaces.into_iter().collect()))
}

fn mark() -> impl Strategy<Value = Mark> {
    (any::<i64>(), any::<u64>(), any::<u64>()).prop_map(|(next, token, hash)| Mark {
        next,
        token,
        hash,
        log: -1,
    })
}

fn values(delta: &Delta, from: i64, mark: &Mark) -> Vec<Vec<u8>> {
    let records = changelog().records(delta, from, mark).unwrap();
    records.into_iter().map(|record| record.value.unwrap()).collect()
}

/// About `bytes` bytes that do not compress.
fn large(bytes: usize) -> Delta {
    let mut word = 88_172_645_463_325_252_u64;
    let mut next = || {
        word ^= word << 13;
        word ^= word >> 7;
        word ^= word << 17;
        word
    };
    let value: Vec<u8> = (0..bytes / 8).flat_map(|_| next().to_le_bytes()).collect();
    Delta(vec![(Space::STATE, Writes(vec![(b"k".to_vec(), Some(value))]))])
}

const MARK: Mark = Mark { next: 20, token: 7, hash: 9, log: -1 };

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// What is read is what was written; a flipped bit or a missing end is never taken for it.
    #[test]
    fn a_commit_survives_and_its_damage_is_seen(
        delta in delta(), from in 0..i64::MAX, mark in mark(), at: prop::sample::Index, bit in 0..8_u8,
    ) {
        let all = values(&delta, from, &mark);
        prop_assert_eq!(all.len(), 1);
        let found = Assembler::new(names()).take(&all[0]);
        prop_assert_eq!(found, Found::Whole(Change { from: Some(from), mark, delta }));
        let mut flipped = all[0].clone();
        let place = at.index(flipped.len());
        flipped[place] ^= 1 << bit;
        prop_assert_eq!(Assembler::new(names()).take(&flipped), Found::Unreadable);
        for length in 0..all[0].len() {
            prop_assert_eq!(Assembler::new(names()).take(&all[0][..length]), Found::Unreadable);
        }
    }

    /// Whatever somebody writes into the topic is left alone.
    #[test]
    fn foreign_bytes_are_unreadable(value in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert_eq!(Assembler::new(names()).take(&value), Found::Unreadable);
    }

    /// Content that is not what it says to be, under a right checksum, is unreadable and does no harm.
    #[test]
    fn a_content_that_lies_is_unreadable(content in prop::collection::vec(any::<u8>(), 0..64), length in 0..1_u64 << 40) {
        let head = frame::Head { id: 1, from: None, mark: MARK, count: 1, length };
        let packed = zstd::bulk::compress(&content, 1).unwrap();
        if length != content.len() as u64 {
            prop_assert_eq!(frame::unpack(&head, &packed, &names()), None);
        }
        let head = frame::Head { length: content.len() as u64, ..head };
        let _ = frame::unpack(&head, &packed, &names());
        let _ = frame::unpack(&head, &content, &names());
    }
}

#[test]
fn a_large_commit_comes_in_chunks_that_a_broker_takes() {
    let delta = large(2_500_000);
    let all = values(&delta, 10, &MARK);
    assert_eq!(all.len(), 3);
    assert!(all.iter().all(|chunk| chunk.len() <= MOST_BYTES));
    let mut assembler = Assembler::new(names());
    assert_eq!(assembler.take(&all[0]), Found::Part);
    assert_eq!(assembler.take(&all[1]), Found::Part);
    assert_eq!(assembler.take(&all[2]), Found::Whole(Change { from: Some(10), mark: MARK, delta }));
}

#[test]
fn chunks_of_two_writers_are_told_apart_and_torn_commits_are_dropped() {
    let (mine, theirs) = (large(1_200_000), large(1_000_000));
    let (a, b) = (values(&mine, 10, &MARK), values(&theirs, 10, &MARK));
    assert_eq!((a.len(), b.len()), (2, 2));
    let mut assembler = Assembler::new(names());
    assert_eq!(assembler.take(&a[1]), Found::Unreadable, "its beginning is gone");
    assert_eq!(assembler.take(&a[0]), Found::Part);
    assert_eq!(assembler.take(&b[0]), Found::Part);
    assert!(matches!(assembler.take(&b[1]), Found::Whole(one) if one.delta == theirs));
    assert!(matches!(assembler.take(&a[1]), Found::Whole(one) if one.delta == mine));
    // Commits that were never finished do not pile up.
    for _ in 0..10 {
        assert_eq!(assembler.take(&values(&mine, 10, &MARK)[0]), Found::Part);
    }
    assert_eq!(assembler.take(&a[0]), Found::Part);
    assert_eq!(
        assembler.take(&a[1]),
        Found::Whole(Change { from: Some(10), mark: MARK, delta: mine })
    );
}

#[test]
fn a_commit_that_changes_nothing_is_written_too() {
    let all = values(&Delta::default(), 10, &MARK);
    let change = Change { from: Some(10), mark: MARK, delta: Delta::default() };
    assert_eq!(Assembler::new(names()).take(&all[0]), Found::Whole(change));
}

#[test]
fn spaces_are_found_by_their_names() {
    let writes = Writes(vec![(b"k".to_vec(), Some(b"v".to_vec()))]);
    let delta = Delta(vec![(Space(0), writes.clone()), (Space(2), writes.clone())]);
    let all = values(&delta, 10, &MARK);
    let others: Arc<[Arc<str>]> = ["timers", "new"].map(Arc::from).into();
    let Found::Whole(change) = Assembler::new(others).take(&all[0]) else { panic!("readable") };
    assert_eq!(change.delta, Delta(vec![(Space(0), writes)]), "`state` is not kept any more");
}

#[test]
fn a_table_gets_one_record_a_changed_key() {
    let topics =
        vec![(Space(0), "app-counts-changelog".into()), (Space(1), "app-sums-changelog".into())];
    let changelog = Changelog::keys(topics, "orders".into(), 2);
    let write = |key: &[u8], value: Option<&[u8]>| (key.to_vec(), value.map(<[u8]>::to_vec));
    let delta = Delta(vec![
        (Space(1), Writes(vec![write(b"x", None)])),
        (
            Space(0),
            Writes(vec![write(b"a", Some(b"1")), write(b"b", Some(b"2")), write(b"a", Some(b"3"))]),
        ),
        (Space(2), Writes(vec![write(b"private", Some(b"1"))])),
    ]);
    let records = changelog.records(&delta, 10, &MARK).unwrap();
    let plain = |record: &LogRecord| {
        assert!(of_source(&record.headers, "orders") && !of_source(&record.headers, "payments"));
        assert_eq!((record.partition, Cut::of(&record.headers).unwrap().next), (2, MARK.next));
        (record.topic.to_string(), record.key.clone().unwrap(), record.value.clone())
    };
    let (counts, sums) = ("app-counts-changelog", "app-sums-changelog");
    let expected = vec![
        (counts.to_owned(), b"a".to_vec(), Some(b"3".to_vec())),
        (counts.to_owned(), b"b".to_vec(), Some(b"2".to_vec())),
        (sums.to_owned(), b"x".to_vec(), None),
    ];
    assert_eq!(records.iter().map(plain).collect::<Vec<_>>(), expected);
}

/// Cuts of three records each, of two attempts at the last one.
#[test]
fn a_cut_is_complete_when_all_of_one_attempt_is_there() {
    let changelog = Changelog::keys(vec![(Space(0), "t".into())], "orders".into(), 0);
    let writes = [b"a", b"b", b"c"].map(|key| (key.to_vec(), Some(b"v".to_vec())));
    let delta = Delta(vec![(Space(0), Writes(writes.to_vec()))]);
    let cuts_of = |next| {
        let records = changelog.records(&delta, 0, &Mark { next, ..MARK }).unwrap();
        records.iter().map(|record| Cut::of(&record.headers).unwrap()).collect::<Vec<_>>()
    };
    let (first, torn, whole) = (cuts_of(10), cuts_of(20), cuts_of(20));
    let mut cuts = Cuts::default();
    assert_eq!((cuts.torn(), cuts.next()), (None, None));
    // Of the first cut, only what compaction has left.
    cuts.take(first[1]);
    assert_eq!(cuts.torn(), Some(10), "nothing is known to be behind it");
    cuts.take(torn[0]);
    cuts.take(torn[1]);
    assert_eq!((cuts.torn(), cuts.next()), (Some(20), Some(10)));
    cuts.take(whole[2]);
    assert_eq!(cuts.torn(), Some(20), "three records, but of two attempts");
    // Another topic of the same task is read behind the first one.
    cuts.take(first[0]);
    whole.iter().for_each(|cut| cuts.take(*cut));
    assert_eq!((cuts.torn(), cuts.next()), (None, Some(20)));
    assert_eq!(Cut::of(&[("turbine.cut".into(), Some(vec![0; 23]))]), None);
    assert!(of_source(&[], "orders"), "a record of somebody else's is for all");
}

#[test]
fn a_commit_says_which_topic_it_is_about() {
    let records = changelog().records(&Delta::default(), 5, &MARK).unwrap();
    let headers = &records[0].headers;
    assert!(source(Some("second")).is_foreign(headers));
    assert!(!source(Some("first")).is_foreign(headers) && !source(None).is_foreign(headers));
    assert!(!source(Some("second")).is_foreign(&[]), "who does not say is believed");
}

#[test]
fn the_first_commit_says_what_it_begins_with() {
    let changelog = changelog();
    let from = |from| {
        let records = changelog.records(&Delta::default(), from, &MARK).unwrap();
        let Found::Whole(change) = Assembler::new(names()).take(records[0].value.as_ref().unwrap())
        else {
            panic!("readable")
        };
        change.from
    };
    assert_eq!(from(5), Some(5));
    changelog.begins_with(Origin::Nothing);
    assert_eq!((from(5), from(5)), (None, None), "an aborted commit is tried again");
    changelog.settled();
    assert_eq!(from(5), Some(5), "one that reads nothing is a commit too");
    assert_eq!((from(9), from(12)), (Some(9), Some(12)));
    changelog.begins_with(Origin::At(12));
    assert_eq!((from(40), from(40)), (Some(12), Some(12)));
    changelog.settled();
    assert_eq!(from(40), Some(40));
}
