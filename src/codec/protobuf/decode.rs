//! Protobuf records to a batch, one partition at a time.

use super::{
    frame::Frame,
    plan::{Filling, Plan, Scalar, Shape, Slot},
    schema::arrow_schema,
    wire::{Form, MAX_DEPTH, Wire, Written},
};
use crate::{
    codec::{
        column::{
            Cells, Column, DecodeOptions, Fault, Object, ReadRecord, RecordDecoder, Refused,
            Scanned, Step, Value,
        },
        json::TOO_MUCH_TEXT,
        rows::{Decode, Decoded},
    },
    error::Result,
    types::Records,
};
use arrow::datatypes::{Fields, SchemaRef};
use prost_reflect::MessageDescriptor;
use std::{ops::Range, sync::Arc};

/// Decodes the records of one partition.
pub struct Decoder(RecordDecoder<Reader>);

impl Decoder {
    /// A decoder of `message` into `schema`, or into columns for all of its fields.
    ///
    /// # Errors
    ///
    /// [`crate::error::Error::Config`] for a column that no record could fill.
    pub fn new(
        message: &MessageDescriptor,
        is_framed: bool,
        schema: Option<SchemaRef>,
        options: DecodeOptions,
    ) -> Result<Self> {
        let schema = match schema {
            Some(schema) => schema,
            None => arrow_schema(message)?,
        };
        let root = Object::new(schema.fields(), schema.metadata(), false)?;
        let reader = Reader {
            plan: Arc::new(Plan::new(message, &root)?),
            frame: is_framed.then(|| Frame::of(message)),
            scratch: Vec::new(),
        };
        RecordDecoder::new(reader, schema, options).map(Self)
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

/// Reads one message.
struct Reader {
    plan: Arc<Plan>,
    frame: Option<Frame>,
    /// Room for defaults, which are JSON.
    scratch: Vec<u8>,
}

impl ReadRecord for Reader {
    fn read(&mut self, root: &mut Object, data: &[u8], row: usize) -> Scanned<()> {
        let start = match &self.frame {
            Some(frame) => frame.read(data)?,
            None => 0,
        };
        let plan = Arc::clone(&self.plan);
        self.message(&plan, root, (&data[start..], start), row, 0)
    }

    fn fields_of(&self, _: &[u8]) -> Scanned<Fields> {
        unreachable!("the schema is known")
    }

    fn message(&self, fault: &Fault, _: &[u8]) -> String {
        fault.message_in_bytes()
    }
}

impl Reader {
    /// Reads the fields of `data`, which begins at `base` in its record, into row `row`.
    fn message(
        &mut self,
        plan: &Plan,
        object: &mut Object,
        (data, base): (&[u8], usize),
        row: usize,
        depth: usize,
    ) -> Scanned<()> {
        let mut wire = Wire::new(data, base);
        if depth >= MAX_DEPTH {
            return Err(Fault::new(base, format!("nested deeper than {MAX_DEPTH} levels")));
        }
        // Messages that come twice are merged once everything has been seen.
        let mut merged: Vec<usize> = Vec::new();
        while !wire.is_done() {
            let at = wire.at();
            let (number, form) = wire.key()?;
            let value = wire.value(number, form, depth)?;
            let Some(i) = plan.find(number) else {
                if plan.is_strict {
                    let what = format!("field number {number} is not a field of the schema");
                    return Err(Fault::new(at, what));
                }
                continue;
            };
            let slot = &plan.slots[i];
            for &rival in &slot.rivals {
                merged.retain(|&m| m != rival);
                if let Some(column) = plan.slots[rival].column {
                    object.columns[column].truncate(row);
                }
            }
            let Some(column) = slot.column else { continue };
            let column = &mut object.columns[column];
            if column.len > row && matches!(slot.kind, Filling::Message(_)) {
                if !merged.contains(&i) {
                    merged.push(i);
                }
                continue;
            }
            self.field(slot, column, value, (at, form), row, depth)
                .map_err(|fault| fault.within_field(&slot.name))?;
        }
        for i in merged {
            let slot = &plan.slots[i];
            let Some(column) = slot.column else { continue };
            let whole = gather(plan, i, (data, base), depth)?;
            object.columns[column].truncate(row);
            let value = Written::Bytes(&whole, base);
            self.field(slot, &mut object.columns[column], value, (base, Form::Bytes), row, depth)
                .map_err(|fault| fault.within_field(&slot.name))?;
        }
        self.finish(plan, object, (data, base), row, depth)
    }

    /// Ends lists and maps, and gives fields that are not in the record their values.
    fn finish(
        &mut self,
        plan: &Plan,
        object: &mut Object,
        (data, base): (&[u8], usize),
        row: usize,
        depth: usize,
    ) -> Scanned<()> {
        let at = base + data.len();
        for slot in &plan.slots {
            let Some(i) = slot.column else { continue };
            let column = &mut object.columns[i];
            if column.len > row {
                continue;
            }
            let ended = match (&slot.shape, &slot.kind) {
                (Shape::List, _) => column.close_list(),
                (Shape::Map(key), kind) => {
                    if column.repeats_keys() {
                        column.truncate(row);
                        for entry in last_entries(key, slot.number, (data, base), depth)? {
                            self.entry(key, kind, column, entry, depth)?;
                        }
                    }
                    column.close_map()
                }
                (Shape::One, _) if slot.is_required => Err("missing".into()),
                (Shape::One, Filling::Scalar(scalar)) if !slot.has_presence => {
                    push_scalar(column, scalar, scalar.zero())
                }
                (Shape::One, _) => {
                    object.fill(i, at, &mut self.scratch, depth)?;
                    Ok(())
                }
            };
            ended.map_err(|what| Fault::new(at, what).within_field(&slot.name))?;
        }
        for &i in &plan.unfilled {
            object.fill(i, at, &mut self.scratch, depth)?;
        }
        Ok(())
    }

    /// Reads one value of `slot` into its column.
    #[inline]
    fn field(
        &mut self,
        slot: &Slot,
        column: &mut Column,
        value: Written<'_>,
        (at, form): (usize, Form),
        row: usize,
        depth: usize,
    ) -> Scanned<()> {
        match (&slot.shape, &mut column.cells) {
            (Shape::List, Cells::List { item, offsets }) => {
                let start = offsets[row] as usize;
                let step = |item: &Column| Step::Item(item.len - start);
                match (&slot.kind, value) {
                    (Filling::Scalar(scalar), Written::Bytes(packed, base))
                        if scalar.form() != Form::Bytes && form == Form::Bytes =>
                    {
                        let mut wire = Wire::new(packed, base);
                        while !wire.is_done() {
                            let (at, form) = (wire.at(), scalar.form());
                            let value = wire.value(slot.number, form, depth)?;
                            self.value(&slot.kind, item, value, (at, form), depth)
                                .map_err(|fault| fault.within(step(item)))?;
                        }
                        Ok(())
                    }
                    _ => self
                        .value(&slot.kind, item, value, (at, form), depth)
                        .map_err(|fault| fault.within(step(item))),
                }
            }
            (Shape::Map(key), Cells::Map { .. }) => {
                let Written::Bytes(entry, base) = value else { return Err(mismatch(at, form)) };
                self.entry(key, &slot.kind, column, (entry, base), depth)
            }
            _ => {
                if column.len > row {
                    column.truncate(row);
                }
                self.value(&slot.kind, column, value, (at, form), depth)
            }
        }
    }

    /// Reads one entry of a map.
    fn entry(
        &mut self,
        key: &Scalar,
        kind: &Filling,
        column: &mut Column,
        (data, base): (&[u8], usize),
        depth: usize,
    ) -> Scanned<()> {
        let mut wire = Wire::new(data, base);
        let (mut name, mut content) = (None, None);
        while !wire.is_done() {
            let at = wire.at();
            let (number, form) = wire.key()?;
            let value = wire.value(number, form, depth)?;
            match number {
                1 => name = Some(expect(key.read(value), at, form)?),
                2 => content = Some((value, at, form)),
                _ => {}
            }
        }
        let name = key_text(name.unwrap_or_else(|| key.zero()));
        let Cells::Map { keys, value, .. } = &mut column.cells else { return Ok(()) };
        if !keys.push(name.as_bytes()) {
            return Err(Fault::new(base, TOO_MUCH_TEXT));
        }
        let read = match (content, kind) {
            (Some((content, at, form)), _) => self.value(kind, value, content, (at, form), depth),
            (None, Filling::Scalar(scalar)) => {
                push_scalar(value, scalar, scalar.zero()).map_err(|what| Fault::new(base, what))
            }
            (None, _) => {
                self.value(kind, value, Written::Bytes(&[], base), (base, Form::Bytes), depth)
            }
        };
        read.map_err(|fault| fault.within_field(&name))
    }

    /// Appends one value to `column`.
    #[inline]
    fn value(
        &mut self,
        kind: &Filling,
        column: &mut Column,
        value: Written<'_>,
        (at, form): (usize, Form),
        depth: usize,
    ) -> Scanned<()> {
        let value = match (kind, value) {
            (Filling::Scalar(scalar), _) => {
                let value = expect(scalar.read(value), at, form)?;
                return push_scalar(column, scalar, value).map_err(|what| Fault::new(at, what));
            }
            (Filling::Message(plan), Written::Bytes(data, base)) => {
                let row = column.len;
                let Cells::Struct(object) = &mut column.cells else {
                    return Err(mismatch(at, form));
                };
                self.message(plan, object, (data, base), row, depth + 1)?;
                column.pushed();
                return Ok(());
            }
            (Filling::Wrapper(scalar), Written::Bytes(data, base)) => {
                match last_of(1, (data, base), depth)? {
                    Some(written) => expect(scalar.read(written), at, form)?,
                    None => scalar.zero(),
                }
            }
            (Filling::Moment { is_instant }, Written::Bytes(data, base)) => {
                moment(*is_instant, (data, base), depth)?
            }
            _ => return Err(mismatch(at, form)),
        };
        column.push(value).map_err(|what| Fault::new(at, what))
    }
}

/// Appends a value of `scalar`.
#[inline]
fn push_scalar(column: &mut Column, scalar: &Scalar, value: Value<'_>) -> Result<(), Refused> {
    match (scalar, value) {
        // A number that the enum has no name for, in a column of names.
        (Scalar::Enum(names), Value::Int(number)) if !names.is_empty() => {
            column.push(Value::Text(&number.to_string()))
        }
        _ => column.push(value),
    }
}

/// The bytes of the entries of map `number` in `data`: of each key the last one.
fn last_entries<'a>(
    key: &Scalar,
    number: u32,
    (data, base): (&'a [u8], usize),
    depth: usize,
) -> Scanned<Vec<(&'a [u8], usize)>> {
    let mut wire = Wire::new(data, base);
    let mut last = ahash::AHashMap::new();
    while !wire.is_done() {
        let (found, form) = wire.key()?;
        if let (true, Written::Bytes(entry, at)) =
            (found == number, wire.value(found, form, depth)?)
        {
            let name = match last_of(1, (entry, at), depth)? {
                Some(written) => key.read(written).transpose().ok().flatten(),
                None => None,
            };
            last.insert(key_text(name.unwrap_or_else(|| key.zero())).into_owned(), (at, entry));
        }
    }
    let mut kept: Vec<(usize, &[u8])> = last.into_values().collect();
    kept.sort_unstable_by_key(|(at, _)| *at);
    Ok(kept.into_iter().map(|(at, entry)| (entry, at)).collect())
}

#[cold]
fn mismatch(at: usize, form: Form) -> Box<Fault> {
    let what = format!("written as {}, which is not how the schema has it", form.name());
    Fault::new(at, what)
}

/// All bytes of field `slot` in `data` since the last other member of its oneof, as one message:
/// merging messages is the same as reading one behind the other.
fn gather(
    plan: &Plan,
    slot: usize,
    (data, base): (&[u8], usize),
    depth: usize,
) -> Scanned<Vec<u8>> {
    let mut wire = Wire::new(data, base);
    let mut whole = Vec::new();
    while !wire.is_done() {
        let (number, form) = wire.key()?;
        let value = wire.value(number, form, depth)?;
        match (plan.find(number), value) {
            (Some(found), Written::Bytes(bytes, _)) if found == slot => {
                whole.extend_from_slice(bytes);
            }
            (Some(found), _) if plan.slots[slot].rivals.contains(&found) => whole.clear(),
            _ => {}
        }
    }
    Ok(whole)
}

/// The last value of field `number`.
fn last_of<'a>(
    number: u32,
    (data, base): (&'a [u8], usize),
    depth: usize,
) -> Scanned<Option<Written<'a>>> {
    let mut wire = Wire::new(data, base);
    let mut last = None;
    while !wire.is_done() {
        let (found, form) = wire.key()?;
        let value = wire.value(found, form, depth)?;
        if found == number {
            last = Some(value);
        }
    }
    Ok(last)
}

/// `google.protobuf.Timestamp` and `Duration`: seconds in field 1, nanoseconds in field 2.
fn moment<'a>(is_instant: bool, (data, base): (&[u8], usize), depth: usize) -> Scanned<Value<'a>> {
    let integer = |number| -> Scanned<i64> {
        match last_of(number, (data, base), depth)? {
            None => Ok(0),
            Some(Written::Varint(value)) => Ok(value.cast_signed()),
            Some(_) => Err(Fault::new(base, "seconds and nanoseconds are varints")),
        }
    };
    let (seconds, ns) = (integer(1)?, integer(2)?);
    let in_range = if is_instant {
        (0..1_000_000_000).contains(&ns)
    } else {
        (-999_999_999..1_000_000_000).contains(&ns) && seconds.signum() * ns.signum() >= 0
    };
    if !in_range {
        return Err(Fault::new(base, format!("{ns} nanoseconds are out of range")));
    }
    Ok(if is_instant {
        Value::Instant(seconds, u32::try_from(ns).unwrap_or(0))
    } else {
        Value::Length(seconds, i32::try_from(ns).unwrap_or(0))
    })
}

/// A key as text, as Protobuf's JSON has it.
fn key_text(key: Value<'_>) -> std::borrow::Cow<'_, str> {
    match key {
        Value::Text(text) => text.into(),
        Value::Bool(value) => value.to_string().into(),
        Value::Int(value) => value.to_string().into(),
        Value::UInt(value) => value.to_string().into(),
        _ => "".into(),
    }
}

/// A value that a record must have written in another way is a fault at byte `at`.
#[inline]
fn expect<'a>(
    value: Option<Result<Value<'a>, Refused>>,
    at: usize,
    form: Form,
) -> Scanned<Value<'a>> {
    match value {
        Some(value) => value.map_err(|what| Fault::new(at, what)),
        None => Err(mismatch(at, form)),
    }
}
