//! What the outputs of a subscription have in common, whatever the format of their values.

use super::{
    extras::extras,
    keys::{KeyForm, encode_keys},
    rows::{Encode, Encoded, Ready},
};
use crate::error::{Error, Result};
use arrow::{
    array::{Array, BooleanArray, RecordBatch},
    compute::filter_record_batch,
};

/// Encodes batches: their values by a format, and the keys, headers, timestamps and partitions of
/// the records from columns.
pub struct Output {
    format: Box<dyn Encode>,
    message_key: Option<String>,
    key_form: KeyForm,
    /// Whether batches without the key's column have records without keys, instead of being refused.
    key_is_optional: bool,
    /// Names of columns that are not part of the value.
    left_out: Vec<String>,
    /// Metadata that is written, without the underscore.
    written: Vec<String>,
    writes_tombstones: bool,
}

impl Output {
    /// Values by `format`; keys from the column `message_key`, which is part of the value as well.
    #[must_use]
    pub fn new(format: Box<dyn Encode>, message_key: Option<&str>) -> Self {
        Self {
            format,
            message_key: message_key.map(Into::into),
            key_form: KeyForm::default(),
            key_is_optional: false,
            left_out: Vec::new(),
            written: Vec::new(),
            writes_tombstones: false,
        }
    }

    /// Lets a batch without the column of the key have records without keys.
    #[must_use]
    pub fn with_optional_key(self) -> Self {
        Self { key_is_optional: true, ..self }
    }

    /// Writes keys as `form`.
    #[must_use]
    pub fn with_key_form(self, key_form: KeyForm) -> Self {
        Self { key_form, ..self }
    }

    /// Leaves the metadata columns `names` (as `key`, without the underscore) out of the values.
    #[must_use]
    pub fn without_metadata(self, names: &[String]) -> Self {
        Self { left_out: names.iter().map(|name| format!("_{name}")).collect(), ..self }
    }

    /// Writes the columns of `names` (as `headers`, without the underscore) as what they are called.
    #[must_use]
    pub fn with_written(mut self, names: &[String]) -> Self {
        self.left_out.extend(names.iter().map(|name| format!("_{name}")));
        self.written = names.to_vec();
        self
    }

    /// Writes a tombstone for each row whose columns are all null, but for the key's.
    #[must_use]
    pub fn with_tombstones(self, writes_tombstones: bool) -> Self {
        Self { writes_tombstones, ..self }
    }

    /// The columns that are part of the value; none if all are.
    fn values(&self, batch: &RecordBatch) -> Option<RecordBatch> {
        let schema = batch.schema();
        let is_value = |i: &usize| !self.left_out.contains(schema.field(*i).name());
        let kept: Vec<usize> = (0..batch.num_columns()).filter(is_value).collect();
        (kept.len() < batch.num_columns())
            .then(|| batch.project(&kept).expect("indices of columns of the batch"))
    }

    /// Which rows have nothing but their key; empty if all have something.
    fn tombstones(&self, values: &RecordBatch) -> Vec<bool> {
        let schema = values.schema();
        let is_key = |i: usize| Some(schema.field(i).name()) == self.message_key.as_ref();
        let nulls: Vec<_> = (0..values.num_columns())
            .filter(|&i| !is_key(i))
            .map(|i| values.column(i).logical_nulls())
            .collect();
        let is_null = |row: usize| {
            let null = |nulls: &Option<arrow::buffer::NullBuffer>| {
                nulls.as_ref().is_some_and(|nulls| nulls.is_null(row))
            };
            nulls.iter().all(null)
        };
        if nulls.is_empty() || nulls.iter().any(Option::is_none) {
            return Vec::new();
        }
        let found: Vec<bool> = (0..values.num_rows()).map(is_null).collect();
        if found.contains(&true) { found } else { Vec::new() }
    }

    fn encode_values(&self, values: &RecordBatch, out: &mut Encoded) -> Result<()> {
        let tombstones = if self.writes_tombstones { self.tombstones(values) } else { Vec::new() };
        if tombstones.is_empty() {
            return self.format.encode(values, out);
        }
        // The format never sees rows that have no value.
        let kept: BooleanArray = tombstones.iter().map(|is| Some(!is)).collect();
        let kept = filter_record_batch(values, &kept).map_err(|e| Error::Encode(e.to_string()))?;
        self.format.encode(&kept, out)?;
        let mut ends = std::mem::take(&mut out.ends).into_iter();
        let mut end = 0;
        for is_tombstone in &tombstones {
            if !is_tombstone {
                end = ends.next().unwrap_or(end);
            }
            out.ends.push(end);
        }
        out.extras.tombstones = tombstones;
        Ok(())
    }
}

impl Encode for Output {
    fn prepare(&self, batch: &RecordBatch) -> Result<Option<Ready>> {
        let values = self.values(batch);
        self.format.prepare(values.as_ref().unwrap_or(batch))
    }

    fn encode(&self, batch: &RecordBatch, out: &mut Encoded) -> Result<()> {
        let values = self.values(batch);
        self.encode_values(values.as_ref().unwrap_or(batch), out)?;
        if !self.written.is_empty() {
            let tombstones = std::mem::take(&mut out.extras.tombstones);
            out.extras = extras(batch, &self.written)?;
            out.extras.tombstones = tombstones;
        }
        let key = self.message_key.as_deref();
        key.filter(|name| !self.key_is_optional || batch.column_by_name(name).is_some())
            .map_or(Ok(()), |name| encode_keys(batch, name, self.key_form, out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::json;
    use arrow::array::{
        ArrayRef, Int32Array, Int64Array, MapBuilder, StringArray, StringBuilder,
        TimestampMicrosecondArray,
    };
    use std::sync::Arc;

    fn output(written: &[&str]) -> Output {
        let names: Vec<String> = written.iter().map(|&name| name.to_owned()).collect();
        Output::new(Box::new(json::Encoder), Some("id")).with_written(&names)
    }

    fn batch() -> RecordBatch {
        let mut headers = MapBuilder::new(None, StringBuilder::new(), StringBuilder::new());
        headers.keys().append_value("a");
        headers.values().append_value("1");
        headers.append(true).unwrap();
        headers.append(false).unwrap();
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("id", Arc::new(Int64Array::from(vec![1, 2]))),
            ("name", Arc::new(StringArray::from(vec![Some("x"), None]))),
            ("_partition", Arc::new(Int32Array::from(vec![Some(3), None]))),
            ("_timestamp", Arc::new(TimestampMicrosecondArray::from(vec![Some(7_999), None]))),
            ("_headers", Arc::new(headers.finish())),
        ];
        RecordBatch::try_from_iter(columns).unwrap()
    }

    #[test]
    fn what_is_named_goes_out_beside_the_value() {
        let mut out = Encoded::default();
        output(&["headers", "timestamp", "partition"]).encode(&batch(), &mut out).unwrap();
        assert_eq!(out.value(0), br#"{"id":1,"name":"x"}"#);
        assert_eq!(out.key(0), Some(b"1".as_slice()));
        let extras = &out.extras;
        assert_eq!((extras.partition(0), extras.partition(1)), (Some(3), None));
        assert_eq!((extras.timestamp_ms(0), extras.timestamp_ms(1)), (Some(7), None));
        assert_eq!(extras.headers(0), [("a".to_owned(), Some(b"1".to_vec()))]);
        assert!(extras.headers(1).is_empty() && extras.tombstones.is_empty());
        let plain = batch().project(&[0, 1]).unwrap();
        output(&[]).encode(&plain, &mut out).unwrap();
        assert!(out.extras.is_empty(), "nothing stays from the batch before");
    }

    #[test]
    fn a_row_of_nulls_is_a_tombstone_when_asked_for() {
        let mut out = Encoded::default();
        let plain = batch().project(&[0, 1]).unwrap();
        output(&[]).with_tombstones(true).encode(&plain, &mut out).unwrap();
        assert_eq!(out.extras.tombstones, [false, true]);
        assert_eq!(
            (out.len(), out.value(1), out.key(1)),
            (2, b"".as_slice(), Some(b"2".as_slice()))
        );
        let full = plain.slice(0, 1);
        output(&[]).with_tombstones(true).encode(&full, &mut out).unwrap();
        assert!(out.extras.is_empty());
    }

    #[test]
    fn what_cannot_be_written_is_said() {
        let mut out = Encoded::default();
        let mut said = |name: &str, column: ArrayRef| {
            let ids: ArrayRef = Arc::new(Int64Array::from(vec![1]));
            let batch = RecordBatch::try_from_iter([("id", ids), (name, column)]).unwrap();
            output(&[name.trim_start_matches('_')])
                .encode(&batch, &mut out)
                .unwrap_err()
                .to_string()
        };
        let text = || Arc::new(StringArray::from(vec!["x"]));
        assert!(
            said("_partition", Arc::new(Int64Array::from(vec![-1]))).contains("-1 is no partition")
        );
        assert!(said("_partition", text()).contains("a partition is an integer"));
        assert!(said("_timestamp", text()).contains("and it is Utf8"));
        assert!(
            said("_timestamp", Arc::new(Int64Array::from(vec![-5]))).contains("not behind 1970")
        );
        assert!(said("_headers", text()).contains("headers are list<struct<name, value>>"));
        let plain = batch().project(&[0]).unwrap();
        let missing = output(&["headers"]).encode(&plain, &mut out).unwrap_err().to_string();
        assert!(missing.contains("the batch has no column `_headers`: add it"), "{missing}");
    }
}
