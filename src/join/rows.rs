//! Rows as bytes: how they are kept, in memory and in the store.
//!
//! The form is Arrow's row format. It may change with a version of Arrow: the store keeps a sample beside
//! the rows, and rows with another one are not read.

use crate::error::{Error, Result};
use arrow::{
    array::{Array, ArrayRef, new_null_array},
    datatypes::{DataType, FieldRef},
    row::{RowConverter, Rows, SortField},
};

/// Turns columns of one side into rows, and back.
pub(super) struct Codec {
    /// None without columns.
    converter: Option<RowConverter>,
    nulls: Vec<u8>,
}

/// Rows of a batch.
pub(super) struct Encoded(Option<Rows>);

impl Encoded {
    /// The bytes of `row`.
    #[inline]
    pub(super) fn row(&self, row: usize) -> &[u8] {
        self.0.as_ref().map_or(&[], |rows| rows.row(row).data())
    }
}

impl Codec {
    /// One for these columns.
    ///
    /// # Errors
    ///
    /// [`Error::Declaration`] for a type that rows cannot have.
    pub(super) fn new(fields: &[FieldRef]) -> Result<Self> {
        let types: Vec<_> = fields.iter().map(|field| field.data_type().clone()).collect();
        if let Some(field) = fields.iter().find(|field| !is_possible(field.data_type())) {
            return Err(Error::Declaration(format!(
                "a join cannot keep the column {:?}, which is {}; leave it out",
                field.name(),
                field.data_type()
            )));
        }
        let sorts: Vec<_> = types.iter().cloned().map(SortField::new).collect();
        let converter = (!sorts.is_empty()).then(|| RowConverter::new(sorts)).transpose();
        let converter = converter.map_err(|err| broken(&err))?;
        let mut codec = Self { converter, nulls: Vec::new() };
        let nulls: Vec<_> = types.iter().map(|kind| new_null_array(kind, 1)).collect();
        codec.nulls = codec.encode(&nulls)?.row(0).to_vec();
        Ok(codec)
    }

    /// The row that has nothing but nulls.
    pub(super) fn nulls(&self) -> &[u8] {
        &self.nulls
    }

    /// Rows of columns.
    pub(super) fn encode(&self, columns: &[ArrayRef]) -> Result<Encoded> {
        let rows = self.converter.as_ref().map(|converter| converter.convert_columns(columns));
        Ok(Encoded(rows.transpose().map_err(|err| broken(&err))?))
    }

    /// Columns of rows that [`Codec::encode`] made.
    pub(super) fn decode<'a>(
        &'a self,
        rows: impl Iterator<Item = &'a [u8]>,
    ) -> Result<Vec<ArrayRef>> {
        let Some(converter) = &self.converter else { return Ok(Vec::new()) };
        let parser = converter.parser();
        converter.convert_rows(rows.map(|row| parser.parse(row))).map_err(|err| broken(&err))
    }
}

fn is_possible(kind: &DataType) -> bool {
    RowConverter::supports_fields(&[SortField::new(kind.clone())])
}

fn broken(err: &dyn std::fmt::Display) -> Error {
    Error::Declaration(format!("rows of a join: {err}"))
}

/// A row with values, to recognise the form by.
///
/// # Errors
///
/// If it cannot be made.
pub(super) fn sample() -> Result<Vec<u8>> {
    use arrow::array::{BooleanArray, Float64Array, Int64Array, StringArray};
    use std::sync::Arc;
    let columns: [ArrayRef; 5] = [
        Arc::new(Int64Array::from(vec![-7])),
        Arc::new(Float64Array::from(vec![2.5])),
        Arc::new(StringArray::from(vec!["a text that is longer than one block of 32 bytes"])),
        Arc::new(BooleanArray::from(vec![true])),
        Arc::new(Int64Array::from(vec![None])),
    ];
    let fields = columns.iter().map(|column| SortField::new(column.data_type().clone()));
    let converter = RowConverter::new(fields.collect()).map_err(|err| broken(&err))?;
    let rows = converter.convert_columns(&columns).map_err(|err| broken(&err))?;
    Ok(rows.row(0).data().to_vec())
}
