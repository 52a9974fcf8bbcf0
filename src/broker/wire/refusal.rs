//! Requests that rules of a test are about: their topics, and the errors that they get.

use super::{Context, api, connection::Fault, metadata, shape};
use crate::{
    broker::server::Shared,
    faults::{
        Head, Verdict,
        refusal::{self, Refusal},
        topics::{self, TopicRef},
    },
};
use bytes::BytesMut;
use kafka_protocol::messages::ApiKey;

/// What shall happen to a request.
pub(super) fn judge(broker: &Shared, request: &api::Request) -> Verdict {
    let head = Head { api: Some(request.key), client_id: &request.client_id };
    broker.faults.judge(head, || topics_of(broker, request))
}

fn topics_of(broker: &Shared, request: &api::Request) -> Vec<String> {
    let api::Request { key, version, body, .. } = request;
    if shape::check(*key, *version, body).is_err() {
        return Vec::new();
    }
    let named = topics::named(*key, *version, body).unwrap_or_default();
    let name = |topic| match topic {
        TopicRef::Name(name) => Some(name),
        TopicRef::Id(id) => broker.topics.by_id(id).map(|topic| topic.name.clone()),
    };
    named.into_iter().filter_map(name).collect()
}

/// Answers a request with error `code`, without effect; false if the request asks for nothing that
/// could fail, and is to be served.
pub(super) fn refuse(
    context: &Context<'_>,
    request: &api::Request,
    code: i16,
    out: &mut BytesMut,
) -> Result<bool, Fault> {
    let (key, version) = (request.key, request.version);
    let mut body = request.body.clone();
    if key == ApiKey::Metadata {
        let wanted = api::decode(key, version, &mut body)?;
        let mut response = metadata::without_creation(context, &wanted);
        if !refusal::spoil_metadata(&mut response, code) {
            return Ok(false);
        }
        api::begin(request, out)?;
        api::encode(key, version, &response, out)?;
        api::finish(key, out)?;
        return Ok(true);
    }
    api::check(key, version, &body)?;
    let malformed = |e| Fault::malformed(format!("{key:?} version {version}: {e}"));
    match refusal::refuse(key, version, body, code).map_err(malformed)? {
        None | Some(Refusal::NoPlace) => Ok(false),
        Some(Refusal::Silence) => {
            // As for any failure that the client does not wait to hear of.
            Err(Fault::Wanted)
        }
        Some(Refusal::Response(body)) => {
            api::begin(request, out)?;
            out.extend_from_slice(&body);
            api::finish(key, out)?;
            Ok(true)
        }
    }
}
