//! Topic, partition, offset, timestamp, key and headers of records, as columns next to their
//! values.

use super::keys::KeyForm;
use crate::{
    error::{Error, Result},
    types::Records,
};
use arrow::{
    array::{
        ArrayRef, BinaryBuilder, Int32Array, Int64Array, ListBuilder, RecordBatch,
        RecordBatchOptions, StringArray, StringBuilder, StructBuilder, TimestampMillisecondArray,
    },
    datatypes::{DataType, Field, FieldRef, Fields, Schema, TimeUnit},
};
use std::{collections::HashMap, sync::Arc};

/// Metadata of a metadata column: which one it is, for handlers that look at schemas.
pub const MARK: &str = "turbine.metadata";

/// Metadata that can be asked for.
pub const NAMES: [&str; 6] = ["key", "partition", "offset", "timestamp", "headers", "topic"];

/// Where a batch comes from.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// Topic name.
    pub topic: &'a str,
    /// Partition number.
    pub partition: i32,
    /// How the keys of its records are written.
    pub key_form: KeyForm,
}

/// True for the names of metadata columns: `_key`, `_partition`, `_offset`, `_timestamp`,
/// `_headers`, `_topic`.
///
/// Where metadata columns are asked for, they are not written to a topic; under another name they
/// are columns like any other.
#[must_use]
pub fn is_reserved(column: &str) -> bool {
    column.strip_prefix('_').is_some_and(|name| NAMES.contains(&name))
}

/// The fields for `names`, in that order.
///
/// # Errors
///
/// [`Error::Config`] for an unknown name, and for a field of `schema` with the name of a metadata
/// column.
pub fn fields(schema: &Schema, names: &[String], key_form: KeyForm) -> Result<Vec<FieldRef>> {
    if let (false, Some(taken)) =
        (names.is_empty(), schema.fields().iter().find(|f| is_reserved(f.name())))
    {
        return Err(Error::Config(format!(
            "field `{}` has the name of a metadata column; rename it, or leave out with_metadata",
            taken.name()
        )));
    }
    names.iter().map(|name| field(name, key_form)).collect()
}

fn field(name: &str, key_form: KeyForm) -> Result<FieldRef> {
    let (data_type, nullable) = match name {
        "key" => (key_form.data_type(), true),
        "partition" => (DataType::Int32, false),
        "offset" => (DataType::Int64, false),
        "timestamp" => (DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())), true),
        "headers" => (DataType::List(header_item()), false),
        "topic" => (DataType::Utf8, false),
        _ => {
            return Err(Error::Config(format!(
                "with_metadata: `{name}` is unknown; choose from {}",
                NAMES.join(", ")
            )));
        }
    };
    let metadata = HashMap::from([(MARK.to_owned(), name.to_owned())]);
    Ok(Arc::new(Field::new(format!("_{name}"), data_type, nullable).with_metadata(metadata)))
}

fn header_fields() -> Fields {
    vec![Field::new("name", DataType::Utf8, false), Field::new("value", DataType::Binary, true)]
        .into()
}

fn header_item() -> FieldRef {
    Arc::new(Field::new("item", DataType::Struct(header_fields()), false))
}

/// Adds the metadata columns `names` of `records` to `batch`.
///
/// Row `i` of the batch is record `rows[i]`, or record `first + i` without `rows`.
///
/// # Errors
///
/// As [`fields`].
pub fn append(
    batch: &RecordBatch,
    source: Source<'_>,
    records: &dyn Records,
    rows: Option<&[u32]>,
    first: usize,
    names: &[String],
) -> Result<RecordBatch> {
    if names.is_empty() {
        return Ok(batch.clone());
    }
    let added = fields(&batch.schema(), names, source.key_form)?;
    let count = batch.num_rows();
    let indices: Vec<usize> = match rows {
        Some(rows) => rows.iter().map(|&i| i as usize).collect(),
        None => (first..first + count).collect(),
    };
    let mut columns = batch.columns().to_vec();
    columns.extend(names.iter().map(|name| column(name, source, records, &indices)));
    let schema = batch.schema();
    let all: Fields = schema.fields().iter().cloned().chain(added).collect();
    let schema = Arc::new(Schema::new_with_metadata(all, schema.metadata().clone()));
    let options = RecordBatchOptions::new().with_row_count(Some(count));
    RecordBatch::try_new_with_options(schema, columns, &options)
        .map_err(|e| Error::Config(format!("metadata columns do not fit the batch: {e}")))
}

fn column(name: &str, source: Source<'_>, records: &dyn Records, indices: &[usize]) -> ArrayRef {
    let each = indices.iter().copied();
    match name {
        "key" => source.key_form.column(records, indices),
        "partition" => Arc::new(Int32Array::from_value(source.partition, indices.len())),
        "offset" => Arc::new(each.map(|i| records.offset(i)).collect::<Int64Array>()),
        "timestamp" => {
            let times = each.map(|i| Some(records.timestamp_ms(i)).filter(|&ms| ms >= 0));
            Arc::new(times.collect::<TimestampMillisecondArray>().with_timezone("UTC"))
        }
        "headers" => headers(records, indices),
        _ => Arc::new(StringArray::from_iter_values(each.map(|_| source.topic))),
    }
}

fn headers(records: &dyn Records, indices: &[usize]) -> ArrayRef {
    let entry = StructBuilder::from_fields(header_fields(), 0);
    let mut lists = ListBuilder::new(entry).with_field(header_item());
    for &i in indices {
        for (name, value) in records.headers(i) {
            let entry = lists.values();
            let names = entry.field_builder::<StringBuilder>(0).expect("the first field is utf8");
            names.append_value(name);
            let values = entry.field_builder::<BinaryBuilder>(1).expect("the second is binary");
            values.append_option(value);
            entry.append(true);
        }
        lists.append(true);
    }
    Arc::new(lists.finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        codec::{Encode, Encoded, Output, json::Encoder},
        types::OwnedRecord,
    };
    use arrow::{
        array::{Array, AsArray},
        datatypes::{Int64Type, TimestampMillisecondType},
    };

    fn record(offset: i64) -> OwnedRecord {
        OwnedRecord {
            key: (offset != 11).then(|| b"\xFFkey".to_vec()),
            value: Some(b"{}".to_vec()),
            headers: vec![("h".into(), Some(vec![1])), ("h".into(), None)],
            offset,
            timestamp_ms: if offset == 11 { -1 } else { 1_700_000_000_000 },
        }
    }

    fn values(rows: i64) -> RecordBatch {
        let ids: ArrayRef = Arc::new((0..rows).collect::<Int64Array>());
        RecordBatch::try_from_iter([("id", ids)]).unwrap()
    }

    fn all() -> Vec<String> {
        NAMES.map(String::from).to_vec()
    }

    const SOURCE: Source<'_> = Source { topic: "orders", partition: 3, key_form: KeyForm::Raw };

    #[test]
    fn every_column_has_what_its_record_has() {
        let records: Vec<OwnedRecord> = (10..14).map(record).collect();
        let batch = append(&values(2), SOURCE, &records, Some(&[1, 3]), 0, &all()).unwrap();
        let names: Vec<String> = batch.schema().fields().iter().map(|f| f.name().clone()).collect();
        assert_eq!(
            names,
            ["id", "_key", "_partition", "_offset", "_timestamp", "_headers", "_topic"]
        );
        let keys = batch.column(1).as_binary::<i32>();
        assert!(keys.is_null(0));
        assert_eq!(keys.value(1), b"\xFFkey");
        assert_eq!(batch.column(3).as_primitive::<Int64Type>().values(), &[11, 13]);
        let times = batch.column(4).as_primitive::<TimestampMillisecondType>();
        assert!(times.is_null(0), "a record without a timestamp has none");
        assert_eq!(times.value(1), 1_700_000_000_000);
        let headers = batch.column(5).as_list::<i32>().value(1);
        let headers = headers.as_struct();
        assert_eq!(headers.column(0).as_string::<i32>().value(1), "h");
        assert_eq!(headers.column(1).as_binary::<i32>().value(0), [1]);
        assert!(headers.column(1).is_null(1));
        assert_eq!(batch.column(6).as_string::<i32>().value(0), "orders");
    }

    #[test]
    fn without_rows_the_first_record_counts() {
        let records: Vec<OwnedRecord> = (10..14).map(record).collect();
        let batch = append(&values(2), SOURCE, &records, None, 2, &["offset".into()]).unwrap();
        assert_eq!(batch.column(1).as_primitive::<Int64Type>().values(), &[12, 13]);
    }

    #[test]
    fn metadata_is_never_encoded() {
        let records = vec![record(10)];
        let batch = append(&values(1), SOURCE, &records, None, 0, &all()).unwrap();
        let mut out = Encoded::default();
        Output::new(Box::new(Encoder), Some("_key"))
            .without_metadata(&all())
            .encode(&batch, &mut out)
            .unwrap();
        assert_eq!(out.value(0), br#"{"id":0}"#);
        assert_eq!(out.key(0), Some(b"\xFFkey".as_slice()), "it may be the key all the same");
    }

    #[test]
    fn wrong_names_are_refused() {
        let unknown =
            fields(&Schema::empty(), &["ofset".into()], KeyForm::Raw).unwrap_err().to_string();
        assert!(unknown.contains("`ofset` is unknown; choose from key, partition"), "{unknown}");
        let schema = Schema::new(vec![Field::new("_key", DataType::Utf8, true)]);
        let taken = fields(&schema, &["offset".into()], KeyForm::Raw).unwrap_err().to_string();
        assert!(taken.contains("field `_key` has the name of a metadata column"), "{taken}");
        assert!(fields(&schema, &[], KeyForm::Raw).unwrap().is_empty());
    }
}
