//! What joins keep, as it is shown to people: key, side, time and columns instead of bytes.
//!
//! The columns are read by the declaration that lies beside the rows, so that a stopped worker's state can be
//! looked at without the app.

use super::{
    persist::{self, Declared, Entry},
    rows::Codec,
    spec::Side,
};
use crate::{
    codec::{Encode as _, Encoded, json::Encoder},
    error::{Error, Result},
    state::{
        Space, Store,
        inspect::{Meaning, Meant},
        value::Value,
    },
    window::keys::Keys,
};
use arrow::{
    array::{ArrayRef, RecordBatch},
    datatypes::{DataType, Field, FieldRef, Schema},
};
use serde_json::{Map, Value as Json, json};
use std::sync::Arc;

/// Reads the entries of joins.
pub struct OfJoins;

impl Meaning for OfJoins {
    fn of(&self, store: &dyn Store, space: Space, key: &[u8], value: &[u8]) -> Meant {
        let Some((name, entry)) = persist::entry(key) else { return Meant::Other };
        let Ok(value) = Value::read(value) else { return Meant::Other };
        let declared = store.get(space, &persist::declaration_key(&name)).ok().flatten();
        let declared =
            declared.and_then(|stored| Declared::read(Value::read(&stored).ok()?.payload));
        match entry {
            Entry::Declaration | Entry::Matched => Meant::Hidden,
            Entry::Progress => progress(&name, value.payload).map_or(Meant::Other, row),
            Entry::Row { scope, side, place } => {
                let Some(declared) = declared else { return Meant::Other };
                let is_matched = || {
                    let mark = store.get(space, &persist::mark_key(key)).ok().flatten();
                    place.is_some().then_some(mark.is_some())
                };
                let read = Kept { declared, side, scope, time: place };
                read.shown(value.payload, is_matched()).map_or(Meant::Other, row)
            }
        }
    }
}

fn row((key, value): (Json, Json)) -> Meant {
    Meant::Row { key, value }
}

fn progress(name: &str, payload: &[u8]) -> Option<(Json, Json)> {
    let [left, right, _, current, rows] = persist::five(payload)?;
    let known = |ms: i64| (ms != crate::window::watermark::NONE).then_some(ms);
    let value = json!({
        "join": name, "left_watermark_ms": known(left), "right_watermark_ms": known(right),
        "watermark_ms": known(current), "rows_seen": rows,
    });
    Some((json!("watermarks"), value))
}

/// A row that is kept.
struct Kept<'a> {
    declared: Declared,
    side: Side,
    scope: &'a [u8],
    /// Its event time, where rows have a place by it; none in a table.
    time: Option<i64>,
}

impl Kept<'_> {
    fn shown(&self, payload: &[u8], is_matched: Option<bool>) -> Option<(Json, Json)> {
        let (key, time, row) = match self.time {
            Some(time) => {
                let (key, row) = persist::split_row(payload)?;
                (key.to_vec(), Some(time), row)
            }
            None => {
                let (time, row) = persist::split_latest(payload)?;
                ([&[1], self.scope].concat(), time, row)
            }
        };
        let key = self.key(&key).ok()?;
        let columns = self.columns(row).ok()?;
        let mut value = Map::new();
        value.insert("side".into(), ["left", "right"][self.side.at()].into());
        value.insert("time_ms".into(), time.into());
        if let Some(is_matched) = is_matched.filter(|_| self.time.is_some()) {
            value.insert("is_matched".into(), is_matched.into());
        }
        value.insert("columns".into(), columns.into());
        Some((key, value.into()))
    }

    /// One key column is its value, several are an object.
    fn key(&self, bytes: &[u8]) -> Result<Json> {
        let types = types(&self.declared.on)?;
        let mut keys = Keys::new(&types)?;
        let group = keys.load(bytes, 0)?.0;
        let names = &self.declared.names[self.side.at()];
        let fields = names.iter().zip(&types).map(|(name, kind)| field(name, kind)).collect();
        let mut shown = object(fields, keys.columns(&[group])?)?;
        Ok(match names.as_slice() {
            [name] => shown.remove(name).unwrap_or(Json::Null),
            _ => shown.into(),
        })
    }

    fn columns(&self, row: &[u8]) -> Result<Map<String, Json>> {
        let own = &self.declared.rest[self.side.at()];
        let kinds: Vec<_> = own.iter().map(|(_, kind)| kind.clone()).collect();
        let types = types(&kinds)?;
        let fields: Vec<_> =
            own.iter().zip(&types).map(|((name, _), kind)| field(name, kind)).collect();
        if fields.is_empty() {
            return Ok(Map::new());
        }
        let columns = Codec::new(&fields)?.decode(std::iter::once(row))?;
        object(fields, columns)
    }
}

fn field(name: &str, kind: &DataType) -> FieldRef {
    Arc::new(Field::new(name, kind.clone(), true))
}

fn types(names: &[String]) -> Result<Vec<DataType>> {
    let read = |name: &String| name.parse().map_err(|err| broken(&format!("{name}: {err}")));
    names.iter().map(read).collect()
}

/// One row as JSON.
fn object(fields: Vec<FieldRef>, columns: Vec<ArrayRef>) -> Result<Map<String, Json>> {
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns);
    let batch = batch.map_err(|err| broken(&err))?;
    let mut out = Encoded::default();
    Encoder.encode(&batch, &mut out)?;
    match serde_json::from_slice(&out.bytes) {
        Ok(Json::Object(shown)) => Ok(shown),
        _ => Err(broken(&"no object")),
    }
}

fn broken(err: &dyn std::fmt::Display) -> Error {
    Error::State(format!("a row of a join cannot be shown: {err}"))
}
