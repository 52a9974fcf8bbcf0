//! Arrays that are ready to be written, in any format that writes values one by one.

use super::RAW_JSON;
use arrow::{
    array::{
        Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Decimal128Array, Float32Array,
        Float64Array, Int64Array, LargeStringArray, ListArray, MapArray, StringArray,
        StringViewArray, UInt64Array,
    },
    buffer::NullBuffer,
    compute::{CastOptions, cast_with_options},
    datatypes::{DataType, Field, Int64Type, TimeUnit, UInt64Type},
};
use std::sync::Arc;

/// What a format writes in front of the value of a field: made once a batch from the position of
/// the field in its object, and its name.
pub(in crate::codec) type Label = fn(usize, &str) -> Vec<u8>;

/// An array that is ready to be written.
pub(in crate::codec) struct Node {
    /// Which rows are null, if any.
    pub(in crate::codec) nulls: Option<NullBuffer>,
    /// The others.
    pub(in crate::codec) cells: NodeCells,
}

/// The values of a [`Node`], in few types.
pub(in crate::codec) enum NodeCells {
    Null,
    Bool(BooleanArray),
    Int(Int64Array),
    UInt(UInt64Array),
    Float(Float64Array),
    Float32(Float32Array),
    Text(StringArray),
    LargeText(LargeStringArray),
    TextView(StringViewArray),
    Raw(StringArray),
    Binary(BinaryArray),
    Decimal(Decimal128Array),
    Date(Int64Array),
    /// In nanoseconds.
    Time(Int64Array),
    Timestamp(Int64Array, TimeUnit, bool),
    Duration(Int64Array, TimeUnit),
    List(Box<(ListArray, Node)>),
    Struct(Vec<(Vec<u8>, Node)>),
    Map(Box<(MapArray, StringArray, Node)>),
}

/// As `to`; a value that does not fit is an error.
pub(in crate::codec) fn cast(array: &ArrayRef, to: &DataType) -> Result<ArrayRef, String> {
    // A value that does not fit must be an error, not a null.
    let options = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(array, to, &options).map_err(|e| e.to_string())
}

/// As 64-bit integers.
pub(in crate::codec) fn ints(array: &ArrayRef) -> Result<Int64Array, String> {
    Ok(cast(array, &DataType::Int64)?.as_primitive::<Int64Type>().clone())
}

impl Node {
    /// Prepares the column `array`; `Err` names the type that has no form in records.
    pub(in crate::codec) fn new(
        field: &Field,
        array: &ArrayRef,
        label: Label,
    ) -> Result<Self, String> {
        let cells = NodeCells::new(field, array, label)
            .map_err(|why| format!("column `{}`: {why}", field.name()))?;
        // A dictionary or run-end array keeps nulls in its values as well.
        Ok(Self { nulls: array.logical_nulls().filter(|n| n.null_count() > 0), cells })
    }

    /// Is row `i` null?
    #[inline]
    pub(in crate::codec) fn is_null(&self, i: usize) -> bool {
        self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(i))
    }
}

impl NodeCells {
    fn new(field: &Field, array: &ArrayRef, label: Label) -> Result<Self, String> {
        use DataType as T;
        let again = |to: &T| Self::new(field, &cast(array, to)?, label);
        Ok(match array.data_type() {
            T::Null => Self::Null,
            T::Boolean => Self::Bool(array.as_boolean().clone()),
            T::Int8 | T::Int16 | T::Int32 | T::Int64 => Self::Int(ints(array)?),
            T::UInt8 | T::UInt16 | T::UInt32 | T::UInt64 => {
                Self::UInt(cast(array, &T::UInt64)?.as_primitive::<UInt64Type>().clone())
            }
            T::Float16 => again(&T::Float32)?,
            T::Float32 => Self::Float32(array.as_primitive().clone()),
            T::Float64 => Self::Float(array.as_primitive().clone()),
            T::Utf8 | T::LargeUtf8 | T::Utf8View
                if field.metadata().get(RAW_JSON).is_some_and(|v| v == "1") =>
            {
                Self::Raw(cast(array, &T::Utf8)?.as_string().clone())
            }
            T::Utf8 => Self::Text(array.as_string().clone()),
            T::LargeUtf8 => Self::LargeText(array.as_string().clone()),
            T::Utf8View => Self::TextView(array.as_string_view().clone()),
            T::Binary => Self::Binary(array.as_binary().clone()),
            T::LargeBinary | T::BinaryView | T::FixedSizeBinary(_) => again(&T::Binary)?,
            T::Date32 => Self::Date(ints(&cast(array, &T::Int32)?)?),
            T::Date64 => again(&T::Date32)?,
            T::Time32(_) | T::Time64(TimeUnit::Microsecond) => {
                again(&T::Time64(TimeUnit::Nanosecond))?
            }
            T::Time64(_) => Self::Time(ints(array)?),
            T::Timestamp(unit, zone) => Self::Timestamp(ints(array)?, *unit, zone.is_some()),
            T::Duration(unit) => Self::Duration(ints(array)?, *unit),
            T::Decimal128(..) => Self::Decimal(array.as_primitive().clone()),
            T::Decimal32(_, scale) | T::Decimal64(_, scale) => again(&T::Decimal128(38, *scale))?,
            T::Decimal256(..) => again(&T::Utf8)?,
            T::Dictionary(_, values) => again(values)?,
            T::RunEndEncoded(_, values) => again(values.data_type())?,
            T::List(item) => {
                let lists: &ListArray = array.as_list();
                Self::List(Box::new((lists.clone(), Node::new(item, lists.values(), label)?)))
            }
            T::LargeList(item)
            | T::FixedSizeList(item, _)
            | T::ListView(item)
            | T::LargeListView(item) => again(&T::List(Arc::clone(item)))?,
            T::Struct(fields) => {
                let columns = fields.iter().zip(array.as_struct().columns()).enumerate();
                let nodes = columns.map(|(i, (field, array))| {
                    Ok((label(i, field.name()), Node::new(field, array, label)?))
                });
                Self::Struct(nodes.collect::<Result<_, String>>()?)
            }
            T::Map(entry, _) => {
                let maps = array.as_map();
                let keys = cast(maps.keys(), &T::Utf8)?.as_string().clone();
                let T::Struct(fields) = entry.data_type() else {
                    return Err("a map without entries".into());
                };
                Self::Map(Box::new((
                    maps.clone(),
                    keys,
                    Node::new(&fields[1], maps.values(), label)?,
                )))
            }
            other => {
                return Err(format!(
                    "{other} has no form in records; convert it to text or numbers"
                ));
            }
        })
    }
}
