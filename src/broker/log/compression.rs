//! Opens the compressed part of a batch, and packs it again. Serving never needs it: the search for an
//! exact offset by timestamp looks into batches, and compaction takes records out.

use std::io::{self, Read, Write};

/// Most bytes that a batch may open to; a larger one is not looked into.
const OPENED_LIMIT: u64 = 256 << 20;

/// The bytes of the records of a batch with compression codec `codec`.
pub(crate) fn open(codec: i16, bytes: &[u8]) -> io::Result<Vec<u8>> {
    match codec {
        0 => Ok(bytes.to_vec()),
        1 => read_limited(flate2::read::MultiGzDecoder::new(bytes)),
        2 => open_snappy(bytes),
        3 => read_limited(lz4_flex::frame::FrameDecoder::new(bytes)),
        4 => read_limited(zstd::stream::read::Decoder::new(bytes)?),
        _ => Err(bad(format!("compression codec {codec}"))),
    }
}

/// `records`, packed with compression codec `codec`.
pub(crate) fn pack(codec: i16, records: Vec<u8>) -> io::Result<Vec<u8>> {
    match codec {
        0 => Ok(records),
        1 => {
            let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            out.write_all(&records)?;
            out.finish()
        }
        2 => pack_snappy(&records),
        3 => {
            let mut out = lz4_flex::frame::FrameEncoder::new(Vec::new());
            out.write_all(&records)?;
            out.finish().map_err(io::Error::other)
        }
        4 => zstd::encode_all(&records[..], 0),
        _ => Err(bad(format!("compression codec {codec}"))),
    }
}

/// As Java clients do it, which every client reads.
fn pack_snappy(records: &[u8]) -> io::Result<Vec<u8>> {
    const BLOCK_BYTES: usize = 32 << 10;
    let mut out = b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01".to_vec();
    for block in records.chunks(BLOCK_BYTES) {
        let block =
            snap::raw::Encoder::new().compress_vec(block).map_err(|e| bad(e.to_string()))?;
        out.extend((block.len() as u32).to_be_bytes());
        out.extend(block);
    }
    Ok(out)
}

fn read_limited(reader: impl Read) -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    reader.take(OPENED_LIMIT + 1).read_to_end(&mut out)?;
    if out.len() as u64 > OPENED_LIMIT {
        return Err(bad(format!("the batch opens to more than {OPENED_LIMIT} bytes")));
    }
    Ok(out)
}

/// Java clients cut snappy into blocks behind a header of 16 bytes; others send one bare block.
fn open_snappy(bytes: &[u8]) -> io::Result<Vec<u8>> {
    const MAGIC: &[u8] = b"\x82SNAPPY\0";
    const BLOCKS_START: usize = 16;
    if !bytes.starts_with(MAGIC) {
        return snappy_block(bytes, 0);
    }
    let mut rest =
        bytes.get(BLOCKS_START..).ok_or_else(|| bad("snappy header cut short".into()))?;
    let mut out = Vec::new();
    while !rest.is_empty() {
        let (length, tail) =
            rest.split_first_chunk().ok_or_else(|| bad("snappy block cut short".into()))?;
        let length = u32::from_be_bytes(*length) as usize;
        let block = tail.get(..length).ok_or_else(|| bad("snappy block cut short".into()))?;
        out.extend(snappy_block(block, out.len() as u64)?);
        rest = &tail[length..];
    }
    Ok(out)
}

fn snappy_block(block: &[u8], opened: u64) -> io::Result<Vec<u8>> {
    let size = snap::raw::decompress_len(block).map_err(|e| bad(e.to_string()))?;
    if opened + size as u64 > OPENED_LIMIT {
        return Err(bad(format!("the batch opens to more than {OPENED_LIMIT} bytes")));
    }
    snap::raw::Decoder::new().decompress_vec(block).map_err(|e| bad(e.to_string()))
}

fn bad(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_codec_opens_what_it_packed() {
        let plain: Vec<u8> = (0..20_000u32).flat_map(|i| (i % 300).to_le_bytes()).collect();
        for codec in 0..=4 {
            let packed = pack(codec, plain.clone()).unwrap();
            assert_eq!(open(codec, &packed).unwrap(), plain, "codec {codec}");
            assert_eq!(packed.len() < plain.len(), codec > 0);
        }
        let block = snap::raw::Encoder::new().compress_vec(&plain).unwrap();
        assert_eq!(open(2, &block).unwrap(), plain);
        assert!(open(5, &plain).is_err() && pack(5, plain).is_err());
    }

    #[test]
    fn a_snappy_block_that_claims_gigabytes_is_refused_before_it_is_opened() {
        assert!(open(2, &[0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0]).is_err());
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(
            codec in 0i16..6, bytes in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            let _ = open(codec, &bytes);
            let _ = open(2, &[b"\x82SNAPPY\0", &bytes[..]].concat());
        }
    }
}
