//! Looks at the messages of a stream before Arrow's reader does: that reader trusts lengths.

use super::ROWS_PER_BYTE;
use arrow::ipc::{MessageHeader, RecordBatch, root_as_message};

/// Marks a length, in streams of today.
const CONTINUATION: [u8; 4] = [0xFF; 4];

/// Are all lengths of `data` within it? `Err` says which one is not.
pub(super) fn check(data: &[u8]) -> Result<(), String> {
    let mut rest = data;
    let mut rows = 0usize;
    let mut has_schema = false;
    while !rest.is_empty() {
        if rest.starts_with(&CONTINUATION) {
            rest = &rest[4..];
        }
        let (size, behind) = rest.split_first_chunk::<4>().ok_or("the stream ends early")?;
        let size = u32::from_le_bytes(*size) as usize;
        if size == 0 {
            return if behind.is_empty() {
                has_schema.then_some(()).ok_or_else(|| "a stream without a schema".into())
            } else {
                Err("something follows behind the end of the stream".into())
            };
        }
        let (head, behind) = behind.split_at_checked(size).ok_or("the stream ends early")?;
        let message = root_as_message(head).map_err(|e| format!("a broken message: {e}"))?;
        let body = usize::try_from(message.bodyLength()).map_err(|_| "a negative length")?;
        let (body, behind) = behind.split_at_checked(body).ok_or("the stream ends early")?;
        match message.header_type() {
            MessageHeader::Schema if !has_schema => has_schema = true,
            MessageHeader::RecordBatch if has_schema => {
                let batch = message.header_as_record_batch().ok_or("a batch without a head")?;
                rows = rows.saturating_add(check_batch(batch, body)?);
            }
            MessageHeader::DictionaryBatch if has_schema => {
                let dictionary = message.header_as_dictionary_batch();
                let batch = dictionary.and_then(|d| d.data()).ok_or("an empty dictionary")?;
                check_batch(batch, body)?;
            }
            _ => return Err("a message that does not belong here".into()),
        }
        rest = behind;
    }
    if !has_schema {
        return Err("a stream without a schema".into());
    }
    if rows > data.len().saturating_mul(ROWS_PER_BYTE) {
        return Err(format!("{rows} rows in {} bytes", data.len()));
    }
    Ok(())
}

fn check_batch(batch: RecordBatch<'_>, body: &[u8]) -> Result<usize, String> {
    if batch.compression().is_some() {
        return Err("a compressed stream: write it without compression, Kafka compresses".into());
    }
    let most = body.len().max(1).saturating_mul(ROWS_PER_BYTE);
    let rows = usize::try_from(batch.length()).map_err(|_| "a negative number of rows")?;
    for buffer in batch.buffers().into_iter().flatten() {
        let (start, len) = (usize::try_from(buffer.offset()), usize::try_from(buffer.length()));
        let end = start.ok().zip(len.ok()).and_then(|(start, len)| start.checked_add(len));
        if end.is_none_or(|end| end > body.len()) {
            return Err("a column that lies outside the record".into());
        }
    }
    for node in batch.nodes().into_iter().flatten() {
        let (len, nulls) = (usize::try_from(node.length()), usize::try_from(node.null_count()));
        let fits = len.ok().zip(nulls.ok()).is_some_and(|(len, nulls)| {
            nulls <= len && len <= most.max(rows).min(isize::MAX.unsigned_abs() / 64)
        });
        if !fits {
            return Err("a column with more rows than bytes".into());
        }
    }
    Ok(rows)
}
