//! A join in the store: what it writes there, and the way back.
//!
//! ```text
//! 0 tag "d"                               columns of both sides, and a sample of the form of rows
//! 0 tag "p"                               watermarks of both sides, and how many rows have come
//! 1 length(u16) key  tag side time seq    a row: length of the key, the key, the other columns
//! 1 length(u16) key  tag side time seq 1  the row has had a match
//! ```
//!
//! Keys of records come first, as those of handlers do, so that rows of a key are in the slot of its group,
//! in the order of their times. The tag is `_turbine_join`, a space, the name of the join and a zero: the
//! handler's own keys cannot begin so. Numbers are big-endian; a time sorts as it counts.

use super::{
    book::Place,
    columns::Columns,
    rows,
    spec::{JoinSpec, Side},
    table::HEAD_BYTES,
};
use crate::{
    error::{Error, Result},
    state::{
        Each, Space, Store,
        keys::{MAX_SCOPE_BYTES, join, prefix, split},
    },
    window::keys::{Group, Keys},
};
use std::collections::BTreeMap;

/// First part of a tag.
const TAG: &[u8] = b"_turbine_join ";
const DECLARATION: &[u8] = b"d";
const PROGRESS: &[u8] = b"p";
/// Side, time and number of arrival.
const TAIL_BYTES: usize = 17;

/// Where a row is, but for its key.
type Head = (Side, i64, u64);

/// A row of the store.
#[derive(Default)]
struct Stored {
    value: Vec<u8>,
    is_matched: bool,
}

/// A row as it was read.
pub(super) struct Read {
    pub(super) place: Head,
    pub(super) key: Vec<u8>,
    pub(super) is_matched: bool,
    pub(super) row: Vec<u8>,
}

/// All that a store has of a join.
pub(super) struct Found {
    pub(super) progress: [i64; 5],
    /// In the order in which they came.
    pub(super) rows: Vec<Read>,
}

/// Entries of joins, wherever they are kept.
pub trait Entries {
    /// The value of `key`.
    ///
    /// # Errors
    ///
    /// If it cannot be read.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>>;

    /// Calls `each` with every key that begins with `prefix`, and its value.
    ///
    /// # Errors
    ///
    /// If they cannot be read, or what `each` returns.
    fn scan(&self, prefix: &[u8], each: &mut Each<'_>) -> Result<()>;
}

/// Entries that are in a space of a store.
pub struct InStore<'a>(pub &'a dyn Store, pub Space);

impl Entries for InStore<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        self.0.get(self.1, key)
    }

    fn scan(&self, prefix: &[u8], each: &mut Each<'_>) -> Result<()> {
        self.0.scan(self.1, prefix, each)
    }
}

/// What keys of a join have behind those of records.
pub(super) fn tag(name: &str) -> Vec<u8> {
    [TAG, name.as_bytes(), &[0]].concat()
}

/// Where a row is kept.
pub(super) fn row_key(tag: &[u8], keys: &Keys, place: Place) -> Vec<u8> {
    let mut saved = Vec::with_capacity(32);
    keys.save(place.group, &mut saved);
    let scope = saved.get(1..).unwrap_or_default();
    let mut key = prefix(Some(&scope[..scope.len().min(MAX_SCOPE_BYTES)]));
    key.extend_from_slice(tag);
    key.push(place.side as u8);
    key.extend((place.time ^ i64::MIN).to_be_bytes());
    key.extend(place.seq.to_be_bytes());
    key
}

/// Where the newest row of a key of a table is kept.
pub(super) fn latest_key(tag: &[u8], keys: &Keys, group: Group, side: Side) -> Vec<u8> {
    let mut saved = Vec::with_capacity(32);
    keys.save(group, &mut saved);
    let scope = saved.get(1..).unwrap_or_default();
    let (scope, rest) = scope.split_at(scope.len().min(MAX_SCOPE_BYTES));
    let mut key = prefix(Some(scope));
    key.extend_from_slice(tag);
    key.push(side as u8);
    key.extend_from_slice(rest);
    key
}

/// Where it is noted that the row of `key` has had a match.
pub(super) fn mark_key(key: &[u8]) -> Vec<u8> {
    [key, &[1]].concat()
}

/// What is kept of a row.
pub(super) fn row_value(keys: &Keys, group: Group, row: &[u8]) -> Vec<u8> {
    let mut value = vec![0; 4];
    keys.save(group, &mut value);
    let length = (value.len() - 4) as u32;
    value[..4].copy_from_slice(&length.to_be_bytes());
    value.extend_from_slice(row);
    value
}

/// What must stay the same for rows to keep their meaning.
pub(super) fn declaration(
    spec: &JoinSpec,
    columns: &Columns,
) -> Result<(Vec<u8>, Option<Vec<u8>>)> {
    Ok((root(&spec.name, DECLARATION), Some(meaning(spec, columns)?)))
}

/// Where the declaration of a join is.
pub(super) fn declaration_key(name: &str) -> Vec<u8> {
    root(name, DECLARATION)
}

/// A declaration as it lies beside the rows.
#[derive(serde::Deserialize)]
pub(super) struct Declared {
    /// Names of the key columns, of each side.
    pub(super) names: [Vec<String>; 2],
    /// Their types.
    pub(super) on: Vec<String>,
    /// Names and types of the other columns, of each side.
    pub(super) rest: [Vec<(String, String)>; 2],
}

impl Declared {
    /// What [`declaration`] wrote; none if rows are in a form that this version does not read.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        type Form = (Vec<String>, Vec<String>, Vec<String>, [Vec<(String, String)>; 2], Vec<u8>);
        let (left, right, on, rest, sample): Form = serde_json::from_slice(bytes).ok()?;
        let is_known = rows::sample().is_ok_and(|own| own == sample);
        is_known.then_some(Self { names: [left, right], on, rest })
    }
}

/// What a key of the store says of its entry.
pub(super) enum Entry<'a> {
    Declaration,
    Progress,
    /// Where it is noted that a row has had a match.
    Matched,
    /// A row under its key, with its time where it has a place by that.
    Row {
        scope: &'a [u8],
        side: Side,
        place: Option<i64>,
    },
}

/// The join whose entry `key` is, and which one; none if no join wrote it.
pub(super) fn entry(key: &[u8]) -> Option<(String, Entry<'_>)> {
    let (scope, tail) = split(key)?;
    let tail = tail.strip_prefix(TAG)?;
    let end = tail.iter().position(|&byte| byte == 0)?;
    let (name, tail) = (std::str::from_utf8(&tail[..end]).ok()?, &tail[end + 1..]);
    let entry = match scope {
        None if tail == DECLARATION => Entry::Declaration,
        None if tail == PROGRESS => Entry::Progress,
        None => return None,
        Some(scope) => match place(tail) {
            Some((_, true)) => Entry::Matched,
            Some(((side, time, _), false)) => Entry::Row { scope, side, place: Some(time) },
            None => Entry::Row {
                scope,
                side: *Side::BOTH.get(usize::from(*tail.first()?))?,
                place: None,
            },
        },
    };
    Some((name.to_owned(), entry))
}

/// Key and columns of a row that [`row_value`] wrote.
pub(super) fn split_row(value: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = value.split_first_chunk::<4>()?;
    rest.split_at_checked(u32::from_be_bytes(*length) as usize)
}

/// Time and columns of a row of a table.
pub(super) fn split_latest(value: &[u8]) -> Option<(Option<i64>, &[u8])> {
    let (head, row) = value.split_first_chunk::<HEAD_BYTES>()?;
    let (&flag, time) = head.split_first()?;
    let time = i64::from_be_bytes(time.try_into().ok()?);
    Some(((flag == 1).then_some(time), row))
}

fn meaning(spec: &JoinSpec, columns: &Columns) -> Result<Vec<u8>> {
    let kind = |side: Side| {
        let rest = columns.sides[side.at()].rest.iter();
        rest.map(|one| (one.name().clone(), one.data_type().to_string())).collect::<Vec<_>>()
    };
    let on = columns.output.fields().iter().take(spec.left_on.len());
    let on: Vec<_> = on.map(|one| one.data_type().to_string()).collect();
    let form = (&spec.left_on, &spec.right_on, on, Side::BOTH.map(kind), rows::sample()?);
    serde_json::to_vec(&form).map_err(|err| spec.wrong(&err.to_string()))
}

/// The entry of watermarks and of the number of rows.
pub(super) fn progress(name: &str, numbers: [i64; 5]) -> (Vec<u8>, Option<Vec<u8>>) {
    (root(name, PROGRESS), Some(numbers.iter().flat_map(|one| one.to_be_bytes()).collect()))
}

/// How far the entries of a join are; none without any.
pub(super) fn reached(spec: &JoinSpec, entries: &dyn Entries) -> Result<Option<[i64; 5]>> {
    let numbers = entries.get(&root(&spec.name, PROGRESS))?;
    numbers.map(|numbers| five(&numbers).ok_or_else(|| broken(spec))).transpose()
}

fn root(name: &str, what: &[u8]) -> Vec<u8> {
    join(None, &[&tag(name), what].concat())
}

/// What a store has; none if that is nothing.
pub(super) fn read(
    spec: &JoinSpec,
    columns: &Columns,
    entries: &dyn Entries,
) -> Result<Option<Found>> {
    let Some(declared) = entries.get(&root(&spec.name, DECLARATION))? else { return Ok(None) };
    check_same(spec, columns, &declared)?;
    let progress = reached(spec, entries)?.ok_or_else(|| broken(spec))?;
    let tag = tag(&spec.name);
    let mut found: BTreeMap<u64, (Head, Stored)> = BTreeMap::new();
    entries.scan(&prefix(Some(&[]))[..1], &mut |key, value| {
        let tail = split(key).and_then(|(_, tail)| tail.strip_prefix(tag.as_slice()));
        let Some(tail) = tail else { return Ok(()) };
        let (head, is_mark) = place(tail).ok_or_else(|| broken(spec))?;
        let entry = found.entry(head.2).or_insert_with(|| (head, Stored::default()));
        match is_mark {
            true => entry.1.is_matched = true,
            false => entry.1.value = value.to_vec(),
        }
        Ok(())
    })?;
    let rows = found.into_values().map(|(head, stored)| row(head, &stored));
    let rows = rows.collect::<Option<_>>().ok_or_else(|| broken(spec))?;
    Ok(Some(Found { progress, rows }))
}

/// Refuses rows that were kept with another declaration.
pub(super) fn check_same(spec: &JoinSpec, columns: &Columns, declared: &[u8]) -> Result<()> {
    if declared == meaning(spec, columns)? {
        return Ok(());
    }
    Err(spec.wrong(
        "rows were kept with other columns, or by a version that wrote them in another form; give the \
         join a new name, or delete its state",
    ))
}

fn row(place: Head, stored: &Stored) -> Option<Read> {
    let (key, row) = split_row(&stored.value)?;
    Some(Read { place, key: key.to_vec(), is_matched: stored.is_matched, row: row.to_vec() })
}

/// Whose row an entry is, and whether it says that it had a match.
fn place(tail: &[u8]) -> Option<(Head, bool)> {
    let (tail, is_mark) = match tail.len() {
        TAIL_BYTES => (tail, false),
        _ => (tail.strip_suffix(&[1])?, true),
    };
    let (&side, numbers) = tail.split_first()?;
    let (time, seq) = numbers.split_first_chunk::<8>()?;
    let side = *Side::BOTH.get(usize::from(side))?;
    let seq = u64::from_be_bytes(seq.try_into().ok()?);
    Some(((side, i64::from_be_bytes(*time) ^ i64::MIN, seq), is_mark))
}

pub(super) fn five(bytes: &[u8]) -> Option<[i64; 5]> {
    let numbers = bytes.chunks_exact(8).map(|one| one.try_into().map(i64::from_be_bytes));
    numbers.collect::<std::result::Result<Vec<_>, _>>().ok()?.try_into().ok()
}

fn broken(spec: &JoinSpec) -> Error {
    spec.wrong("the store does not hold what this version writes; delete its state")
}
