//! Arrow values as JSON text.

use super::{RAW_JSON, scan, time};
use arrow::{
    array::{
        Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Decimal128Array, Float32Array,
        Float64Array, Int64Array, LargeStringArray, ListArray, MapArray, StringArray,
        StringViewArray, UInt64Array,
    },
    buffer::NullBuffer,
    compute::{CastOptions, cast_with_options},
    datatypes::{DataType, Field, Int64Type, TimeUnit, UInt64Type},
};
use std::sync::Arc;

/// Where text is written, and what was noticed on the way.
pub(super) struct Pen {
    /// The text so far.
    pub out: Vec<u8>,
    /// NaN and infinities written as `null`.
    pub non_finite: u64,
    scratch: Vec<u8>,
}

impl Pen {
    pub(super) fn new(out: Vec<u8>) -> Self {
        Self { out, non_finite: 0, scratch: Vec::new() }
    }

    /// `open`, then `"name":`.
    pub(super) fn name(open: u8, name: &str) -> Vec<u8> {
        let mut pen = Self::new(vec![open]);
        pen.text(name.as_bytes());
        pen.out.push(b':');
        pen.out
    }

    /// A string with its quotes.
    #[inline]
    fn text(&mut self, text: &[u8]) {
        self.out.push(b'"');
        let plain = plain_len(text);
        if plain == text.len() {
            self.out.extend_from_slice(text);
        } else {
            self.escaped(text, plain);
        }
        self.out.push(b'"');
    }

    #[inline(never)]
    fn escaped(&mut self, mut text: &[u8], mut plain: usize) {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        loop {
            self.out.extend_from_slice(&text[..plain]);
            let Some(&b) = text.get(plain) else { return };
            match b {
                b'"' | b'\\' => self.out.extend([b'\\', b]),
                b'\n' => self.out.extend(b"\\n"),
                b'\r' => self.out.extend(b"\\r"),
                b'\t' => self.out.extend(b"\\t"),
                _ => {
                    self.out.extend(b"\\u00");
                    self.out.extend([HEX[usize::from(b >> 4)], HEX[usize::from(b & 15)]]);
                }
            }
            text = &text[plain + 1..];
            plain = plain_len(text);
        }
    }

    #[inline]
    fn finite(&mut self, is_finite: bool) -> bool {
        if !is_finite {
            self.non_finite += 1;
            self.out.extend_from_slice(b"null");
        }
        is_finite
    }
}

/// Length of the run at the start of `text` that needs no escapes.
#[inline]
fn plain_len(text: &[u8]) -> usize {
    let mut n = 0;
    while let Some(chunk) = text[n..].first_chunk::<8>() {
        let stop = scan::stops(u64::from_le_bytes(*chunk));
        if stop != 0 {
            return n + stop.trailing_zeros() as usize / 8;
        }
        n += 8;
    }
    let rest = &text[n..];
    n + rest.iter().position(|&b| b == b'"' || b == b'\\' || b < 0x20).unwrap_or(rest.len())
}

/// An array that is ready to be written.
pub(super) struct Node {
    nulls: Option<NullBuffer>,
    cells: Cells,
}

enum Cells {
    Null,
    Bool(BooleanArray),
    Int(Int64Array),
    UInt(UInt64Array),
    Float(Float64Array),
    Float32(Float32Array),
    Text(StringArray),
    LargeText(LargeStringArray),
    TextView(StringViewArray),
    Raw(StringArray),
    Binary(BinaryArray),
    Decimal(Decimal128Array),
    Date(Int64Array),
    /// In nanoseconds.
    Time(Int64Array),
    Timestamp(Int64Array, TimeUnit, bool),
    Duration(Int64Array, TimeUnit),
    List(Box<(ListArray, Node)>),
    Struct(Vec<(Vec<u8>, Node)>),
    Map(Box<(MapArray, StringArray, Node)>),
}

fn cast(array: &ArrayRef, to: &DataType) -> Result<ArrayRef, String> {
    // A value that does not fit must be an error, not a null.
    let options = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(array, to, &options).map_err(|e| e.to_string())
}

fn ints(array: &ArrayRef) -> Result<Int64Array, String> {
    Ok(cast(array, &DataType::Int64)?.as_primitive::<Int64Type>().clone())
}

impl Node {
    /// Prepares the column `array`; `Err` names the type that has no JSON form.
    pub(super) fn new(field: &Field, array: &ArrayRef) -> Result<Self, String> {
        let cells =
            Cells::new(field, array).map_err(|why| format!("column `{}`: {why}", field.name()))?;
        // A dictionary or run-end array keeps nulls in its values as well.
        Ok(Self { nulls: array.logical_nulls().filter(|n| n.null_count() > 0), cells })
    }

    /// Writes row `i`; `Err` says why its value has no JSON form.
    #[inline]
    pub(super) fn write(&self, i: usize, pen: &mut Pen) -> Result<(), String> {
        if self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(i)) {
            pen.out.extend_from_slice(b"null");
            return Ok(());
        }
        match &self.cells {
            Cells::Int(values) => {
                pen.out.extend_from_slice(itoa::Buffer::new().format(values.value(i)).as_bytes());
            }
            Cells::Float(values) => {
                let value = values.value(i);
                if pen.finite(value.is_finite()) {
                    pen.out.extend_from_slice(zmij::Buffer::new().format_finite(value).as_bytes());
                }
            }
            Cells::Text(values) => pen.text(values.value(i).as_bytes()),
            Cells::LargeText(values) => pen.text(values.value(i).as_bytes()),
            Cells::TextView(values) => pen.text(values.value(i).as_bytes()),
            Cells::Bool(values) => {
                pen.out.extend_from_slice(if values.value(i) { b"true" } else { b"false" });
            }
            _ => return self.write_rare(i, pen),
        }
        Ok(())
    }

    #[inline(never)]
    fn write_rare(&self, i: usize, pen: &mut Pen) -> Result<(), String> {
        match &self.cells {
            Cells::Null => pen.out.extend_from_slice(b"null"),
            Cells::UInt(values) => {
                pen.out.extend_from_slice(itoa::Buffer::new().format(values.value(i)).as_bytes());
            }
            Cells::Float32(values) => {
                let value = values.value(i);
                if pen.finite(value.is_finite()) {
                    pen.out.extend_from_slice(zmij::Buffer::new().format_finite(value).as_bytes());
                }
            }
            Cells::Raw(values) => raw(values.value(i).as_bytes(), pen)?,
            Cells::Binary(values) => {
                let value = values.value(i);
                let text = std::str::from_utf8(value).map_err(
                    |_| "binary that is not UTF-8 has no JSON form; encode it as text, say base64",
                )?;
                pen.text(text.as_bytes());
            }
            Cells::Decimal(values) => {
                pen.out.push(b'"');
                pen.out.extend_from_slice(values.value_as_string(i).as_bytes());
                pen.out.push(b'"');
            }
            Cells::List(list) => {
                let (lists, items) = &**list;
                let offsets = lists.value_offsets();
                pen.out.push(b'[');
                for item in offsets[i]..offsets[i + 1] {
                    if item > offsets[i] {
                        pen.out.push(b',');
                    }
                    items.write(item as usize, pen)?;
                }
                pen.out.push(b']');
            }
            Cells::Struct(fields) => {
                if fields.is_empty() {
                    pen.out.push(b'{');
                }
                for (name, node) in fields {
                    pen.out.extend_from_slice(name);
                    node.write(i, pen)?;
                }
                pen.out.push(b'}');
            }
            Cells::Map(map) => {
                let (maps, keys, values) = &**map;
                let offsets = maps.value_offsets();
                pen.out.push(b'{');
                for entry in offsets[i]..offsets[i + 1] {
                    if entry > offsets[i] {
                        pen.out.push(b',');
                    }
                    pen.text(keys.value(entry as usize).as_bytes());
                    pen.out.push(b':');
                    values.write(entry as usize, pen)?;
                }
                pen.out.push(b'}');
            }
            _ => self.write_time(i, pen)?,
        }
        Ok(())
    }

    fn write_time(&self, i: usize, pen: &mut Pen) -> Result<(), String> {
        pen.out.push(b'"');
        match &self.cells {
            Cells::Date(days) => time::write_date(&mut pen.out, days.value(i)),
            Cells::Time(ns) => time::write_time(&mut pen.out, ns.value(i)),
            Cells::Timestamp(values, unit, zoned) => {
                time::write_timestamp(&mut pen.out, values.value(i), *unit, *zoned);
            }
            Cells::Duration(values, unit) => {
                time::write_duration(&mut pen.out, values.value(i), *unit);
            }
            _ => return Err("not a time".into()),
        }
        pen.out.push(b'"');
        Ok(())
    }
}

/// Embeds JSON text after checking it.
fn raw(json: &[u8], pen: &mut Pen) -> Result<(), String> {
    let mut scan = scan::Scan::new(json);
    let valid = scan.skip(&mut pen.scratch, 1).and_then(|()| scan.finish());
    valid.map_err(|fault| format!("not valid JSON: {}", fault.message(json)))?;
    pen.out.extend_from_slice(json);
    Ok(())
}

impl Cells {
    fn new(field: &Field, array: &ArrayRef) -> Result<Self, String> {
        use DataType as T;
        let again = |to: &T| Self::new(field, &cast(array, to)?);
        Ok(match array.data_type() {
            T::Null => Self::Null,
            T::Boolean => Self::Bool(array.as_boolean().clone()),
            T::Int8 | T::Int16 | T::Int32 | T::Int64 => Self::Int(ints(array)?),
            T::UInt8 | T::UInt16 | T::UInt32 | T::UInt64 => {
                Self::UInt(cast(array, &T::UInt64)?.as_primitive::<UInt64Type>().clone())
            }
            T::Float16 => again(&T::Float32)?,
            T::Float32 => Self::Float32(array.as_primitive().clone()),
            T::Float64 => Self::Float(array.as_primitive().clone()),
            T::Utf8 | T::LargeUtf8 | T::Utf8View
                if field.metadata().get(RAW_JSON).is_some_and(|v| v == "1") =>
            {
                Self::Raw(cast(array, &T::Utf8)?.as_string().clone())
            }
            T::Utf8 => Self::Text(array.as_string().clone()),
            T::LargeUtf8 => Self::LargeText(array.as_string().clone()),
            T::Utf8View => Self::TextView(array.as_string_view().clone()),
            T::Binary => Self::Binary(array.as_binary().clone()),
            T::LargeBinary | T::BinaryView | T::FixedSizeBinary(_) => again(&T::Binary)?,
            T::Date32 => Self::Date(ints(&cast(array, &T::Int32)?)?),
            T::Date64 => again(&T::Date32)?,
            T::Time32(_) | T::Time64(TimeUnit::Microsecond) => {
                again(&T::Time64(TimeUnit::Nanosecond))?
            }
            T::Time64(_) => Self::Time(ints(array)?),
            T::Timestamp(unit, zone) => Self::Timestamp(ints(array)?, *unit, zone.is_some()),
            T::Duration(unit) => Self::Duration(ints(array)?, *unit),
            T::Decimal128(..) => Self::Decimal(array.as_primitive().clone()),
            T::Decimal32(_, scale) | T::Decimal64(_, scale) => again(&T::Decimal128(38, *scale))?,
            T::Decimal256(..) => again(&T::Utf8)?,
            T::Dictionary(_, values) => again(values)?,
            T::RunEndEncoded(_, values) => again(values.data_type())?,
            T::List(item) => {
                let lists: &ListArray = array.as_list();
                Self::List(Box::new((lists.clone(), Node::new(item, lists.values())?)))
            }
            T::LargeList(item)
            | T::FixedSizeList(item, _)
            | T::ListView(item)
            | T::LargeListView(item) => again(&T::List(Arc::clone(item)))?,
            T::Struct(fields) => {
                let columns = fields.iter().zip(array.as_struct().columns()).enumerate();
                let nodes = columns.map(|(i, (field, array))| {
                    let open = if i == 0 { b'{' } else { b',' };
                    Ok((Pen::name(open, field.name()), Node::new(field, array)?))
                });
                Self::Struct(nodes.collect::<Result<_, String>>()?)
            }
            T::Map(entry, _) => {
                let maps = array.as_map();
                let keys = cast(maps.keys(), &T::Utf8)?.as_string().clone();
                let T::Struct(fields) = entry.data_type() else {
                    return Err("a map without entries".into());
                };
                Self::Map(Box::new((maps.clone(), keys, Node::new(&fields[1], maps.values())?)))
            }
            other => {
                return Err(format!("{other} has no JSON form; convert it to text or numbers"));
            }
        })
    }
}

/// A column whose values are record keys.
pub(super) struct Keys {
    nulls: Option<NullBuffer>,
    cells: KeyCells,
}

enum KeyCells {
    Null,
    Text(StringArray),
    Binary(BinaryArray),
    Int(Int64Array),
    UInt(UInt64Array),
}

impl Keys {
    /// Prepares `array`; `Err` says which types can be keys.
    pub(super) fn new(array: &ArrayRef) -> Result<Self, String> {
        use DataType as T;
        let cells = match array.data_type() {
            T::Null => KeyCells::Null,
            T::Utf8 | T::LargeUtf8 | T::Utf8View => {
                KeyCells::Text(cast(array, &T::Utf8)?.as_string().clone())
            }
            T::Binary | T::LargeBinary | T::BinaryView | T::FixedSizeBinary(_) => {
                KeyCells::Binary(cast(array, &T::Binary)?.as_binary().clone())
            }
            T::Int8 | T::Int16 | T::Int32 | T::Int64 => KeyCells::Int(ints(array)?),
            T::UInt8 | T::UInt16 | T::UInt32 | T::UInt64 => {
                KeyCells::UInt(cast(array, &T::UInt64)?.as_primitive::<UInt64Type>().clone())
            }
            T::Dictionary(_, values) => return Self::new(&cast(array, values)?),
            T::RunEndEncoded(_, values) => return Self::new(&cast(array, values.data_type())?),
            other => {
                return Err(format!(
                    "a key is text, binary or an integer, and the column is {other}"
                ));
            }
        };
        Ok(Self { nulls: array.logical_nulls(), cells })
    }

    /// Writes the key of row `i`; false if it has none.
    #[inline]
    pub(super) fn write(&self, i: usize, out: &mut Vec<u8>) -> bool {
        if self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(i)) {
            return false;
        }
        match &self.cells {
            KeyCells::Null => return false,
            KeyCells::Text(values) => out.extend_from_slice(values.value(i).as_bytes()),
            KeyCells::Binary(values) => out.extend_from_slice(values.value(i)),
            KeyCells::Int(values) => {
                out.extend_from_slice(itoa::Buffer::new().format(values.value(i)).as_bytes());
            }
            KeyCells::UInt(values) => {
                out.extend_from_slice(itoa::Buffer::new().format(values.value(i)).as_bytes());
            }
        }
        true
    }
}
