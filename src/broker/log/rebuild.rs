//! A batch with fewer records: base and last offset, sequence numbers and codec stay, so that readers
//! and producers see the same batch with holes in it.

use super::{
    batch::{ATTR_DELETE_HORIZON, BatchHeader, HEADER_BYTES, TimestampType, seal},
    compression,
    record::{Record, put_varint},
};
use bytes::{BufMut, Bytes, BytesMut};
use std::io;

/// `batch`, whose header is `header`, with only the records `kept`. With a horizon, the batch says
/// that its tombstones, or the marker that it is, may go from then on.
pub(super) fn rebuild(
    batch: &[u8],
    header: &BatchHeader,
    kept: &[Record<'_>],
    horizon_ms: Option<i64>,
) -> io::Result<Bytes> {
    let mut attributes = header.attributes;
    // The horizon stands in the place of the timestamp that the records' deltas start from.
    let base_ms = match horizon_ms.or(header.delete_horizon_ms()) {
        Some(horizon) => {
            attributes |= ATTR_DELETE_HORIZON;
            horizon
        }
        None => header.base_timestamp_ms,
    };
    let mut records = Vec::with_capacity(header.bytes);
    let mut body = Vec::new();
    for record in kept {
        body.clear();
        body.push(record.attributes);
        put_varint(&mut body, record.time.timestamp_ms.wrapping_sub(base_ms));
        put_varint(&mut body, record.time.offset.wrapping_sub(header.base_offset));
        body.extend_from_slice(record.rest);
        put_varint(&mut records, body.len() as i64);
        records.extend_from_slice(&body);
    }
    let newest = kept.iter().map(|r| r.time.timestamp_ms).max();
    let max_ms = match header.timestamp_type() {
        TimestampType::Create => newest.unwrap_or(header.max_timestamp_ms),
        TimestampType::LogAppend => header.max_timestamp_ms,
    };
    let records = if kept.is_empty() {
        attributes &= !0x07; // nothing is in there that could be opened
        Vec::new()
    } else {
        compression::pack(header.codec(), records)?
    };
    let mut out = BytesMut::with_capacity(HEADER_BYTES + records.len());
    out.put_slice(&batch[..HEADER_BYTES]);
    out[21..23].copy_from_slice(&attributes.to_be_bytes());
    out[27..35].copy_from_slice(&base_ms.to_be_bytes());
    out[35..43].copy_from_slice(&max_ms.to_be_bytes());
    out[57..61].copy_from_slice(&(kept.len() as i32).to_be_bytes());
    out.put_slice(&records);
    seal(&mut out);
    Ok(out.freeze())
}
