//! Results that are lists of values.

use super::{
    each::Refused,
    values::{Bytes, Values},
};
use arrow::{
    array::{Array, ArrayRef, Int64Array, ListArray, StructArray},
    buffer::{NullBuffer, OffsetBuffer},
    datatypes::{DataType, Field},
};
use std::sync::Arc;

/// Lists on their way.
#[derive(Default)]
pub(super) struct Lists {
    values: Vec<Bytes>,
    counts: Vec<i64>,
    lengths: Vec<usize>,
    present: Vec<bool>,
}

/// The type of lists of `values`.
pub(super) fn list_type(values: DataType) -> DataType {
    DataType::List(Arc::new(Field::new_list_field(values, true)))
}

/// The type of a value with its count.
pub(super) fn counted_type(values: &DataType) -> DataType {
    DataType::Struct(
        vec![
            Field::new("value", values.clone(), true),
            Field::new("count", DataType::Int64, false),
        ]
        .into(),
    )
}

impl Lists {
    /// Appends a list; an empty one is null.
    pub(super) fn push(&mut self, values: impl Iterator<Item = Bytes>) {
        let before = self.values.len();
        self.values.extend(values);
        self.lengths.push(self.values.len() - before);
        self.present.push(self.values.len() > before);
    }

    /// Appends a list of values with their counts.
    pub(super) fn push_counted(&mut self, values: impl Iterator<Item = (Bytes, i64)>) {
        let (values, counts): (Vec<_>, Vec<_>) = values.unzip();
        self.counts.extend(counts);
        self.push(values.into_iter());
    }

    /// The lists as an array.
    pub(super) fn finish(self, values: &Values) -> Result<ArrayRef, Refused> {
        let flat = values.decode(self.values.iter().map(|bytes| Some(&**bytes)))?;
        list(flat, self.lengths, self.present)
    }

    /// The lists of values with their counts.
    pub(super) fn finish_counted(self, values: &Values) -> Result<ArrayRef, Refused> {
        let flat = values.decode(self.values.iter().map(|bytes| Some(&**bytes)))?;
        let DataType::Struct(fields) = counted_type(values.data_type()) else {
            return Err("no struct".to_string());
        };
        let columns = vec![flat, Arc::new(Int64Array::from(self.counts)) as ArrayRef];
        let pairs = StructArray::try_new(fields, columns, None).map_err(|e| e.to_string())?;
        list(Arc::new(pairs), self.lengths, self.present)
    }
}

/// `flat`, divided into lists; those that are not present are null.
pub(super) fn list(
    flat: ArrayRef,
    lengths: Vec<usize>,
    present: Vec<bool>,
) -> Result<ArrayRef, Refused> {
    let DataType::List(field) = list_type(flat.data_type().clone()) else {
        return Err("no list".to_string());
    };
    if i32::try_from(flat.len()).is_err() {
        return Err(
            "its lists have more values than one array holds; give it a smaller limit".into()
        );
    }
    let nulls = Some(NullBuffer::from(present)).filter(|nulls| nulls.null_count() > 0);
    let lists = ListArray::try_new(field, OffsetBuffer::from_lengths(lengths), flat, nulls);
    Ok(Arc::new(lists.map_err(|e| e.to_string())?))
}
