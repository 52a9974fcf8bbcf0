//! The writing side: what handlers made of batches goes to the producer.

use super::{job::Outputs, shared::Shared};
use crate::{failpoints::failpoint, kafka::flight::Flight, task::sink::Sink};
use std::sync::Arc;
use tokio::sync::mpsc;

/// Produces what handlers completed, in the order of the batches.
pub(super) async fn write_outputs(
    task: Arc<Shared>,
    mut sink: Sink,
    mut inbox: mpsc::UnboundedReceiver<Outputs>,
) {
    while let Some(outputs) = inbox.recv().await {
        if task.is_halted(outputs.ticket) {
            task.end(None);
            continue;
        }
        let flight = {
            let (task, ticket) = (Arc::clone(&task), outputs.ticket);
            let (began, handled) = (outputs.began, outputs.handled);
            Flight::new(move |landed| {
                failpoint!("line::landed");
                let metrics = &task.status.metrics;
                metrics.produce.observe(handled.elapsed().as_secs_f64());
                metrics.batch.observe(began.elapsed().as_secs_f64());
                match landed {
                    Ok(()) => task.end(Some(ticket)),
                    Err(error) => {
                        task.halt(ticket, &format!("an output was not delivered: {error}"));
                        task.end(None);
                    }
                }
            })
        };
        let written = sink.write(&outputs.batches, outputs.letters, &flight, &task.status).await;
        failpoint!("line::written");
        if let Err(error) = written {
            task.halt(outputs.ticket, &error.to_string());
            flight.failed_whole(error);
        }
        flight.seal();
        drop(outputs.place);
    }
}
