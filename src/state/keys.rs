//! Keys of a handler's state as a store has them: those of a scope stand together.
//!
//! ```text
//! 0 key                      outside of any scope
//! 1 length(u16) scope key    inside of one
//! ```

/// Longest scope.
pub const MAX_SCOPE_BYTES: usize = u16::MAX as usize;

const ROOT: u8 = 0;
const SCOPED: u8 = 1;

/// What all keys of `scope` begin with, and those outside of any.
///
/// # Panics
///
/// For a scope longer than [`MAX_SCOPE_BYTES`].
#[must_use]
pub fn prefix(scope: Option<&[u8]>) -> Vec<u8> {
    let Some(scope) = scope else { return vec![ROOT] };
    let length = u16::try_from(scope.len()).expect("a scope is as long as a key may be");
    let mut prefix = Vec::with_capacity(3 + scope.len() + 16);
    prefix.push(SCOPED);
    prefix.extend_from_slice(&length.to_be_bytes());
    prefix.extend_from_slice(scope);
    prefix
}

/// `key` in `scope`.
///
/// # Panics
///
/// As [`prefix`].
#[must_use]
pub fn join(scope: Option<&[u8]>, key: &[u8]) -> Vec<u8> {
    let mut joined = prefix(scope);
    joined.extend_from_slice(key);
    joined
}

/// Scope and key of what [`join`] made; none if it did not make it.
#[must_use]
pub fn split(joined: &[u8]) -> Option<(Option<&[u8]>, &[u8])> {
    match joined.split_first()? {
        (&ROOT, key) => Some((None, key)),
        (&SCOPED, rest) => {
            let (length, rest) = rest.split_at_checked(2)?;
            let length = usize::from(u16::from_be_bytes(length.try_into().ok()?));
            let (scope, key) = rest.split_at_checked(length)?;
            Some((Some(scope), key))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        /// What was joined is split again, and no key of a scope is under the prefix of another.
        #[test]
        fn scopes_are_apart(
            scope in prop::option::of(prop::collection::vec(any::<u8>(), 0..4)),
            other in prop::option::of(prop::collection::vec(any::<u8>(), 0..4)),
            key in prop::collection::vec(any::<u8>(), 0..6),
        ) {
            let joined = join(scope.as_deref(), &key);
            prop_assert_eq!(split(&joined), Some((scope.as_deref(), key.as_slice())));
            prop_assert_eq!(joined.starts_with(&prefix(other.as_deref())), scope == other);
        }
    }
}
