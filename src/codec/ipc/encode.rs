//! A batch to streams of rows.

use super::TARGET_BYTES;
use crate::{
    codec::rows::{Encode, Encoded},
    error::{Error, Result},
};
use arrow::{array::RecordBatch, ipc::writer::StreamWriter};

/// Encodes the batches that a handler returns, whatever their types.
#[derive(Clone, Copy, Debug)]
pub struct Encoder {
    /// True: every row is a record of its own. False: rows share records.
    pub row_by_row: bool,
}

impl Encode for Encoder {
    fn encode(&self, batch: &RecordBatch, out: &mut Encoded) -> Result<()> {
        out.clear();
        let rows = batch.num_rows();
        let row_bytes = batch.get_array_memory_size().div_ceil(rows.max(1)).max(1);
        let step = if self.row_by_row { 1 } else { (TARGET_BYTES / row_bytes).max(1) };
        for start in (0..rows).step_by(step) {
            let part = batch.slice(start, step.min(rows - start));
            write(&part, &mut out.bytes).map_err(|e| Error::Encode(e.to_string()))?;
            out.ends.push(out.bytes.len());
        }
        Ok(())
    }
}

fn write(
    batch: &RecordBatch,
    out: &mut Vec<u8>,
) -> std::result::Result<(), arrow::error::ArrowError> {
    let mut writer = StreamWriter::try_new(out, &batch.schema())?;
    writer.write(batch)?;
    writer.finish()
}
