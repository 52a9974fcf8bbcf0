//! Values of any type as bytes that compare like the values, and back.
//!
//! The bytes are those of Arrow's row format. Of floats, all NaN are one value and -0.0 is 0.0, so that
//! equal values have equal bytes.

use super::{each::Refused, types::shown};
use arrow::{
    array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, PrimitiveArray},
    compute::nullif,
    datatypes::{DataType, Float16Type, Float32Type, Float64Type},
    row::{RowConverter, Rows, SortField},
};
use std::sync::Arc;

/// Converts the values of one type.
pub(super) struct Values {
    converter: RowConverter,
    data_type: DataType,
}

/// The bytes of one value.
pub(super) type Bytes = Box<[u8]>;

impl Values {
    /// For values of a type.
    ///
    /// # Errors
    ///
    /// If they cannot be compared, as those of a map.
    pub(super) fn new(data_type: &DataType) -> Result<Self, Refused> {
        let fields = vec![SortField::new(data_type.clone())];
        let converter = RowConverter::new(fields)
            .map_err(|_| format!("values of {} cannot be compared", shown(data_type)))?;
        Ok(Self { converter, data_type: data_type.clone() })
    }

    /// The type of the values.
    pub(super) fn data_type(&self) -> &DataType {
        &self.data_type
    }

    /// The bytes of all values of a column.
    pub(super) fn encode(&self, array: &ArrayRef) -> Result<Rows, Refused> {
        let canonical = canonical(array);
        self.converter.convert_columns(&[canonical]).map_err(|e| e.to_string())
    }

    /// The values that the bytes stand for; none stands for null.
    pub(super) fn decode<'a>(
        &self,
        values: impl IntoIterator<Item = Option<&'a [u8]>>,
    ) -> Result<ArrayRef, Refused> {
        let null = self.null()?;
        let parser = self.converter.parser();
        let rows = values.into_iter().map(|bytes| parser.parse(bytes.unwrap_or(&null)));
        let mut columns = self.converter.convert_rows(rows).map_err(|e| e.to_string())?;
        columns.pop().ok_or_else(|| "no column came back".to_string())
    }

    /// The bytes of null.
    fn null(&self) -> Result<Bytes, Refused> {
        let null = arrow::array::new_null_array(&self.data_type, 1);
        Ok(self.encode(&null)?.row(0).as_ref().into())
    }
}

/// The array with one NaN and one zero.
pub(super) fn canonical(array: &ArrayRef) -> ArrayRef {
    fn floats<T: ArrowPrimitiveType>(
        array: &ArrayRef,
        canonical: impl Fn(T::Native) -> T::Native,
    ) -> Option<ArrayRef> {
        let floats = array.as_any().downcast_ref::<PrimitiveArray<T>>()?;
        Some(Arc::new(floats.unary::<_, T>(canonical)))
    }
    let done = match array.data_type() {
        DataType::Float16 => floats::<Float16Type>(array, |x| {
            if x == Default::default() { Default::default() } else { x }
        }),
        DataType::Float32 => {
            floats::<Float32Type>(array, |x| if x.is_nan() { f32::NAN } else { x + 0.0 })
        }
        DataType::Float64 => {
            floats::<Float64Type>(array, |x| if x.is_nan() { f64::NAN } else { x + 0.0 })
        }
        _ => None,
    };
    done.unwrap_or_else(|| Arc::clone(array))
}

/// The array with null for NaN.
pub(super) fn without_nan(array: &ArrayRef) -> ArrayRef {
    let nans = match array.data_type() {
        DataType::Float32 => {
            BooleanArray::from_unary(array.as_primitive::<Float32Type>(), f32::is_nan)
        }
        DataType::Float64 => {
            BooleanArray::from_unary(array.as_primitive::<Float64Type>(), f64::is_nan)
        }
        _ => return Arc::clone(array),
    };
    nullif(array, &nans).unwrap_or_else(|_| Arc::clone(array))
}
