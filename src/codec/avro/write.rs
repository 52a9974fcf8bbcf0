//! Arrow values as Avro data: matched with a schema once a batch, written row by row.

use super::{
    defaults,
    schema::{Record, Type},
};
use crate::codec::column::{Node, NodeCells, time};
use arrow::{
    array::Array,
    buffer::NullBuffer,
    datatypes::{DataType, TimeUnit},
};
use serde_json::Value;
use std::collections::HashMap;

/// A column, or a field without one, that is ready to be written.
pub(super) struct Put {
    /// Which rows are null, if any.
    nulls: Option<NullBuffer>,
    /// What stands for null; none if the schema does not have it there.
    null: Option<Vec<u8>>,
    /// What is in front of a value: the branch of a union.
    branch: Vec<u8>,
    how: How,
}

enum How {
    /// The same for every row.
    Fixed(Vec<u8>),
    /// As the cells say.
    Cells(NodeCells),
    /// Integers in other units; what would be cut is refused.
    Scaled {
        values: arrow::array::Int64Array,
        times: i64,
        over: i64,
    },
    Symbols(arrow::array::StringArray, HashMap<String, Vec<u8>>),
    Uuid(arrow::array::StringArray),
    /// Bytes of one size.
    Sized(arrow::array::BinaryArray, usize),
    Decimal {
        values: arrow::array::Decimal128Array,
        digits: i8,
        precision: u8,
        size: Option<usize>,
    },
    Double(Box<Self>),
    List(arrow::array::ListArray, Box<Put>),
    Map(arrow::array::MapArray, arrow::array::StringArray, Box<Put>),
    Record(Vec<(String, Put)>),
}

/// The fields of `record` from the columns `nodes`, which are left empty of what was taken.
pub(super) fn record(
    record: &Record,
    nodes: &mut Vec<(Vec<u8>, Node)>,
) -> Result<Vec<(String, Put)>, String> {
    let mut puts = Vec::with_capacity(record.fields.len());
    for field in &record.fields {
        let at = nodes.iter().position(|(name, _)| name == field.name.as_bytes());
        let put = match (at, &field.default) {
            (Some(at), _) => Put::new(&field.of, nodes.swap_remove(at).1),
            (None, Some(default)) => encoded(&field.of, default)
                .map(Put::fixed)
                .ok_or_else(|| format!("its default {default} cannot be written")),
            (None, None) => Err("there is no such column, and the field has no default".into()),
        };
        puts.push((field.name.clone(), put.map_err(|why| format!("`{}`: {why}", field.name))?));
    }
    if let Some((name, _)) = nodes.first() {
        let name = String::from_utf8_lossy(name);
        return Err(format!(
            "`{name}` is not a field of the schema: leave the column out, or write with a schema \
             that has it"
        ));
    }
    Ok(puts)
}

impl Put {
    fn fixed(bytes: Vec<u8>) -> Self {
        Self { nulls: None, null: None, branch: Vec::new(), how: How::Fixed(bytes) }
    }

    /// Writes the values of `node` as `of`.
    fn new(of: &Type, node: Node) -> Result<Self, String> {
        let nulls = node.nulls;
        let Type::Union(branches) = of else {
            let null = (*of == Type::Null).then(Vec::new);
            return Ok(Self { nulls, null, branch: Vec::new(), how: How::new(of, node.cells)? });
        };
        let null = branches.iter().position(|b| *b == Type::Null).map(|at| long(at as i64));
        let mut others = branches.iter().enumerate().filter(|(_, b)| **b != Type::Null);
        let (Some((at, one)), None) = (others.next(), others.next()) else {
            return Err(
                "a union of several types cannot be written: give the field one type".into()
            );
        };
        if matches!(node.cells, NodeCells::Null) {
            let null = null.ok_or("the column is null, and the schema does not allow that")?;
            return Ok(Self::fixed(null));
        }
        Ok(Self { nulls, null, branch: long(at as i64), how: How::new(one, node.cells)? })
    }

    /// Writes row `i`; `Err` says why its value cannot be written.
    #[inline]
    pub(super) fn write(&self, i: usize, out: &mut Vec<u8>) -> Result<(), String> {
        if self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(i)) {
            let null = self.null.as_ref().ok_or("null, which the schema does not allow")?;
            out.extend_from_slice(null);
            return Ok(());
        }
        out.extend_from_slice(&self.branch);
        self.how.write(i, out)
    }
}

impl How {
    fn new(of: &Type, cells: NodeCells) -> Result<Self, String> {
        let refused = |cells: &NodeCells| {
            format!("{} cannot be written as {}: cast the column", shown(cells), of.name())
        };
        Ok(match (of, cells) {
            (Type::Null, NodeCells::Null) => Self::Fixed(Vec::new()),
            (Type::Bool, cells @ NodeCells::Bool(_))
            | (Type::Int | Type::Long, cells @ (NodeCells::Int(_) | NodeCells::UInt(_)))
            | (Type::Float, cells @ NodeCells::Float32(_))
            | (Type::Double, cells @ NodeCells::Float(_))
            | (
                Type::String,
                cells @ (NodeCells::Text(_)
                | NodeCells::LargeText(_)
                | NodeCells::TextView(_)
                | NodeCells::Raw(_)),
            )
            | (Type::Bytes, cells @ NodeCells::Binary(_)) => {
                if matches!((of, &cells), (Type::Int, NodeCells::UInt(_))) || of == &Type::Int {
                    return narrowed(cells);
                }
                Self::Cells(cells)
            }
            (
                Type::Double,
                cells @ (NodeCells::Float32(_) | NodeCells::Int(_) | NodeCells::UInt(_)),
            ) => Self::Double(Box::new(Self::Cells(cells))),
            (Type::Uuid, NodeCells::Text(values)) => Self::Uuid(values),
            (Type::Uuid, NodeCells::Binary(values)) => Self::Sized(values, 16),
            (Type::Fixed(size), NodeCells::Binary(values)) => Self::Sized(values, *size),
            (Type::Enum(one), NodeCells::Text(values)) => {
                let symbol = |(at, symbol): (usize, &String)| (symbol.clone(), long(at as i64));
                Self::Symbols(values, one.symbols.iter().enumerate().map(symbol).collect())
            }
            (Type::Date, NodeCells::Date(values)) => Self::Scaled { values, times: 1, over: 1 },
            (Type::Time(unit), NodeCells::Time(values)) => {
                Self::Scaled { values, times: 1, over: time::ns_per(*unit) }
            }
            (Type::Timestamp { unit: to, is_utc }, NodeCells::Timestamp(values, unit, zoned))
                if *is_utc == zoned =>
            {
                scaled(values, unit, *to)
            }
            (Type::Decimal { precision, scale, size }, NodeCells::Decimal(values)) => {
                let DataType::Decimal128(_, from) = *values.data_type() else {
                    return Err("a decimal without digits".into());
                };
                let digits = scale.checked_sub(from).ok_or("too many digits")?;
                Self::Decimal { values, digits, precision: *precision, size: *size }
            }
            (Type::Array(of), NodeCells::List(list)) => {
                let (lists, items) = *list;
                Self::List(lists, Box::new(Put::new(of, items)?))
            }
            (Type::Map(of), NodeCells::Map(map)) => {
                let (maps, keys, values) = *map;
                Self::Map(maps, keys, Box::new(Put::new(of, values)?))
            }
            (Type::Record(of), NodeCells::Struct(mut fields)) => {
                Self::Record(record(of, &mut fields)?)
            }
            (_, cells) => return Err(refused(&cells)),
        })
    }

    #[inline]
    fn write(&self, i: usize, out: &mut Vec<u8>) -> Result<(), String> {
        match self {
            Self::Cells(NodeCells::Int(values)) => put_long(values.value(i), out),
            Self::Cells(NodeCells::Float(values)) => out.extend(values.value(i).to_le_bytes()),
            Self::Cells(NodeCells::Text(values)) => bytes(values.value(i).as_bytes(), out),
            Self::Cells(NodeCells::LargeText(values)) => bytes(values.value(i).as_bytes(), out),
            Self::Cells(NodeCells::TextView(values)) => bytes(values.value(i).as_bytes(), out),
            Self::Cells(NodeCells::Binary(values)) => bytes(values.value(i), out),
            Self::Fixed(fixed) => out.extend_from_slice(fixed),
            _ => return self.write_rare(i, out),
        }
        Ok(())
    }

    #[inline(never)]
    fn write_rare(&self, i: usize, out: &mut Vec<u8>) -> Result<(), String> {
        match self {
            Self::Cells(NodeCells::Bool(values)) => out.push(values.value(i).into()),
            Self::Cells(NodeCells::UInt(values)) => {
                let value = values.value(i);
                put_long(i64::try_from(value).map_err(|_| format!("{value} is no long"))?, out);
            }
            Self::Cells(NodeCells::Float32(values)) => out.extend(values.value(i).to_le_bytes()),
            Self::Cells(NodeCells::Raw(values)) => bytes(values.value(i).as_bytes(), out),
            Self::Scaled { values, times, over } => {
                let value = values.value(i);
                let scaled = value.checked_mul(*times).filter(|v| v % over == 0);
                let scaled =
                    scaled.ok_or_else(|| format!("{value} does not fit the unit of the schema"))?;
                put_long(scaled / over, out);
            }
            Self::Symbols(values, symbols) => {
                let value = values.value(i);
                let symbol = symbols.get(value);
                out.extend_from_slice(
                    symbol.ok_or_else(|| format!("{value:?} is not a symbol of the enum"))?,
                );
            }
            Self::Uuid(values) => {
                let id = uuid::Uuid::parse_str(values.value(i)).map_err(|e| e.to_string())?;
                out.extend_from_slice(id.as_bytes());
            }
            Self::Sized(values, size) => {
                let value = values.value(i);
                if value.len() != *size {
                    return Err(format!("{} bytes instead of {size}", value.len()));
                }
                out.extend_from_slice(value);
            }
            Self::Decimal { values, digits, precision, size } => {
                return decimal(values.value(i), *digits, *precision, *size, out);
            }
            Self::Double(inner) => match &**inner {
                Self::Cells(NodeCells::Float32(values)) => {
                    out.extend(f64::from(values.value(i)).to_le_bytes());
                }
                Self::Cells(NodeCells::Int(values)) => {
                    out.extend((values.value(i) as f64).to_le_bytes());
                }
                Self::Cells(NodeCells::UInt(values)) => {
                    out.extend((values.value(i) as f64).to_le_bytes());
                }
                _ => return Err("not a number".into()),
            },
            _ => return self.write_nested(i, out),
        }
        Ok(())
    }

    fn write_nested(&self, i: usize, out: &mut Vec<u8>) -> Result<(), String> {
        match self {
            Self::List(lists, items) => {
                let offsets = lists.value_offsets();
                let range = offsets[i]..offsets[i + 1];
                block(range.len(), out);
                for item in range.clone() {
                    items.write(item as usize, out)?;
                }
                end(range.len(), out);
            }
            Self::Map(maps, keys, values) => {
                let offsets = maps.value_offsets();
                let range = offsets[i]..offsets[i + 1];
                block(range.len(), out);
                for entry in range.clone() {
                    bytes(keys.value(entry as usize).as_bytes(), out);
                    values.write(entry as usize, out)?;
                }
                end(range.len(), out);
            }
            Self::Record(fields) => {
                for (name, put) in fields {
                    put.write(i, out).map_err(|why| format!("{name}: {why}"))?;
                }
            }
            _ => return Err("not a value of Avro".into()),
        }
        Ok(())
    }
}

/// Integers that an `int` can hold; checked before anything is written.
fn narrowed(cells: NodeCells) -> Result<How, String> {
    let fits = match &cells {
        NodeCells::Int(values) => {
            let fits = |(i, &v): (usize, &i64)| values.is_null(i) || i32::try_from(v).is_ok();
            values.values().iter().enumerate().all(fits)
        }
        NodeCells::UInt(values) => {
            let fits = |(i, &v): (usize, &u64)| values.is_null(i) || i32::try_from(v).is_ok();
            values.values().iter().enumerate().all(fits)
        }
        _ => false,
    };
    fits.then_some(How::Cells(cells)).ok_or_else(|| "a value does not fit 32 bits".into())
}

fn scaled(values: arrow::array::Int64Array, from: TimeUnit, to: TimeUnit) -> How {
    let (from, to) = (time::ns_per(from), time::ns_per(to));
    let (times, over) = if from >= to { (from / to, 1) } else { (1, to / from) };
    How::Scaled { values, times, over }
}

fn decimal(
    value: i128,
    digits: i8,
    precision: u8,
    size: Option<usize>,
    out: &mut Vec<u8>,
) -> Result<(), String> {
    let given = value.to_be_bytes();
    let scaled = super::plan::rescaled(&given, digits)
        .filter(|v| v.unsigned_abs() < 10_u128.pow(precision.into()))
        .ok_or_else(|| format!("a number that decimal({precision}) cannot hold"))?;
    let whole = scaled.to_be_bytes();
    let fill = if scaled < 0 { 0xFF } else { 0 };
    // As few bytes as keep the sign.
    let spare = whole.windows(2).take_while(|w| w[0] == fill && (w[1] ^ fill) & 0x80 == 0).count();
    match size {
        None => bytes(&whole[spare..], out),
        Some(size) => {
            let least = &whole[spare..];
            let pad = size.checked_sub(least.len()).ok_or("a number with too many bytes")?;
            out.extend(std::iter::repeat_n(fill, pad));
            out.extend_from_slice(least);
        }
    }
    Ok(())
}

/// The bytes of a default.
fn encoded(of: &Type, value: &Value) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    write_default(of, value, &mut out).then_some(out)
}

fn write_default(of: &Type, value: &Value, out: &mut Vec<u8>) -> bool {
    let long =
        |value: &Value, out: &mut Vec<u8>| value.as_i64().map(|v| put_long(v, out)).is_some();
    match of {
        Type::Null => value.is_null(),
        Type::Bool => value.as_bool().map(|v| out.push(v.into())).is_some(),
        Type::Int | Type::Long | Type::Date | Type::Time(_) | Type::Timestamp { .. } => {
            long(value, out)
        }
        Type::Float => value.as_f64().map(|v| out.extend((v as f32).to_le_bytes())).is_some(),
        Type::Double => value.as_f64().map(|v| out.extend(v.to_le_bytes())).is_some(),
        Type::String => value.as_str().map(|v| bytes(v.as_bytes(), out)).is_some(),
        Type::Bytes | Type::Decimal { size: None, .. } => {
            defaults::bytes(value).map(|v| bytes(&v, out)).is_some()
        }
        Type::Uuid | Type::Fixed(_) | Type::Decimal { .. } => {
            defaults::bytes(value).map(|v| out.extend(v)).is_some()
        }
        Type::Enum(one) => {
            let at = one.symbols.iter().position(|s| value.as_str() == Some(s));
            at.map(|at| put_long(at as i64, out)).is_some()
        }
        Type::Array(of) => value.as_array().is_some_and(|items| {
            block(items.len(), out);
            let written = items.iter().all(|item| write_default(of, item, out));
            end(items.len(), out);
            written
        }),
        Type::Map(of) => value.as_object().is_some_and(|entries| {
            block(entries.len(), out);
            let entry = |(name, value): (&String, &Value), out: &mut Vec<u8>| {
                bytes(name.as_bytes(), out);
                write_default(of, value, out)
            };
            let written = entries.iter().all(|one| entry(one, out));
            end(entries.len(), out);
            written
        }),
        Type::Record(record) => record.fields.iter().all(|field| {
            let given = value.get(&field.name).or(field.default.as_ref());
            given.is_some_and(|given| write_default(&field.of, given, out))
        }),
        Type::Union(branches) => branches.iter().enumerate().any(|(at, branch)| {
            let before = out.len();
            put_long(at as i64, out);
            let written = write_default(branch, value, out);
            if !written {
                out.truncate(before);
            }
            written
        }),
    }
}

fn block(items: usize, out: &mut Vec<u8>) {
    put_long(items as i64, out);
}

/// The block of no items behind the others.
fn end(items: usize, out: &mut Vec<u8>) {
    if items > 0 {
        out.push(0);
    }
}

fn bytes(value: &[u8], out: &mut Vec<u8>) {
    put_long(value.len() as i64, out);
    out.extend_from_slice(value);
}

fn long(value: i64) -> Vec<u8> {
    let mut out = Vec::new();
    put_long(value, &mut out);
    out
}

/// A variable-length zig-zag integer.
#[inline]
fn put_long(value: i64, out: &mut Vec<u8>) {
    let mut rest = ((value << 1) ^ (value >> 63)).cast_unsigned();
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

fn shown(cells: &NodeCells) -> &'static str {
    match cells {
        NodeCells::Null => "null",
        NodeCells::Bool(_) => "boolean",
        NodeCells::Int(_) | NodeCells::UInt(_) => "an integer",
        NodeCells::Float(_) | NodeCells::Float32(_) => "a float",
        NodeCells::Binary(_) => "binary",
        NodeCells::Decimal(_) => "a decimal",
        NodeCells::Date(_) => "a date",
        NodeCells::Time(_) => "a time",
        NodeCells::Timestamp(_, _, true) => "a timestamp with a time zone",
        NodeCells::Timestamp(..) => "a timestamp without a time zone",
        NodeCells::Duration(..) => "a duration",
        NodeCells::List(_) => "a list",
        NodeCells::Struct(_) => "a struct",
        NodeCells::Map(_) => "a map",
        _ => "text",
    }
}
