//! Declarations, columns, and what a store may have.

use super::*;

fn interval(before: Option<i64>, after: Option<i64>, grace: i64) -> JoinKind {
    JoinKind::Interval { before_ms: before, after_ms: after, grace_ms: grace }
}

fn refused(change: impl FnOnce(&mut JoinSpec)) -> String {
    let mut spec = spec(KeyKind::Int, interval(Some(1), Some(1), 0), How::Inner);
    change(&mut spec);
    spec.check().unwrap_err().to_string()
}

#[test]
fn a_declaration_that_cannot_work_is_refused_in_one_sentence() {
    let cases = [
        (refused(|one| one.kind = interval(None, Some(1), 0)), "say within="),
        (
            refused(|one| one.kind = interval(Some(-3), Some(2), 0)),
            "ends in front of its beginning",
        ),
        (refused(|one| one.kind = interval(Some(1), Some(1), -1)), "grace is negative"),
        (refused(|one| one.kind = interval(Some(i64::MAX), Some(1), 0)), "10,000 years"),
        (refused(|one| one.left_on.clear()), "key columns"),
        (
            refused(|one| {
                one.left_on.push("k".into());
                one.right_on.push("x".into());
            }),
            "named twice",
        ),
        (
            refused(|one| {
                (one.kind, one.how) =
                    (JoinKind::AsOf { tolerance_ms: None, grace_ms: 0 }, How::Full);
            }),
            "how=\"left\"",
        ),
        (
            refused(|one| (one.kind, one.how) = (JoinKind::Table, How::Right)),
            "a join with a table answers rows of the left",
        ),
        (
            refused(|one| one.kind = JoinKind::AsOf { tolerance_ms: Some(-1), grace_ms: 0 }),
            "tolerance is negative",
        ),
    ];
    for (found, part) in &cases {
        assert!(found.contains(part), "{found:?} does not say {part:?}");
    }
}

fn error(left: &Schema, right: &Schema) -> String {
    let spec = spec(KeyKind::Int, interval(Some(1), Some(1), 0), How::Inner);
    Operator::new(&spec, left, right).err().unwrap().to_string()
}

#[test]
fn columns_that_do_not_fit_are_named() {
    let (ints, texts) = (schema(KeyKind::Int), schema(KeyKind::Text));
    assert!(error(&ints, &texts).contains("cast one of them"));
    assert!(error(&ints, &Schema::empty()).contains("no column \"k\""));
    let clash = Schema::new(vec![
        Field::new("k", DataType::Int64, true),
        Field::new("id", DataType::Int64, true),
        Field::new("id_right", DataType::Int64, true),
    ]);
    assert!(error(&clash, &clash).contains("say suffix="), "{}", error(&clash, &clash));
}

#[test]
fn a_batch_with_other_columns_is_refused() {
    let key = KeyKind::Int;
    let spec = spec(key, interval(Some(1), Some(1), 0), How::Inner);
    let mut operator = Operator::new(&spec, &schema(key), &schema(key)).unwrap();
    let rows = batch(
        KeyKind::Text,
        &[Row { side: Side::Left, key: Some(1), time: Some(1), watermark: None }],
        &[1],
    );
    let message = operator.update(Side::Left, &rows).err().unwrap().to_string();
    assert!(message.contains("was declared as Int64"), "{message}");
    let untimed = rows.project(&[0]).unwrap();
    let message = operator.update(Side::Left, &untimed).err().unwrap().to_string();
    assert!(message.contains("event_time="), "{message}");
}

#[test]
fn a_store_with_other_columns_is_not_read() {
    let store = MemoryStore::default();
    let kind = || interval(Some(1), Some(1), 0);
    let ints = schema(KeyKind::Int);
    let mut operator =
        Operator::new(&spec(KeyKind::Int, kind(), How::Inner), &ints, &ints).unwrap();
    let mut writes = Writes::default();
    operator.changes(&mut writes).unwrap();
    commit(&store, writes);
    let texts = schema(KeyKind::Text);
    let mut other =
        Operator::new(&spec(KeyKind::Text, kind(), How::Inner), &texts, &texts).unwrap();
    let message = other.restore(&InStore(&store, SPACE)).unwrap_err().to_string();
    assert!(message.contains("other columns"), "{message}");
    commit(&store, Writes(vec![(b"\0_turbine_join j\0p".to_vec(), Some(b"?".to_vec()))]));
    let message = operator.restore(&InStore(&store, SPACE)).unwrap_err().to_string();
    assert!(message.contains("delete its state"), "{message}");
}

/// The key alone may be all that a side has; then there is nothing beside it.
#[test]
fn a_side_may_have_nothing_but_its_key() {
    let key = KeyKind::Int;
    let bare = Schema::new(vec![Field::new("k", DataType::Int64, true)]);
    let spec = spec(key, interval(Some(1), Some(1), 0), How::Inner);
    let mut operator = Operator::new(&spec, &schema(key), &bare).unwrap();
    let row = |side| Row { side, key: Some(1), time: Some(1), watermark: None };
    operator.update(Side::Left, &batch(key, &[row(Side::Left)], &[4])).unwrap();
    let right = batch(key, &[row(Side::Right)], &[5]).project(&[0, 3]).unwrap();
    let out = operator.update(Side::Right, &right).unwrap();
    assert_eq!(out.results[0].num_rows(), 1);
    assert_eq!(out.results[0].num_columns(), 4);
}
