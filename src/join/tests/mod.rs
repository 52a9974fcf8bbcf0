//! Joins against models of a few lines, over any cut into batches and any restart.

mod asof;
mod columns;
mod interval;
mod table;

use super::{How, InStore, JoinKind, JoinSpec, Operator, Side, Sides};
use crate::{
    state::{
        Delta, Mark, MemoryStore, Space, SpaceName, StateDb, StateOptions, Store, TaskName, Writes,
    },
    window::time::{EVENT_TIME, WATERMARK},
};
use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, StringArray},
    datatypes::{DataType, Field, Int64Type, Schema},
};
use proptest::prelude::*;
use std::{sync::Arc, time::Duration};

const SPACE: Space = Space(0);

/// A row as a test writes it; its place among the steps is its number.
#[derive(Clone, Copy, Debug)]
struct Row {
    side: Side,
    key: Option<u8>,
    time: Option<i64>,
    /// The watermark of its side in front of it, where batches say it.
    watermark: Option<i64>,
}

/// One thing that happens to a join.
#[derive(Clone, Copy, Debug)]
enum Step {
    Row(Row),
    Advance(Side, i64),
    Idle(Side),
}

/// What follows a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    On,
    Commit,
    Crash,
}

/// A joined row: numbers of the rows of both sides, key, event time.
type Joined = (Option<i64>, Option<i64>, Option<u8>, Option<i64>);

fn side() -> impl Strategy<Value = Side> {
    prop_oneof![Just(Side::Left), Just(Side::Right)]
}

fn how() -> impl Strategy<Value = How> {
    prop_oneof![Just(How::Inner), Just(How::Left), Just(How::Right), Just(How::Full)]
}

/// Steps whose times go on, with rows out of order and twice; with a watermark beside each row, or without.
fn steps() -> impl Strategy<Value = Vec<Step>> {
    let row =
        (side(), prop::option::weighted(0.95, 0..3_u8), prop::option::weighted(0.95, -12..4_i64));
    let step = prop_oneof![
        12 => row.prop_map(|(side, key, time)| Step::Row(Row { side, key, time, watermark: None })),
        1 => (side(), -8..4_i64).prop_map(|(side, at)| Step::Advance(side, at)),
        1 => side().prop_map(Step::Idle),
    ];
    (prop::collection::vec((step, 0..4_i64), 0..48), any::<bool>()).prop_map(|(steps, is_told)| {
        let (mut now, mut highest) = (0, [i64::MIN; 2]);
        let place = |(step, passed): (Step, i64)| {
            now += passed;
            match step {
                Step::Row(row) => {
                    let time = row.time.map(|time| time + now);
                    let at = row.side.at();
                    let watermark = is_told.then_some(highest[at]);
                    highest[at] = highest[at].max(time.map_or(i64::MIN, |time| time - 2));
                    Step::Row(Row { time, watermark, ..row })
                }
                Step::Advance(side, at) => Step::Advance(side, at + now),
                Step::Idle(side) => Step::Idle(side),
            }
        };
        steps.into_iter().map(place).collect()
    })
}

/// How many rows a batch has at most, and what follows it.
fn cuts() -> impl Strategy<Value = Vec<(usize, Then)>> {
    let then = prop_oneof![3 => Just(Then::On), 2 => Just(Then::Commit), 1 => Just(Then::Crash)];
    prop::collection::vec((1..8_usize, then), 1..12)
}

/// Which columns the key has.
#[derive(Clone, Copy, Debug)]
enum KeyKind {
    Int,
    Text,
    Both,
}

fn key_kind() -> impl Strategy<Value = KeyKind> {
    prop_oneof![Just(KeyKind::Int), Just(KeyKind::Text), Just(KeyKind::Both)]
}

fn key_columns(kind: KeyKind, keys: &[Option<u8>]) -> Vec<(&'static str, ArrayRef)> {
    let ints: Int64Array = keys.iter().map(|key| key.map(i64::from)).collect();
    let texts: StringArray = keys.iter().map(|key| key.map(|key| format!("key {key}"))).collect();
    let (ints, texts): (ArrayRef, ArrayRef) = (Arc::new(ints), Arc::new(texts));
    match kind {
        KeyKind::Int => vec![("k", ints)],
        KeyKind::Text => vec![("k", texts)],
        KeyKind::Both => vec![("k", ints), ("name", texts)],
    }
}

/// Rows of one side as a batch; `ids` are their numbers.
fn batch(kind: KeyKind, rows: &[Row], ids: &[i64]) -> RecordBatch {
    let keys: Vec<_> = rows.iter().map(|row| row.key).collect();
    let mut columns = key_columns(kind, &keys);
    let words = ids.iter().map(|id| (id % 3 != 0).then(|| format!("word {id}")));
    columns.push(("id", Arc::new(Int64Array::from(ids.to_vec()))));
    columns.push(("word", Arc::new(words.collect::<StringArray>())));
    let times: Int64Array = rows.iter().map(|row| row.time).collect();
    columns.push((EVENT_TIME, Arc::new(times)));
    if let Some(marks) = rows.iter().map(|row| row.watermark).collect::<Option<Vec<_>>>() {
        columns.push((WATERMARK, Arc::new(Int64Array::from(marks))));
    }
    RecordBatch::try_from_iter_with_nullable(
        columns.into_iter().map(|(name, array)| (name, array, true)),
    )
    .unwrap()
}

fn schema(kind: KeyKind) -> Schema {
    batch(kind, &[], &[]).schema().as_ref().clone()
}

fn spec(key: KeyKind, kind: JoinKind, how: How) -> JoinSpec {
    let on: Vec<_> = key_columns(key, &[]).iter().map(|(name, _)| (*name).to_owned()).collect();
    JoinSpec {
        name: "j".into(),
        kind,
        left_on: on.clone(),
        right_on: on,
        how,
        suffix: "_right".into(),
    }
}

/// Joined rows as a test reads them; words must be those of their numbers.
fn read(batch: &RecordBatch) -> Vec<Joined> {
    let numbers =
        |name: &str| batch.column_by_name(name).unwrap().as_primitive::<Int64Type>().clone();
    let words = |name: &str| batch.column_by_name(name).unwrap().as_string::<i32>().clone();
    let (left, right, times) = (numbers("id"), numbers("id_right"), numbers(EVENT_TIME));
    let (left_words, right_words) = (words("word"), words("word_right"));
    let key = |row: usize| match batch.column(0).data_type() {
        DataType::Int64 => {
            let keys = batch.column(0).as_primitive::<Int64Type>();
            keys.is_valid(row).then(|| keys.value(row) as u8)
        }
        _ => {
            let keys = batch.column(0).as_string::<i32>();
            keys.is_valid(row).then(|| keys.value(row)[4..].parse().unwrap())
        }
    };
    let get = |array: &Int64Array, row: usize| array.is_valid(row).then(|| array.value(row));
    let check = |words: &StringArray, row: usize, id: Option<i64>| {
        let word = id.filter(|id| id % 3 != 0).map(|id| format!("word {id}"));
        assert_eq!(words.is_valid(row).then(|| words.value(row).to_owned()), word);
    };
    let row = |row: usize| {
        let (left, right) = (get(&left, row), get(&right, row));
        check(&left_words, row, left);
        check(&right_words, row, right);
        (left, right, key(row), get(&times, row))
    };
    (0..batch.num_rows()).map(row).collect()
}

/// Makes `writes` take effect.
fn commit(store: &dyn Store, writes: Writes) {
    let mark = Mark { next: 0, token: 0, hash: 0, log: -1 };
    store.commit(&Delta(vec![(SPACE, writes)]), mark).unwrap();
}

/// A store on disk, and where it is.
fn on_disk() -> (tempfile::TempDir, StateDb, Arc<dyn Store>) {
    let directory = tempfile::tempdir().unwrap();
    let options =
        StateOptions { memory_bytes: 8 << 20, app_id: "joins".into(), wait: Duration::ZERO };
    let db = StateDb::open(directory.path(), &options).unwrap();
    let task = TaskName { owner: "o".into(), topic: "t".into(), partition: 1, partitions: 3 };
    let store = db.store(&task, &[SpaceName::scoped("join")]).unwrap();
    (directory, db, store)
}

/// What a run gave, in order, and how many rows it called late.
#[derive(Debug, Default, PartialEq, Eq)]
struct Ran {
    rows: Vec<Joined>,
    late: Vec<i64>,
}

impl Ran {
    fn take(&mut self, out: &super::Out) {
        self.rows.extend(out.results.iter().flat_map(read));
        if let Some(late) = &out.late {
            let ids = late.column_by_name("id").unwrap().as_primitive::<Int64Type>();
            self.late.extend(ids.values());
        }
    }

    fn append(&mut self, later: Self) {
        self.rows.extend(later.rows);
        self.late.extend(later.late);
    }
}

/// Runs steps in the given cuts; a crash forgets what was not committed and goes on behind the last commit.
fn run(
    spec: &JoinSpec,
    key: KeyKind,
    steps: &[Step],
    cuts: &[(usize, Then)],
    store: &dyn Store,
    line: Line,
) -> Ran {
    let made = || {
        let mut operator = Operator::new(spec, &schema(key), &schema(key)).unwrap();
        operator.restore(&InStore(store, SPACE)).unwrap();
        operator
    };
    let (mut operator, mut committed, mut open) = (made(), Ran::default(), Ran::default());
    let (mut at, mut safe, mut crashes) = (0, 0, 0);
    for &(most, then) in cuts.iter().cycle() {
        if at == steps.len() {
            break;
        }
        let (taken, out) = one(&mut operator, (key, line), &steps[at..], at, most);
        open.take(&out);
        at += taken;
        match then {
            Then::On => {}
            Then::Commit => {
                let mut writes = Writes::default();
                operator.changes(&mut writes).unwrap();
                commit(store, writes);
                committed.append(std::mem::take(&mut open));
                safe = at;
            }
            Then::Crash if crashes < 6 => {
                (operator, open, at, crashes) = (made(), Ran::default(), safe, crashes + 1);
            }
            Then::Crash => {}
        }
    }
    for side in Side::BOTH {
        open.take(&operator.advance(side, i64::MAX).unwrap());
    }
    committed.append(open);
    assert!(operator.kept_rows() == 0 || matches!(spec.kind, JoinKind::AsOf { .. }));
    committed
}

/// Does the first steps: rows as one batch, at most `most`, or one step of another kind.
fn one(
    operator: &mut Operator,
    (key, line): (KeyKind, Line),
    steps: &[Step],
    at: usize,
    most: usize,
) -> (usize, super::Out) {
    let side = match steps[0] {
        Step::Advance(side, to) => return (1, operator.advance(side, to).unwrap()),
        Step::Idle(side) => return (1, operator.idle(side).unwrap()),
        Step::Row(row) => row.side,
    };
    let own = steps.iter().take(most).map_while(|step| match step {
        Step::Row(row) if line == Line::Shared || row.side == side => Some(*row),
        _ => None,
    });
    let rows: Vec<_> = own.collect();
    let ids: Vec<_> = (at as i64..).take(rows.len()).collect();
    let right: BooleanArray = rows.iter().map(|row| Some(row.side == Side::Right)).collect();
    let sides = if line == Line::Shared { Sides::Each(&right) } else { Sides::One(side) };
    (rows.len(), operator.update(sides, &batch(key, &rows, &ids)).unwrap())
}

/// Do batches have rows of one side, or of both, with one line of time?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    Own,
    Shared,
}

fn line() -> impl Strategy<Value = Line> {
    prop_oneof![Just(Line::Own), Just(Line::Shared)]
}

/// Time of a model: the lower one of two sides that are not silent, never back.
#[derive(Clone, Copy)]
struct ModelClock {
    line: Line,
    sides: [i64; 2],
    idle: [bool; 2],
    now: i64,
}

impl ModelClock {
    fn new(line: Line) -> Self {
        Self { line, sides: [i64::MIN; 2], idle: [false; 2], now: i64::MIN }
    }

    fn reach(&mut self, side: Side, to: i64) {
        self.sides[side.at()] = self.sides[side.at()].max(to);
        self.idle[side.at()] = false;
        self.settle();
    }

    fn show(&mut self, side: Side, to: i64) {
        self.reach(side, to);
        if self.line == Line::Shared {
            self.reach(side.other(), to);
        }
    }

    fn settle(&mut self) {
        let awake = Side::BOTH.iter().filter(|side| !self.idle[side.at()]);
        let lowest = awake.map(|side| self.sides[side.at()]).min();
        self.now = self.now.max(lowest.unwrap_or(self.sides[0].max(self.sides[1])));
    }

    /// What a step says of time in front of its row, and the row.
    fn before(&mut self, step: Step) -> Option<Row> {
        match step {
            Step::Advance(side, to) => self.reach(side, to),
            Step::Idle(side) => {
                self.idle[side.at()] = true;
                self.settle();
            }
            Step::Row(row) => {
                if let Some(watermark) = row.watermark {
                    self.show(row.side, watermark);
                }
                return Some(row);
            }
        }
        None
    }

    /// What it says behind it.
    fn after(&mut self, row: Row) {
        if let (Some(time), None) = (row.time, row.watermark) {
            self.show(row.side, time);
        }
    }
}

#[test]
fn fields_of_a_joined_row_are_those_of_both_sides() {
    let kind = JoinKind::Interval { before_ms: Some(1), after_ms: Some(1), grace_ms: 0 };
    let key = KeyKind::Both;
    let operator = Operator::new(&spec(key, kind, How::Left), &schema(key), &schema(key)).unwrap();
    let schema = operator.schema();
    let names: Vec<_> =
        schema.fields().iter().map(|field: &Arc<Field>| field.name().as_str()).collect();
    assert_eq!(names, ["k", "name", "id", "word", "id_right", "word_right", EVENT_TIME]);
}
