//! The produce side of a subscription's task: batches in, records out, in order.

use super::{
    commit::{Outbound, Output},
    ready::until_ready,
    status::{State, Status},
};
use crate::{
    codec::{Encode, Encoded},
    error::{Error, Result},
    kafka::{flight::Flight, outgoing::Rows, producer::Producer},
    metrics::Metrics,
    types::OwnedRecord,
};
use arrow::array::RecordBatch;
use std::sync::Arc;
use tokio::sync::Notify;

/// Where rows go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outlet {
    /// `publish_to`.
    Main,
    /// The topic for late rows.
    Late,
    /// A further topic, by its place in the declaration.
    Side(usize),
}

/// A topic and the form of its records.
pub struct Gate {
    topic: Arc<str>,
    encoder: Box<dyn Encode>,
    /// Bytes of a row, as of the last batch.
    row_bytes: usize,
}

impl Gate {
    /// A topic that nothing was written to yet.
    #[must_use]
    pub fn new(topic: String, encoder: Box<dyn Encode>) -> Self {
        Self { topic: topic.into(), encoder, row_bytes: 64 }
    }

    fn encode(&mut self, batch: &RecordBatch, metrics: &Metrics) -> Result<Rows> {
        let count = batch.num_rows();
        let bytes = Vec::with_capacity(count * (self.row_bytes + self.row_bytes / 8));
        let mut encoded = Encoded { bytes, ..Encoded::default() };
        self.encoder.encode(batch, &mut encoded)?;
        self.row_bytes = encoded.bytes.len() / count + 1;
        metrics.non_finite.inc_by(encoded.non_finite);
        let Encoded { bytes, ends, key_bytes, keys, extras, .. } = encoded;
        Ok(Rows { bytes: bytes.into(), ends, key_bytes, keys, extras })
    }
}

/// The topics of a task; rows for one that is not there are left out.
#[derive(Default)]
pub struct Gates {
    /// For what the handler returns.
    pub main: Option<Gate>,
    /// For late rows.
    pub late: Option<Gate>,
    /// Further ones.
    pub sides: Vec<Gate>,
}

impl Gates {
    fn get(&mut self, outlet: Outlet) -> Option<&mut Gate> {
        match outlet {
            Outlet::Main => self.main.as_mut(),
            Outlet::Late => self.late.as_mut(),
            Outlet::Side(index) => self.sides.get_mut(index),
        }
    }
}

/// Writes the outputs of one task.
pub struct Sink {
    producer: Arc<Producer>,
    metrics: Arc<Metrics>,
    gates: Gates,
    /// Topic for dead letters.
    dead_letters: Option<Arc<str>>,
}

impl Sink {
    /// A sink that has not written anything.
    pub fn new(
        producer: Arc<Producer>,
        metrics: Arc<Metrics>,
        gates: Gates,
        dead_letters: Option<String>,
    ) -> Self {
        Self { producer, metrics, gates, dead_letters: dead_letters.map(Arc::from) }
    }

    /// Encodes `outputs` and `letters`, in this order.
    ///
    /// # Errors
    ///
    /// [`Error::Encode`] for a column that cannot be written.
    pub async fn encode(
        &mut self,
        outputs: &[(Outlet, RecordBatch)],
        letters: Vec<OwnedRecord>,
        status: &Status,
    ) -> Result<Vec<Output>> {
        let mut encoded = Vec::with_capacity(outputs.len());
        for (outlet, batch) in outputs.iter().filter(|(_, batch)| batch.num_rows() > 0) {
            let Some(gate) = self.gates.get(*outlet) else { continue };
            // What is written must not wait for a stop: the drain has its own limit.
            let never = Notify::new();
            let ask = || gate.encoder.prepare(batch);
            if !until_ready(status, &never, State::Draining, ask).await? {
                return Err(Error::Stopped);
            }
            let rows = gate.encode(batch, &self.metrics)?;
            encoded.push(Output::Rows { topic: Arc::clone(&gate.topic), rows });
        }
        if let Some(topic) = &self.dead_letters {
            encoded.extend(letters.into_iter().map(|letter| {
                let record = Outbound::from(letter);
                Output::Record { topic: Arc::clone(topic), record, told: None }
            }));
        }
        Ok(encoded)
    }

    /// Encodes `outputs` and `letters` and enqueues them in `flight`.
    ///
    /// # Errors
    ///
    /// As [`Sink::encode`]; [`Error::Kafka`] for a record that is refused at once, as one that is too large.
    pub async fn write(
        &mut self,
        outputs: &[(Outlet, RecordBatch)],
        letters: Vec<OwnedRecord>,
        flight: &Arc<Flight>,
        status: &Status,
    ) -> Result<()> {
        for output in self.encode(outputs, letters, status).await? {
            self.producer.reserve().await;
            output.send(&self.producer, flight, None)?;
            count(&output, status);
        }
        Ok(())
    }
}

/// Counts records that are on their way.
fn count(output: &Output, status: &Status) {
    match output {
        Output::Rows { rows, .. } => status.metrics.records_out.inc_by(rows.ends.len() as u64),
        Output::Record { .. } => status.metrics.dead_letters.inc(),
    }
}
