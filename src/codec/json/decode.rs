//! JSON records to a batch, one partition at a time.

use super::{scan::Scan, shape};
use crate::{
    codec::{
        column::{DecodeOptions, Fault, Object, ReadRecord, RecordDecoder, Scanned, SharedSchema},
        rows::{Decode, Decoded},
    },
    error::Result,
    types::Records,
};
use arrow::datatypes::{Fields, SchemaRef};
use std::{ops::Range, sync::Arc};

/// Decodes the records of one partition; keeps what it has learned about the order of names and
/// their size.
pub struct Decoder(RecordDecoder<Reader>);

impl Decoder {
    /// A decoder for records of `schema`.
    ///
    /// # Errors
    ///
    /// [`crate::error::Error::Config`] for a type that JSON cannot fill, with the field and what to
    /// use instead.
    pub fn new(schema: SchemaRef, options: DecodeOptions) -> Result<Self> {
        RecordDecoder::new(Reader::default(), schema, options).map(Self)
    }

    /// A decoder that learns the schema from the records, together with all others on `shared`.
    ///
    /// # Errors
    ///
    /// None in practice: what is inferred can be decoded.
    pub fn inferring(shared: Arc<SharedSchema>, options: DecodeOptions) -> Result<Self> {
        RecordDecoder::inferring(Reader::default(), shared, options).map(Self)
    }
}

impl Decode for Decoder {
    fn schema(&self) -> SchemaRef {
        self.0.schema()
    }

    fn decode(&mut self, records: &dyn Records, range: Range<usize>) -> Decoded {
        self.0.decode(records, range)
    }
}

/// Reads one JSON object.
#[derive(Default)]
struct Reader {
    scratch: Vec<u8>,
}

impl ReadRecord for Reader {
    fn read(&mut self, root: &mut Object, data: &[u8], row: usize) -> Scanned<()> {
        let mut scan = Scan::new(data);
        match scan.peek() {
            Some(b'{') => {}
            None if data.is_empty() => return Err(scan.fault("the value is empty")),
            _ => return Err(scan.fault(format!("expected a JSON object, found {}", scan.found()))),
        }
        root.read(&mut scan, &mut self.scratch, row, 0)?;
        scan.finish()
    }

    fn fields_of(&self, data: &[u8]) -> Scanned<Fields> {
        shape::fields_of(data)
    }

    fn message(&self, fault: &Fault, data: &[u8]) -> String {
        fault.message(data)
    }
}
