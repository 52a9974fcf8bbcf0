//! Frames as clients could send them, good and bad, against a broker in memory.

mod refusals;

use super::{Context, api, shape};
use crate::broker::{config::BrokerConfig, security::Session, server::Shared, upkeep};
use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::{
    messages::{self, ApiKey, RequestHeader},
    protocol::{Encodable, StrBytes},
};
use parking_lot::Mutex;
use std::sync::OnceLock;

/// Bodies of a request with something in every array, in every version that is served.
fn bodies<R: Encodable>(key: ApiKey, make: impl Fn(i16) -> R) -> Vec<(ApiKey, i16, Bytes)> {
    let (_, oldest, newest) = api::SERVED.iter().find(|(k, ..)| *k == key).unwrap();
    let body = |version| {
        let mut body = BytesMut::new();
        make(version)
            .encode(&mut body, version)
            .unwrap_or_else(|e| panic!("{key:?} version {version}: {e:#}"));
        (key, version, body.freeze())
    };
    (*oldest..=*newest).map(body).collect()
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

/// A name as the strongly named fields want it.
fn name<T: From<StrBytes>>(name: &str) -> T {
    text(name).into()
}

fn log_requests() -> Vec<(ApiKey, i16, Bytes)> {
    use messages::{
        delete_records_request::*, fetch_request::*, list_offsets_request::*, metadata_request::*,
        offset_for_leader_epoch_request::*, produce_request::*, *,
    };
    let batch = crate::broker::log::testing::BatchBuilder::new(3).build();
    let mut all = bodies(ApiKey::Produce, |_| {
        let data = PartitionProduceData::default().with_records(Some(batch.clone()));
        let topic = TopicProduceData::default().with_name(name("t"));
        ProduceRequest::default()
            .with_acks(-1)
            .with_topic_data(vec![topic.with_partition_data(vec![data])])
    });
    all.extend(bodies(ApiKey::Fetch, |v| {
        let mut topic = FetchTopic::default().with_partitions(vec![FetchPartition::default()]);
        let mut forgotten = ForgottenTopic::default().with_partitions(vec![0, 1]);
        if v <= 12 {
            topic.topic = name("t");
            forgotten.topic = name("t");
        }
        let mut request = FetchRequest::default().with_topics(vec![topic]).with_max_bytes(1 << 30);
        if v >= 7 {
            request.forgotten_topics_data = vec![forgotten];
        }
        if v >= 12 {
            request.cluster_id = Some(text("c"));
        }
        request
    }));
    all.extend(bodies(ApiKey::ListOffsets, |_| {
        let topic = ListOffsetsTopic::default().with_name(name("t"));
        let partitions = vec![ListOffsetsPartition::default().with_timestamp(-1)];
        ListOffsetsRequest::default().with_topics(vec![topic.with_partitions(partitions)])
    }));
    all.extend(bodies(ApiKey::Metadata, |_| {
        let topic = MetadataRequestTopic::default().with_name(Some(name("t")));
        MetadataRequest::default().with_topics(Some(vec![topic]))
    }));
    all.extend(bodies(ApiKey::OffsetForLeaderEpoch, |_| {
        let topic = OffsetForLeaderTopic::default().with_topic(name("t"));
        let partitions = vec![OffsetForLeaderPartition::default()];
        OffsetForLeaderEpochRequest::default().with_topics(vec![topic.with_partitions(partitions)])
    }));
    all.extend(bodies(ApiKey::DeleteRecords, |_| {
        let topic = DeleteRecordsTopic::default().with_name(name("t"));
        let partitions = vec![DeleteRecordsPartition::default()];
        DeleteRecordsRequest::default().with_topics(vec![topic.with_partitions(partitions)])
    }));
    all
}

fn admin_requests() -> Vec<(ApiKey, i16, Bytes)> {
    use messages::{
        create_partitions_request::*, create_topics_request::*, describe_configs_request::*, *,
    };
    let mut all = bodies(ApiKey::CreateTopics, |_| {
        let assignment = CreatableReplicaAssignment::default().with_broker_ids(vec![BrokerId(1)]);
        let config = CreatableTopicConfig::default()
            .with_name(text("retention.ms"))
            .with_value(Some(text("1")));
        let topic = CreatableTopic::default()
            .with_name(name("new"))
            .with_num_partitions(-1)
            .with_replication_factor(-1)
            .with_assignments(vec![assignment])
            .with_configs(vec![config]);
        CreateTopicsRequest::default().with_topics(vec![topic])
    });
    all.extend(bodies(ApiKey::DeleteTopics, |v| match v {
        6.. => DeleteTopicsRequest::default().with_topics(vec![
            delete_topics_request::DeleteTopicState::default().with_name(Some(name("x"))),
        ]),
        _ => DeleteTopicsRequest::default().with_topic_names(vec![name("x")]),
    }));
    all.extend(bodies(ApiKey::CreatePartitions, |_| {
        let assignment = CreatePartitionsAssignment::default().with_broker_ids(vec![BrokerId(1)]);
        let topic = CreatePartitionsTopic::default()
            .with_name(name("t"))
            .with_count(3)
            .with_assignments(Some(vec![assignment]));
        CreatePartitionsRequest::default().with_topics(vec![topic])
    }));
    all.extend(bodies(ApiKey::DescribeConfigs, |_| {
        let resource = DescribeConfigsResource::default()
            .with_resource_type(2)
            .with_resource_name(text("t"))
            .with_configuration_keys(Some(vec![text("retention.ms")]));
        DescribeConfigsRequest::default().with_resources(vec![resource])
    }));
    all.extend(bodies(ApiKey::AlterConfigs, |_| {
        let config = alter_configs_request::AlterableConfig::default().with_name(text("x"));
        let resource = alter_configs_request::AlterConfigsResource::default()
            .with_resource_type(2)
            .with_configs(vec![config]);
        AlterConfigsRequest::default().with_resources(vec![resource])
    }));
    all.extend(bodies(ApiKey::IncrementalAlterConfigs, |_| {
        let config =
            incremental_alter_configs_request::AlterableConfig::default().with_name(text("x"));
        let resource = incremental_alter_configs_request::AlterConfigsResource::default()
            .with_resource_type(2)
            .with_configs(vec![config]);
        IncrementalAlterConfigsRequest::default().with_resources(vec![resource])
    }));
    all.extend(bodies(ApiKey::DescribeAcls, |_| {
        DescribeAclsRequest::default()
            .with_resource_name_filter(Some(text("t")))
            .with_pattern_type_filter(3)
    }));
    all.extend(bodies(ApiKey::CreateAcls, |_| {
        let creation = create_acls_request::AclCreation::default().with_resource_pattern_type(3);
        CreateAclsRequest::default().with_creations(vec![creation.with_principal(text("User:a"))])
    }));
    all.extend(bodies(ApiKey::DeleteAcls, |_| {
        let filter = delete_acls_request::DeleteAclsFilter::default().with_pattern_type_filter(3);
        DeleteAclsRequest::default().with_filters(vec![filter])
    }));
    all.extend(bodies(ApiKey::SaslHandshake, |_| {
        SaslHandshakeRequest::default().with_mechanism(text("PLAIN"))
    }));
    all.extend(bodies(ApiKey::SaslAuthenticate, |_| {
        SaslAuthenticateRequest::default().with_auth_bytes(Bytes::from_static(b"\0ada\0secret"))
    }));
    all.extend(bodies(ApiKey::DescribeUserScramCredentials, |_| {
        let user = describe_user_scram_credentials_request::UserName::default();
        DescribeUserScramCredentialsRequest::default()
            .with_users(Some(vec![user.with_name(text("ada"))]))
    }));
    all.extend(bodies(ApiKey::AlterUserScramCredentials, |_| {
        use alter_user_scram_credentials_request::*;
        let deletion = ScramCredentialDeletion::default().with_name(text("ada")).with_mechanism(1);
        let upsertion = ScramCredentialUpsertion::default()
            .with_name(text("bob"))
            .with_mechanism(2)
            .with_iterations(4_096)
            .with_salt(Bytes::from_static(b"salt"))
            .with_salted_password(Bytes::from_static(b"salted"));
        AlterUserScramCredentialsRequest::default()
            .with_deletions(vec![deletion])
            .with_upsertions(vec![upsertion])
    }));
    all.extend(bodies(ApiKey::ElectLeaders, |_| {
        let topic = elect_leaders_request::TopicPartitions::default()
            .with_topic(name("t"))
            .with_partitions(vec![0, 9]);
        ElectLeadersRequest::default().with_topic_partitions(Some(vec![topic]))
    }));
    all.extend(bodies(ApiKey::DescribeCluster, |_| DescribeClusterRequest::default()));
    all.extend(bodies(ApiKey::FindCoordinator, |v| match v {
        4.. => FindCoordinatorRequest::default().with_coordinator_keys(vec![text("g")]),
        _ => FindCoordinatorRequest::default().with_key(text("g")),
    }));
    all.extend(bodies(ApiKey::ApiVersions, |v| match v {
        3.. => ApiVersionsRequest::default().with_client_software_name(text("test")),
        _ => ApiVersionsRequest::default(),
    }));
    all
}

fn group_requests() -> Vec<(ApiKey, i16, Bytes)> {
    use messages::{
        join_group_request::*, leave_group_request::*, offset_commit_request::*,
        offset_delete_request::*, offset_fetch_request::*, sync_group_request::*, *,
    };
    let mut all = bodies(ApiKey::JoinGroup, |v| {
        let protocol = JoinGroupRequestProtocol::default()
            .with_name(text("range"))
            .with_metadata(Bytes::from_static(b"m"));
        let mut request = JoinGroupRequest::default()
            .with_group_id(name("g"))
            .with_member_id(text("nobody"))
            .with_session_timeout_ms(10_000)
            .with_protocol_type(text("consumer"))
            .with_protocols(vec![protocol]);
        if v >= 5 {
            request.group_instance_id = Some(text("i"));
        }
        request
    });
    all.extend(bodies(ApiKey::SyncGroup, |_| {
        let assignment = SyncGroupRequestAssignment::default().with_member_id(text("m"));
        SyncGroupRequest::default().with_group_id(name("g")).with_assignments(vec![assignment])
    }));
    all.extend(bodies(ApiKey::Heartbeat, |_| HeartbeatRequest::default()));
    all.extend(bodies(ApiKey::LeaveGroup, |v| match v {
        3.. => LeaveGroupRequest::default().with_members(vec![MemberIdentity::default()]),
        _ => LeaveGroupRequest::default().with_member_id(text("m")),
    }));
    all.extend(bodies(ApiKey::OffsetCommit, |_| {
        let partition = OffsetCommitRequestPartition::default()
            .with_committed_offset(3)
            .with_committed_metadata(Some(text("m")));
        let topic = OffsetCommitRequestTopic::default().with_name(name("t"));
        OffsetCommitRequest::default()
            .with_group_id(name("g"))
            .with_generation_id_or_member_epoch(-1)
            .with_topics(vec![topic.with_partitions(vec![partition])])
    }));
    all.extend(bodies(ApiKey::OffsetFetch, |v| match v {
        8.. => {
            let topic = OffsetFetchRequestTopics::default()
                .with_name(name("t"))
                .with_partition_indexes(vec![0, 1]);
            let group = OffsetFetchRequestGroup::default()
                .with_group_id(name("g"))
                .with_topics(Some(vec![topic]));
            OffsetFetchRequest::default().with_groups(vec![group])
        }
        _ => {
            let topic = OffsetFetchRequestTopic::default()
                .with_name(name("t"))
                .with_partition_indexes(vec![0, 1]);
            OffsetFetchRequest::default().with_group_id(name("g")).with_topics(Some(vec![topic]))
        }
    }));
    all.extend(bodies(ApiKey::OffsetDelete, |_| {
        let topic = OffsetDeleteRequestTopic::default()
            .with_name(name("t"))
            .with_partitions(vec![OffsetDeleteRequestPartition::default()]);
        OffsetDeleteRequest::default().with_group_id(name("g")).with_topics(vec![topic])
    }));
    all.extend(bodies(ApiKey::DescribeGroups, |_| {
        DescribeGroupsRequest::default().with_groups(vec![name("g"), name("h")])
    }));
    all.extend(bodies(ApiKey::ListGroups, |v| {
        let mut request = ListGroupsRequest::default();
        if v >= 4 {
            request.states_filter = vec![text("Stable")];
        }
        if v >= 5 {
            request.types_filter = vec![text("classic")];
        }
        request
    }));
    all.extend(bodies(ApiKey::DeleteGroups, |_| {
        DeleteGroupsRequest::default().with_groups_names(vec![name("x")])
    }));
    all
}

fn consumer_group_requests() -> Vec<(ApiKey, i16, Bytes)> {
    use messages::{
        consumer_group_heartbeat_request::TopicPartitions, describe_topic_partitions_request::*, *,
    };
    let mut all = bodies(ApiKey::ConsumerGroupHeartbeat, |v| {
        let owned = TopicPartitions::default().with_partitions(vec![0, 1]);
        let mut request = ConsumerGroupHeartbeatRequest::default()
            .with_group_id(name("c"))
            .with_member_id(text("m"))
            .with_rebalance_timeout_ms(10_000)
            .with_subscribed_topic_names(Some(vec![name("t")]))
            .with_server_assignor(Some(text("range")))
            .with_topic_partitions(Some(vec![owned]));
        if v >= 1 {
            request.subscribed_topic_regex = Some(text("t.*"));
        }
        request
    });
    all.extend(bodies(ApiKey::ConsumerGroupDescribe, |_| {
        ConsumerGroupDescribeRequest::default().with_group_ids(vec![name("c"), name("d")])
    }));
    all.extend(bodies(ApiKey::DescribeTopicPartitions, |_| {
        let cursor = Cursor::default().with_topic_name(name("t")).with_partition_index(1);
        DescribeTopicPartitionsRequest::default()
            .with_topics(vec![TopicRequest::default().with_name(name("t"))])
            .with_cursor(Some(cursor))
    }));
    all
}

fn transaction_requests() -> Vec<(ApiKey, i16, Bytes)> {
    use messages::{
        add_partitions_to_txn_request::*, describe_producers_request::*,
        txn_offset_commit_request::*, *,
    };
    let mut all = bodies(ApiKey::InitProducerId, |_| {
        InitProducerIdRequest::default()
            .with_transactional_id(Some(name("x")))
            .with_transaction_timeout_ms(1_000)
    });
    all.extend(bodies(ApiKey::AddPartitionsToTxn, |_| {
        let topic = AddPartitionsToTxnTopic::default().with_name(name("t"));
        AddPartitionsToTxnRequest::default()
            .with_v3_and_below_transactional_id(name("x"))
            .with_v3_and_below_topics(vec![topic.with_partitions(vec![0, 1])])
    }));
    all.extend(bodies(ApiKey::AddOffsetsToTxn, |_| {
        AddOffsetsToTxnRequest::default().with_transactional_id(name("x")).with_group_id(name("g"))
    }));
    all.extend(bodies(ApiKey::TxnOffsetCommit, |v| {
        let partition = TxnOffsetCommitRequestPartition::default()
            .with_committed_offset(3)
            .with_committed_metadata(Some(text("m")));
        let topic = TxnOffsetCommitRequestTopic::default().with_name(name("t"));
        let request = TxnOffsetCommitRequest::default()
            .with_transactional_id(name("x"))
            .with_group_id(name("g"))
            .with_topics(vec![topic.with_partitions(vec![partition])]);
        if v >= 3 { request.with_group_instance_id(Some(text("i"))) } else { request }
    }));
    all.extend(bodies(ApiKey::EndTxn, |_| {
        EndTxnRequest::default().with_transactional_id(name("x")).with_committed(true)
    }));
    all.extend(bodies(ApiKey::DescribeProducers, |_| {
        let topic = TopicRequest::default().with_name(name("t")).with_partition_indexes(vec![0, 9]);
        DescribeProducersRequest::default().with_topics(vec![topic])
    }));
    all.extend(bodies(ApiKey::DescribeTransactions, |_| {
        DescribeTransactionsRequest::default().with_transactional_ids(vec![name("x"), name("y")])
    }));
    all.extend(bodies(ApiKey::ListTransactions, |v| {
        let request = ListTransactionsRequest::default()
            .with_state_filters(vec![text("Ongoing")])
            .with_producer_id_filters(vec![ProducerId(0), ProducerId(1)]);
        if v >= 1 { request.with_duration_filter(10) } else { request }
    }));
    all
}

pub(super) fn requests() -> &'static [(ApiKey, i16, Bytes)] {
    static REQUESTS: OnceLock<Vec<(ApiKey, i16, Bytes)>> = OnceLock::new();
    REQUESTS.get_or_init(|| {
        let all = [
            log_requests(),
            admin_requests(),
            group_requests(),
            consumer_group_requests(),
            transaction_requests(),
        ];
        all.concat()
    })
}

pub(super) fn frame(key: ApiKey, version: i16, body: &[u8]) -> Bytes {
    let mut frame = BytesMut::new();
    RequestHeader::default()
        .with_request_api_key(key as i16)
        .with_request_api_version(version)
        .with_correlation_id(77)
        .with_client_id(Some(text("test")))
        .encode(&mut frame, key.request_header_version(version))
        .unwrap();
    frame.put_slice(body);
    frame.freeze()
}

pub(super) fn broker() -> Shared {
    let shared = Shared::open(BrokerConfig::default(), &[9092]).unwrap();
    shared.topics.create("t", 2, crate::broker::topic_config::TopicConfig::default()).unwrap();
    shared
}

/// The response frame to a request frame, or why the connection would be closed.
fn serve(broker: &Shared, frame: Bytes) -> Result<BytesMut, String> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    serve_in(&runtime.unwrap(), broker, frame)
}

/// The same in a runtime whose time is paused.
pub(super) fn serve_in(
    runtime: &tokio::runtime::Runtime,
    broker: &Shared,
    frame: Bytes,
) -> Result<BytesMut, String> {
    let mut out = BytesMut::new();
    let request = api::Request::parse(frame).map_err(|e| e.to_string())?;
    let version = request.version;
    let context = Context {
        broker,
        node: 1,
        version,
        client_id: "test",
        client_host: "/127.0.0.1",
        peer: &std::sync::Arc::default(),
        session: &Mutex::new(Session::new(false)),
    };
    let answered = runtime.block_on(async {
        let limit = std::time::Duration::from_secs(3_600);
        tokio::time::timeout(limit, api::answer(&context, request, &mut out)).await
    });
    match answered {
        Ok(result) => result.map(|()| out).map_err(|e| e.to_string()),
        Err(_) => Err("waits for others".into()),
    }
}

#[test]
fn every_request_of_every_version_is_answered() {
    let broker = broker();
    let mut seen = std::collections::HashSet::new();
    for (key, version, body) in requests() {
        seen.insert(*key as i16);
        let out = serve(&broker, frame(*key, *version, body))
            .unwrap_or_else(|e| panic!("{key:?} version {version}: {e}"));
        assert_eq!(out[0..4], (out.len() as u32 - 4).to_be_bytes(), "{key:?} {version}");
        assert_eq!(out[4..8], 77i32.to_be_bytes(), "{key:?} {version}");
    }
    assert_eq!(seen.len(), api::SERVED.len(), "a request is served but not tried");
}

#[test]
fn a_request_that_ends_early_is_refused_and_one_that_ends_late_is_not() {
    let broker = broker();
    for (key, version, body) in requests() {
        for cut in 0..body.len() {
            // A wait would mean that the cut request was understood.
            let refused = serve(&broker, frame(*key, *version, &body[..cut])).unwrap_err();
            assert!(refused.contains("early") || refused.contains("length"), "{refused}");
        }
        let longer = [body, &b"\0"[..]].concat();
        serve(&broker, frame(*key, *version, &longer))
            .unwrap_or_else(|e| panic!("{key:?} version {version}: {e}"));
    }
}

#[test]
fn an_array_of_two_thousand_million_elements_reserves_nothing() {
    let mut body = BytesMut::new();
    body.put_i32(i32::MAX);
    let refused = serve(&broker(), frame(ApiKey::Metadata, 1, &body)).unwrap_err();
    assert!(refused.contains("length"), "{refused}");
    assert!(shape::check(ApiKey::Metadata, 9, &[0xff, 0xff, 0xff, 0xff, 0x0f]).is_err());
}

#[test]
fn an_unknown_version_of_api_versions_is_told_what_is_known() {
    let out = serve(&broker(), frame(ApiKey::ApiVersions, 99, b"whatever")).unwrap();
    assert_eq!(out[8..10], 35i16.to_be_bytes(), "UNSUPPORTED_VERSION");
    assert_eq!(out[10..14], (api::SERVED.len() as i32).to_be_bytes());
}

/// A produce request of one batch for partition 0 of `topic`.
fn produce(topic: &str, value_bytes: usize, now_ms: i64) -> Bytes {
    use messages::produce_request::{PartitionProduceData, ProduceRequest, TopicProduceData};
    let batch = crate::broker::log::testing::BatchBuilder::new(1);
    let batch = batch.first_timestamp(now_ms).value_bytes(value_bytes).build();
    let data = PartitionProduceData::default().with_records(Some(batch));
    let topic = TopicProduceData::default().with_name(name(topic));
    let request = ProduceRequest::default()
        .with_acks(-1)
        .with_topic_data(vec![topic.with_partition_data(vec![data])]);
    let mut body = BytesMut::new();
    request.encode(&mut body, 3).unwrap();
    frame(ApiKey::Produce, 3, &body)
}

#[test]
fn memory_is_bounded_and_the_largest_partitions_pay() {
    let config = BrokerConfig { memory_bytes: Some(1 << 20), ..BrokerConfig::default() };
    let broker = Shared::open(config, &[9092]).unwrap();
    let create = |topic: &str, policy: &str| {
        let set = [("cleanup.policy".to_owned(), policy.to_owned())];
        let config = crate::broker::topic_config::TopicConfig::new(set.into()).unwrap();
        broker.topics.create(topic, 1, config).unwrap()
    };
    let (small, large) = (create("small", "delete"), create("large", "delete"));
    let table = create("table", "compact");
    let now_ms = broker.config.clock.now_ms();
    serve(&broker, produce("small", 10_000, now_ms)).unwrap();
    let keyed = crate::broker::log::testing::BatchBuilder::new(1).key(b"k").value_bytes(100_000);
    let keyed = crate::broker::log::ProducedBatch::new(keyed.build()).unwrap();
    table.partitions[0].log.lock().append(&keyed, table.policy, now_ms).unwrap();
    for _ in 0..1_000 {
        serve(&broker, produce("large", 10_000, now_ms)).unwrap();
        assert!(broker.upkeep.memory.used().bytes() <= 1 << 20);
    }
    let bounds = |topic: &crate::broker::topics::Topic| {
        let log = topic.partitions[0].log.lock();
        (log.start_offset(), log.end_offset())
    };
    assert_eq!((bounds(&small), bounds(&table)), ((0, 1), (0, 1)));
    let (start, end) = bounds(&large);
    assert!(end == 1_000 && (900..940).contains(&start), "{start}");
}

#[tokio::test(start_paused = true)]
async fn old_records_go_when_the_clock_passes_their_age() {
    let clock = crate::clock::Clock::standing_at(1_000_000);
    let config = BrokerConfig { clock: clock.clone(), ..BrokerConfig::default() };
    let broker = std::sync::Arc::new(Shared::open(config, &[9092]).unwrap());
    let topic = broker.topics.create("t", 1, Default::default()).unwrap();
    let other = std::sync::Arc::clone(&broker);
    tokio::task::spawn_blocking(move || serve(&other, produce("t", 10, 1_000_000)).unwrap())
        .await
        .unwrap();
    tokio::spawn(upkeep::run(std::sync::Arc::clone(&broker)));
    let start = || topic.partitions[0].log.lock().start_offset();
    clock.advance(std::time::Duration::from_millis(604_800_000));
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    assert_eq!(start(), 0, "exactly seven days are not too old");
    clock.advance(std::time::Duration::from_millis(1));
    for _ in 0..10_000 {
        if start() == 1 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    panic!("the record is still there");
}
