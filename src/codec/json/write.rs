//! Arrow values as JSON text.

use super::scan;
use crate::codec::column::{Node, NodeCells as Cells, Value, time};
use arrow::datatypes::TimeUnit;

/// Where text is written, and what was noticed on the way.
pub(in crate::codec) struct Pen {
    /// The text so far.
    pub out: Vec<u8>,
    /// NaN and infinities written as `null`.
    pub non_finite: u64,
    scratch: Vec<u8>,
}

impl Pen {
    pub(in crate::codec) fn new(out: Vec<u8>) -> Self {
        Self { out, non_finite: 0, scratch: Vec::new() }
    }

    /// `open`, then `"name":`.
    pub(in crate::codec) fn name(open: u8, name: &str) -> Vec<u8> {
        let mut pen = Self::new(vec![open]);
        pen.text(name.as_bytes());
        pen.out.push(b':');
        pen.out
    }

    /// What stands in front of the value of field `i` of an object.
    pub(in crate::codec) fn label(i: usize, name: &str) -> Vec<u8> {
        Self::name(if i == 0 { b'{' } else { b',' }, name)
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

    /// One value; none if it has no JSON form.
    pub(in crate::codec) fn value(&mut self, value: Value<'_>) -> Option<()> {
        let out = &mut self.out;
        match value {
            Value::Null => out.extend_from_slice(b"null"),
            Value::Bool(value) => out.extend_from_slice(if value { b"true" } else { b"false" }),
            Value::Int(v) => out.extend_from_slice(itoa::Buffer::new().format(v).as_bytes()),
            Value::UInt(v) => out.extend_from_slice(itoa::Buffer::new().format(v).as_bytes()),
            Value::Float(v) if v.is_finite() => {
                out.extend_from_slice(zmij::Buffer::new().format_finite(v).as_bytes());
            }
            Value::Float(_) => return None,
            Value::Text(text) => self.text(text.as_bytes()),
            Value::Bytes(bytes) => self.text(std::str::from_utf8(bytes).ok()?.as_bytes()),
            Value::Length(seconds, ns) => {
                let ns = time::in_unit(seconds, ns.into(), TimeUnit::Nanosecond)?;
                out.push(b'"');
                time::write_duration(out, ns, TimeUnit::Nanosecond);
                out.push(b'"');
            }
            Value::Instant(seconds, ns) => {
                if !time::is_in_calendar(seconds) {
                    return None;
                }
                out.push(b'"');
                time::write_instant(out, seconds, ns.into());
                out.push(b'"');
            }
        }
        Some(())
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

impl Node {
    /// Writes row `i`; `Err` says why its value has no JSON form.
    #[inline]
    pub(in crate::codec) fn write(&self, i: usize, pen: &mut Pen) -> Result<(), String> {
        if self.is_null(i) {
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
