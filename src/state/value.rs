//! A value of a handler's state as a store has it: what kind it is, until when it lives, its bytes.
//!
//! ```text
//! tag(u8) [expires(i64, big-endian)] payload      tag = kind, + 0x80 with `expires`
//! ```

use crate::error::{Error, Result};
use serde_json::{Value as Json, json};

const EXPIRES: u8 = 0x80;

/// What the payload of a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Bytes as they were given.
    Bytes = 0,
    /// JSON text.
    Json = 1,
    /// A `MessagePack` value.
    Msgpack = 2,
    /// A whole number, 8 bytes little-endian.
    Int = 3,
    /// A number of double precision, 8 bytes little-endian.
    Float = 4,
    /// UTF-8.
    Text = 5,
    /// Nothing.
    Null = 6,
    /// A truth value.
    False = 7,
    /// The other one.
    True = 8,
}

impl Kind {
    const ALL: [Self; 9] = [
        Self::Bytes,
        Self::Json,
        Self::Msgpack,
        Self::Int,
        Self::Float,
        Self::Text,
        Self::Null,
        Self::False,
        Self::True,
    ];
}

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Value<'a> {
    /// What the payload is.
    pub kind: Kind,
    /// It is gone when event time reaches this, in ms since the Unix epoch.
    pub expires_ms: Option<i64>,
    /// Its bytes.
    pub payload: &'a [u8],
}

impl<'a> Value<'a> {
    /// Reads a stored value.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for bytes that are none.
    pub fn read(stored: &'a [u8]) -> Result<Self> {
        Self::parse(stored).ok_or_else(|| {
            Error::Config(
                "a value of the state has not the form that this version writes; remove the state"
                    .into(),
            )
        })
    }

    fn parse(stored: &'a [u8]) -> Option<Self> {
        let (&tag, rest) = stored.split_first()?;
        let kind = *Kind::ALL.get(usize::from(tag & !EXPIRES))?;
        let (expires_ms, payload) = if tag & EXPIRES == 0 {
            (None, rest)
        } else {
            let (expires, payload) = rest.split_first_chunk::<8>()?;
            (Some(i64::from_be_bytes(*expires)), payload)
        };
        let fits = match kind {
            Kind::Int | Kind::Float => payload.len() == 8,
            Kind::Null | Kind::False | Kind::True => payload.is_empty(),
            Kind::Text => std::str::from_utf8(payload).is_ok(),
            Kind::Bytes | Kind::Json | Kind::Msgpack => true,
        };
        fits.then_some(Self { kind, expires_ms, payload })
    }

    /// The bytes to store.
    #[must_use]
    pub fn write(self) -> Vec<u8> {
        let mut stored = Vec::with_capacity(self.payload.len() + 9);
        match self.expires_ms {
            None => stored.push(self.kind as u8),
            Some(expires) => {
                stored.push(self.kind as u8 | EXPIRES);
                stored.extend_from_slice(&expires.to_be_bytes());
            }
        }
        stored.extend_from_slice(self.payload);
        stored
    }

    /// Is it gone when event time is `now_ms`?
    #[must_use]
    pub fn is_over(&self, now_ms: Option<i64>) -> bool {
        self.expires_ms.zip(now_ms).is_some_and(|(expires, now)| expires <= now)
    }

    /// The number of an [`Kind::Int`].
    #[must_use]
    pub fn int(&self) -> Option<i64> {
        let bytes = self.payload.try_into().ok()?;
        (self.kind == Kind::Int).then(|| i64::from_le_bytes(bytes))
    }

    /// The number of a [`Kind::Float`].
    #[must_use]
    pub fn float(&self) -> Option<f64> {
        let bytes = self.payload.try_into().ok()?;
        (self.kind == Kind::Float).then(|| f64::from_le_bytes(bytes))
    }

    /// As people are shown it; bytes, and what is not text, as `{"bytes": "<hex>"}`.
    #[must_use]
    pub fn to_json(self) -> Json {
        let hex = || {
            let digits: String = self.payload.iter().map(|byte| format!("{byte:02x}")).collect();
            json!({ "bytes": digits })
        };
        match self.kind {
            Kind::Null => Json::Null,
            Kind::False => json!(false),
            Kind::True => json!(true),
            Kind::Int => json!(self.int()),
            Kind::Float => json!(self.float()),
            Kind::Text => json!(String::from_utf8_lossy(self.payload)),
            Kind::Json => serde_json::from_slice(self.payload).unwrap_or_else(|_| hex()),
            Kind::Msgpack => super::msgpack::to_json(self.payload).unwrap_or_else(hex),
            Kind::Bytes => hex(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn what_is_written_is_read(
            number in any::<i64>(),
            expires_ms in prop::option::of(any::<i64>()),
            bytes in prop::collection::vec(any::<u8>(), 0..12),
        ) {
            let stored = Value { kind: Kind::Int, expires_ms, payload: &number.to_le_bytes() }.write();
            let read = Value::read(&stored).unwrap();
            prop_assert_eq!((read.int(), read.expires_ms, read.float()), (Some(number), expires_ms, None));
            let stored = Value { kind: Kind::Bytes, expires_ms, payload: &bytes }.write();
            prop_assert_eq!(Value::read(&stored).unwrap().payload, &bytes[..]);
        }

        /// Bytes from elsewhere are refused or read, and shown; nothing panics.
        #[test]
        fn any_bytes_have_an_answer(stored in prop::collection::vec(any::<u8>(), 0..24)) {
            if let Ok(value) = Value::read(&stored) {
                let _ = value.to_json();
                prop_assert_eq!(value.write(), stored);
            }
        }
    }

    #[test]
    fn a_value_is_over_when_its_time_is_reached() {
        let value = Value { kind: Kind::Null, expires_ms: Some(10), payload: b"" };
        assert_eq!([None, Some(9), Some(10)].map(|now| value.is_over(now)), [false, false, true]);
        assert!(!Value { expires_ms: None, ..value }.is_over(Some(i64::MAX)));
    }
}
