//! Every request can be refused, and clients can read the refusal.

use super::*;
use crate::{
    broker::wire::refusal,
    faults::{Action, Ending, Target, refusal::can_refuse, topics},
};
use kafka_protocol::{
    messages::ResponseHeader,
    protocol::{Decodable, Message},
};

/// An error code that nothing else in a response looks like.
const CODE: i16 = 12_377;

/// The refusal of a request frame; none if the request is to be served.
fn refuse(broker: &Shared, frame: Bytes) -> Result<Option<Bytes>, String> {
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
    let mut out = BytesMut::new();
    let refused = refusal::refuse(&context, &request, CODE, &mut out).map_err(|e| e.to_string())?;
    Ok(refused.then(|| out.freeze()))
}

/// Reads a response as a client does; its text for looking into.
fn read(key: ApiKey, version: i16, mut frame: Bytes) -> String {
    fn body<R: Decodable + Message + std::fmt::Debug>(version: i16, body: &mut Bytes) -> String {
        format!("{:?}", R::decode(body, version).unwrap())
    }
    let length = frame.split_to(4);
    assert_eq!(length[..], (frame.len() as u32).to_be_bytes());
    let header = ResponseHeader::decode(&mut frame, key.response_header_version(version)).unwrap();
    assert_eq!(header.correlation_id, 77);
    macro_rules! read {
        ($($key:ident $response:ident)*) => {
            match key {
                $(ApiKey::$key => body::<messages::$response>(version, &mut frame),)*
                other => panic!("{other:?} is served: add its response here"),
            }
        };
    }
    let text = read!(
        Produce ProduceResponse
        Fetch FetchResponse
        ListOffsets ListOffsetsResponse
        Metadata MetadataResponse
        OffsetCommit OffsetCommitResponse
        OffsetFetch OffsetFetchResponse
        FindCoordinator FindCoordinatorResponse
        JoinGroup JoinGroupResponse
        Heartbeat HeartbeatResponse
        LeaveGroup LeaveGroupResponse
        SyncGroup SyncGroupResponse
        DescribeGroups DescribeGroupsResponse
        ListGroups ListGroupsResponse
        SaslHandshake SaslHandshakeResponse
        ApiVersions ApiVersionsResponse
        CreateTopics CreateTopicsResponse
        DeleteTopics DeleteTopicsResponse
        DeleteRecords DeleteRecordsResponse
        InitProducerId InitProducerIdResponse
        OffsetForLeaderEpoch OffsetForLeaderEpochResponse
        AddPartitionsToTxn AddPartitionsToTxnResponse
        AddOffsetsToTxn AddOffsetsToTxnResponse
        EndTxn EndTxnResponse
        TxnOffsetCommit TxnOffsetCommitResponse
        DescribeAcls DescribeAclsResponse
        CreateAcls CreateAclsResponse
        DeleteAcls DeleteAclsResponse
        DescribeConfigs DescribeConfigsResponse
        AlterConfigs AlterConfigsResponse
        SaslAuthenticate SaslAuthenticateResponse
        CreatePartitions CreatePartitionsResponse
        DeleteGroups DeleteGroupsResponse
        ElectLeaders ElectLeadersResponse
        IncrementalAlterConfigs IncrementalAlterConfigsResponse
        OffsetDelete OffsetDeleteResponse
        DescribeCluster DescribeClusterResponse
        DescribeUserScramCredentials DescribeUserScramCredentialsResponse
        AlterUserScramCredentials AlterUserScramCredentialsResponse
        DescribeProducers DescribeProducersResponse
        DescribeTransactions DescribeTransactionsResponse
        ListTransactions ListTransactionsResponse
        ConsumerGroupHeartbeat ConsumerGroupHeartbeatResponse
        ConsumerGroupDescribe ConsumerGroupDescribeResponse
        DescribeTopicPartitions DescribeTopicPartitionsResponse
    );
    assert!(frame.is_empty(), "{key:?} version {version}: {} bytes too many", frame.len());
    text
}

#[test]
fn every_request_of_every_version_can_be_refused() {
    let broker = broker();
    for (key, version, body) in requests() {
        let which = format!("{key:?} version {version}");
        assert!(can_refuse(*key), "{which}");
        let refused = refuse(&broker, frame(*key, *version, body))
            .unwrap_or_else(|e| panic!("{which}: {e}"))
            .unwrap_or_else(|| panic!("{which} is not refused"));
        let text = read(*key, *version, refused);
        assert!(text.contains(&format!("error_code: {CODE}")), "{which}: {text}");
        // Beside the errors of partitions and groups, some responses have one of their own.
        assert!(text.matches("error_code: 0").count() <= 1, "{which} has another place: {text}");
    }
}

#[test]
fn a_refused_request_has_no_effect() {
    let broker = broker();
    let wanted = bodies(ApiKey::Metadata, |_| {
        let topic = messages::metadata_request::MetadataRequestTopic::default()
            .with_name(Some(name("not-made")));
        messages::MetadataRequest::default().with_topics(Some(vec![topic]))
    });
    for (key, version, body) in requests().iter().chain(&wanted) {
        let _ = refuse(&broker, frame(*key, *version, body));
    }
    let names: Vec<_> = broker.topics.all().iter().map(|t| t.name.clone()).collect();
    assert_eq!(names, ["t"], "none made, none deleted");
    let topic = broker.topics.get("t").unwrap();
    assert_eq!(topic.partition(0).unwrap().log.lock().end_offset(), 0);
}

#[test]
fn metadata_of_no_topic_have_no_place_for_an_error() {
    let body = bodies(ApiKey::Metadata, |_| {
        messages::MetadataRequest::default().with_topics(Some(Vec::new()))
    });
    let (key, version, body) = body.last().unwrap();
    assert_eq!(refuse(&broker(), frame(*key, *version, body)), Ok(None));
}

#[test]
fn produce_without_acks_is_refused_by_a_closed_connection() {
    let bodies = bodies(ApiKey::Produce, |_| messages::ProduceRequest::default().with_acks(0));
    for (key, version, body) in bodies {
        let refused = refuse(&broker(), frame(key, version, &body));
        assert_eq!(refused, Err("a test wants it closed".to_owned()));
    }
}

#[test]
fn rules_of_a_topic_find_the_requests_that_name_it() {
    let broker = broker();
    let target = |topic: &str| Target { topic: Some(topic.into()), ..Target::default() };
    let rule = broker.faults.add(target("t"), Action::Fail(CODE), None);
    let other = broker.faults.add(target("other"), Action::Disconnect, None);
    let mut found = std::collections::HashSet::new();
    for (key, version, body) in requests() {
        let request = api::Request::parse(frame(*key, *version, body)).unwrap();
        if let Some((ending, _)) = refusal::judge(&broker, &request).ending {
            assert_eq!(ending, Ending::Fail(CODE));
            assert!(topics::names_topics(*key), "{key:?}");
            found.insert(*key);
        }
    }
    assert_eq!(other.hits(), 0);
    assert!(rule.hits() >= found.len() as u64);
    for key in [ApiKey::Produce, ApiKey::ListOffsets, ApiKey::OffsetFetch, ApiKey::DescribeConfigs]
    {
        assert!(found.contains(&key), "{key:?}");
    }
}

#[test]
fn a_fetch_by_topic_id_meets_the_rules_of_the_topic() {
    let broker = broker();
    let target = Target::named("fetch", Some("t".into()), None).unwrap();
    let rule = broker.faults.add(target, Action::Disconnect, None);
    let id = broker.topics.get("t").unwrap().id;
    let fetches = bodies(ApiKey::Fetch, |v| {
        let mut topic = messages::fetch_request::FetchTopic::default();
        match v {
            13.. => topic.topic_id = id,
            _ => topic.topic = name("t"),
        }
        messages::FetchRequest::default().with_topics(vec![topic])
    });
    let count = fetches.len() as u64;
    for (key, version, body) in fetches {
        let request = api::Request::parse(frame(key, version, &body)).unwrap();
        refusal::judge(&broker, &request);
    }
    assert_eq!(rule.hits(), count);
}
