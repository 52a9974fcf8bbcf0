//! Columns while they grow: what every format puts its values into.
//!
//! Guarantees:
//!
//! - A record is good as a whole or bad as a whole: [`Column::truncate`] takes half a row back.
//! - No value is cut to fit its column: what does not fit is a fault with its path.
//! - Marks in the metadata of the schema (below) mean the same in every format that has names.
//!
//! Not here: bytes. How a format finds its values is its own business.

mod cells;
mod check;
mod decode;
mod fault;
mod node;
pub(in crate::codec) mod number;
mod object;
mod push;
mod shared;
pub(in crate::codec) mod time;
mod widen;

pub(in crate::codec) use cells::{Cells, Moment, Text, Zone};
pub(in crate::codec) use check::Check;
pub use decode::DecodeOptions;
pub(in crate::codec) use decode::{ReadRecord, RecordDecoder, all_nullable, row_index};
pub(in crate::codec) use fault::{Fault, Scanned, Step, shorten};
pub(in crate::codec) use node::{Node, NodeCells, cast, ints};
pub(in crate::codec) use object::{Object, Unknown};
pub(in crate::codec) use push::{Refused, Value};
pub use shared::SharedSchema;
pub(in crate::codec) use widen::{MOST_FIELDS, item_field, merge, merge_fields, too_many};

use crate::error::{Error, Result};
use arrow::{
    array::{
        ArrayRef, BinaryArray, BooleanArray, Decimal128Array, ListArray, NullArray,
        NullBufferBuilder, StringArray, StructArray,
    },
    datatypes::{
        DataType, Field, FieldRef, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
        Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
    },
};
use cells::{map_array, moments, primitive, take_offsets};
use std::{mem, sync::Arc};

/// Metadata of a text field whose values are JSON text: `"1"`.
pub const RAW_JSON: &str = "turbine.json";
/// Metadata of a schema, or of a field of objects: `"forbid"` makes an unknown name a bad record.
pub const EXTRA: &str = "turbine.extra";
/// Metadata of a field: JSON array of the names under which it stands in records, if not its own.
pub const NAMES: &str = "turbine.names";
/// Metadata of a field: `"1"` if it must be present although it may be null.
pub const REQUIRED: &str = "turbine.required";
/// Metadata of a field: JSON text of the value that stands for a missing one.
pub const DEFAULT: &str = "turbine.default";
/// Metadata of a timestamp field with a time zone: `"1"` if text without an offset is bad, not UTC.
pub const AWARE: &str = "turbine.aware";
/// Metadata of a field: JSON object of what is allowed, with any of the keys `values`, `ge`, `gt`,
/// `le`, `lt`, `min_length`, `max_length`, `uuid`, `json`.
pub const CHECK: &str = "turbine.check";

/// A column of the batch that is being decoded.
pub(in crate::codec) struct Column {
    /// Name, type and metadata.
    pub field: FieldRef,
    /// Names under which it stands in records; the first one is used in messages.
    pub names: Vec<String>,
    /// Is JSON `null` a value of this field? Filler rows are null regardless.
    pub accepts_null: bool,
    /// Must the name be present although null is allowed?
    pub required: bool,
    /// JSON text of the value of a missing name.
    pub default: Option<Box<[u8]>>,
    /// What is allowed beyond the type.
    pub check: Option<Box<Check>>,
    /// Rows so far.
    pub len: usize,
    nulls: NullBufferBuilder,
    /// The values; a null row has a placeholder.
    pub cells: Cells,
}

/// Narrows checked integers to their column.
macro_rules! narrow {
    ($arrow:ty, $native:ty, $values:expr, $nulls:expr) => {
        primitive::<$arrow>(mem::take($values).into_iter().map(|v| v as $native).collect(), $nulls)
    };
}

impl Column {
    /// An empty column for `field`; `inferred` makes floats refuse integers that they cannot hold.
    ///
    /// # Errors
    ///
    /// A type that JSON cannot fill; the sentence names the field and what to use instead.
    pub(in crate::codec) fn new(field: &FieldRef, inferred: bool) -> Result<Self> {
        let metadata = field.metadata();
        let text = |key: &str| metadata.get(key).map(String::as_str);
        Ok(Self {
            names: match text(NAMES) {
                Some(json) => names(field, json)?,
                None => vec![field.name().clone()],
            },
            accepts_null: field.is_nullable(),
            required: text(REQUIRED) == Some("1"),
            default: text(DEFAULT).map(|json| json.as_bytes().into()),
            check: Check::of(field)?,
            len: 0,
            nulls: NullBufferBuilder::new(0),
            cells: Cells::new(field, inferred)?,
            field: Arc::clone(field),
        })
    }

    /// Makes room for `rows` more rows, as far as that is known without looking at them.
    pub(in crate::codec) fn reserve(&mut self, rows: usize) {
        match &mut self.cells {
            Cells::Null => {}
            Cells::Bool(values) => values.reserve(rows),
            Cells::Int { values, .. } | Cells::Moment { values, .. } => values.reserve(rows),
            Cells::UInt { values, .. } => values.reserve(rows),
            Cells::Float { values, .. } => values.reserve(rows),
            Cells::Float32(values) => values.reserve(rows),
            Cells::Decimal { values, .. } => values.reserve(rows),
            Cells::Text { text, .. } => {
                text.offsets.reserve(rows);
                text.bytes.reserve(rows * text.bytes_per_row);
            }
            Cells::List { offsets, .. } | Cells::Map { offsets, .. } => offsets.reserve(rows),
            Cells::Struct(object) => object.columns.iter_mut().for_each(|c| c.reserve(rows)),
        }
    }

    /// Appends a null, whether or not the field has nulls.
    pub(in crate::codec) fn push_null(&mut self) {
        match &mut self.cells {
            Cells::Null => {}
            Cells::Bool(values) => values.append(false),
            Cells::Int { values, .. } | Cells::Moment { values, .. } => values.push(0),
            Cells::UInt { values, .. } => values.push(0),
            Cells::Float { values, .. } => values.push(0.0),
            Cells::Float32(values) => values.push(0.0),
            Cells::Decimal { values, .. } => values.push(0),
            Cells::Text { text, .. } => text.offsets.push(text.offsets[self.len]),
            Cells::List { offsets, .. } | Cells::Map { offsets, .. } => {
                offsets.push(offsets[self.len]);
            }
            Cells::Struct(object) => object.columns.iter_mut().for_each(Self::push_null),
        }
        self.len += 1;
        self.nulls.append_null();
    }

    /// Counts a value that has been added to `cells`.
    #[inline]
    pub(in crate::codec) fn pushed(&mut self) {
        self.len += 1;
        self.nulls.append_non_null();
    }

    /// Takes back every row behind the first `len`, and what a broken row left behind.
    pub(in crate::codec) fn truncate(&mut self, len: usize) {
        match &mut self.cells {
            Cells::Null => {}
            Cells::Bool(values) => values.truncate(len),
            Cells::Int { values, .. } | Cells::Moment { values, .. } => values.truncate(len),
            Cells::UInt { values, .. } => values.truncate(len),
            Cells::Float { values, .. } => values.truncate(len),
            Cells::Float32(values) => values.truncate(len),
            Cells::Decimal { values, .. } => values.truncate(len),
            Cells::Text { text, .. } => text.truncate(len),
            Cells::List { offsets, item } => {
                offsets.truncate(len + 1);
                item.truncate(offsets[len] as usize);
            }
            Cells::Struct(object) => object.truncate(len),
            Cells::Map { offsets, keys, value } => {
                offsets.truncate(len + 1);
                keys.truncate(offsets[len] as usize);
                value.truncate(offsets[len] as usize);
            }
        }
        self.nulls.truncate(len);
        self.len = len;
    }

    /// The rows as an array; the column is empty again.
    pub(in crate::codec) fn finish(&mut self) -> ArrayRef {
        let len = mem::take(&mut self.len);
        let nulls = mem::replace(&mut self.nulls, NullBufferBuilder::new(0)).build();
        match &mut self.cells {
            Cells::Null => Arc::new(NullArray::new(len)),
            Cells::Bool(values) => Arc::new(BooleanArray::new(values.finish(), nulls)),
            Cells::Int { values, .. } => match self.field.data_type() {
                DataType::Int8 => narrow!(Int8Type, i8, values, nulls),
                DataType::Int16 => narrow!(Int16Type, i16, values, nulls),
                DataType::Int32 => narrow!(Int32Type, i32, values, nulls),
                _ => primitive::<Int64Type>(mem::take(values), nulls),
            },
            Cells::UInt { values, .. } => match self.field.data_type() {
                DataType::UInt8 => narrow!(UInt8Type, u8, values, nulls),
                DataType::UInt16 => narrow!(UInt16Type, u16, values, nulls),
                DataType::UInt32 => narrow!(UInt32Type, u32, values, nulls),
                _ => primitive::<UInt64Type>(mem::take(values), nulls),
            },
            Cells::Float { values, .. } => primitive::<Float64Type>(mem::take(values), nulls),
            Cells::Float32(values) => primitive::<Float32Type>(mem::take(values), nulls),
            Cells::Moment { values, .. } => {
                moments(mem::take(values), nulls, self.field.data_type())
            }
            Cells::Decimal { values, .. } => {
                let array = Decimal128Array::new(mem::take(values).into(), nulls);
                Arc::new(array.with_data_type(self.field.data_type().clone()))
            }
            Cells::Text { text, .. } => {
                let (offsets, bytes) = text.take();
                match self.field.data_type() {
                    DataType::Binary => Arc::new(BinaryArray::new(offsets, bytes, nulls)),
                    _ => Arc::new(StringArray::new(offsets, bytes, nulls)),
                }
            }
            Cells::List { offsets, item } => {
                let values = item.finish();
                let item = Arc::clone(&item.field);
                Arc::new(ListArray::new(item, take_offsets(offsets), values, nulls))
            }
            Cells::Struct(object) => {
                let arrays: Vec<ArrayRef> = object.columns.iter_mut().map(Self::finish).collect();
                match self.field.data_type() {
                    DataType::Struct(fields) if !fields.is_empty() => {
                        Arc::new(StructArray::new(fields.clone(), arrays, nulls))
                    }
                    _ => Arc::new(StructArray::new_empty_fields(len, nulls)),
                }
            }
            Cells::Map { offsets, keys, value } => {
                map_array(self.field.data_type(), take_offsets(offsets), keys, value, nulls)
            }
        }
    }
}

fn names(field: &Field, json: &str) -> Result<Vec<String>> {
    match serde_json::from_str::<Vec<String>>(json) {
        Ok(names) if !names.is_empty() => Ok(names),
        _ => Err(Error::Config(format!(
            "field `{}`: metadata {NAMES} must be a JSON array of names",
            field.name()
        ))),
    }
}
