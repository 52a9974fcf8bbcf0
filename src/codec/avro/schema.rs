//! Avro schemas as the decoder and the encoder need them: names looked up, logical types known.
//!
//! Written after the Avro specification 1.12, "Schema Declaration" and "Logical Types". A logical
//! type that is not valid there is left out, as the specification asks. Recursion is refused.

use super::canonical::fingerprint;
use arrow::datatypes::TimeUnit;
use serde_json::{Map, Value};
use std::{collections::HashMap, sync::Arc};

/// Most types of a schema, a named one counted wherever it is used.
const MOST_TYPES: usize = 10_000;
/// Most digits of a decimal column.
const MOST_DIGITS: u64 = 38;

/// A schema with its text.
#[derive(Debug)]
pub(in crate::codec) struct Schema {
    /// As it was given.
    pub text: String,
    /// What it says.
    pub root: Type,
    /// CRC-64-AVRO of its canonical form; none if it refers to other schemas.
    pub fingerprint: Option<[u8; 8]>,
}

/// What a value is.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::codec) enum Type {
    Null,
    Bool,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    String,
    /// 16 bytes that are shown as text.
    Uuid,
    Fixed(usize),
    Enum(Arc<Enum>),
    Array(Box<Self>),
    Map(Box<Self>),
    Record(Arc<Record>),
    Union(Vec<Self>),
    Date,
    /// Since midnight, in ms or us.
    Time(TimeUnit),
    /// Since 1970, in UTC or by the clock on the wall.
    Timestamp {
        unit: TimeUnit,
        is_utc: bool,
    },
    /// Bytes of the size, or of any.
    Decimal {
        precision: u8,
        scale: i8,
        size: Option<usize>,
    },
}

#[derive(Debug, PartialEq)]
pub(in crate::codec) struct Record {
    /// With its namespace.
    pub name: String,
    pub fields: Vec<Field>,
}

#[derive(Debug, PartialEq)]
pub(in crate::codec) struct Field {
    pub name: String,
    pub aliases: Vec<String>,
    pub default: Option<Value>,
    pub of: Type,
}

#[derive(Debug, PartialEq)]
pub(in crate::codec) struct Enum {
    pub symbols: Vec<String>,
    pub default: Option<String>,
}

impl Schema {
    /// Reads a schema; `Err` says what is wrong with it.
    pub(in crate::codec) fn parse(text: &str) -> Result<Self, String> {
        Ok(Self { fingerprint: fingerprint(&json(text)?), ..Self::with_references(text, &[])? })
    }

    /// As [`Self::parse`], of a schema that uses names which `others` define, in this order.
    pub(in crate::codec) fn with_references(text: &str, others: &[String]) -> Result<Self, String> {
        let mut parser = Parser::default();
        for other in others {
            parser.of(&json(other)?, "")?;
        }
        let root = parser.of(&json(text)?, "")?;
        if !matches!(root, Type::Record(_)) {
            return Err("a row is a record, and the schema is not one: wrap it in a record".into());
        }
        Ok(Self { text: text.into(), root, fingerprint: None })
    }

    /// The record that rows are.
    pub(in crate::codec) fn record(&self) -> &Record {
        let Type::Record(record) = &self.root else { unreachable!("checked by the parser") };
        record
    }
}

fn json(text: &str) -> Result<Value, String> {
    // A name alone is a schema too, but never one of rows.
    serde_json::from_str(text).map_err(|e| format!("not JSON: {e}"))
}

impl Type {
    /// The word of the specification.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool => "boolean",
            Self::Int => "int",
            Self::Long => "long",
            Self::Float => "float",
            Self::Double => "double",
            Self::Bytes => "bytes",
            Self::String => "string",
            Self::Uuid => "uuid",
            Self::Fixed(_) => "fixed",
            Self::Enum(_) => "enum",
            Self::Array(_) => "array",
            Self::Map(_) => "map",
            Self::Record(_) => "record",
            Self::Union(_) => "union",
            Self::Date => "date",
            Self::Time(_) => "time",
            Self::Timestamp { is_utc: true, .. } => "timestamp",
            Self::Timestamp { .. } => "local-timestamp",
            Self::Decimal { .. } => "decimal",
        }
    }

    /// The one branch that is not null, and whether there is a null; none of other unions.
    pub(super) fn nullable(&self) -> Option<(&Self, bool)> {
        let Self::Union(branches) = self else { return Some((self, false)) };
        let mut others = branches.iter().filter(|b| **b != Self::Null);
        match (others.next(), others.next()) {
            (Some(one), None) => Some((one, branches.len() > 1)),
            (None, _) => Some((&Self::Null, true)),
            _ => None,
        }
    }
}

#[derive(Default)]
struct Parser {
    /// Types by their full names; none while one is being read.
    known: HashMap<String, Option<(Type, usize)>>,
    /// Types so far.
    size: usize,
}

impl Parser {
    fn of(&mut self, json: &Value, space: &str) -> Result<Type, String> {
        self.count(1)?;
        match json {
            Value::String(name) => self.named(name, space),
            Value::Array(branches) => {
                let read = |branch| self.of(branch, space);
                branches.iter().map(read).collect::<Result<_, _>>().map(Type::Union)
            }
            Value::Object(object) => self.object(object, space),
            other => Err(format!("expected a schema, found {other}")),
        }
    }

    fn count(&mut self, types: usize) -> Result<(), String> {
        self.size += types;
        if self.size > MOST_TYPES {
            return Err(format!("the schema has more than {MOST_TYPES} types"));
        }
        Ok(())
    }

    fn named(&mut self, name: &str, space: &str) -> Result<Type, String> {
        if let Some(plain) = plain(name) {
            return Ok(plain);
        }
        let full = full_name(name, space);
        let found = self.known.get(&full).or_else(|| self.known.get(name));
        match found.cloned() {
            Some(Some((known, size))) => self.count(size).map(|()| known),
            Some(None) => Err(format!(
                "{full} contains itself, and columns cannot: leave that field out of the schema, or \
                 write it as a string"
            )),
            None => Err(format!("nothing is called {full}")),
        }
    }

    fn object(&mut self, object: &Map<String, Value>, space: &str) -> Result<Type, String> {
        let kind = object.get("type").ok_or("a schema without `type`")?;
        let Value::String(kind) = kind else { return self.of(kind, space) };
        match kind.as_str() {
            "array" => Ok(Type::Array(Box::new(self.inner(object, "items", space)?))),
            "map" => Ok(Type::Map(Box::new(self.inner(object, "values", space)?))),
            "record" | "error" | "enum" | "fixed" => self.declared(kind, object, space),
            _ => {
                let of = self.named(kind, space)?;
                Ok(logical(of, object))
            }
        }
    }

    fn inner(
        &mut self,
        object: &Map<String, Value>,
        key: &str,
        space: &str,
    ) -> Result<Type, String> {
        self.of(object.get(key).ok_or_else(|| format!("a schema without `{key}`"))?, space)
    }

    fn declared(
        &mut self,
        kind: &str,
        object: &Map<String, Value>,
        space: &str,
    ) -> Result<Type, String> {
        let name = text(object, "name").ok_or_else(|| format!("a {kind} without a name"))?;
        let full = full_name(name, text(object, "namespace").unwrap_or(space));
        let space = full.rsplit_once('.').map_or("", |(space, _)| space);
        if self.known.insert(full.clone(), None).is_some() {
            return Err(format!("two types are called {full}"));
        }
        let before = self.size;
        let declared = match kind {
            "enum" => Type::Enum(Arc::new(Enum {
                symbols: texts(object, "symbols"),
                default: text(object, "default").map(Into::into),
            })),
            "fixed" => {
                let size = object.get("size").and_then(Value::as_u64);
                let size = size.and_then(|n| usize::try_from(n).ok());
                logical(Type::Fixed(size.ok_or("a fixed without a size")?), object)
            }
            _ => {
                let fields = object.get("fields").and_then(Value::as_array);
                let fields = fields.ok_or_else(|| format!("{full} has no fields"))?;
                let read = |field| self.field(field, space);
                let fields = fields.iter().map(read).collect::<Result<_, _>>()?;
                Type::Record(Arc::new(Record { name: full.clone(), fields }))
            }
        };
        self.known.insert(full, Some((declared.clone(), self.size - before)));
        Ok(declared)
    }

    fn field(&mut self, field: &Value, space: &str) -> Result<Field, String> {
        let object = field.as_object().ok_or("a field that is not an object")?;
        let name = text(object, "name").ok_or("a field without a name")?;
        let of = self.inner(object, "type", space).map_err(|why| format!("{name}: {why}"))?;
        Ok(Field {
            name: name.into(),
            aliases: texts(object, "aliases"),
            default: object.get("default").cloned(),
            of,
        })
    }
}

fn plain(name: &str) -> Option<Type> {
    Some(match name {
        "null" => Type::Null,
        "boolean" => Type::Bool,
        "int" => Type::Int,
        "long" => Type::Long,
        "float" => Type::Float,
        "double" => Type::Double,
        "bytes" => Type::Bytes,
        "string" => Type::String,
        _ => return None,
    })
}

fn logical(of: Type, object: &Map<String, Value>) -> Type {
    use TimeUnit::{Microsecond, Millisecond, Nanosecond};
    let timestamp = |unit, is_utc| Type::Timestamp { unit, is_utc };
    match (text(object, "logicalType"), &of) {
        (Some("date"), Type::Int) => Type::Date,
        (Some("time-millis"), Type::Int) => Type::Time(Millisecond),
        (Some("time-micros"), Type::Long) => Type::Time(Microsecond),
        (Some("timestamp-millis"), Type::Long) => timestamp(Millisecond, true),
        (Some("timestamp-micros"), Type::Long) => timestamp(Microsecond, true),
        (Some("timestamp-nanos"), Type::Long) => timestamp(Nanosecond, true),
        (Some("local-timestamp-millis"), Type::Long) => timestamp(Millisecond, false),
        (Some("local-timestamp-micros"), Type::Long) => timestamp(Microsecond, false),
        (Some("local-timestamp-nanos"), Type::Long) => timestamp(Nanosecond, false),
        (Some("uuid"), Type::Fixed(16)) => Type::Uuid,
        (Some("decimal"), Type::Bytes) => decimal(object, None).unwrap_or(of),
        (Some("decimal"), Type::Fixed(size)) => decimal(object, Some(*size)).unwrap_or(of),
        _ => of,
    }
}

fn decimal(object: &Map<String, Value>, size: Option<usize>) -> Option<Type> {
    let precision = object.get("precision")?.as_u64()?;
    let scale = object.get("scale").map_or(Some(0), Value::as_u64)?;
    // Wider ones have no column: their bytes stay bytes.
    let valid = (1..=MOST_DIGITS).contains(&precision) && scale <= precision;
    valid.then_some(Type::Decimal { precision: precision as u8, scale: scale as i8, size })
}

fn text<'a>(object: &'a Map<String, Value>, key: &str) -> Option<&'a str> {
    object.get(key).and_then(Value::as_str)
}

fn texts(object: &Map<String, Value>, key: &str) -> Vec<String> {
    let items = object.get(key).and_then(Value::as_array).into_iter().flatten();
    items.filter_map(|item| item.as_str().map(Into::into)).collect()
}

pub(super) fn full_name(name: &str, space: &str) -> String {
    if name.contains('.') || space.is_empty() { name.into() } else { format!("{space}.{name}") }
}
