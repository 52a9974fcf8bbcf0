//! Types of JSON values nobody has declared, and the smallest type that holds two of them.

use super::{
    column::{Cells, Column},
    decode::{DecodeOptions, Decoder},
    number::int_fits_f64,
    object::Object,
    scan::{Fault, Scan, Scanned, Step},
    shared::SharedSchema,
};
use crate::{codec::Decode, error::Result, types::Records};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, SchemaRef};
use std::{ops::Range, sync::Arc};

/// Most fields of an inferred schema, nested ones included: names that are data end here.
const MOST_FIELDS: usize = 1_000;

/// The schema that holds all the records of `range`, in the order in which their fields appear.
///
/// Integers are `int64`, and `float64` once a number with a fraction appears; text is `utf8`,
/// objects are structs, arrays are lists, what is always null is `null`. Records that contradict
/// earlier ones have no say.
///
/// # Errors
///
/// None in practice: what is inferred can be decoded.
pub fn infer(records: &dyn Records, range: Range<usize>) -> Result<SchemaRef> {
    let shared = Arc::new(SharedSchema::unnamed());
    let mut decoder = Decoder::inferring(shared, DecodeOptions { tombstones_as_nulls: true })?;
    decoder.decode(records, range);
    Ok(decoder.schema())
}

/// Fields of the JSON object `data`.
pub(super) fn fields_of(data: &[u8]) -> Scanned<Fields> {
    let mut scan = Scan::new(data);
    let fields = match scan.value_start()? {
        b'{' => object(&mut scan, &mut Vec::new(), 0)?,
        _ => return Err(scan.fault(format!("expected a JSON object, found {}", scan.found()))),
    };
    scan.finish()?;
    Ok(fields)
}

fn object(scan: &mut Scan<'_>, scratch: &mut Vec<u8>, depth: usize) -> Scanned<Fields> {
    scan.open(depth)?;
    let mut fields: Vec<FieldRef> = Vec::new();
    let mut more = scan.first_member(b'}')?;
    while more {
        let name = String::from_utf8_lossy(scan.key(scratch)?).into_owned();
        let data_type = value(scan, scratch, depth + 1).map_err(|mut fault| {
            fault.path.push(Step::Field(name.as_str().into()));
            fault
        })?;
        let field = Arc::new(Field::new(name, data_type, true));
        match fields.iter().position(|f| f.name() == field.name()) {
            Some(earlier) => fields[earlier] = field,
            None if fields.len() < MOST_FIELDS => fields.push(field),
            None => return Err(scan.fault(too_many())),
        }
        more = scan.next_member(b'}')?;
    }
    Ok(fields.into())
}

fn value(scan: &mut Scan<'_>, scratch: &mut Vec<u8>, depth: usize) -> Scanned<DataType> {
    let at = scan.pos;
    Ok(match scan.value_start()? {
        b'{' => DataType::Struct(object(scan, scratch, depth)?),
        b'[' => {
            scan.open(depth)?;
            let mut item = DataType::Null;
            let mut more = scan.first_member(b']')?;
            while more {
                let next = value(scan, scratch, depth + 1)?;
                item = merge(&item, &next).map_err(|why| {
                    Fault::new(at, format!("the items of the array differ: {why}"))
                })?;
                more = scan.next_member(b']')?;
            }
            DataType::List(item_field(item))
        }
        b'-' | b'0'..=b'9' => {
            let number = scan.number()?;
            match number.to_i64() {
                Ok(_) if number.is_integer => DataType::Int64,
                _ if number.is_exact_float() && number.to_f64().is_finite() => DataType::Float64,
                _ => {
                    let what = "too large for an integer of 64 bits; declare the field in a \
                                model, as Decimal";
                    return Err(Fault::new(at, what));
                }
            }
        }
        b'"' => {
            scan.string(scratch)?;
            DataType::Utf8
        }
        b't' | b'f' => {
            scan.skip(scratch, depth)?;
            DataType::Boolean
        }
        _ => {
            scan.skip(scratch, depth)?;
            DataType::Null
        }
    })
}

fn item_field(item: DataType) -> FieldRef {
    Arc::new(Field::new("item", item, true))
}

/// The smallest type that holds the values of both, or why there is none.
fn merge(a: &DataType, b: &DataType) -> Result<DataType, String> {
    Ok(match (a, b) {
        (a, b) if a == b => a.clone(),
        (DataType::Null, other) | (other, DataType::Null) => other.clone(),
        (DataType::Int64, DataType::Float64) | (DataType::Float64, DataType::Int64) => {
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
pub(super) fn merge_fields(a: &Fields, b: &Fields) -> Result<Fields, String> {
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

fn too_many() -> String {
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
    fn can_widen(&self, wider: &DataType) -> bool {
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
    pub(super) fn can_widen(&self, wider: &Fields) -> bool {
        self.columns.iter().zip(wider).all(|(column, field)| column.can_widen(field.data_type()))
    }

    /// Gets the fields of `wider`, which begin with its own; new columns are null in all `rows`.
    pub(super) fn widen(&mut self, wider: &Fields, rows: usize) -> Result<()> {
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
