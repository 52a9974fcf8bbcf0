//! Batches for tests.

use super::{batch::ATTR_TRANSACTIONAL, compression::pack, record::put_varint};
use bytes::Bytes;

/// Builds a batch as a producer would.
pub(crate) struct BatchBuilder {
    timestamps: Vec<i64>,
    base_offset: i64,
    producer: (i64, i16, i32),
    is_transactional: bool,
    codec: i16,
    value_bytes: usize,
    key: Option<&'static [u8]>,
    /// Key and whether there is a value, of each record; nothing if they are all the same.
    keyed: Vec<(u8, bool)>,
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
            keyed: Vec::new(),
        }
    }

    /// A record with this key, of one byte, for each; false for a tombstone.
    pub(crate) fn keyed(records: &[(u8, bool)]) -> Self {
        Self { keyed: records.to_vec(), ..Self::new(records.len()) }
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
        body.extend(pack(self.codec, records).unwrap());
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
            let own = self.keyed.get(delta);
            let key = own.map(|(key, _)| std::slice::from_ref(key)).or(self.key);
            put_varint(&mut record, key.map_or(-1, |key| key.len() as i64));
            record.extend(key.unwrap_or_default());
            if own.is_none_or(|(_, has_value)| *has_value) {
                put_varint(&mut record, self.value_bytes as i64);
                record.extend(std::iter::repeat_n(b'v', self.value_bytes));
            } else {
                put_varint(&mut record, -1);
            }
            put_varint(&mut record, 0);
            put_varint(&mut records, record.len() as i64);
            records.extend(record);
        }
        records
    }
}
