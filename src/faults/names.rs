//! Requests and errors by their names in Kafka.

use crate::error::{Error, Result};
use kafka_protocol::{ResponseError, messages::ApiKey};

/// "Any request", where a name is expected.
const ANY: &str = "*";
/// Most names that are offered instead of an unknown one.
const OFFERED: usize = 3;

/// The request called `name`, as `Produce` or `init_producer_id`; none for `*`, any request.
///
/// # Errors
///
/// [`Error::Config`] with names that are close, if there is no such request.
pub fn api_by_name(name: &str) -> Result<Option<ApiKey>> {
    if name == ANY {
        return Ok(None);
    }
    let all: Vec<ApiKey> = all_apis().collect();
    let found = all.iter().find(|api| plain(&api_name(**api)) == plain(name));
    found.copied().map(Some).ok_or_else(|| {
        let names: Vec<String> = all.into_iter().map(api_name).collect();
        Error::Config(format!("no request of Kafka is called {name:?}{}", offer(name, &names)))
    })
}

/// Name of a request in Kafka's documentation, as `InitProducerId`.
#[must_use]
pub fn api_name(api: ApiKey) -> String {
    format!("{api:?}")
}

fn all_apis() -> impl Iterator<Item = ApiKey> {
    (0..i16::from(u8::MAX)).filter_map(|number| ApiKey::try_from(number).ok())
}

/// The code of the error called `name`, as `NOT_LEADER_OR_FOLLOWER` in any case.
///
/// # Errors
///
/// [`Error::Config`] with names that are close, if there is no such error.
pub fn error_by_name(name: &str) -> Result<i16> {
    let all: Vec<ResponseError> = all_errors().collect();
    let wanted = plain(name);
    let found = all.iter().find(|error| plain(&error.to_string()) == wanted);
    found.map(ResponseError::code).ok_or_else(|| {
        let names: Vec<String> = all.iter().map(|error| error_name(error.code())).collect();
        Error::Config(format!("no error of Kafka is called {name:?}{}", offer(name, &names)))
    })
}

/// Name of an error code, as `NOT_LEADER_OR_FOLLOWER`; its number if it has none.
#[must_use]
pub fn error_name(code: i16) -> String {
    match ResponseError::try_from_code(code) {
        None => "NONE".to_owned(),
        Some(ResponseError::Unknown(code)) => code.to_string(),
        Some(error) => screaming(&error.to_string()),
    }
}

fn all_errors() -> impl Iterator<Item = ResponseError> {
    (-1..i16::from(u8::MAX)).filter_map(|code| match ResponseError::try_from_code(code) {
        None | Some(ResponseError::Unknown(_)) => None,
        known => known,
    })
}

/// `NotLeaderOrFollower` as `NOT_LEADER_OR_FOLLOWER`.
fn screaming(camel: &str) -> String {
    let mut name = String::with_capacity(camel.len() + 8);
    for (at, c) in camel.char_indices() {
        if at > 0 && c.is_ascii_uppercase() {
            name.push('_');
        }
        name.push(c.to_ascii_uppercase());
    }
    name
}

/// Letters and digits only, in lower case: how names are compared.
fn plain(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

/// `: do you mean A, B?`, with the names closest to `name`; empty if none is.
fn offer(name: &str, names: &[String]) -> String {
    let wanted = plain(name);
    if wanted.is_empty() {
        return String::new();
    }
    let mut close: Vec<(usize, &String)> = names
        .iter()
        .filter_map(|candidate| {
            let plain = plain(candidate);
            let inside = wanted.len() > 3 && plain.contains(&wanted);
            let far = if inside { 1 } else { distance(&wanted, &plain) };
            (far <= 1 + wanted.len() / 4).then_some((far, candidate))
        })
        .collect();
    close.sort();
    let offered: Vec<&str> = close.iter().take(OFFERED).map(|(_, name)| name.as_str()).collect();
    match offered.len() {
        0 => String::new(),
        _ => format!(": do you mean {}?", offered.join(", ")),
    }
}

/// How many letters have to be added, taken away or exchanged to come from `a` to `b`.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut before = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let exchanged = before + usize::from(x != y);
            before = row[j + 1];
            row[j + 1] = exchanged.min(before + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(result: Result<impl std::fmt::Debug>) -> String {
        match result {
            Err(Error::Config(message)) => message,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_name_is_found_again() {
        for api in all_apis() {
            assert_eq!(api_by_name(&api_name(api)).unwrap(), Some(api));
        }
        for error in all_errors() {
            assert_eq!(error_by_name(&error_name(error.code())).unwrap(), error.code());
        }
        assert!(all_apis().count() > 50 && all_errors().count() > 100);
    }

    #[test]
    fn case_and_underscores_do_not_matter() {
        assert_eq!(api_by_name("produce").unwrap(), Some(ApiKey::Produce));
        assert_eq!(api_by_name("init_producer_id").unwrap(), Some(ApiKey::InitProducerId));
        assert_eq!(api_by_name("*").unwrap(), None);
        assert_eq!(error_by_name("not_leader_or_follower").unwrap(), 6);
        assert_eq!(error_by_name("UNKNOWN_SERVER_ERROR").unwrap(), -1);
        assert_eq!(error_name(6), "NOT_LEADER_OR_FOLLOWER");
        assert_eq!(error_name(4711), "4711");
    }

    #[test]
    fn an_unknown_name_brings_close_ones() {
        assert_eq!(
            refused(api_by_name("Produced")),
            "no request of Kafka is called \"Produced\": do you mean Produce?"
        );
        assert_eq!(
            refused(error_by_name("NOT_LEADER")),
            "no error of Kafka is called \"NOT_LEADER\": do you mean NOT_LEADER_OR_FOLLOWER?"
        );
        assert_eq!(refused(api_by_name("xyzzy")), "no request of Kafka is called \"xyzzy\"");
        assert_eq!(refused(api_by_name("")), "no request of Kafka is called \"\"");
    }

    #[test]
    fn the_distance_of_words() {
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("same", "same"), 0);
    }
}
