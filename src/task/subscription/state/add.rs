//! Adding to numbers of many keys at once, a column at a time.

use super::BatchState;
use crate::{
    engine::shard::key_bytes,
    error::{Error, Result},
    state::{
        Space,
        value::{Kind, Value},
    },
};
use ahash::RandomState;
use arrow::{
    array::{Array, ArrayRef, AsArray, Float64Array, Int64Array},
    compute::cast,
    datatypes::{DataType, Float64Type, Int64Type},
};
use std::{collections::HashMap, sync::Arc};

/// What is added to the number of each key.
pub enum Amounts {
    /// The same whole number.
    One(i64),
    /// The same number.
    Real(f64),
    /// One for each key.
    Each(ArrayRef),
}

#[derive(Clone, Copy)]
enum Number {
    Int(i64),
    Real(f64),
}

impl Number {
    fn plus(self, more: Self) -> Option<Self> {
        Some(match (self, more) {
            (Self::Int(a), Self::Int(b)) => Self::Int(a.checked_add(b)?),
            (a, b) => Self::Real(a.real() + b.real()),
        })
    }

    fn real(self) -> f64 {
        match self {
            Self::Int(number) => number as f64,
            Self::Real(number) => number,
        }
    }
}

impl BatchState {
    /// Adds to the number under each of `keys`, one after the other, nothing counting as 0; the number
    /// behind each addition. Rows whose key is null are left out and get null.
    ///
    /// # Errors
    ///
    /// [`Error::Declaration`] for a column that has no keys or no numbers, a value that is no number, and
    /// a sum that does not fit; then nothing was added.
    pub fn add_many(
        &self,
        scope: Option<&[u8]>,
        keys: &ArrayRef,
        amounts: &Amounts,
        ttl_ms: Option<i64>,
    ) -> Result<ArrayRef> {
        let keys = key_bytes(keys, "a key")?;
        let keys = keys.as_binary::<i32>();
        let amounts = Column::new(amounts, keys.len())?;
        let mut places: HashMap<&[u8], u32, RandomState> = HashMap::default();
        let mut names: Vec<&[u8]> = Vec::new();
        let rows: Vec<Option<u32>> = keys
            .iter()
            .map(|key| {
                let key = key?;
                Some(*places.entry(key).or_insert_with(|| {
                    names.push(key);
                    names.len() as u32 - 1
                }))
            })
            .collect();
        let mut numbers = self.numbers(scope, &names)?;
        let is_real = amounts.is_real() || numbers.iter().any(|one| matches!(one, Number::Real(_)));
        let mut behind = Vec::with_capacity(rows.len());
        for (row, place) in rows.iter().enumerate() {
            let Some(place) = place else {
                behind.push(None);
                continue;
            };
            let number = &mut numbers[*place as usize];
            if let Some(amount) = amounts.get(row) {
                *number = number.plus(amount).ok_or_else(|| too_large(names[*place as usize]))?;
            }
            behind.push(Some(*number));
        }
        let column: ArrayRef = if is_real {
            let reals = behind.iter().map(|number| number.map(Number::real));
            Arc::new(reals.collect::<Float64Array>())
        } else {
            let int = |number: &Option<Number>| match number {
                Some(Number::Int(number)) => Some(*number),
                _ => None,
            };
            Arc::new(behind.iter().map(int).collect::<Int64Array>())
        };
        self.put_numbers(scope, &names, &numbers, ttl_ms)?;
        Ok(column)
    }

    fn numbers(&self, scope: Option<&[u8]>, names: &[&[u8]]) -> Result<Vec<Number>> {
        let stored = self.get_many(scope, names)?;
        let number = |(stored, name): (&Option<Vec<u8>>, &&[u8])| -> Result<Number> {
            let Some(stored) = stored else { return Ok(Number::Int(0)) };
            let value = Value::read(stored)?;
            let known = value.int().map(Number::Int).or_else(|| value.float().map(Number::Real));
            known.ok_or_else(|| {
                Error::Declaration(format!(
                    "the value of {:?} is no number: add_many adds to numbers that put or add_many wrote",
                    String::from_utf8_lossy(name)
                ))
            })
        };
        stored.iter().zip(names).map(number).collect()
    }

    fn put_numbers(
        &self,
        scope: Option<&[u8]>,
        names: &[&[u8]],
        numbers: &[Number],
        ttl_ms: Option<i64>,
    ) -> Result<()> {
        let write = |(name, number): (&&[u8], &Number)| -> Result<_> {
            let key = self.key(scope, name)?;
            let expires_ms = self.expires(&key, name, ttl_ms)?;
            let (kind, payload) = match number {
                Number::Int(number) => (Kind::Int, number.to_le_bytes()),
                Number::Real(number) => (Kind::Float, number.to_le_bytes()),
            };
            Ok((key, Some(Value { kind, expires_ms, payload: &payload }.write())))
        };
        let writes = names.iter().zip(numbers).map(write).collect::<Result<Vec<_>>>()?;
        self.kept()?.state.put_many(Space::STATE, writes);
        Ok(())
    }
}

/// Amounts as rows are added.
enum Column {
    Same(Number),
    Ints(Int64Array),
    Reals(Float64Array),
}

impl Column {
    fn new(amounts: &Amounts, rows: usize) -> Result<Self> {
        let column = match amounts {
            Amounts::One(number) => return Ok(Self::Same(Number::Int(*number))),
            Amounts::Real(number) => return Ok(Self::Same(Number::Real(*number))),
            Amounts::Each(column) => column,
        };
        if column.len() != rows {
            return Err(Error::Declaration(format!(
                "add_many has {rows} keys and {} amounts: give one amount for each key, or a number for all",
                column.len()
            )));
        }
        let to = |kind: &DataType| {
            cast(column, kind).map_err(|e| Error::Declaration(format!("amounts of add_many: {e}")))
        };
        match column.data_type() {
            kind if kind.is_floating() => {
                Ok(Self::Reals(to(&DataType::Float64)?.as_primitive::<Float64Type>().clone()))
            }
            kind if kind.is_integer() => {
                Ok(Self::Ints(to(&DataType::Int64)?.as_primitive::<Int64Type>().clone()))
            }
            kind => Err(Error::Declaration(format!(
                "amounts of add_many are a column of numbers, and not of {kind}"
            ))),
        }
    }

    fn is_real(&self) -> bool {
        matches!(self, Self::Reals(_) | Self::Same(Number::Real(_)))
    }

    /// None adds nothing.
    fn get(&self, row: usize) -> Option<Number> {
        match self {
            Self::Same(number) => Some(*number),
            Self::Ints(column) => column.is_valid(row).then(|| Number::Int(column.value(row))),
            Self::Reals(column) => column.is_valid(row).then(|| Number::Real(column.value(row))),
        }
    }
}

fn too_large(key: &[u8]) -> Error {
    Error::Declaration(format!(
        "the sum of {:?} does not fit 64 bits: add floats, or put it as another value",
        String::from_utf8_lossy(key)
    ))
}
