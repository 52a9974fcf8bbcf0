//! Which requests this broker serves, in which versions, and by which handler.

use super::{
    Context, access, configs, connection::Fault, consumer_groups, coordinator, describe, elections,
    fetch, group_admin, groups, metadata, offsets, produce, sasl, shape, topics, transaction_admin,
    transactions,
};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::{
    ResponseError,
    messages::{ApiKey, ApiVersionsResponse, RequestHeader, ResponseHeader, api_versions_response},
    protocol::{Decodable, Encodable},
};

/// Request, oldest and newest version. Nothing is listed that is not served.
pub(super) const SERVED: &[(ApiKey, i16, i16)] = &[
    (ApiKey::Produce, 3, 10),
    (ApiKey::Fetch, 4, 16),
    (ApiKey::ListOffsets, 1, 7),
    (ApiKey::Metadata, 0, 12),
    (ApiKey::OffsetCommit, 2, 9),
    (ApiKey::OffsetFetch, 1, 9),
    (ApiKey::FindCoordinator, 0, 6),
    (ApiKey::JoinGroup, 0, 9),
    (ApiKey::Heartbeat, 0, 4),
    (ApiKey::LeaveGroup, 0, 5),
    (ApiKey::SyncGroup, 0, 5),
    (ApiKey::DescribeGroups, 0, 6),
    (ApiKey::ListGroups, 0, 5),
    (ApiKey::ApiVersions, 0, 4),
    (ApiKey::SaslHandshake, 0, 1),
    (ApiKey::CreateTopics, 2, 7),
    (ApiKey::DeleteTopics, 1, 6),
    (ApiKey::DeleteRecords, 0, 2),
    (ApiKey::InitProducerId, 0, 5),
    (ApiKey::OffsetForLeaderEpoch, 2, 4),
    (ApiKey::AddPartitionsToTxn, 0, 3),
    (ApiKey::AddOffsetsToTxn, 0, 4),
    (ApiKey::EndTxn, 0, 4),
    (ApiKey::TxnOffsetCommit, 0, 4),
    (ApiKey::DescribeAcls, 1, 3),
    (ApiKey::CreateAcls, 1, 3),
    (ApiKey::DeleteAcls, 1, 3),
    (ApiKey::DescribeConfigs, 1, 4),
    (ApiKey::AlterConfigs, 0, 2),
    (ApiKey::SaslAuthenticate, 0, 2),
    (ApiKey::CreatePartitions, 0, 3),
    (ApiKey::DeleteGroups, 0, 2),
    (ApiKey::ElectLeaders, 0, 2),
    (ApiKey::IncrementalAlterConfigs, 0, 1),
    (ApiKey::OffsetDelete, 0, 0),
    (ApiKey::DescribeUserScramCredentials, 0, 0),
    (ApiKey::AlterUserScramCredentials, 0, 0),
    (ApiKey::DescribeCluster, 0, 2),
    (ApiKey::DescribeProducers, 0, 0),
    (ApiKey::DescribeTransactions, 0, 0),
    (ApiKey::ListTransactions, 0, 1),
    (ApiKey::ConsumerGroupHeartbeat, 0, 1),
    (ApiKey::ConsumerGroupDescribe, 0, 1),
    (ApiKey::DescribeTopicPartitions, 0, 0),
];

/// True if requests of this kind are served.
pub(crate) fn is_served(api: ApiKey) -> bool {
    SERVED.iter().any(|(served, ..)| *served == api)
}

/// A frame with its header read.
pub(super) struct Request {
    /// Kind of the request.
    pub(super) key: ApiKey,
    /// Version of the request.
    pub(super) version: i16,
    /// `client.id`, empty if it has none.
    pub(super) client_id: String,
    correlation_id: i32,
    /// What is behind the header.
    pub(super) body: Bytes,
}

impl Request {
    /// Reads the header of a frame.
    pub(super) fn parse(mut frame: Bytes) -> Result<Self, Fault> {
        if frame.len() < 8 {
            return Err(Fault::malformed(format!("a request of {} bytes", frame.len())));
        }
        let (number, version) = ((&frame[0..2]).get_i16(), (&frame[2..4]).get_i16());
        let key = ApiKey::try_from(number)
            .map_err(|()| Fault::malformed(format!("request number {number} is unknown")))?;
        let served = SERVED.iter().find(|(served, ..)| *served == key);
        let (_, oldest, newest) =
            served.ok_or_else(|| Fault::malformed(format!("{key:?} is not served")))?;
        if !(oldest..=newest).contains(&&version) {
            if key == ApiKey::ApiVersions {
                // The client may not know this broker yet; it is told, in the oldest version.
                let correlation_id = (&frame[4..8]).get_i32();
                let (client_id, body) = (String::new(), Bytes::new());
                return Ok(Self { key, version, client_id, correlation_id, body });
            }
            return Err(Fault::malformed(format!(
                "{key:?} version {version}; served are {oldest} to {newest}"
            )));
        }
        let header = RequestHeader::decode(&mut frame, key.request_header_version(version))
            .map_err(|e| Fault::malformed(format!("header of {key:?}: {e:#}")))?;
        Ok(Self {
            key,
            version,
            client_id: header.client_id.map(|id| id.to_string()).unwrap_or_default(),
            correlation_id: header.correlation_id,
            body: frame,
        })
    }
}

/// Serves a request; `out` gets the frame of the response, if there is one.
pub(super) async fn answer(
    context: &Context<'_>,
    request: Request,
    out: &mut BytesMut,
) -> Result<(), Fault> {
    begin(&request, out)?;
    let Request { key, version, mut body, .. } = request;
    macro_rules! serve {
        ($handler:path) => {{
            let request = decode(key, version, &mut body)?;
            encode(key, version, &$handler(context, request), out)?
        }};
        (wait $handler:path) => {{
            let request = decode(key, version, &mut body)?;
            encode(key, version, &$handler(context, request).await, out)?
        }};
    }
    match key {
        ApiKey::ApiVersions => api_versions(version, &body, out)?,
        ApiKey::Produce => {
            let request = decode(key, version, &mut body)?;
            match produce::produce(context, request)? {
                Some(response) => encode(key, version, &response, out)?,
                None => {
                    out.clear();
                    return Ok(());
                }
            }
        }
        ApiKey::Fetch => serve!(wait fetch::fetch),
        ApiKey::ListOffsets => serve!(offsets::list_offsets),
        ApiKey::OffsetForLeaderEpoch => serve!(offsets::offset_for_leader_epoch),
        ApiKey::DeleteRecords => serve!(offsets::delete_records),
        ApiKey::Metadata => serve!(metadata::metadata),
        ApiKey::DescribeCluster => serve!(describe::cluster),
        ApiKey::FindCoordinator => serve!(coordinator::find_coordinator),
        ApiKey::DescribeAcls => serve!(access::describe_acls),
        ApiKey::CreateAcls => serve!(access::create_acls),
        ApiKey::DeleteAcls => serve!(access::delete_acls),
        ApiKey::SaslHandshake => serve!(sasl::handshake),
        ApiKey::SaslAuthenticate => serve!(sasl::authenticate),
        ApiKey::DescribeUserScramCredentials => serve!(sasl::describe_credentials),
        ApiKey::AlterUserScramCredentials => serve!(sasl::alter_credentials),
        ApiKey::ElectLeaders => serve!(elections::elect_leaders),
        ApiKey::InitProducerId => serve!(transactions::init_producer_id),
        ApiKey::AddPartitionsToTxn => serve!(transactions::add_partitions),
        ApiKey::AddOffsetsToTxn => serve!(transactions::add_offsets),
        ApiKey::TxnOffsetCommit => serve!(transactions::commit_offsets),
        ApiKey::EndTxn => serve!(transactions::end),
        ApiKey::DescribeProducers => serve!(transaction_admin::describe_producers),
        ApiKey::DescribeTransactions => serve!(transaction_admin::describe_transactions),
        ApiKey::ListTransactions => serve!(transaction_admin::list_transactions),
        ApiKey::CreateTopics => serve!(topics::create_topics),
        ApiKey::DeleteTopics => serve!(topics::delete_topics),
        ApiKey::CreatePartitions => serve!(topics::create_partitions),
        ApiKey::DescribeConfigs => serve!(configs::describe_configs),
        ApiKey::AlterConfigs => serve!(configs::alter_configs),
        ApiKey::IncrementalAlterConfigs => serve!(configs::incremental_alter_configs),
        ApiKey::JoinGroup => serve!(wait groups::join_group),
        ApiKey::SyncGroup => serve!(wait groups::sync_group),
        ApiKey::Heartbeat => serve!(groups::heartbeat),
        ApiKey::LeaveGroup => serve!(groups::leave_group),
        ApiKey::ConsumerGroupHeartbeat => serve!(consumer_groups::heartbeat),
        ApiKey::ConsumerGroupDescribe => serve!(consumer_groups::describe),
        ApiKey::DescribeTopicPartitions => serve!(describe::topic_partitions),
        ApiKey::OffsetCommit => serve!(groups::offset_commit),
        ApiKey::OffsetFetch => serve!(group_admin::offset_fetch),
        ApiKey::OffsetDelete => serve!(group_admin::offset_delete),
        ApiKey::DescribeGroups => serve!(group_admin::describe_groups),
        ApiKey::ListGroups => serve!(group_admin::list_groups),
        ApiKey::DeleteGroups => serve!(group_admin::delete_groups),
        other => return Err(Fault::malformed(format!("{other:?} is not served"))),
    }
    finish(key, out)
}

/// Begins the frame of a response: room for its length, and its header.
pub(super) fn begin(request: &Request, out: &mut BytesMut) -> Result<(), Fault> {
    let (key, version) = (request.key, request.version);
    out.put_i32(0);
    ResponseHeader::default()
        .with_correlation_id(request.correlation_id)
        .encode(out, key.response_header_version(version))
        .map_err(|e| encoding(key, version, &e))
}

/// Ends the frame of a response: its length is known.
pub(super) fn finish(key: ApiKey, out: &mut BytesMut) -> Result<(), Fault> {
    let length = i32::try_from(out.len() - 4)
        .map_err(|_| Fault::malformed(format!("the response of {key:?} is too large")))?;
    out[0..4].copy_from_slice(&length.to_be_bytes());
    Ok(())
}

fn api_versions(version: i16, body: &[u8], out: &mut BytesMut) -> Result<(), Fault> {
    let newest = SERVED.iter().find(|(key, ..)| *key == ApiKey::ApiVersions).map_or(0, |s| s.2);
    let known = (0..=newest).contains(&version);
    if known {
        check(ApiKey::ApiVersions, version, body)?;
    }
    let keys = SERVED.iter().map(|(key, oldest, newest)| {
        api_versions_response::ApiVersion::default()
            .with_api_key(*key as i16)
            .with_min_version(*oldest)
            .with_max_version(*newest)
    });
    let error = if known { 0 } else { ResponseError::UnsupportedVersion.code() };
    let response =
        ApiVersionsResponse::default().with_error_code(error).with_api_keys(keys.collect());
    encode(ApiKey::ApiVersions, if known { version } else { 0 }, &response, out)
}

/// Holds the lengths in a request against its bytes.
pub(super) fn check(key: ApiKey, version: i16, body: &[u8]) -> Result<(), Fault> {
    shape::check(key, version, body)
        .map_err(|e| Fault::malformed(format!("{key:?} version {version}: {e}")))
}

/// Reads the body of a request.
pub(super) fn decode<R: Decodable>(
    key: ApiKey,
    version: i16,
    body: &mut Bytes,
) -> Result<R, Fault> {
    check(key, version, body)?;
    R::decode(body, version)
        .map_err(|e| Fault::malformed(format!("{key:?} version {version}: {e:#}")))
}

/// Writes the body of a response.
pub(super) fn encode<R: Encodable>(
    key: ApiKey,
    version: i16,
    response: &R,
    out: &mut BytesMut,
) -> Result<(), Fault> {
    response.encode(out, version).map_err(|e| encoding(key, version, &e))
}

fn encoding(key: ApiKey, version: i16, error: &impl std::fmt::Display) -> Fault {
    Fault::malformed(format!("cannot answer {key:?} version {version}: {error:#}"))
}
