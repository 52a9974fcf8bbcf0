//! The produce side of a subscription's task: batches in, records out, in order.

use super::status::Status;
use crate::{
    codec::{Encode, Encoded},
    error::{Error, Result},
    kafka::{
        flight::Flight,
        outgoing::{Outgoing, Rows},
        producer::Producer,
    },
    metrics::Metrics,
    types::OwnedRecord,
};
use arrow::array::RecordBatch;
use std::sync::Arc;

/// Writes the outputs of one task.
pub struct Sink {
    producer: Arc<Producer>,
    metrics: Arc<Metrics>,
    /// Topic for outputs.
    publish_to: Option<String>,
    /// Topic for dead letters.
    dead_letters: Option<String>,
    encoder: Box<dyn Encode>,
    /// Bytes of a row, as of the last batch.
    row_bytes: usize,
}

impl Sink {
    /// A sink that has not written anything.
    pub fn new(
        producer: Arc<Producer>,
        metrics: Arc<Metrics>,
        publish_to: Option<String>,
        dead_letters: Option<String>,
        encoder: Box<dyn Encode>,
    ) -> Self {
        Self { producer, metrics, publish_to, dead_letters, encoder, row_bytes: 64 }
    }

    /// Encodes `outputs` and enqueues them and `letters` in `flight`.
    ///
    /// # Errors
    ///
    /// [`Error::Encode`] for a column that cannot be written, [`Error::Kafka`] for a record that is
    /// refused at once, as one that is too large.
    pub async fn write(
        &mut self,
        outputs: &[RecordBatch],
        letters: &[OwnedRecord],
        flight: &Arc<Flight>,
        status: &Status,
    ) -> Result<()> {
        if let Some(topic) = self.publish_to.clone() {
            for batch in outputs.iter().filter(|b| b.num_rows() > 0) {
                let rows = self.encode(batch)?;
                let count = rows.ends.len();
                self.producer.reserve().await;
                let refused = self.producer.send_rows(&topic, rows, flight)?;
                if let Some((row, error)) = refused.into_iter().next() {
                    return Err(Error::Encode(format!("row {row} of the output: {error}")));
                }
                status.metrics.records_out.inc_by(count as u64);
            }
        }
        if let Some(topic) = &self.dead_letters {
            for letter in letters {
                self.producer.reserve().await;
                let record = Outgoing {
                    key: letter.key.as_deref(),
                    value: letter.value.as_deref(),
                    partition: None,
                    timestamp_ms: (letter.timestamp_ms >= 0).then_some(letter.timestamp_ms),
                    headers: &letter.headers,
                };
                self.producer.send(topic, &record, Some(flight), None)?;
                status.metrics.dead_letters.inc();
            }
        }
        Ok(())
    }

    fn encode(&mut self, batch: &RecordBatch) -> Result<Rows> {
        let count = batch.num_rows();
        let bytes = Vec::with_capacity(count * (self.row_bytes + self.row_bytes / 8));
        let mut encoded = Encoded { bytes, ..Encoded::default() };
        self.encoder.encode(batch, &mut encoded)?;
        self.row_bytes = encoded.bytes.len() / count + 1;
        self.metrics.non_finite.inc_by(encoded.non_finite);
        let Encoded { bytes, ends, key_bytes, keys, .. } = encoded;
        Ok(Rows { bytes, ends, key_bytes, keys })
    }
}
