//! Confluent's frame in front of a message: a zero byte, the id of its schema, and the way to the
//! message in its file.

use super::wire::Wire;
use crate::codec::column::{Fault, Scanned};
use prost_reflect::MessageDescriptor;

/// The way to one message.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    name: String,
    /// Position of the message, and of the ones around it, outermost first.
    path: Vec<i64>,
}

impl Frame {
    /// The frame of `message`.
    pub(super) fn of(message: &MessageDescriptor) -> Self {
        // A path in a descriptor alternates between the number of a list (4: messages of a file,
        // 3: messages of a message) and a position in it.
        let path = message.path().iter().skip(1).step_by(2).map(|&i| i.into()).collect();
        Self { name: message.full_name().into(), path }
    }

    /// Reads the frame of `data`; where the message begins.
    pub(super) fn read(&self, data: &[u8]) -> Scanned<usize> {
        match data {
            [] => return Err(Fault::new(0, "the value is empty")),
            [0, _, _, _, _, ..] => {}
            [0, ..] => {
                return Err(Fault::new(data.len(), "the record ends inside the schema's id"));
            }
            [first, ..] => {
                let what = format!(
                    "expected the zero byte of Confluent's frame, found {first:#04x}: the record \
                     was written without a schema registry"
                );
                return Err(Fault::new(0, what));
            }
        }
        let mut wire = Wire::new(&data[5..], 5);
        let count = zigzag(wire.varint()?);
        // A single zero stands for the path [0].
        let mut path = Vec::new();
        for _ in 0..count.clamp(0, i64::try_from(data.len()).unwrap_or(i64::MAX)) {
            path.push(zigzag(wire.varint()?));
        }
        if count == 0 {
            path.push(0);
        }
        if path != self.path {
            return Err(Fault::new(
                5,
                format!(
                    "the record is message {path:?} of its file, and {} is {:?}",
                    self.name, self.path
                ),
            ));
        }
        Ok(wire.at())
    }

    /// Writes the frame with the schema's id.
    pub(super) fn write(&self, schema_id: u32, out: &mut Vec<u8>) {
        out.push(0);
        out.extend_from_slice(&schema_id.to_be_bytes());
        if self.path == [0] {
            out.push(0);
            return;
        }
        let count = i64::try_from(self.path.len()).unwrap_or(0);
        for &number in std::iter::once(&count).chain(&self.path) {
            super::write::varint((number << 1).cast_unsigned(), out);
        }
    }
}

fn zigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}
