//! Checks the shape of a request before it is decoded.
//!
//! The decoder reserves memory for as many elements as an array says it has. Here every length and
//! count is held against the bytes that are there, so that what the decoder reserves is bounded by
//! what the client has sent, and no request can ask for more memory than the machine has.

use kafka_protocol::messages::ApiKey;

/// The layout of a request.
///
/// `1 2 4 8` are numbers of that many bytes, `u` an id of 16, `s` a string, `y` bytes, `[..]` an
/// array, `<..>` a struct that may be absent, `{7+ ..}` fields from version 7 on, `{-7 ..}` fields up
/// to version 7. Tagged fields stand
/// behind every struct of a flexible version.
struct Shape {
    key: ApiKey,
    /// First flexible version.
    flexible: i16,
    layout: &'static str,
}

const fn shape(key: ApiKey, flexible: i16, layout: &'static str) -> Shape {
    Shape { key, flexible, layout }
}

const SHAPES: &[Shape] = &[
    shape(ApiKey::Produce, 9, "s24[s[4y]]"),
    shape(
        ApiKey::Fetch,
        12,
        "{-14 4}4441{7+ 44}[{-12 s}{13+ u}[4{9+ 4}8{12+ 4}{5+ 8}4]]\
         {7+ [{-12 s}{13+ u}[4]]}{11+ s}",
    ),
    shape(ApiKey::ListOffsets, 6, "4{2+ 1}[s[4{4+ 4}8]]"),
    shape(ApiKey::Metadata, 9, "[{10+ u}s]{4+ 1}{8+ {-10 1}1}"),
    shape(ApiKey::OffsetCommit, 8, "s4s{7+ s}{-4 8}[s[48{6+ 4}s]]"),
    shape(ApiKey::OffsetFetch, 6, "{-7 s[s[4]]}{8+ [s{9+ s4}[s[4]]]}{7+ 1}"),
    shape(ApiKey::FindCoordinator, 3, "{-3 s}{1+ 1}{4+ [s]}"),
    shape(ApiKey::JoinGroup, 6, "s4{1+ 4}s{5+ s}s[sy]{8+ s}"),
    shape(ApiKey::Heartbeat, 4, "s4s{3+ s}"),
    shape(ApiKey::LeaveGroup, 4, "s{-2 s}{3+ [ss{5+ s}]}"),
    shape(ApiKey::SyncGroup, 4, "s4s{3+ s}{5+ ss}[sy]"),
    shape(ApiKey::DescribeGroups, 5, "[s]{3+ 1}"),
    shape(ApiKey::ListGroups, 3, "{4+ [s]}{5+ [s]}"),
    shape(ApiKey::ApiVersions, 3, "{3+ ss}"),
    shape(ApiKey::SaslHandshake, i16::MAX, "s"),
    shape(ApiKey::SaslAuthenticate, 2, "y"),
    shape(ApiKey::DescribeUserScramCredentials, 0, "[{0+ s}]"),
    shape(ApiKey::AlterUserScramCredentials, 0, "[s1][s14yy]"),
    shape(ApiKey::CreateTopics, 5, "[s42[4[4]][ss]]41"),
    shape(ApiKey::DeleteTopics, 4, "{6+ [su]}{-5 [s]}4"),
    shape(ApiKey::DeleteRecords, 2, "[s[48]]4"),
    shape(ApiKey::InitProducerId, 2, "s4{3+ 82}"),
    shape(ApiKey::AddPartitionsToTxn, 3, "s82[s[4]]"),
    shape(ApiKey::AddOffsetsToTxn, 3, "s82s"),
    shape(ApiKey::EndTxn, 3, "s821"),
    shape(ApiKey::TxnOffsetCommit, 3, "ss82{3+ 4ss}[s[48{2+ 4}s]]"),
    shape(ApiKey::DescribeProducers, 0, "[s[4]]"),
    shape(ApiKey::DescribeTransactions, 0, "[s]"),
    shape(ApiKey::ListTransactions, 0, "[s][8]{1+ 8}"),
    shape(ApiKey::OffsetForLeaderEpoch, 4, "{3+ 4}[s[444]]"),
    shape(ApiKey::DescribeAcls, 2, "1s1ss11"),
    shape(ApiKey::CreateAcls, 2, "[1s1ss11]"),
    shape(ApiKey::DeleteAcls, 2, "[1s1ss11]"),
    shape(ApiKey::DescribeConfigs, 4, "[1s[s]]1{3+ 1}"),
    shape(ApiKey::AlterConfigs, 2, "[1s[ss]]1"),
    shape(ApiKey::CreatePartitions, 2, "[s4[[4]]]41"),
    shape(ApiKey::DeleteGroups, 2, "[s]"),
    shape(ApiKey::ElectLeaders, 2, "{1+ 1}[s[4]]4"),
    shape(ApiKey::IncrementalAlterConfigs, 1, "[1s[s1s]]1"),
    shape(ApiKey::OffsetDelete, i16::MAX, "s[s[4]]"),
    shape(ApiKey::DescribeCluster, 0, "1{1+ 1}{2+ 1}"),
    shape(ApiKey::ConsumerGroupHeartbeat, 0, "ss4ss4[s]{1+ s}s[u[4]]"),
    shape(ApiKey::ConsumerGroupDescribe, 0, "[s]1"),
    shape(ApiKey::DescribeTopicPartitions, 0, "[{0+ s}]4<s4>"),
];

/// Why a request cannot be what it says it is.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Misshapen(&'static str);

impl std::fmt::Display for Misshapen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

const CUT: Misshapen = Misshapen("the request ends too early");
const LENGTH: Misshapen = Misshapen("a length is larger than the request, or negative");

/// Checks the body of a request.
pub(super) fn check(key: ApiKey, version: i16, body: &[u8]) -> Result<(), Misshapen> {
    let shape = SHAPES.iter().find(|s| s.key == key).expect("every request served has a shape");
    let mut walk = Walk { version, is_flexible: version >= shape.flexible, rest: body };
    walk.fields(shape.layout.as_bytes())?;
    // librdkafka leaves a byte behind some requests; Kafka does not mind, so nothing here does.
    Ok(())
}

struct Walk<'a> {
    version: i16,
    is_flexible: bool,
    rest: &'a [u8],
}

impl Walk<'_> {
    /// The fields of a struct, and its tagged fields.
    fn fields(&mut self, layout: &[u8]) -> Result<(), Misshapen> {
        self.plain_fields(layout)?;
        if self.is_flexible {
            for _ in 0..self.varint()? {
                self.varint()?;
                let length = self.varint()? as usize;
                self.skip(length)?;
            }
        }
        Ok(())
    }

    fn plain_fields(&mut self, mut layout: &[u8]) -> Result<(), Misshapen> {
        while let Some((&token, rest)) = layout.split_first() {
            layout = rest;
            match token {
                b'1' | b'2' | b'4' | b'8' => self.skip(usize::from(token - b'0'))?,
                b'u' => self.skip(16)?,
                b's' => self.text_or_bytes(2)?,
                b'y' => self.text_or_bytes(4)?,
                b'[' | b'{' | b'<' => {
                    let (inner, behind) = layout.split_at(inner_length(layout));
                    layout = &behind[1..];
                    match token {
                        b'[' => self.array(inner)?,
                        b'{' => self.guarded(inner)?,
                        _ => self.optional(inner)?,
                    }
                }
                other => unreachable!("{} in a layout", char::from(other)),
            }
        }
        Ok(())
    }

    /// `7+ fields` or `-7 fields`.
    fn guarded(&mut self, layout: &[u8]) -> Result<(), Misshapen> {
        let space = layout.iter().position(|b| *b == b' ').expect("a guard has a space");
        let guard = std::str::from_utf8(&layout[..space]).expect("layouts are ASCII");
        let number: i16 = guard.trim_matches(['+', '-']).parse().expect("a guard has a version");
        let holds =
            if guard.starts_with('-') { self.version <= number } else { self.version >= number };
        if holds { self.plain_fields(&layout[space + 1..]) } else { Ok(()) }
    }

    fn array(&mut self, element: &[u8]) -> Result<(), Misshapen> {
        let count = self.length(4)?;
        if count > self.rest.len() {
            return Err(LENGTH);
        }
        let is_struct = element.len() > 1;
        for _ in 0..count {
            if is_struct { self.fields(element)? } else { self.plain_fields(element)? }
        }
        Ok(())
    }

    /// A struct behind a byte that says whether it is there.
    fn optional(&mut self, layout: &[u8]) -> Result<(), Misshapen> {
        let (&mark, rest) = self.rest.split_first().ok_or(CUT)?;
        self.rest = rest;
        if mark == 1 { self.fields(layout) } else { Ok(()) }
    }

    fn text_or_bytes(&mut self, width: usize) -> Result<(), Misshapen> {
        let length = self.length(width)?;
        self.skip(length)
    }

    /// A length or count, of `width` bytes where it has no variable width; "null" counts as 0.
    fn length(&mut self, width: usize) -> Result<usize, Misshapen> {
        if self.is_flexible {
            return Ok(self.varint()?.saturating_sub(1) as usize);
        }
        let (bytes, rest) = self.rest.split_at_checked(width).ok_or(CUT)?;
        self.rest = rest;
        let value = match *bytes {
            [a, b] => i32::from(i16::from_be_bytes([a, b])),
            [a, b, c, d] => i32::from_be_bytes([a, b, c, d]),
            _ => unreachable!("lengths have 2 or 4 bytes"),
        };
        if value == -1 { Ok(0) } else { usize::try_from(value).map_err(|_| LENGTH) }
    }

    fn varint(&mut self) -> Result<u32, Misshapen> {
        let mut value = 0u32;
        for shift in (0..35).step_by(7) {
            let (byte, rest) = self.rest.split_first().ok_or(CUT)?;
            self.rest = rest;
            value |= u32::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(LENGTH)
    }

    fn skip(&mut self, bytes: usize) -> Result<(), Misshapen> {
        self.rest = self.rest.get(bytes..).ok_or(CUT)?;
        Ok(())
    }
}

/// How far the bracket goes that was opened in front of `layout`.
fn inner_length(layout: &[u8]) -> usize {
    let mut depth = 1;
    let end = layout.iter().position(|token| {
        match token {
            b'[' | b'{' | b'<' => depth += 1,
            b']' | b'}' | b'>' => depth -= 1,
            _ => {}
        }
        depth == 0
    });
    end.expect("brackets of layouts are closed")
}
