//! `MessagePack` values as JSON, for people who look into a store.

use rmp::{Marker, decode};
use serde_json::{Map, Value as Json, json};

/// Deeper values are not shown.
const MAX_DEPTH: usize = 128;

/// The value; none if the bytes are no `MessagePack`, or not only one value.
pub(super) fn to_json(bytes: &[u8]) -> Option<Json> {
    let mut from = bytes;
    let value = read(&mut from, 0)?;
    from.is_empty().then_some(value)
}

fn read(from: &mut &[u8], depth: usize) -> Option<Json> {
    if depth > MAX_DEPTH {
        return None;
    }
    let marker = Marker::from_u8(*from.first()?);
    Some(match marker {
        Marker::Null => {
            decode::read_nil(from).ok()?;
            Json::Null
        }
        Marker::True | Marker::False => json!(decode::read_bool(from).ok()?),
        Marker::F32 => json!(decode::read_f32(from).ok()?),
        Marker::F64 => json!(decode::read_f64(from).ok()?),
        Marker::U64 => json!(decode::read_u64(from).ok()?),
        Marker::FixStr(_) | Marker::Str8 | Marker::Str16 | Marker::Str32 => {
            let length = decode::read_str_len(from).ok()?;
            json!(String::from_utf8_lossy(take(from, length)?))
        }
        Marker::Bin8 | Marker::Bin16 | Marker::Bin32 => {
            let length = decode::read_bin_len(from).ok()?;
            let digits: String =
                take(from, length)?.iter().map(|byte| format!("{byte:02x}")).collect();
            json!({ "bytes": digits })
        }
        Marker::FixArray(_) | Marker::Array16 | Marker::Array32 => {
            let length = decode::read_array_len(from).ok()?;
            Json::Array((0..length).map(|_| read(from, depth + 1)).collect::<Option<_>>()?)
        }
        Marker::FixMap(_) | Marker::Map16 | Marker::Map32 => {
            let mut map = Map::new();
            for _ in 0..decode::read_map_len(from).ok()? {
                let Json::String(name) = read(from, depth + 1)? else { return None };
                map.insert(name, read(from, depth + 1)?);
            }
            Json::Object(map)
        }
        _ => json!(decode::read_int::<i64, _>(from).ok()?),
    })
}

fn take<'a>(from: &mut &'a [u8], length: u32) -> Option<&'a [u8]> {
    let (taken, rest) = from.split_at_checked(length as usize)?;
    *from = rest;
    Some(taken)
}
