//! The bytes of saved states: little-endian numbers, varints, and byte strings with their length.

use super::each::Refused;

/// Appends a number in as few bytes as it needs (LEB128).
pub(super) fn put_count(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push((value & 0x7f) as u8);
}

/// Reads what [`put_count`] wrote.
pub(super) fn get_count(bytes: &mut &[u8]) -> Result<u64, Refused> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let [byte] = get::<1>(bytes)?;
        let part = u64::from(byte & 0x7f);
        if shift == 63 && part > 1 {
            break;
        }
        value |= part << shift;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err("a number is too long".to_string())
}

/// Reads a length of things of which each takes at least a byte.
pub(super) fn get_len(bytes: &mut &[u8]) -> Result<usize, Refused> {
    let len = get_count(bytes)?;
    usize::try_from(len).ok().filter(|len| *len <= bytes.len()).ok_or_else(short)
}

/// Appends a byte string with its length.
pub(super) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_count(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Reads what [`put_bytes`] wrote.
pub(super) fn get_bytes<'a>(bytes: &mut &'a [u8]) -> Result<&'a [u8], Refused> {
    let len = get_len(bytes)?;
    let (taken, rest) = bytes.split_at(len);
    *bytes = rest;
    Ok(taken)
}

/// Reads `N` bytes.
pub(super) fn get<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], Refused> {
    let (taken, rest) = bytes.split_first_chunk::<N>().ok_or_else(short)?;
    *bytes = rest;
    Ok(*taken)
}

/// Reads a float.
pub(super) fn get_f64(bytes: &mut &[u8]) -> Result<f64, Refused> {
    Ok(f64::from_le_bytes(get(bytes)?))
}

/// Reads a signed number of 64 bits.
pub(super) fn get_i64(bytes: &mut &[u8]) -> Result<i64, Refused> {
    Ok(i64::from_le_bytes(get(bytes)?))
}

fn short() -> Refused {
    "it ends too early".to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_count_is_read_as_it_was_written(value: u64, rest: Vec<u8>) {
            let mut out = Vec::new();
            put_count(&mut out, value);
            out.extend_from_slice(&rest);
            let mut bytes = &out[..];
            prop_assert_eq!(get_count(&mut bytes), Ok(value));
            prop_assert_eq!(bytes, &rest[..]);
        }

        #[test]
        fn any_bytes_are_a_value_or_an_error(any: Vec<u8>) {
            let _ = get_count(&mut &any[..]);
            let _ = get_bytes(&mut &any[..]);
        }
    }
}
