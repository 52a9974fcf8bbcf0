//! Varints, keys of fields and lengths.

use super::wire::Form;

/// Writes an integer in groups of seven bits.
#[inline]
pub(super) fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push((value & 0x7F) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// The key of field `number`.
pub(super) fn key(number: u32, form: Form, out: &mut Vec<u8>) {
    let form = match form {
        Form::Varint => 0,
        Form::Fixed64 => 1,
        Form::Bytes => 2,
        Form::Group => 3,
        Form::Fixed32 => 5,
    };
    varint(u64::from(number) << 3 | form, out);
}

/// The key that ends the group `number`.
pub(super) fn end_of_group(number: u32, out: &mut Vec<u8>) {
    varint(u64::from(number) << 3 | 4, out);
}

/// Writes what `write` writes, with its length in front.
pub(super) fn delimited<E>(
    out: &mut Vec<u8>,
    write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
) -> Result<(), E> {
    let start = out.len();
    write(out)?;
    let len = out.len() - start;
    let end = out.len();
    varint(len as u64, out);
    let width = out.len() - end;
    out[start..].rotate_right(width);
    Ok(())
}
