//! Rows of a batch on their way to the client library, which reads their values in place.

use super::{
    failed_code,
    flight::Flight,
    outgoing::Rows,
    producer::{FULL_POLL, Producer, RECORD_OVERHEAD},
    raw::{Full, Topic, produce_batch, produce_full, raw_rows},
    stage::Which,
};
use crate::{
    error::{Error, Result},
    types::RecordExtras,
};
use rdkafka::{bindings as rd, types::RDKafkaErrorCode};
use std::{
    ops::Range,
    ptr,
    sync::{Arc, atomic::Ordering},
};

/// Rows that are handed over together. Each needs a description; few of them stay in the processor's cache.
const AT_ONCE: usize = 512;

impl Producer {
    /// Enqueues the rows `which` in order; a part of the flight keeps their bytes, librdkafka reads them in place.
    /// Returns the rows that were refused at once, with the reason; they are not in the flight.
    ///
    /// # Errors
    ///
    /// The topic's name is wrong; then nothing is enqueued.
    pub fn send_rows(
        &self,
        topic: &str,
        rows: &Rows,
        which: Range<usize>,
        flight: &Arc<Flight>,
    ) -> Result<Vec<(usize, Error)>> {
        let handle = self.topic(topic)?;
        let count = which.len();
        if count == 0 {
            return Ok(Vec::new());
        }
        if let Some(stage) = &self.stage {
            // Rows that find no room wait below, and what is here would have to wait as long.
            while !stage.drain(Which::Of(handle), || ()) {
                std::thread::sleep(FULL_POLL);
            }
        }
        let bytes = rows.size_of(which.clone()) + count * RECORD_OVERHEAD;
        self.shared.bytes.fetch_add(bytes, Ordering::AcqRel);
        let part = self.part_of(flight, bytes);
        part.board(count);
        part.hold(rows.bytes.clone());
        let (mut raw, mut refused) = (Vec::with_capacity(count.min(AT_ONCE)), Vec::new());
        for from in which.clone().step_by(AT_ONCE) {
            raw_rows(&mut raw, rows, from..(from + AT_ONCE).min(which.end), &part);
            self.produce_rows(handle, &mut raw, (from, &rows.extras));
            let codes = raw.iter().map(|message| message.err).enumerate();
            let failed = codes
                .filter(|(_, code)| *code != rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR);
            refused.extend(failed.map(|(i, code)| (from + i, code)));
        }
        part.answered(refused.len());
        part.seal();
        let error = |(i, code)| {
            let what = match rows.extras.partition(i) {
                Some(partition) => format!("sending to partition {partition} of topic {topic}"),
                None => format!("sending to topic {topic}"),
            };
            (i, failed_code(what, RDKafkaErrorCode::from(code)))
        };
        Ok(refused.into_iter().map(error).collect())
    }

    /// A flight of rows that are one record to `flight`. They give their `bytes` of room back when all of them are
    /// answered, not when `flight` lands, which may have other parts that wait for room.
    fn part_of(&self, flight: &Arc<Flight>, bytes: usize) -> Arc<Flight> {
        flight.board(1);
        let (whole, shared) = (Arc::clone(flight), Arc::clone(&self.shared));
        Flight::new(move |landed| {
            shared.release(bytes);
            match landed {
                Ok(()) => whole.answered(1),
                Err(error) => whole.failed(error),
            }
        })
    }

    /// Enqueues rows, the first of which is row `from` of its batch; those that are refused have an error afterwards.
    fn produce_rows(
        &self,
        topic: Topic,
        raw: &mut [rd::rd_kafka_message_t],
        (from, extras): (usize, &RecordExtras),
    ) {
        if extras.is_empty() {
            produce_batch(topic, raw);
            return;
        }
        for (i, message) in raw.iter_mut().enumerate() {
            if let Err(code) = self.produce_row(topic, message, (from + i, extras)) {
                message.err = code;
            }
        }
    }

    /// Enqueues one row with its headers and the like; its bytes stay with the flight.
    fn produce_row(
        &self,
        topic: Topic,
        message: &rd::rd_kafka_message_t,
        (i, extras): (usize, &RecordExtras),
    ) -> Result<(), rd::rd_kafka_resp_err_t> {
        let (value, value_len) = match extras.is_tombstone(i) {
            true => (ptr::null_mut(), 0),
            false => (message.payload, message.len),
        };
        let full = Full {
            value: (value, value_len),
            key: (message.key, message.key_len),
            partition: extras.partition(i),
            timestamp_ms: extras.timestamp_ms(i),
            headers: extras.headers(i),
            opaque: message._private,
            flags: rd::RD_KAFKA_MSG_F_BLOCK,
        };
        produce_full(self.rk, topic, &full)
    }
}
