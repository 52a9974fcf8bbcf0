//! Batches for tests.

use super::batch::ATTR_TRANSACTIONAL;
use bytes::Bytes;
use std::io::Write;

/// Builds a batch as a producer would.
pub(crate) struct BatchBuilder {
    timestamps: Vec<i64>,
    base_offset: i64,
    producer: (i64, i16, i32),
    is_transactional: bool,
    codec: i16,
    value_bytes: usize,
    key: Option<&'static [u8]>,
}

impl BatchBuilder {
    /// `records` records, one millisecond apart.
    pub(crate) fn new(records: usize) -> Self {
        Self::with_timestamps(&(0..records as i64).collect::<Vec<_>>())
    }

    /// A record for each timestamp.
    pub(crate) fn with_timestamps(timestamps: &[i64]) -> Self {
        let timestamps = timestamps.to_vec();
        let producer = (-1, -1, -1);
        let (base_offset, is_transactional, codec) = (0, false, 0);
        Self {
            timestamps,
            base_offset,
            producer,
            is_transactional,
            codec,
            value_bytes: 3,
            key: None,
        }
    }

    pub(crate) fn producer(mut self, id: i64, epoch: i16, sequence: i32) -> Self {
        self.producer = (id, epoch, sequence);
        self
    }

    pub(crate) fn transactional(mut self) -> Self {
        self.is_transactional = true;
        self
    }

    pub(crate) fn first_timestamp(mut self, first: i64) -> Self {
        let delta = first - self.timestamps[0];
        self.timestamps.iter_mut().for_each(|t| *t += delta);
        self
    }

    pub(crate) fn at_offset(mut self, base_offset: i64) -> Self {
        self.base_offset = base_offset;
        self
    }

    pub(crate) fn codec(mut self, codec: i16) -> Self {
        self.codec = codec;
        self
    }

    pub(crate) fn key(mut self, key: &'static [u8]) -> Self {
        self.key = Some(key);
        self
    }

    pub(crate) fn value_bytes(mut self, bytes: usize) -> Self {
        self.value_bytes = bytes;
        self
    }

    pub(crate) fn build(&self) -> Bytes {
        let base = self.timestamps.first().copied().unwrap_or(0);
        let records = self.records(base);
        let mut body = Vec::new();
        let attributes = self.codec | if self.is_transactional { ATTR_TRANSACTIONAL } else { 0 };
        body.extend(attributes.to_be_bytes());
        body.extend((self.timestamps.len() as i32 - 1).to_be_bytes());
        body.extend(base.to_be_bytes());
        body.extend(self.timestamps.iter().max().copied().unwrap_or(0).to_be_bytes());
        body.extend(self.producer.0.to_be_bytes());
        body.extend(self.producer.1.to_be_bytes());
        body.extend(self.producer.2.to_be_bytes());
        body.extend((self.timestamps.len() as i32).to_be_bytes());
        body.extend(match self.codec {
            0 => records,
            1 => {
                let mut out =
                    flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                out.write_all(&records).unwrap();
                out.finish().unwrap()
            }
            4 => zstd::encode_all(&records[..], 1).unwrap(),
            other => panic!("no encoder for codec {other}"),
        });
        let mut batch = Vec::new();
        batch.extend(self.base_offset.to_be_bytes());
        batch.extend((body.len() as i32 + 9).to_be_bytes());
        batch.extend(0i32.to_be_bytes());
        batch.push(2);
        batch.extend(crc32c::crc32c(&body).to_be_bytes());
        batch.extend(body);
        batch.into()
    }

    fn records(&self, base: i64) -> Vec<u8> {
        let mut records = Vec::new();
        for (delta, timestamp) in self.timestamps.iter().enumerate() {
            let mut record = vec![0];
            put_varint(&mut record, timestamp - base);
            put_varint(&mut record, delta as i64);
            put_varint(&mut record, self.key.map_or(-1, |key| key.len() as i64));
            record.extend(self.key.unwrap_or_default());
            put_varint(&mut record, self.value_bytes as i64);
            record.extend(std::iter::repeat_n(b'v', self.value_bytes));
            put_varint(&mut record, 0);
            put_varint(&mut records, record.len() as i64);
            records.extend(record);
        }
        records
    }
}

/// Appends a zigzag varint.
pub(crate) fn put_varint(out: &mut Vec<u8>, value: i64) {
    let mut rest = ((value << 1) ^ (value >> 63)).cast_unsigned();
    while rest >= 0x80 {
        out.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}
