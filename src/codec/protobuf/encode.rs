//! A batch to one Protobuf message a row.

use super::{
    frame::Frame,
    schema::{WellKnown, is_required, well_known},
    wire::Form,
    write::{delimited, end_of_group, key, varint},
};
use crate::{
    codec::{
        column::{Node, NodeCells as Cells, time},
        rows::{Encode, Encoded},
    },
    error::{Error, Result},
};
use arrow::array::RecordBatch;
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};

/// Encodes the batches that a handler returns; a column belongs to the field of its name.
///
/// A null leaves its field out. A value of a field without presence that is its zero is left out
/// too, as every writer does. Columns without a field are an error: nothing is lost silently.
pub struct Encoder {
    message: MessageDescriptor,
    frame: Option<(Frame, u32)>,
}

impl Encoder {
    /// Writes `message`, in Confluent's frame if there is an id of a schema.
    #[must_use]
    pub fn new(message: MessageDescriptor, schema_id: Option<u32>) -> Self {
        let frame = schema_id.map(|id| (Frame::of(&message), id));
        Self { message, frame }
    }
}

impl Encode for Encoder {
    fn encode(&self, batch: &RecordBatch, out: &mut Encoded) -> Result<()> {
        out.clear();
        let schema = batch.schema();
        let columns = schema.fields().iter().zip(batch.columns());
        let nodes = columns.map(|(field, array)| {
            let node = Node::new(field, array, label).map_err(Error::Encode)?;
            Ok((field.name().as_bytes().to_vec(), node))
        });
        let nodes: Vec<(Vec<u8>, Node)> = nodes.collect::<Result<_>>()?;
        let writers = bind(&self.message, &nodes).map_err(Error::Encode)?;
        for row in 0..batch.num_rows() {
            if let Some((frame, id)) = &self.frame {
                frame.write(*id, &mut out.bytes);
            }
            write_fields(&writers, row, &mut out.bytes)
                .map_err(|why| Error::Encode(format!("row {row}: {why}")))?;
            out.ends.push(out.bytes.len());
        }
        Ok(())
    }
}

fn label(_: usize, name: &str) -> Vec<u8> {
    name.as_bytes().to_vec()
}

/// A field and the values that fill it.
struct Writer<'a> {
    field: FieldDescriptor,
    node: &'a Node,
    /// Key of the field, and of one packed run.
    key: Vec<u8>,
    /// What a value is.
    kind: Kind,
    /// Writers of a message's own fields.
    inner: Vec<Writer<'a>>,
    /// A message that is a value of its own.
    known: Option<WellKnown>,
    /// The key of a map's entries.
    map_key: Option<Kind>,
    /// Name of its oneof.
    oneof: Option<String>,
    is_packed: bool,
    has_presence: bool,
}

fn bind<'a>(
    message: &MessageDescriptor,
    nodes: &'a [(Vec<u8>, Node)],
) -> Result<Vec<Writer<'a>>, String> {
    let mut writers = Vec::with_capacity(nodes.len());
    for (name, node) in nodes {
        let name = String::from_utf8_lossy(name);
        let field = message
            .get_field_by_name(&name)
            .or_else(|| message.get_field_by_json_name(&name))
            .ok_or_else(|| {
                let names: Vec<String> = message.fields().map(|f| f.name().to_owned()).collect();
                format!(
                    "column `{name}` is not a field of the message {}: drop it, or rename it to \
                     one of {}",
                    message.full_name(),
                    names.join(", ")
                )
            })?;
        writers.push(Writer::new(field, node)?);
    }
    let missing = message.fields().find(|field| {
        is_required(field) && !writers.iter().any(|w| w.field.number() == field.number())
    });
    if let Some(field) = missing {
        return Err(format!(
            "the message {} requires the field `{}`, and the batch has no such column",
            message.full_name(),
            field.name()
        ));
    }
    Ok(writers)
}

impl<'a> Writer<'a> {
    fn new(field: FieldDescriptor, node: &'a Node) -> Result<Self, String> {
        let mut kind = field.kind();
        let (mut map_key, mut value) = (None, node);
        if let Kind::Message(entry) = field.kind()
            && field.is_map()
        {
            let Cells::Map(map) = &node.cells else {
                return Err(format!("column `{}` must be a map", field.name()));
            };
            map_key = Some(entry.map_entry_key_field().kind());
            kind = entry.map_entry_value_field().kind();
            value = &map.2;
        } else if field.is_list() {
            let Cells::List(list) = &node.cells else {
                return Err(format!("column `{}` must be a list", field.name()));
            };
            value = &list.1;
        }
        let (mut inner, mut known) = (Vec::new(), None);
        if let Kind::Message(message) = kind.clone() {
            known = well_known(&message);
            match (known, &value.cells) {
                (Some(WellKnown::Timestamp), Cells::Timestamp(..))
                | (Some(WellKnown::Duration), Cells::Duration(..)) => {}
                (Some(WellKnown::Wrapper), _) => {
                    kind = message.fields().next().expect("a wrapper has one field").kind();
                }
                (_, Cells::Struct(nodes)) => {
                    known = None;
                    inner = bind(&message, nodes)?;
                }
                (_, Cells::Null) => {}
                _ => {
                    return Err(format!(
                        "column `{}` does not fit the message {}",
                        field.name(),
                        message.full_name()
                    ));
                }
            }
        }
        let is_packed = field.is_list() && field.is_packed();
        let form = if is_packed || map_key.is_some() || known == Some(WellKnown::Wrapper) {
            Form::Bytes
        } else {
            form_of(&kind, field.is_group())
        };
        let mut bytes = Vec::new();
        key(field.number(), form, &mut bytes);
        let oneof = field.containing_oneof().filter(|oneof| !oneof.is_synthetic());
        Ok(Self {
            node,
            key: bytes,
            kind,
            inner,
            known,
            map_key,
            oneof: oneof.map(|oneof| oneof.name().to_owned()),
            is_packed,
            has_presence: field.supports_presence(),
            field,
        })
    }

    /// Writes row `row`, key and all.
    fn write(&self, row: usize, out: &mut Vec<u8>) -> Result<(), String> {
        if self.node.is_null(row) || matches!(self.node.cells, Cells::Null) {
            return if is_required(&self.field) {
                Err("a null in a field that the message requires".into())
            } else {
                Ok(())
            };
        }
        match (&self.node.cells, &self.map_key) {
            (Cells::Map(map), Some(map_key)) => {
                let offsets = map.0.value_offsets();
                for entry in offsets[row] as usize..offsets[row + 1] as usize {
                    out.extend_from_slice(&self.key);
                    delimited(out, |out| {
                        self.write_entry(map_key, map.1.value(entry), entry, out)
                    })?;
                }
                Ok(())
            }
            (Cells::List(list), _) if self.field.is_list() => {
                let offsets = list.0.value_offsets();
                self.write_items(&list.1, offsets[row] as usize..offsets[row + 1] as usize, out)
            }
            _ => {
                let start = out.len();
                out.extend_from_slice(&self.key);
                let wrote = self.write_value(self.node, row, out)?;
                if !self.has_presence && wrote.is_zero {
                    out.truncate(start);
                }
                Ok(())
            }
        }
    }

    fn write_entry(
        &self,
        map_key: &Kind,
        name: &str,
        entry: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), String> {
        let Cells::Map(map) = &self.node.cells else { return Ok(()) };
        key(1, form_of(map_key, false), out);
        write_key(map_key, name, out)?;
        if map.2.is_null(entry) {
            return Err(format!("the value of `{name}` is null, which a map does not have"));
        }
        let form = if self.known == Some(WellKnown::Wrapper) {
            Form::Bytes
        } else {
            form_of(&self.kind, false)
        };
        key(2, form, out);
        self.write_value(&map.2, entry, out).map(drop)
    }

    fn write_items(
        &self,
        items: &Node,
        rows: std::ops::Range<usize>,
        out: &mut Vec<u8>,
    ) -> Result<(), String> {
        if rows.is_empty() {
            return Ok(());
        }
        let put = |item: usize, out: &mut Vec<u8>| {
            if items.is_null(item) {
                return Err("a null in a list, which Protobuf does not have".to_owned());
            }
            self.write_value(items, item, out).map(drop)
        };
        if self.is_packed {
            out.extend_from_slice(&self.key);
            return delimited(out, |out| {
                let mut rows = rows;
                rows.try_for_each(|item| put(item, out))
            });
        }
        for item in rows {
            out.extend_from_slice(&self.key);
            put(item, out)?;
        }
        Ok(())
    }

    /// Writes one value without its key.
    fn write_value(&self, node: &Node, row: usize, out: &mut Vec<u8>) -> Result<Wrote, String> {
        match self.known {
            Some(WellKnown::Wrapper) => {
                delimited(out, |out| {
                    let start = out.len();
                    key(1, form_of(&self.kind, false), out);
                    if write_scalar(&self.kind, node, row, out)?.is_zero {
                        out.truncate(start);
                    }
                    Ok::<(), String>(())
                })?;
                Ok(Wrote { is_zero: false })
            }
            Some(WellKnown::Timestamp | WellKnown::Duration) => {
                delimited(out, |out| write_moment(node, row, out))?;
                Ok(Wrote { is_zero: false })
            }
            None if matches!(self.kind, Kind::Message(_)) => {
                if self.field.is_group() {
                    write_fields(&self.inner, row, out)?;
                    end_of_group(self.field.number(), out);
                } else {
                    delimited(out, |out| write_fields(&self.inner, row, out))?;
                }
                Ok(Wrote { is_zero: false })
            }
            None => write_scalar(&self.kind, node, row, out),
        }
    }
}

/// What was written.
struct Wrote {
    /// The value that a field has when it is not written.
    is_zero: bool,
}

fn write_fields(writers: &[Writer<'_>], row: usize, out: &mut Vec<u8>) -> Result<(), String> {
    for (i, writer) in writers.iter().enumerate() {
        if let Some(oneof) = &writer.oneof
            && !writer.node.is_null(row)
        {
            let twin = writers[..i]
                .iter()
                .find(|other| other.oneof.as_ref() == Some(oneof) && !other.node.is_null(row));
            if let Some(twin) = twin {
                return Err(format!(
                    "`{}` and `{}` both have values, and of the oneof `{oneof}` a message has one: \
                     make the others null",
                    twin.field.name(),
                    writer.field.name()
                ));
            }
        }
        writer.write(row, out).map_err(|why| format!("field `{}`: {why}", writer.field.name()))?;
    }
    Ok(())
}

fn form_of(kind: &Kind, is_group: bool) -> Form {
    match kind {
        Kind::Double | Kind::Fixed64 | Kind::Sfixed64 => Form::Fixed64,
        Kind::Float | Kind::Fixed32 | Kind::Sfixed32 => Form::Fixed32,
        Kind::Message(_) if is_group => Form::Group,
        Kind::String | Kind::Bytes | Kind::Message(_) => Form::Bytes,
        _ => Form::Varint,
    }
}

/// Seconds in field 1, nanoseconds in field 2.
fn write_moment(node: &Node, row: usize, out: &mut Vec<u8>) -> Result<(), String> {
    let (value, unit, floors) = match &node.cells {
        Cells::Timestamp(values, unit, _) => (values.value(row), *unit, true),
        Cells::Duration(values, unit) => (values.value(row), *unit, false),
        _ => return Err("not a time".into()),
    };
    let per_second = 1_000_000_000 / time::ns_per(unit);
    let (seconds, part) = if floors {
        (value.div_euclid(per_second), value.rem_euclid(per_second))
    } else {
        (value / per_second, value % per_second)
    };
    for (number, value) in [(1, seconds), (2, part * time::ns_per(unit))] {
        if value != 0 {
            key(number, Form::Varint, out);
            varint(value.cast_unsigned(), out);
        }
    }
    Ok(())
}

/// Writes the key of a map's entry, which columns have as text.
fn write_key(kind: &Kind, name: &str, out: &mut Vec<u8>) -> Result<(), String> {
    let wrong = |_| format!("the key `{name}` is not what the map has");
    match kind {
        Kind::String => {
            varint(name.len() as u64, out);
            out.extend_from_slice(name.as_bytes());
        }
        Kind::Bool => out.push(u8::from(name.parse::<bool>().map_err(|_| wrong(()))?)),
        _ => write_integer(kind, name.parse::<i128>().map_err(|_| wrong(()))?, out)?,
    }
    Ok(())
}

/// Writes an integer as `kind`, if it fits.
fn write_integer(kind: &Kind, value: i128, out: &mut Vec<u8>) -> Result<(), String> {
    let wide = || i64::try_from(value).map_err(|_| misfit(value));
    let narrow = || i32::try_from(value).map_err(|_| misfit(value));
    match kind {
        Kind::Int64 => varint(wide()?.cast_unsigned(), out),
        Kind::Int32 | Kind::Enum(_) => varint(i64::from(narrow()?).cast_unsigned(), out),
        Kind::Sint64 => {
            let value = wide()?;
            varint(((value << 1) ^ (value >> 63)).cast_unsigned(), out);
        }
        Kind::Sint32 => {
            let value = i64::from(narrow()?);
            varint(((value << 1) ^ (value >> 63)).cast_unsigned(), out);
        }
        Kind::Uint64 => varint(u64::try_from(value).map_err(|_| misfit(value))?, out),
        Kind::Uint32 => varint(u32::try_from(value).map_err(|_| misfit(value))?.into(), out),
        Kind::Fixed64 => {
            let value = u64::try_from(value).map_err(|_| misfit(value))?;
            out.extend_from_slice(&value.to_le_bytes());
        }
        Kind::Fixed32 => {
            let value = u32::try_from(value).map_err(|_| misfit(value))?;
            out.extend_from_slice(&value.to_le_bytes());
        }
        Kind::Sfixed64 => out.extend_from_slice(&wide()?.to_le_bytes()),
        Kind::Sfixed32 => out.extend_from_slice(&narrow()?.to_le_bytes()),
        Kind::Double if is_exact(value) => {
            out.extend_from_slice(&(value as f64).to_le_bytes());
        }
        _ => return Err(format!("the number {value} does not fit the field")),
    }
    Ok(())
}

fn is_exact(value: i128) -> bool {
    crate::codec::column::number::int_fits_f64(value)
}

fn misfit(value: i128) -> String {
    format!("{value} does not fit the integers of the field")
}

/// Writes one value without its key.
fn write_scalar(kind: &Kind, node: &Node, row: usize, out: &mut Vec<u8>) -> Result<Wrote, String> {
    let bytes = |bytes: &[u8], out: &mut Vec<u8>| {
        varint(bytes.len() as u64, out);
        out.extend_from_slice(bytes);
        Ok(Wrote { is_zero: bytes.is_empty() })
    };
    let text = match &node.cells {
        Cells::Text(values) | Cells::Raw(values) => Some(values.value(row)),
        Cells::LargeText(values) => Some(values.value(row)),
        Cells::TextView(values) => Some(values.value(row)),
        _ => None,
    };
    match (kind, text, &node.cells) {
        (Kind::String | Kind::Bytes, Some(text), _) => return bytes(text.as_bytes(), out),
        (Kind::Bytes, _, Cells::Binary(values)) => return bytes(values.value(row), out),
        (Kind::String, _, cells) => return bytes(&as_text(cells, row)?, out),
        (Kind::Enum(names), Some(text), _) => {
            let number = names.get_value_by_name(text).map(|v| v.number());
            let number = number.or_else(|| text.parse().ok()).ok_or_else(|| {
                let known: Vec<String> = names.values().map(|v| v.name().to_owned()).collect();
                format!("{text:?} is no name of the enum; it has: {}", known.join(", "))
            })?;
            varint(i64::from(number).cast_unsigned(), out);
            return Ok(Wrote { is_zero: number == 0 });
        }
        (Kind::Bool, _, Cells::Bool(values)) => {
            out.push(values.value(row).into());
            return Ok(Wrote { is_zero: !values.value(row) });
        }
        _ => {}
    }
    match &node.cells {
        Cells::Int(values) => number(kind, values.value(row).into(), out),
        Cells::UInt(values) => number(kind, values.value(row).into(), out),
        Cells::Float(values) => float(kind, values.value(row), out),
        Cells::Float32(values) => float(kind, values.value(row).into(), out),
        _ => Err(format!("the column does not fit a field of type {kind:?}")),
    }
}

fn number(kind: &Kind, value: i128, out: &mut Vec<u8>) -> Result<Wrote, String> {
    write_integer(kind, value, out)?;
    Ok(Wrote { is_zero: value == 0 })
}

fn float(kind: &Kind, value: f64, out: &mut Vec<u8>) -> Result<Wrote, String> {
    match kind {
        Kind::Double => out.extend_from_slice(&value.to_le_bytes()),
        Kind::Float if !value.is_finite() || (value as f32).is_finite() => {
            out.extend_from_slice(&(value as f32).to_le_bytes());
        }
        _ => return Err(format!("the number {value} does not fit a field of type {kind:?}")),
    }
    // Minus zero is not what a missing field is.
    Ok(Wrote { is_zero: value.to_bits() == 0 })
}

/// Values that have a text everybody agrees on.
fn as_text(cells: &Cells, row: usize) -> Result<Vec<u8>, String> {
    let mut text = Vec::new();
    match cells {
        Cells::Decimal(values) => text.extend_from_slice(values.value_as_string(row).as_bytes()),
        Cells::Date(days) => time::write_date(&mut text, days.value(row)),
        Cells::Time(ns) => time::write_time(&mut text, ns.value(row)),
        Cells::Timestamp(values, unit, zoned) => {
            time::write_timestamp(&mut text, values.value(row), *unit, *zoned);
        }
        _ => return Err("the column does not fit a field of text".into()),
    }
    Ok(text)
}
