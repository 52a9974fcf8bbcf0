//! What the outputs of a subscription have in common, whatever the format of their values.

use super::{
    keys::encode_keys,
    rows::{Encode, Encoded},
};
use crate::error::Result;
use arrow::array::RecordBatch;

/// Encodes batches: their values by a format, and the keys of the records from a column.
pub struct Output {
    format: Box<dyn Encode>,
    message_key: Option<String>,
    /// Whether batches without the key's column have records without keys, instead of being refused.
    key_is_optional: bool,
    /// Names of columns that are not part of the value.
    left_out: Vec<String>,
}

impl Output {
    /// Values by `format`; keys from the column `message_key`, which is part of the value as well.
    #[must_use]
    pub fn new(format: Box<dyn Encode>, message_key: Option<&str>) -> Self {
        let message_key = message_key.map(Into::into);
        Self { format, message_key, key_is_optional: false, left_out: Vec::new() }
    }

    /// Lets a batch without the column of the key have records without keys.
    #[must_use]
    pub fn with_optional_key(self) -> Self {
        Self { key_is_optional: true, ..self }
    }

    /// Leaves the metadata columns `names` (as `key`, without the underscore) out of the values.
    #[must_use]
    pub fn without_metadata(self, names: &[String]) -> Self {
        Self { left_out: names.iter().map(|name| format!("_{name}")).collect(), ..self }
    }

    /// The columns that are part of the value; none if all are.
    fn values(&self, batch: &RecordBatch) -> Option<RecordBatch> {
        let schema = batch.schema();
        let is_value = |i: &usize| !self.left_out.contains(schema.field(*i).name());
        let kept: Vec<usize> = (0..batch.num_columns()).filter(is_value).collect();
        (kept.len() < batch.num_columns())
            .then(|| batch.project(&kept).expect("indices of columns of the batch"))
    }
}

impl Encode for Output {
    fn encode(&self, batch: &RecordBatch, out: &mut Encoded) -> Result<()> {
        let values = self.values(batch);
        self.format.encode(values.as_ref().unwrap_or(batch), out)?;
        let key = self.message_key.as_deref();
        key.filter(|name| !self.key_is_optional || batch.column_by_name(name).is_some())
            .map_or(Ok(()), |name| encode_keys(batch, name, out))
    }
}
