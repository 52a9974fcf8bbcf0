//! What every format has in common: records in, rows out, and back.

use crate::{
    error::Result,
    types::{RecordExtras, Records},
};
use arrow::{array::RecordBatch, datatypes::SchemaRef};
use std::{ops::Range, pin::Pin};

/// Something to wait for. It may fail and be asked for again, if its error says so.
pub type Ready = Pin<Box<dyn Future<Output = Result<()>> + Send>>;

/// Turns the values of records into rows; one for each partition.
///
/// A record is good as a whole or bad as a whole, and a bad one never changes its neighbours. Any
/// bytes give a result: no panic, no memory beyond a small multiple of the bytes.
pub trait Decode: Send + Sync {
    /// Schema of the batches, as far as it is known.
    fn schema(&self) -> SchemaRef;

    /// What has to be waited for before the records of `range` can be decoded, as an answer of a
    /// registry; none as a rule.
    fn prepare(&mut self, _records: &dyn Records, _range: Range<usize>) -> Option<Ready> {
        None
    }

    /// Decodes the records of `range`.
    fn decode(&mut self, records: &dyn Records, range: Range<usize>) -> Decoded;
}

/// Turns rows into the values of records; one for each task. [`super::Output`] adds the keys.
pub trait Encode: Send + Sync {
    /// What has to be waited for before `batch` can be encoded, as an answer of a registry; none as
    /// a rule.
    ///
    /// # Errors
    ///
    /// As [`Self::encode`], where it is known already.
    fn prepare(&self, _batch: &RecordBatch) -> Result<Option<Ready>> {
        Ok(None)
    }

    /// Replaces what is in `out` by the rows of `batch`; after an error nothing in it counts.
    ///
    /// # Errors
    ///
    /// [`crate::error::Error::Encode`] if a column has no form in the format; the sentence names it.
    fn encode(&self, batch: &RecordBatch, out: &mut Encoded) -> Result<()>;
}

/// What came out of some records.
#[derive(Debug)]
pub struct Decoded {
    /// A row for each good record, in order.
    pub batch: RecordBatch,
    /// Source index of each row; none if every record became a row.
    pub rows: Option<Vec<u32>>,
    /// The records that did not, in order.
    pub bad: Vec<BadRecord>,
    /// Did the schema change since the last batch? Never with a declared one.
    pub widened: bool,
}

/// A record that could not be decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadRecord {
    /// Its index in the records that were given.
    pub index: usize,
    /// Where, what was expected, what was found.
    pub message: String,
}

/// Rows as bytes, and their keys; kept between batches for its memory.
#[derive(Debug, Default)]
pub struct Encoded {
    /// All values, one behind the other.
    pub bytes: Vec<u8>,
    /// End of each value.
    pub ends: Vec<usize>,
    /// All keys, one behind the other.
    pub key_bytes: Vec<u8>,
    /// Range of each key; empty if no column is the key.
    pub keys: Vec<Option<(usize, usize)>>,
    /// NaN and infinities written as `null` in the last batch.
    pub non_finite: u64,
    /// Headers and the like, where they are asked for.
    pub extras: RecordExtras,
}

/// Room for text that is kept from batch to batch in any case.
const MOST_KEPT_BYTES: usize = 4 << 20;

impl Encoded {
    /// Number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// True without rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Bytes of row `i`.
    ///
    /// # Panics
    ///
    /// Without such a row.
    #[must_use]
    pub fn value(&self, i: usize) -> &[u8] {
        let start = i.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[start..self.ends[i]]
    }

    /// Key of row `i`; none if it is null or no column is the key.
    #[must_use]
    pub fn key(&self, i: usize) -> Option<&[u8]> {
        self.keys.get(i).copied().flatten().map(|(start, end)| &self.key_bytes[start..end])
    }

    pub(super) fn clear(&mut self) {
        // One huge batch must not hold its memory for ever.
        self.bytes.shrink_to(MOST_KEPT_BYTES.max(2 * self.bytes.len()));
        self.bytes.clear();
        self.ends.clear();
        self.key_bytes.clear();
        self.keys.clear();
        self.non_finite = 0;
        self.extras = RecordExtras::default();
    }
}
