//! Reads the headers of a file of batches and skips the records: enough for a file that is known to be
//! whole.

use crate::broker::log::BatchHeader;
use std::{fs::File, io, os::unix::fs::FileExt};

/// Bytes that are read at a time; small batches lie close together.
const WINDOW_BYTES: usize = 64 << 10;
/// Header and, if it is one, the record of a marker.
const HEAD_BYTES: u64 = 128;

/// The headers of the batches in the first `bytes` bytes of `file`; `None` if these are not whole
/// batches, one behind the other.
pub(super) fn headers(file: &File, bytes: u64) -> io::Result<Option<Vec<BatchHeader>>> {
    let mut headers = Vec::new();
    let mut window = vec![0; WINDOW_BYTES];
    let (mut window_start, mut window_end) = (0, 0);
    let mut pos = 0;
    while pos < bytes {
        if window_end < bytes.min(pos + HEAD_BYTES) {
            let length = (bytes - pos).min(WINDOW_BYTES as u64);
            file.read_exact_at(&mut window[..length as usize], pos)?;
            (window_start, window_end) = (pos, pos + length);
        }
        let from = (pos - window_start) as usize;
        let Ok(header) = BatchHeader::parse(&window[from..(window_end - window_start) as usize])
        else {
            return Ok(None);
        };
        pos += header.bytes as u64;
        if header.last_delta < 0 {
            return Ok(None);
        }
        headers.push(header);
    }
    Ok((pos == bytes).then_some(headers))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::log::{Marker, Outcome, build_marker, testing::BatchBuilder};
    use std::io::Write;

    #[test]
    fn headers_are_those_of_a_full_reading() {
        let mut batches = Vec::new();
        let mut offset = 0;
        for number in 0..3_000usize {
            let records = 1 + number % 3;
            let value_bytes = if number % 500 == 7 { 100_000 } else { number % 90 };
            let batch = BatchBuilder::new(records).value_bytes(value_bytes).at_offset(offset);
            batches.push(batch.build());
            offset += records as i64;
        }
        let marker = Marker { producer_id: 7, producer_epoch: 0, outcome: Outcome::Abort };
        batches.push(build_marker(marker, 5));
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&batches.concat()).unwrap();
        let bytes = file.metadata().unwrap().len();
        let expected: Vec<_> = batches.iter().map(|b| BatchHeader::check(b).unwrap()).collect();
        assert_eq!(headers(&file, bytes).unwrap(), Some(expected));
        assert_eq!(headers(&file, bytes - 1).unwrap(), None, "cut short");
        file.set_len(bytes + 200).unwrap();
        assert_eq!(headers(&file, bytes + 200).unwrap(), None, "nothing but zeroes behind");
        assert_eq!(headers(&file, 0).unwrap(), Some(Vec::new()));
    }
}
