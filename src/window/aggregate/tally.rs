//! What counts how often each value occurs: `count_distinct`, `top_k`, `mode`, `collect_set`.
//!
//! Exact, so the memory grows with the number of distinct values. -0.0 is 0.0, and all NaN are one value.

use super::{
    bytes::{get_bytes, get_count, get_len, put_bytes, put_count},
    each::{Columns, Kind, Refused},
    lists::{Lists, counted_type, list_type},
    values::{Bytes, Values},
};
use arrow::{
    array::{ArrayRef, Int64Array},
    datatypes::DataType,
    row::Rows,
};
use std::{cmp::Reverse, collections::BTreeMap, mem::size_of, sync::Arc};

/// What is made of the numbers of occurrences.
#[derive(Clone, Copy)]
pub(super) enum Made {
    /// How many values there are.
    Distinct,
    /// The most frequent values with their numbers; of equal ones the least first.
    Top(usize),
    /// The most frequent value; of equal ones the least.
    Mode,
    /// The values in ascending order; more than so many are an error.
    Set(usize),
    /// The least so many values, ascending.
    LeastOfSet(usize),
}

/// Numbers of occurrences of values.
pub(super) struct Tally {
    pub(super) values: Values,
    pub(super) made: Made,
}

type Counts = BTreeMap<Bytes, i64>;

impl Tally {
    /// The type of the results.
    pub(super) fn gives(&self) -> DataType {
        let values = self.values.data_type();
        match self.made {
            Made::Distinct => DataType::Int64,
            Made::Top(_) => list_type(counted_type(values)),
            Made::Mode => values.clone(),
            Made::Set(_) | Made::LeastOfSet(_) => list_type(values.clone()),
        }
    }

    fn count(&self, state: &mut Counts, value: &[u8], times: i64) -> Result<(), Refused> {
        if let Some(count) = state.get_mut(value) {
            *count += times;
            return Ok(());
        }
        match self.made {
            Made::Set(limit) if state.len() >= limit => return Err(too_many(limit)),
            Made::LeastOfSet(limit) if state.len() >= limit => {
                let Some(greatest) = state.last_entry().filter(|last| value < &**last.key()) else {
                    return Ok(());
                };
                greatest.remove();
            }
            _ => {}
        }
        state.insert(value.into(), times);
        Ok(())
    }

    /// The most frequent values, at most `most` of them.
    fn top(state: &Counts, most: usize) -> impl Iterator<Item = (Bytes, i64)> {
        let mut all: Vec<_> = state.iter().collect();
        let order = |(value, count): &(&Bytes, &i64)| (Reverse(**count), (*value).clone());
        if most < all.len() {
            all.select_nth_unstable_by(most, |a, b| b.1.cmp(a.1).then_with(|| a.0.cmp(b.0)));
            all.truncate(most);
        }
        all.sort_by_key(order);
        all.into_iter().map(|(value, count)| (value.clone(), *count))
    }
}

/// Results on their way.
#[derive(Default)]
pub(super) struct Output {
    counts: Vec<i64>,
    modes: Vec<Option<Bytes>>,
    lists: Lists,
}

impl Kind for Tally {
    type State = Counts;
    type Input<'a> = Rows;
    type Output = Output;

    const CHECKED: bool = true;

    fn open<'a>(&self, columns: &Columns<'a>) -> Result<Rows, Refused> {
        self.values.encode(&columns.arrays[0])
    }

    fn retracts(&self) -> bool {
        !matches!(self.made, Made::LeastOfSet(_))
    }

    fn add(&self, state: &mut Counts, input: &Rows, row: usize) -> Result<(), Refused> {
        self.count(state, input.row(row).as_ref(), 1)
    }

    fn remove(&self, state: &mut Counts, input: &Rows, row: usize) -> Result<(), Refused> {
        if !self.retracts() {
            return Err("it cannot take rows out again, as it has a limit".to_string());
        }
        let value = input.row(row);
        if let Some(count) = state.get_mut(value.as_ref()) {
            *count -= 1;
            if *count == 0 {
                state.remove(value.as_ref());
            }
        }
        Ok(())
    }

    fn merge(&self, into: &mut Counts, from: &Counts) -> Result<(), Refused> {
        from.iter().try_for_each(|(value, count)| self.count(into, value, *count))
    }

    fn output(&self, _: usize) -> Output {
        Output::default()
    }

    fn push(&self, state: &Counts, out: &mut Output) -> Result<(), Refused> {
        match self.made {
            Made::Distinct => out.counts.push(i64::try_from(state.len()).unwrap_or(i64::MAX)),
            Made::Top(most) => out.lists.push_counted(Self::top(state, most)),
            Made::Mode => out.modes.push(Self::top(state, 1).next().map(|(value, _)| value)),
            Made::Set(_) | Made::LeastOfSet(_) => out.lists.push(state.keys().cloned()),
        }
        Ok(())
    }

    fn finish(&self, out: Output) -> Result<ArrayRef, Refused> {
        match self.made {
            Made::Distinct => Ok(Arc::new(Int64Array::from(out.counts))),
            Made::Top(_) => out.lists.finish_counted(&self.values),
            Made::Mode => self.values.decode(out.modes.iter().map(Option::as_deref)),
            Made::Set(_) | Made::LeastOfSet(_) => out.lists.finish(&self.values),
        }
    }

    fn save(&self, state: &Counts, out: &mut Vec<u8>) {
        put_count(out, state.len() as u64);
        for (value, count) in state {
            put_bytes(out, value);
            // How often the values of a bounded set came is known only of those that stayed.
            let count = if self.retracts() { *count } else { 1 };
            put_count(out, count.cast_unsigned());
        }
    }

    fn load(&self, bytes: &mut &[u8]) -> Result<Counts, Refused> {
        (0..get_len(bytes)?)
            .map(|_| Ok((get_bytes(bytes)?.into(), get_count(bytes)?.cast_signed())))
            .collect()
    }

    fn heap(&self, state: &Counts) -> usize {
        state.keys().map(|value| value.len() + size_of::<(Bytes, i64)>()).sum()
    }
}

/// The error of a collection without a limit of its own that has grown too large.
pub(super) fn too_many(limit: usize) -> Refused {
    format!("it has more than {limit} values; pass limit=... to keep only so many, or a higher one")
}
