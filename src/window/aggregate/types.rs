//! Types of inputs: which are numbers, what they are computed in, what a column is cast to.

use super::each::Refused;
use arrow::{
    array::{Array, ArrayRef},
    compute::{CastOptions, can_cast_types, cast_with_options},
    datatypes::DataType,
    util::display::FormatOptions,
};
use std::sync::Arc;

/// Overflows are errors, never nulls.
const STRICT: CastOptions<'static> =
    CastOptions { safe: false, format_options: FormatOptions::new() };

/// The type of the values: what a dictionary or run-end encoded column stands for.
pub(super) fn plain(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Dictionary(_, values) => plain(values),
        DataType::RunEndEncoded(_, values) => plain(values.data_type()),
        other => other.clone(),
    }
}

/// What a number is computed in; none if it is not a number.
pub(super) fn number(data_type: &DataType) -> Option<DataType> {
    use DataType as T;
    match plain(data_type) {
        T::Int8 | T::Int16 | T::Int32 | T::Int64 => Some(T::Int64),
        T::UInt8 | T::UInt16 | T::UInt32 | T::UInt64 => Some(T::UInt64),
        T::Float16 | T::Float32 | T::Float64 => Some(T::Float64),
        T::Decimal32(p, s) | T::Decimal64(p, s) | T::Decimal128(p, s) => Some(T::Decimal128(p, s)),
        T::Decimal256(p, s) => Some(T::Decimal256(p, s)),
        _ => None,
    }
}

/// True if values of the type are counted in integers of 64 bits: dates, times, durations.
pub(super) fn is_time(data_type: &DataType) -> bool {
    let plain = plain(data_type);
    plain.is_temporal()
        && can_cast_types(&plain, &DataType::Int64)
        && can_cast_types(&DataType::Int64, &plain)
}

/// `array` as `to`; the array itself if it is of that type.
pub(super) fn cast_to(array: &ArrayRef, to: &DataType) -> Result<ArrayRef, Refused> {
    if array.data_type() == to {
        return Ok(Arc::clone(array));
    }
    cast_with_options(array, to, &STRICT).map_err(|e| e.to_string())
}

/// A type as messages name it.
pub(super) fn shown(data_type: &DataType) -> String {
    data_type.to_string().to_lowercase()
}
