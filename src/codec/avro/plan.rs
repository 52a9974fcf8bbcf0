//! How the records of one writer's schema become rows of columns: schema resolution, done once.
//!
//! After the Avro specification 1.12, "Schema Resolution", with these differences: names of types
//! need not agree, and the branch of a union counts that a record has.

use super::{
    defaults::int_of,
    schema::{Enum, Record, Type},
};
use crate::codec::column::{Cells, Column, Moment, Object, Unknown, Zone, time};
use arrow::datatypes::{DataType, TimeUnit};
use std::sync::Arc;

/// How a value is read.
pub(super) enum Read {
    Null,
    Bool,
    /// A variable-length integer of 32 bits, or of 64.
    Int {
        is_short: bool,
    },
    Float,
    Double,
    /// Bytes behind their length.
    Text,
    /// So many bytes.
    Fixed(usize),
    Uuid,
    /// Symbols, or why the reader does not take them.
    Enum(Vec<Result<Box<str>, Box<str>>>),
    List(Box<Self>),
    Map(Box<Self>),
    Record(RecordPlan),
    /// Branches, or why the column does not take them.
    Union(Vec<Result<Self, Box<str>>>),
    /// An integer in other units.
    Moment {
        is_short: bool,
        times: i64,
        over: i64,
        limit: Option<i64>,
    },
    /// Bytes of the size, or behind their length; so many digits are added.
    Decimal {
        size: Option<usize>,
        digits: i8,
    },
}

/// How a record is read.
pub(super) struct RecordPlan {
    /// Its fields, in the order of the writer: name, column and how, or what is passed over.
    pub fields: Vec<(Box<str>, Step)>,
    /// Columns that the writer does not have.
    pub missing: Vec<usize>,
}

/// What becomes of a field.
pub(super) enum Step {
    Into(usize, Read),
    Skip(Type),
}

impl RecordPlan {
    /// From a writer's record to the columns of `object`; `reader` is its Avro schema, if it has one.
    pub(super) fn new(
        writer: &Record,
        object: &Object,
        reader: Option<&Record>,
    ) -> Result<Self, String> {
        // Field of the writer for each column: by its own name, else by an alias.
        let source = |column: &Column| {
            let position = |name: &String| writer.fields.iter().position(|f| f.name == *name);
            column.names.iter().find_map(position)
        };
        let sources: Vec<Option<usize>> = object.columns.iter().map(source).collect();
        let mut fields = Vec::with_capacity(writer.fields.len());
        for (i, field) in writer.fields.iter().enumerate() {
            let step = match sources.iter().position(|source| *source == Some(i)) {
                Some(at) => {
                    let column = &object.columns[at];
                    let theirs = reader
                        .and_then(|r| r.fields.iter().find(|f| f.name == *column.field.name()));
                    let read = Read::new(&field.of, column, theirs.map(|f| &f.of));
                    Step::Into(at, read.map_err(|why| format!("field `{}`: {why}", field.name))?)
                }
                None if object.unknown == Unknown::Skip => Step::Skip(field.of.clone()),
                None => return Err(format!("`{}` is not a field of the schema", field.name)),
            };
            fields.push((field.name.as_str().into(), step));
        }
        let missing = (0..sources.len()).filter(|&at| sources[at].is_none()).collect();
        Ok(Self { fields, missing })
    }
}

impl Read {
    /// How `writer` becomes rows of `column`, which stands for `reader`.
    fn new(writer: &Type, column: &Column, reader: Option<&Type>) -> Result<Self, String> {
        if let Type::Union(branches) = writer {
            let branch = |of| Self::new(of, column, reader).map_err(Into::into);
            let branches: Vec<Result<Self, Box<str>>> = branches.iter().map(branch).collect();
            if branches.iter().all(Result::is_err) {
                let first = branches.into_iter().find_map(Result::err);
                return Err(first.map_or_else(|| "an empty union".into(), Into::into));
            }
            return Ok(Self::Union(branches));
        }
        let reader = reader.and_then(|r| r.nullable()).map(|(of, _)| of);
        let refused = || format!("{} cannot be read as {}", writer.name(), shown(column, reader));
        if let Type::Null = writer {
            return if column.accepts_null { Ok(Self::Null) } else { Err(refused()) };
        }
        match &column.cells {
            Cells::List { item, .. } => match writer {
                Type::Array(of) => {
                    let theirs =
                        if let Some(Type::Array(of)) = reader { Some(&**of) } else { None };
                    Ok(Self::List(Box::new(Self::new(of, item, theirs)?)))
                }
                _ => Err(refused()),
            },
            Cells::Map { value, .. } => match writer {
                Type::Map(of) => {
                    let theirs = if let Some(Type::Map(of)) = reader { Some(&**of) } else { None };
                    Ok(Self::Map(Box::new(Self::new(of, value, theirs)?)))
                }
                _ => Err(refused()),
            },
            Cells::Struct(object) => match writer {
                Type::Record(record) => {
                    let theirs = if let Some(Type::Record(r)) = reader { Some(&**r) } else { None };
                    RecordPlan::new(record, object, theirs).map(Self::Record)
                }
                _ => Err(refused()),
            },
            cells => Self::plain(writer, cells, reader).ok_or_else(refused),
        }
    }

    fn plain(writer: &Type, cells: &Cells, reader: Option<&Type>) -> Option<Self> {
        let is_short = matches!(writer, Type::Int | Type::Date | Type::Time(TimeUnit::Millisecond));
        Some(match (writer, cells) {
            (Type::Bool, Cells::Bool(_)) => Self::Bool,
            (Type::Int | Type::Long, Cells::Int { range, .. })
                if *range == (i64::MIN, i64::MAX) || (is_short && range.1 >= i32::MAX.into()) =>
            {
                Self::Int { is_short }
            }
            // Columns for counts: what does not fit is a bad record.
            (
                Type::Int | Type::Long,
                Cells::UInt { .. } | Cells::Float { .. } | Cells::Float32(_),
            ) => Self::Int { is_short },
            (Type::Float, Cells::Float32(_) | Cells::Float { .. }) => Self::Float,
            (Type::Double, Cells::Float { .. }) => Self::Double,
            (Type::Bytes | Type::String, Cells::Text { raw: false, .. }) => Self::Text,
            (Type::Fixed(size), Cells::Text { raw: false, .. }) => Self::Fixed(*size),
            (Type::Uuid, Cells::Text { raw: false, .. }) => Self::Uuid,
            (Type::Enum(one), Cells::Text { raw: false, .. }) => Self::Enum(symbols(one, reader)),
            (_, Cells::Moment { moment, .. }) => Self::moment(writer, *moment, is_short, reader)?,
            (Type::Decimal { scale, size, .. }, Cells::Decimal { scale: to, .. }) => {
                Self::Decimal { size: *size, digits: to.checked_sub(*scale)? }
            }
            // The schema has got its logical type later.
            (Type::Bytes, Cells::Decimal { .. }) if reader.is_some() => {
                Self::Decimal { size: None, digits: 0 }
            }
            (Type::Fixed(size), Cells::Decimal { .. }) if reader.is_some() => {
                Self::Decimal { size: Some(*size), digits: 0 }
            }
            _ => return None,
        })
    }

    fn moment(
        writer: &Type,
        moment: Moment,
        is_short: bool,
        reader: Option<&Type>,
    ) -> Option<Self> {
        // The reader's logical type counts where the writer has none.
        let of = match writer {
            Type::Int | Type::Long => reader?,
            of => of,
        };
        let (from, to, limit) = match (of, moment) {
            (Type::Date, Moment::Date) => (1, 1, None),
            (Type::Time(from), Moment::Time(to)) => {
                let day = 86_400_000_000_000 / time::ns_per(*from);
                (time::ns_per(*from), time::ns_per(to), Some(day))
            }
            (Type::Timestamp { unit: from, is_utc }, Moment::Timestamp { unit: to, zone })
                if *is_utc == (zone != Zone::Naive) =>
            {
                (time::ns_per(*from), time::ns_per(to), None)
            }
            _ => return None,
        };
        let (times, over) = if from >= to { (from / to, 1) } else { (1, to / from) };
        Some(Self::Moment { is_short, times, over, limit })
    }
}

fn symbols(one: &Arc<Enum>, reader: Option<&Type>) -> Vec<Result<Box<str>, Box<str>>> {
    let known = if let Some(Type::Enum(reader)) = reader { Some(reader) } else { None };
    let symbol = |symbol: &String| match known {
        Some(reader) if !reader.symbols.contains(symbol) => match &reader.default {
            Some(default) => Ok(default.as_str().into()),
            None => Err(format!(
                "the reader's schema does not have the symbol `{symbol}`, nor a default for it"
            )
            .into()),
        },
        _ => Ok(symbol.as_str().into()),
    };
    one.symbols.iter().map(symbol).collect()
}

fn shown(column: &Column, reader: Option<&Type>) -> String {
    match (&column.cells, reader) {
        (Cells::Text { raw: true, .. }, _) => {
            "JSON text of any shape (give the field a type in the model)".into()
        }
        (_, Some(of)) => of.name().into(),
        (_, None) => match column.field.data_type() {
            DataType::Struct(_) => "a struct".into(),
            DataType::List(_) => "a list".into(),
            DataType::Map(..) => "a map".into(),
            other => other.to_string(),
        },
    }
}

/// `value` with `digits` more digits; none if it does not fit, or digits would be lost.
pub(super) fn rescaled(bytes: &[u8], digits: i8) -> Option<i128> {
    let value = int_of(bytes)?;
    let factor = 10_i128.checked_pow(digits.unsigned_abs().into())?;
    if digits >= 0 {
        value.checked_mul(factor)
    } else {
        (value % factor == 0).then(|| value / factor)
    }
}
