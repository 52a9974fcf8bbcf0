//! Hashes that other programs compute alike. Binary is hashed as it is, anything else as its text in UTF-8.

use super::bind::Typed;
use super::call::Computed;
use super::functions::exactly;
use super::text::bytes_of;
use crate::error::Result;
use crate::types::murmur2;
use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, Int32Array, StringArray, UInt64Array};
use arrow::error::ArrowError;
use openssl::hash::MessageDigest;
use std::fmt::Write;
use std::sync::Arc;
use twox_hash::XxHash64;

pub(super) fn build(function: &str, args: Vec<Typed>) -> Result<Typed> {
    let [arg] = exactly(function, args)?;
    let kernel: fn(&BinaryArray) -> Computed = match function {
        "hash64" => |values| {
            let hashes = values.iter().map(|value| value.map(|bytes| XxHash64::oneshot(0, bytes)));
            Ok(Arc::new(hashes.collect::<UInt64Array>()))
        },
        "murmur2" => |values| {
            let hashes = values.iter().map(|value| value.map(|bytes| murmur2(bytes).cast_signed()));
            Ok(Arc::new(hashes.collect::<Int32Array>()))
        },
        "md5" => |values| digests(values, MessageDigest::md5()),
        _ => |values| digests(values, MessageDigest::sha256()),
    };
    Typed::unary(function, arg, move |array: &ArrayRef| kernel(bytes_of(array)?.as_binary()))
}

/// In lower-case hexadecimal.
fn digests(values: &BinaryArray, digest: MessageDigest) -> Computed {
    let hex = |value: Option<&[u8]>| {
        let Some(bytes) = value else { return Ok(None) };
        let sum = openssl::hash::hash(digest, bytes)
            .map_err(|e| ArrowError::ComputeError(e.to_string()))?;
        Ok::<_, ArrowError>(Some(sum.iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })))
    };
    let mut out = Vec::with_capacity(values.len());
    for value in values {
        out.push(hex(value)?);
    }
    Ok(Arc::new(StringArray::from(out)))
}
