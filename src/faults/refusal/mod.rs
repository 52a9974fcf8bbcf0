//! The response that carries an error wherever the protocol has a place for it.
//!
//! As Kafka's own brokers refuse a whole request: an error for each partition, topic, group or
//! resource that was asked for where a response has one, otherwise the error of the response.
//!
//! # Not here
//!
//! Metadata name the nodes of the cluster, whatever goes wrong with topics: see [`spoil_metadata`].

mod admin;
mod groups;
mod records;
mod transactions;

use bytes::{Bytes, BytesMut};
use kafka_protocol::{
    messages::{
        ApiKey, ApiVersionsResponse, MetadataResponse, SaslAuthenticateResponse,
        SaslHandshakeResponse,
    },
    protocol::{Decodable, Encodable},
};

/// What a client gets instead of an answer.
#[derive(Debug, PartialEq, Eq)]
pub enum Refusal {
    /// This body of a response.
    Response(BytesMut),
    /// It waits for no response: only a closed connection tells it.
    Silence,
    /// The request asks for nothing that could fail, as metadata of no topic.
    NoPlace,
}

/// True if requests of this kind can be refused.
#[must_use]
pub fn can_refuse(api: ApiKey) -> bool {
    api == ApiKey::Metadata || !matches!(refuse(api, -1, Bytes::new(), 1), Ok(None))
}

/// The refusal of a request with error `code`; none for kinds that this module does not know.
///
/// The body must have been checked: the decoder trusts the lengths that it finds.
///
/// # Errors
///
/// The sentence of the decoder, if the request cannot be read.
pub fn refuse(
    api: ApiKey,
    version: i16,
    mut body: Bytes,
    code: i16,
) -> Result<Option<Refusal>, String> {
    macro_rules! with {
        (if $make:path) => {{
            let request = Decodable::decode(&mut body, version).map_err(|e| format!("{e:#}"))?;
            match $make(request, version, code) {
                Some(response) => encoded(&response, version)?,
                None => Refusal::NoPlace,
            }
        }};
        ($make:path) => {{
            let request = Decodable::decode(&mut body, version).map_err(|e| format!("{e:#}"))?;
            encoded(&$make(request, version, code), version)?
        }};
    }
    macro_rules! only {
        ($response:expr) => {
            encoded(&$response.with_error_code(code), version)?
        };
    }
    Ok(Some(match api {
        ApiKey::Produce => {
            let request = Decodable::decode(&mut body, version).map_err(|e| format!("{e:#}"))?;
            match records::produce(request, code) {
                Some(response) => encoded(&response, version)?,
                None => Refusal::Silence,
            }
        }
        ApiKey::Fetch => with!(records::fetch),
        ApiKey::ListOffsets => with!(records::list_offsets),
        ApiKey::OffsetForLeaderEpoch => with!(records::offset_for_leader_epoch),
        ApiKey::DeleteRecords => with!(records::delete_records),
        ApiKey::DescribeProducers => with!(records::describe_producers),
        ApiKey::CreateTopics => with!(admin::create_topics),
        ApiKey::DeleteTopics => with!(admin::delete_topics),
        ApiKey::CreatePartitions => with!(admin::create_partitions),
        ApiKey::DescribeTopicPartitions => with!(if admin::describe_topic_partitions),
        ApiKey::ElectLeaders => with!(if admin::elect_leaders),
        ApiKey::DescribeConfigs => with!(admin::describe_configs),
        ApiKey::AlterConfigs => with!(admin::alter_configs),
        ApiKey::IncrementalAlterConfigs => with!(admin::incremental_alter_configs),
        ApiKey::CreateAcls => with!(admin::create_acls),
        ApiKey::DeleteAcls => with!(admin::delete_acls),
        ApiKey::DescribeAcls => only!(admin::DescribeAclsResponse::default()),
        ApiKey::DescribeCluster => only!(admin::DescribeClusterResponse::default()),
        ApiKey::DescribeUserScramCredentials => {
            only!(admin::DescribeUserScramCredentialsResponse::default())
        }
        ApiKey::AlterUserScramCredentials => with!(admin::alter_credentials),
        ApiKey::FindCoordinator => with!(groups::find_coordinator),
        ApiKey::JoinGroup => with!(groups::join_group),
        ApiKey::SyncGroup => only!(groups::SyncGroupResponse::default()),
        ApiKey::Heartbeat => only!(groups::HeartbeatResponse::default()),
        ApiKey::LeaveGroup => only!(groups::LeaveGroupResponse::default()),
        ApiKey::OffsetCommit => with!(groups::offset_commit),
        ApiKey::OffsetFetch => with!(groups::offset_fetch),
        ApiKey::OffsetDelete => only!(groups::OffsetDeleteResponse::default()),
        ApiKey::DescribeGroups => with!(groups::describe_groups),
        ApiKey::ListGroups => only!(groups::ListGroupsResponse::default()),
        ApiKey::DeleteGroups => with!(groups::delete_groups),
        ApiKey::ConsumerGroupHeartbeat => only!(groups::ConsumerGroupHeartbeatResponse::default()),
        ApiKey::ConsumerGroupDescribe => with!(groups::consumer_group_describe),
        ApiKey::InitProducerId => only!(transactions::no_producer_id()),
        ApiKey::AddPartitionsToTxn => with!(transactions::add_partitions),
        ApiKey::AddOffsetsToTxn => only!(transactions::AddOffsetsToTxnResponse::default()),
        ApiKey::EndTxn => only!(transactions::EndTxnResponse::default()),
        ApiKey::TxnOffsetCommit => with!(transactions::offset_commit),
        ApiKey::ListTransactions => only!(transactions::ListTransactionsResponse::default()),
        ApiKey::DescribeTransactions => with!(transactions::describe),
        ApiKey::ApiVersions => only!(ApiVersionsResponse::default()),
        ApiKey::SaslHandshake => only!(SaslHandshakeResponse::default()),
        ApiKey::SaslAuthenticate => only!(SaslAuthenticateResponse::default()),
        _ => return Ok(None),
    }))
}

/// Puts error `code` on every topic of a response; false if there is none.
pub fn spoil_metadata(response: &mut MetadataResponse, code: i16) -> bool {
    for topic in &mut response.topics {
        topic.error_code = code;
        topic.partitions.clear();
    }
    !response.topics.is_empty()
}

fn encoded(response: &impl Encodable, version: i16) -> Result<Refusal, String> {
    let mut body = BytesMut::new();
    response.encode(&mut body, version).map_err(|e| format!("{e:#}"))?;
    Ok(Refusal::Response(body))
}
