//! Groups: rows told apart by their key columns, each group with a small number.
//!
//! # Guarantees
//!
//! * Keys keep their types. A null is a key of its own, and so is every NaN pattern.
//! * The number of a group that is gone is used again, and its key is forgotten.
//!
//! A group may be divided further by a `part`, as the start of a window: one look-up finds the place of
//! a key in a window.

use crate::error::{Error, Result};
use ahash::RandomState;
use arrow::{
    array::{Array, ArrayRef, AsArray, Int64Array, StringArray, StringBuilder},
    datatypes::{DataType, Int64Type},
    row::{RowConverter, Rows, SortField},
};
use hashbrown::HashTable;
use std::sync::Arc;

/// Number of a group; also the slot of its accumulators where it has one.
pub type Group = u32;

/// Bytes of a key that need no allocation of their own.
const INLINE: usize = 22;

/// Key columns of a batch, ready to be looked up.
pub struct KeyRows {
    view: View,
    hashes: Vec<u64>,
}

enum View {
    One,
    Int(Int64Array),
    Text(StringArray),
    Rows(Rows),
}

enum Stored {
    Null,
    Inline(u8, [u8; INLINE]),
    Heap(Box<[u8]>),
}

impl Stored {
    fn new(key: Option<&[u8]>) -> Self {
        let Some(key) = key else { return Self::Null };
        if key.len() > INLINE {
            return Self::Heap(key.into());
        }
        let mut bytes = [0; INLINE];
        bytes[..key.len()].copy_from_slice(key);
        Self::Inline(key.len() as u8, bytes)
    }

    #[inline]
    fn get(&self) -> Option<&[u8]> {
        match self {
            Self::Null => None,
            Self::Inline(len, bytes) => Some(&bytes[..usize::from(*len)]),
            Self::Heap(bytes) => Some(bytes),
        }
    }
}

enum Store {
    One,
    Int(Vec<Option<i64>>),
    Text(Vec<Stored>),
    Rows(Vec<Stored>, RowConverter),
}

/// The groups that exist.
pub struct Keys {
    store: Store,
    table: HashTable<Group>,
    hashes: Vec<u64>,
    parts: Vec<i64>,
    free: Vec<Group>,
    random: RandomState,
}

/// Spreads a part over all bits, so that neighbouring windows do not share places.
#[inline]
fn mix(hash: u64, part: i64) -> u64 {
    let spread = (part as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    hash ^ spread ^ (spread >> 32)
}

impl Keys {
    /// Groups by columns of these types. Dictionaries are to be cast to their values before.
    ///
    /// # Errors
    ///
    /// [`Error::Declaration`] for a type that cannot be compared.
    pub fn new(types: &[DataType]) -> Result<Self> {
        let store = match types {
            [] => Store::One,
            [DataType::Int64] => Store::Int(Vec::new()),
            [DataType::Utf8] => Store::Text(Vec::new()),
            types => {
                let fields = types.iter().cloned().map(SortField::new).collect();
                Store::Rows(Vec::new(), RowConverter::new(fields).map_err(|err| no_key(&err))?)
            }
        };
        Ok(Self {
            store,
            table: HashTable::new(),
            hashes: Vec::new(),
            parts: Vec::new(),
            free: Vec::new(),
            random: RandomState::new(),
        })
    }

    /// Hashes the key columns of `rows` rows.
    ///
    /// # Errors
    ///
    /// [`Error::Declaration`] if the columns are of other types than the groups.
    pub fn prepare(&self, columns: &[ArrayRef], rows: usize) -> Result<KeyRows> {
        let view = match &self.store {
            Store::One => View::One,
            Store::Int(_) => View::Int(columns[0].as_primitive::<Int64Type>().clone()),
            Store::Text(_) => View::Text(columns[0].as_string::<i32>().clone()),
            Store::Rows(_, converter) => {
                View::Rows(converter.convert_columns(columns).map_err(|err| no_key(&err))?)
            }
        };
        let hashes = match &view {
            View::One => vec![0; rows],
            View::Int(values) if values.null_count() == 0 => {
                values.values().iter().map(|value| self.random.hash_one(value)).collect()
            }
            View::Int(values) => values.iter().map(|value| self.hash_int(value)).collect(),
            View::Text(values) => {
                values.iter().map(|value| self.hash_bytes(value.map(str::as_bytes))).collect()
            }
            View::Rows(values) => {
                values.iter().map(|row| self.hash_bytes(Some(row.as_ref()))).collect()
            }
        };
        Ok(KeyRows { view, hashes })
    }

    fn hash_int(&self, value: Option<i64>) -> u64 {
        value.map_or(1, |value| self.random.hash_one(value))
    }

    fn hash_bytes(&self, value: Option<&[u8]>) -> u64 {
        value.map_or(1, |value| self.random.hash_one(value))
    }

    /// The group of a row in `part`, and whether it is new.
    #[inline]
    pub fn group(&mut self, rows: &KeyRows, row: usize, part: i64) -> (Group, bool) {
        match self.find(rows, row, part) {
            Some(group) => (group, false),
            None => (self.insert(rows, row, part), true),
        }
    }

    /// The group of a row in `part`, if it exists.
    #[inline]
    #[must_use]
    pub fn find(&self, rows: &KeyRows, row: usize, part: i64) -> Option<Group> {
        let (hash, parts) = (mix(rows.hashes[row], part), &self.parts);
        let same = |group: &Group| parts[*group as usize] == part;
        let found = match (&rows.view, &self.store) {
            (View::Int(values), Store::Int(keys)) => {
                let key = (!values.is_null(row)).then(|| values.value(row));
                self.table.find(hash, |group| keys[*group as usize] == key && same(group))
            }
            (View::Text(values), Store::Text(keys)) => {
                let key = (!values.is_null(row)).then(|| values.value(row).as_bytes());
                self.table.find(hash, |group| keys[*group as usize].get() == key && same(group))
            }
            (View::Rows(values), Store::Rows(keys, _)) => {
                let key = values.row(row);
                let key = Some(key.as_ref());
                self.table.find(hash, |group| keys[*group as usize].get() == key && same(group))
            }
            _ => self.table.find(hash, same),
        };
        found.copied()
    }

    #[cold]
    fn insert(&mut self, rows: &KeyRows, row: usize, part: i64) -> Group {
        let group = self.anonymous();
        let at = group as usize;
        match (&rows.view, &mut self.store) {
            (View::Int(values), Store::Int(keys)) => {
                keys[at] = (!values.is_null(row)).then(|| values.value(row));
            }
            (View::Text(values), Store::Text(keys)) => {
                keys[at] =
                    Stored::new((!values.is_null(row)).then(|| values.value(row).as_bytes()));
            }
            (View::Rows(values), Store::Rows(keys, _)) => {
                keys[at] = Stored::new(Some(values.row(row).as_ref()));
            }
            _ => {}
        }
        self.link(group, rows.hashes[row], part);
        group
    }

    fn link(&mut self, group: Group, hash: u64, part: i64) {
        (self.hashes[group as usize], self.parts[group as usize]) = (hash, part);
        let (hashes, parts) = (&self.hashes, &self.parts);
        let rehash = |group: &Group| mix(hashes[*group as usize], parts[*group as usize]);
        self.table.insert_unique(mix(hash, part), group, rehash);
    }

    /// A number that no key finds: for accumulators beside those of groups.
    pub fn anonymous(&mut self) -> Group {
        if let Some(group) = self.free.pop() {
            return group;
        }
        self.hashes.push(0);
        self.parts.push(0);
        match &mut self.store {
            Store::One => {}
            Store::Int(keys) => keys.push(None),
            Store::Text(keys) | Store::Rows(keys, _) => keys.push(Stored::Null),
        }
        (self.hashes.len() - 1) as Group
    }

    /// The same key in another part.
    #[must_use]
    pub fn sibling(&self, group: Group, part: i64) -> Option<Group> {
        let (hash, at) = (self.hashes[group as usize], group as usize);
        let same = |other: &Group| self.parts[*other as usize] == part;
        let equal = |other: &Group| match &self.store {
            Store::One => true,
            Store::Int(keys) => keys[*other as usize] == keys[at],
            Store::Text(keys) | Store::Rows(keys, _) => {
                keys[*other as usize].get() == keys[at].get()
            }
        };
        self.table.find(mix(hash, part), |other| same(other) && equal(other)).copied()
    }

    /// Does a key find the group?
    #[must_use]
    pub fn is_linked(&self, group: Group) -> bool {
        let hash = mix(self.hashes[group as usize], self.parts[group as usize]);
        self.table.find(hash, |other| *other == group).is_some()
    }

    /// The part of a group.
    #[must_use]
    pub fn part(&self, group: Group) -> i64 {
        self.parts[group as usize]
    }

    /// No key finds the group any more; its key can still be read until [`Keys::recycle`].
    pub fn remove(&mut self, group: Group) {
        let hash = mix(self.hashes[group as usize], self.parts[group as usize]);
        if let Ok(entry) = self.table.find_entry(hash, |other| *other == group) {
            entry.remove();
        }
    }

    /// Numbers that may be given again.
    pub fn recycle(&mut self, groups: &[Group]) {
        if let Store::Text(keys) | Store::Rows(keys, _) = &mut self.store {
            for group in groups {
                keys[*group as usize] = Stored::Null;
            }
        }
        self.free.extend_from_slice(groups);
    }

    /// Numbers below this one have been given.
    #[must_use]
    pub fn bound(&self) -> usize {
        self.hashes.len()
    }

    /// The key columns of `groups`.
    ///
    /// # Errors
    ///
    /// If keys cannot be turned back into columns.
    pub fn columns(&self, groups: &[Group]) -> Result<Vec<ArrayRef>> {
        Ok(match &self.store {
            Store::One => Vec::new(),
            Store::Int(keys) => {
                let values: Int64Array = groups.iter().map(|group| keys[*group as usize]).collect();
                vec![Arc::new(values)]
            }
            Store::Text(keys) => {
                let mut out = StringBuilder::with_capacity(groups.len(), groups.len() * 8);
                for group in groups {
                    let text = keys[*group as usize].get().map(std::str::from_utf8);
                    out.append_option(text.transpose().map_err(|err| no_key(&err))?);
                }
                vec![Arc::new(out.finish())]
            }
            Store::Rows(keys, converter) => {
                let parser = converter.parser();
                let bytes = groups.iter().filter_map(|group| keys[*group as usize].get());
                converter
                    .convert_rows(bytes.map(|bytes| parser.parse(bytes)))
                    .map_err(|err| no_key(&err))?
            }
        })
    }

    /// Appends the key of a group to `out`; equal keys give equal bytes.
    pub fn save(&self, group: Group, out: &mut Vec<u8>) {
        match &self.store {
            Store::One => {}
            Store::Int(keys) => match keys[group as usize] {
                Some(key) => out.extend(std::iter::once(1).chain(key.to_be_bytes())),
                None => out.push(0),
            },
            Store::Text(keys) | Store::Rows(keys, _) => match keys[group as usize].get() {
                Some(key) => out.extend(std::iter::once(&1).chain(key)),
                None => out.push(0),
            },
        }
    }

    /// The group in `part` whose key [`Keys::save`] wrote, and whether it is new.
    ///
    /// # Errors
    ///
    /// If the bytes are no key of these columns.
    pub fn load(&mut self, bytes: &[u8], part: i64) -> Result<(Group, bool)> {
        let broken = || no_key(&"the store holds a key that is none of these columns");
        let key = match (&self.store, bytes) {
            (Store::One, []) | (_, [0]) => None,
            (Store::Int(_) | Store::Text(_) | Store::Rows(..), [1, key @ ..]) => Some(key),
            _ => return Err(broken()),
        };
        let group = self.anonymous();
        let hash = match &mut self.store {
            Store::One => 0,
            Store::Int(keys) => {
                let key = key.map(|key| key.try_into().map(i64::from_be_bytes)).transpose();
                keys[group as usize] = key.map_err(|_| broken())?;
                let key = keys[group as usize];
                self.hash_int(key)
            }
            Store::Text(keys) | Store::Rows(keys, _) => {
                keys[group as usize] = Stored::new(key);
                self.hash_bytes(key)
            }
        };
        self.hashes[group as usize] = hash;
        if let Some(found) = self.sibling(group, part) {
            self.recycle(&[group]);
            return Ok((found, false));
        }
        self.link(group, hash, part);
        Ok((group, true))
    }

    /// Bytes held, roughly.
    #[must_use]
    pub fn memory(&self) -> usize {
        let keys = match &self.store {
            Store::One => 0,
            Store::Int(keys) => keys.capacity() * size_of::<Option<i64>>(),
            Store::Text(keys) | Store::Rows(keys, _) => {
                let heap = keys.iter().map(|key| match key {
                    Stored::Heap(bytes) => bytes.len(),
                    _ => 0,
                });
                keys.capacity() * size_of::<Stored>() + heap.sum::<usize>()
            }
        };
        keys + self.hashes.capacity() * 16 + self.free.capacity() * 4 + self.table.capacity() * 5
    }
}

fn no_key(err: &dyn std::fmt::Display) -> Error {
    Error::Declaration(format!("key of a window: {err}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{BooleanArray, Decimal128Array};

    fn groups(keys: &mut Keys, columns: &[ArrayRef]) -> Vec<Group> {
        let rows = keys.prepare(columns, columns[0].len()).unwrap();
        (0..columns[0].len()).map(|row| keys.group(&rows, row, 0).0).collect()
    }

    fn round_trip(columns: &[ArrayRef]) {
        let types: Vec<_> = columns.iter().map(|column| column.data_type().clone()).collect();
        let mut keys = Keys::new(&types).unwrap();
        let found = groups(&mut keys, columns);
        assert_eq!(keys.columns(&found).unwrap(), columns, "keys keep their types");
        let mut other = Keys::new(&types).unwrap();
        for group in &found {
            let mut bytes = Vec::new();
            keys.save(*group, &mut bytes);
            assert_eq!(other.load(&bytes, 0).unwrap().0, *group);
        }
        assert_eq!(groups(&mut other, columns), found, "loaded groups are found by rows");
    }

    #[test]
    fn keys_come_back_as_they_were() {
        let text: ArrayRef = Arc::new(StringArray::from(vec![
            Some("a"),
            None,
            Some(""),
            Some("a key that is longer than what is kept in place"),
        ]));
        let ints: ArrayRef =
            Arc::new(Int64Array::from(vec![Some(i64::MIN), None, Some(0), Some(1)]));
        let flags: ArrayRef =
            Arc::new(BooleanArray::from(vec![Some(true), None, Some(false), None]));
        let decimals = Decimal128Array::from(vec![Some(5), None, Some(-5), Some(0)]);
        let decimals: ArrayRef = Arc::new(decimals.with_precision_and_scale(20, 2).unwrap());
        round_trip(std::slice::from_ref(&text));
        round_trip(std::slice::from_ref(&ints));
        round_trip(&[text, ints, flags, decimals.clone()]);
        round_trip(&[decimals]);
    }

    #[test]
    fn a_group_that_is_gone_gives_its_number_back() {
        let mut keys = Keys::new(&[DataType::Utf8]).unwrap();
        let column: ArrayRef = Arc::new(StringArray::from(vec!["a", "b", "a"]));
        assert_eq!(groups(&mut keys, std::slice::from_ref(&column)), [0, 1, 0]);
        keys.remove(0);
        let rows = keys.prepare(std::slice::from_ref(&column), 3).unwrap();
        assert_eq!(keys.find(&rows, 0, 0), None);
        assert_eq!(keys.columns(&[0]).unwrap()[0].as_string::<i32>().value(0), "a");
        keys.recycle(&[0]);
        assert_eq!(keys.group(&rows, 2, 0), (0, true));
        assert_eq!(keys.group(&rows, 2, 10), (2, true), "another part is another group");
        assert_eq!(keys.sibling(2, 0), Some(0));
        assert_eq!(keys.bound(), 3);
    }
}
