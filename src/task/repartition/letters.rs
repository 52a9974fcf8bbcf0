//! Records on their way from a stage to the producer.

use super::{shared::Shared, target::Target};
use crate::{
    engine::origin::{self, Origin},
    error::Result,
    kafka::{flight::Flight, outgoing::Outgoing, producer::Producer},
    types::{OwnedRecord, Records},
};
use std::sync::Arc;

/// Writes to the internal topic and to the one for dead letters.
pub(super) struct Letters {
    pub(super) producer: Arc<Producer>,
    pub(super) dead_letters: Option<String>,
}

impl Letters {
    /// Record `i` goes to partition `to`, with `key` instead of its own.
    pub(super) async fn pass_on(
        &self,
        (records, i): (&dyn Records, usize),
        (target, to): (&Target, usize),
        key: Option<&[u8]>,
        origin: &Origin,
        flight: &Arc<Flight>,
    ) -> Result<()> {
        let mut headers = records.headers(i);
        origin::strip(&mut headers);
        headers.push(origin.header());
        let timestamp = records.timestamp_ms(i);
        self.producer.reserve().await;
        let record = Outgoing {
            key,
            value: records.value(i),
            partition: i32::try_from(to).ok(),
            timestamp_ms: (timestamp >= 0).then_some(timestamp),
            headers: &headers,
        };
        self.producer.send(&target.topic, &record, Some(flight), None)
    }

    /// A mark goes to each partition of `to`.
    pub(super) async fn mark(
        &self,
        target: &Target,
        to: &[usize],
        origin: &Origin,
        flight: &Arc<Flight>,
    ) -> Result<()> {
        let headers = [origin.header()];
        for &partition in to {
            self.producer.reserve().await;
            let partition = i32::try_from(partition).ok();
            let record = Outgoing { partition, headers: &headers, ..Outgoing::default() };
            self.producer.send(&target.topic, &record, Some(flight), None)?;
        }
        Ok(())
    }

    /// Bad records go to the topic for them, if there is one.
    pub(super) async fn bury(
        &self,
        task: &Shared,
        letters: &[OwnedRecord],
        flight: &Arc<Flight>,
    ) -> Result<()> {
        let Some(topic) = &self.dead_letters else { return Ok(()) };
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
            task.status.metrics.dead_letters.inc();
        }
        Ok(())
    }
}
