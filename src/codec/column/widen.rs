//! The smallest type that holds two others, and columns that become it.

use super::{Cells, Column, Object, number::int_fits_f64};
use crate::error::Result;
use arrow::datatypes::{DataType, Field, FieldRef, Fields};
use std::sync::Arc;

/// Most fields of an inferred schema, nested ones included: names that are data end here.
pub(in crate::codec) const MOST_FIELDS: usize = 1_000;

/// The field of a list's items.
pub(in crate::codec) fn item_field(item: DataType) -> FieldRef {
    Arc::new(Field::new("item", item, true))
}

/// The smallest type that holds the values of both, or why there is none.
pub(in crate::codec) fn merge(a: &DataType, b: &DataType) -> Result<DataType, String> {
    Ok(match (a, b) {
        (a, b) if a == b => a.clone(),
        (DataType::Null, other) | (other, DataType::Null) => other.clone(),
        (DataType::Int64, DataType::Float64) | (DataType::Float64, DataType::Int64) => {
            DataType::Float64
        }
        (DataType::Int32, DataType::Int64) | (DataType::Int64, DataType::Int32) => DataType::Int64,
        (DataType::Float32, DataType::Float64) | (DataType::Float64, DataType::Float32) => {
            DataType::Float64
        }
        (DataType::Int32, DataType::Float64) | (DataType::Float64, DataType::Int32) => {
            DataType::Float64
        }
        (DataType::List(a), DataType::List(b)) => {
            DataType::List(item_field(merge(a.data_type(), b.data_type())?))
        }
        (DataType::Struct(a), DataType::Struct(b)) => DataType::Struct(merge_fields(a, b)?),
        (a, b) => return Err(format!("no type holds both {} and {}", name(a), name(b))),
    })
}

/// Every field of both, those of `a` first.
pub(in crate::codec) fn merge_fields(a: &Fields, b: &Fields) -> Result<Fields, String> {
    let mut merged: Vec<FieldRef> = a.iter().cloned().collect();
    for field in b {
        match merged.iter_mut().find(|f| f.name() == field.name()) {
            Some(known) if known.data_type() == field.data_type() => {}
            Some(known) => {
                let both = merge(known.data_type(), field.data_type())?;
                *known = Arc::new(Field::new(field.name(), both, true));
            }
            None => merged.push(Arc::clone(field)),
        }
    }
    if merged.iter().map(|f| count(f.data_type())).sum::<usize>() > MOST_FIELDS {
        return Err(too_many());
    }
    Ok(merged.into())
}

fn count(data_type: &DataType) -> usize {
    match data_type {
        DataType::Struct(fields) => 1 + fields.iter().map(|f| count(f.data_type())).sum::<usize>(),
        DataType::List(item) => 1 + count(item.data_type()),
        _ => 1,
    }
}

pub(in crate::codec) fn too_many() -> String {
    format!(
        "the inferred schema would have more than {MOST_FIELDS} fields; if names are data, declare \
         the field as dict[str, ...] in a model"
    )
}

/// What JSON calls a type.
fn name(data_type: &DataType) -> &'static str {
    match data_type {
        DataType::Boolean => "booleans",
        DataType::Int64 | DataType::Float64 => "numbers",
        DataType::Utf8 => "strings",
        DataType::List(_) => "arrays",
        DataType::Struct(_) => "objects",
        _ => "nulls",
    }
}

impl Column {
    /// Can the rows so far be kept when the column becomes `wider`?
    pub(in crate::codec) fn can_widen(&self, wider: &DataType) -> bool {
        match (&self.cells, wider) {
            (Cells::Int { values, .. }, DataType::Float64) => {
                values.iter().all(|&v| int_fits_f64(v.into()))
            }
            (Cells::List { item, .. }, DataType::List(to)) => item.can_widen(to.data_type()),
            (Cells::Struct(object), DataType::Struct(fields)) => object.can_widen(fields),
            _ => true,
        }
    }

    /// Becomes `wider`, keeping its rows.
    fn widen(&mut self, wider: &FieldRef) -> Result<()> {
        if self.field == *wider {
            return Ok(());
        }
        let rows = self.len;
        match (&mut self.cells, wider.data_type()) {
            (Cells::Null, _) => {
                *self = Self::new(wider, true)?;
                (0..rows).for_each(|_| self.push_null());
            }
            (Cells::Int { values, .. }, DataType::Float64) => {
                let values = values.iter().map(|&v| v as f64).collect();
                self.cells = Cells::Float { values, exact: true };
            }
            (Cells::Int { range, .. }, DataType::Int64) => *range = (i64::MIN, i64::MAX),
            (Cells::Float32(values), DataType::Float64) => {
                let values = values.iter().map(|&v| v.into()).collect();
                self.cells = Cells::Float { values, exact: true };
            }
            (Cells::List { item, .. }, DataType::List(to)) => item.widen(to)?,
            (Cells::Struct(object), DataType::Struct(fields)) => object.widen(fields, rows)?,
            _ => {}
        }
        self.field = Arc::clone(wider);
        Ok(())
    }
}

impl Object {
    /// Can the rows so far be kept when the fields become `wider`?
    pub(in crate::codec) fn can_widen(&self, wider: &Fields) -> bool {
        self.columns.iter().zip(wider).all(|(column, field)| column.can_widen(field.data_type()))
    }

    /// Gets the fields of `wider`, which begin with its own; new columns are null in all `rows`.
    pub(in crate::codec) fn widen(&mut self, wider: &Fields, rows: usize) -> Result<()> {
        for (column, field) in self.columns.iter_mut().zip(wider) {
            column.widen(field)?;
        }
        for field in &wider[self.columns.len()..] {
            let mut column = Column::new(field, true)?;
            (0..rows).for_each(|_| column.push_null());
            self.add(column);
        }
        Ok(())
    }
}
