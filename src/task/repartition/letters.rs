//! Records on their way from a stage to the producer.

use super::{shared::Shared, target::Target};
use crate::{
    engine::origin::{self, Origin},
    error::Result,
    kafka::{flight::Flight, outgoing::Outgoing, producer::Producer},
    task::commit::{Outbound, Output},
    types::{OwnedRecord, Records},
};
use std::sync::Arc;

/// How records go out.
pub(super) enum Way {
    /// Each at once.
    Alone(Arc<Producer>),
    /// In one transaction, with the offset: they are collected for it.
    Together(Vec<Output>),
}

/// Writes to the internal topic and to the one for dead letters.
pub(super) struct Letters {
    pub(super) way: Way,
    pub(super) dead_letters: Option<Arc<str>>,
}

impl Letters {
    async fn send(
        &mut self,
        topic: &Arc<str>,
        record: &Outgoing<'_>,
        flight: &Arc<Flight>,
    ) -> Result<()> {
        match &mut self.way {
            Way::Alone(producer) => {
                producer.reserve().await;
                producer.send(topic, record, Some(flight), None)
            }
            Way::Together(outputs) => {
                let (topic, record) = (Arc::clone(topic), Outbound::from(record));
                outputs.push(Output::Record { topic, record, told: None });
                Ok(())
            }
        }
    }

    /// What was collected.
    pub(super) fn take(&mut self) -> Vec<Output> {
        match &mut self.way {
            Way::Alone(_) => Vec::new(),
            Way::Together(outputs) => std::mem::take(outputs),
        }
    }

    /// Record `i` goes to partition `to`, with `key` instead of its own.
    pub(super) async fn pass_on(
        &mut self,
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
        let record = Outgoing {
            key,
            value: records.value(i),
            partition: i32::try_from(to).ok(),
            timestamp_ms: (timestamp >= 0).then_some(timestamp),
            headers: &headers,
        };
        self.send(&target.topic, &record, flight).await
    }

    /// A mark goes to each partition of `to`.
    pub(super) async fn mark(
        &mut self,
        target: &Target,
        to: &[usize],
        origin: &Origin,
        flight: &Arc<Flight>,
    ) -> Result<()> {
        let headers = [origin.header()];
        for &partition in to {
            let partition = i32::try_from(partition).ok();
            let record = Outgoing { partition, headers: &headers, ..Outgoing::default() };
            self.send(&target.topic, &record, flight).await?;
        }
        Ok(())
    }

    /// Bad records go to the topic for them, if there is one.
    pub(super) async fn bury(
        &mut self,
        task: &Shared,
        letters: &[OwnedRecord],
        flight: &Arc<Flight>,
    ) -> Result<()> {
        let Some(topic) = self.dead_letters.clone() else { return Ok(()) };
        for letter in letters {
            let record = Outgoing {
                key: letter.key.as_deref(),
                value: letter.value.as_deref(),
                partition: None,
                timestamp_ms: (letter.timestamp_ms >= 0).then_some(letter.timestamp_ms),
                headers: &letter.headers,
            };
            self.send(&topic, &record, flight).await?;
            task.status.metrics.dead_letters.inc();
        }
        Ok(())
    }
}
