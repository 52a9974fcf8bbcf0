//! SaslHandshake, SaslAuthenticate, DescribeUserScramCredentials, AlterUserScramCredentials.

use super::{Context, text};
use crate::broker::security::{Ask, Credential, Mechanism, NoHandshake, ScramHash};
use bytes::Bytes;
use kafka_protocol::{
    ResponseError,
    messages::{
        AlterUserScramCredentialsRequest, AlterUserScramCredentialsResponse, ApiKey,
        DescribeUserScramCredentialsRequest, DescribeUserScramCredentialsResponse,
        SaslAuthenticateRequest, SaslAuthenticateResponse, SaslHandshakeRequest,
        SaslHandshakeResponse,
        alter_user_scram_credentials_response::AlterUserScramCredentialsResult,
        describe_user_scram_credentials_response::{
            CredentialInfo, DescribeUserScramCredentialsResult,
        },
    },
    protocol::StrBytes,
};
use std::collections::{BTreeMap, btree_map::Entry};

/// Most bytes of a request from a client that nobody knows yet.
pub(super) const MAX_BYTES: usize = 512 << 10;
/// How often clients may hash a password.
const ITERATIONS: std::ops::RangeInclusive<i32> = Credential::ITERATIONS as i32..=16_384;

/// What a request means to a session.
pub(super) fn ask(key: ApiKey) -> Ask {
    match key {
        ApiKey::ApiVersions => Ask::Versions,
        ApiKey::SaslHandshake => Ask::Handshake,
        ApiKey::SaslAuthenticate => Ask::Authenticate,
        _ => Ask::Other,
    }
}

/// The client says how it wants to authenticate.
pub(super) fn handshake(
    context: &Context<'_>,
    request: SaslHandshakeRequest,
) -> SaslHandshakeResponse {
    let security = &context.broker.config.security;
    let offered = if security.wants_users() { &security.mechanisms[..] } else { &[] };
    let is_bare = context.version == 0;
    let result = context.session.lock().handshake(&request.mechanism, offered, is_bare);
    let error = match result {
        Ok(()) => 0,
        Err(NoHandshake::OutOfPlace) => ResponseError::IllegalSaslState.code(),
        Err(NoHandshake::Mechanism) => ResponseError::UnsupportedSaslMechanism.code(),
    };
    let names = offered.iter().map(|mechanism| text(mechanism.name())).collect();
    SaslHandshakeResponse::default().with_error_code(error).with_mechanisms(names)
}

/// The client proves who it is.
pub(super) fn authenticate(
    context: &Context<'_>,
    request: SaslAuthenticateRequest,
) -> SaslAuthenticateResponse {
    let refused = |error: ResponseError, message: String| {
        SaslAuthenticateResponse::default()
            .with_error_code(error.code())
            .with_error_message(Some(text(message)))
    };
    match context.session.lock().token(&request.auth_bytes, &context.broker.users) {
        Some(Ok(token)) => SaslAuthenticateResponse::default().with_auth_bytes(token.into()),
        Some(Err(message)) => refused(ResponseError::SaslAuthenticationFailed, message),
        None => {
            let message = "SaslAuthenticate request received after successful authentication";
            refused(ResponseError::IllegalSaslState, message.into())
        }
    }
}

/// The number that clients know a hash by.
fn number(hash: ScramHash) -> i8 {
    match hash {
        ScramHash::Sha256 => 1,
        ScramHash::Sha512 => 2,
    }
}

fn hash(number: i8) -> Option<ScramHash> {
    Mechanism::ALL
        .into_iter()
        .filter_map(Mechanism::scram_hash)
        .find(|h| self::number(*h) == number)
}

/// Who has credentials, and of what kind.
pub(super) fn describe_credentials(
    context: &Context<'_>,
    request: DescribeUserScramCredentialsRequest,
) -> DescribeUserScramCredentialsResponse {
    let users = &context.broker.users;
    let wanted: Vec<StrBytes> = match request.users {
        Some(wanted) if !wanted.is_empty() => wanted.into_iter().map(|user| user.name).collect(),
        _ => users.names().into_iter().map(text).collect(),
    };
    let mut results: BTreeMap<StrBytes, DescribeUserScramCredentialsResult> = BTreeMap::new();
    for user in wanted {
        let response = DescribeUserScramCredentialsResult::default().with_user(user.clone());
        let refused = |error: ResponseError, message: String| {
            response.clone().with_error_code(error.code()).with_error_message(Some(text(message)))
        };
        let result = if results.contains_key(&user) {
            refused(
                ResponseError::DuplicateResource,
                format!(
                    "Cannot describe SCRAM credentials for the same user twice in a single request: \
                     {}",
                    &*user
                ),
            )
        } else if let Some(found) = users.describe(&user) {
            let info = |(hash, iterations): (ScramHash, u32)| {
                CredentialInfo::default()
                    .with_mechanism(number(hash))
                    .with_iterations(iterations as i32)
            };
            response.with_credential_infos(found.into_iter().map(info).collect())
        } else {
            refused(
                ResponseError::ResourceNotFound,
                format!("Attempt to describe a user credential that does not exist: {}", &*user),
            )
        };
        results.insert(user, result);
    }
    DescribeUserScramCredentialsResponse::default().with_results(results.into_values().collect())
}

/// What is asked for one user.
type Change = Result<(ScramHash, Option<Credential>), (ResponseError, &'static str)>;

/// Users come, go, and get other passwords; those of this broker's memory, a restart forgets them.
pub(super) fn alter_credentials(
    context: &Context<'_>,
    request: AlterUserScramCredentialsRequest,
) -> AlterUserScramCredentialsResponse {
    let mut wanted: BTreeMap<StrBytes, Change> = BTreeMap::new();
    let mut want = |user: StrBytes, change: &dyn Fn(&str) -> Change| match wanted.entry(user) {
        Entry::Vacant(place) => {
            let change = change(place.key());
            place.insert(change);
        }
        Entry::Occupied(mut place) if place.get().is_ok() => {
            let message = "A user credential cannot be altered twice in the same request";
            *place.get_mut() = Err((ResponseError::DuplicateResource, message));
        }
        Entry::Occupied(_) => {}
    };
    for deletion in request.deletions {
        want(deletion.name, &|user| deleted(context, user, deletion.mechanism));
    }
    for upsertion in request.upsertions {
        let (salt, salted) = (&upsertion.salt, &upsertion.salted_password);
        let (mechanism, iterations) = (upsertion.mechanism, upsertion.iterations);
        want(upsertion.name, &|user| upserted(user, mechanism, iterations, salt, salted));
    }
    let mut results = Vec::with_capacity(wanted.len());
    for (user, change) in wanted {
        let result = AlterUserScramCredentialsResult::default().with_user(user.clone());
        results.push(match change {
            Ok((hash, credential)) => {
                context.broker.users.change(&user, hash, credential);
                result
            }
            Err((error, message)) => {
                result.with_error_code(error.code()).with_error_message(Some(text(message)))
            }
        });
    }
    AlterUserScramCredentialsResponse::default().with_results(results)
}

fn check(user: &str, mechanism: i8) -> Result<ScramHash, (ResponseError, &'static str)> {
    if user.is_empty() {
        return Err((ResponseError::UnacceptableCredential, "Username must not be empty"));
    }
    hash(mechanism).ok_or((ResponseError::UnsupportedSaslMechanism, "Unknown SCRAM mechanism"))
}

fn deleted(context: &Context<'_>, user: &str, mechanism: i8) -> Change {
    let hash = check(user, mechanism)?;
    match context.broker.users.credential(user, hash) {
        Some(_) => Ok((hash, None)),
        None => Err((
            ResponseError::ResourceNotFound,
            "Attempt to delete a user credential that does not exist",
        )),
    }
}

fn upserted(user: &str, mechanism: i8, iterations: i32, salt: &Bytes, salted: &Bytes) -> Change {
    let hash = check(user, mechanism)?;
    let refused = |message| Err((ResponseError::UnacceptableCredential, message));
    if iterations < *ITERATIONS.start() {
        return refused("Too few iterations");
    }
    if iterations > *ITERATIONS.end() {
        return refused("Too many iterations");
    }
    if salt.is_empty() || salted.is_empty() {
        return refused("Salt and salted password must not be empty");
    }
    match Credential::of_salted(hash, salted, salt.to_vec(), iterations as u32) {
        Ok(credential) => Ok((hash, Some(credential))),
        Err(_) => refused("The credential cannot be kept"),
    }
}
