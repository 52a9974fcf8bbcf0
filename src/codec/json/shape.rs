//! Types of JSON values that nobody has declared.

use super::{decode::Decoder, scan::Scan};
use crate::{
    codec::{
        Decode,
        column::{
            DecodeOptions, Fault, MOST_FIELDS, Scanned, SharedSchema, Step, item_field, merge,
            too_many,
        },
    },
    error::Result,
    types::Records,
};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, SchemaRef};
use std::{ops::Range, sync::Arc};

/// The schema that holds all the records of `range`, in the order in which their fields appear.
///
/// Integers are `int64`, and `float64` once a number with a fraction appears; text is `utf8`,
/// objects are structs, arrays are lists, what is always null is `null`. Records that contradict
/// earlier ones have no say.
///
/// # Errors
///
/// None in practice: what is inferred can be decoded.
pub fn infer(records: &dyn Records, range: Range<usize>) -> Result<SchemaRef> {
    let shared = Arc::new(SharedSchema::unnamed());
    let mut decoder = Decoder::inferring(shared, DecodeOptions { tombstones_as_nulls: true })?;
    decoder.decode(records, range);
    Ok(decoder.schema())
}

/// Fields of the JSON object `data`.
pub(in crate::codec) fn fields_of(data: &[u8]) -> Scanned<Fields> {
    let mut scan = Scan::new(data);
    let fields = match scan.value_start()? {
        b'{' => object(&mut scan, &mut Vec::new(), 0)?,
        _ => return Err(scan.fault(format!("expected a JSON object, found {}", scan.found()))),
    };
    scan.finish()?;
    Ok(fields)
}

fn object(scan: &mut Scan<'_>, scratch: &mut Vec<u8>, depth: usize) -> Scanned<Fields> {
    scan.open(depth)?;
    let mut fields: Vec<FieldRef> = Vec::new();
    let mut more = scan.first_member(b'}')?;
    while more {
        let name = String::from_utf8_lossy(scan.key(scratch)?).into_owned();
        let data_type = value(scan, scratch, depth + 1).map_err(|mut fault| {
            fault.path.push(Step::Field(name.as_str().into()));
            fault
        })?;
        let field = Arc::new(Field::new(name, data_type, true));
        match fields.iter().position(|f| f.name() == field.name()) {
            Some(earlier) => fields[earlier] = field,
            None if fields.len() < MOST_FIELDS => fields.push(field),
            None => return Err(scan.fault(too_many())),
        }
        more = scan.next_member(b'}')?;
    }
    Ok(fields.into())
}

fn value(scan: &mut Scan<'_>, scratch: &mut Vec<u8>, depth: usize) -> Scanned<DataType> {
    let at = scan.pos;
    Ok(match scan.value_start()? {
        b'{' => DataType::Struct(object(scan, scratch, depth)?),
        b'[' => {
            scan.open(depth)?;
            let mut item = DataType::Null;
            let mut more = scan.first_member(b']')?;
            while more {
                let next = value(scan, scratch, depth + 1)?;
                item = merge(&item, &next).map_err(|why| {
                    Fault::new(at, format!("the items of the array differ: {why}"))
                })?;
                more = scan.next_member(b']')?;
            }
            DataType::List(item_field(item))
        }
        b'-' | b'0'..=b'9' => {
            let number = scan.number()?;
            match number.to_i64() {
                Ok(_) if number.is_integer => DataType::Int64,
                _ if number.is_exact_float() && number.to_f64().is_finite() => DataType::Float64,
                _ => {
                    let what = "too large for an integer of 64 bits; declare the field in a \
                                model, as Decimal";
                    return Err(Fault::new(at, what));
                }
            }
        }
        b'"' => {
            scan.string(scratch)?;
            DataType::Utf8
        }
        b't' | b'f' => {
            scan.skip(scratch, depth)?;
            DataType::Boolean
        }
        _ => {
            scan.skip(scratch, depth)?;
            DataType::Null
        }
    })
}
