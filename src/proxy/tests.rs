//! Frames and what the proxy makes of them.

use super::{
    frame::{RequestHead, is_without_response},
    rewrite::{Places, is_read, rewrite},
};
use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::{
    messages::{
        ApiKey, ApiVersionsResponse, BrokerId, DescribeClusterResponse, FetchResponse,
        FindCoordinatorResponse, MetadataResponse, ProduceRequest, ProduceResponse, RequestHeader,
        ResponseHeader, api_versions_response::ApiVersion,
        describe_cluster_response::DescribeClusterBroker, fetch_response,
        find_coordinator_response::Coordinator, metadata_response::MetadataResponseBroker,
        metadata_response::MetadataResponseTopic, produce_response,
    },
    protocol::{Decodable, Encodable, Message, StrBytes},
};
use parking_lot::Mutex;
use proptest::prelude::*;
use uuid::Uuid;

/// Every node is 20,000 ports further up, on this machine.
#[derive(Default)]
struct Further(Mutex<Vec<(Uuid, String)>>);

impl Places for Further {
    fn local(&self, _: &str, port: u16) -> Result<(String, u16), String> {
        Ok(("proxy".into(), port + 20_000))
    }

    fn learn(&self, id: Uuid, name: &str) {
        self.0.lock().push((id, name.to_owned()));
    }
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn with_length(payload: &[u8]) -> Bytes {
    let mut frame = BytesMut::new();
    frame.put_i32(payload.len() as i32);
    frame.put_slice(payload);
    frame.freeze()
}

fn response(api: ApiKey, version: i16, body: &impl Encodable) -> Bytes {
    let mut payload = BytesMut::new();
    let header = ResponseHeader::default().with_correlation_id(77);
    header.encode(&mut payload, api.response_header_version(version)).unwrap();
    body.encode(&mut payload, version).unwrap();
    with_length(&payload)
}

fn request(api: ApiKey, version: i16, client: Option<&str>, body: &impl Encodable) -> Bytes {
    let mut payload = BytesMut::new();
    RequestHeader::default()
        .with_request_api_key(api as i16)
        .with_request_api_version(version)
        .with_correlation_id(-5)
        .with_client_id(client.map(text))
        .encode(&mut payload, api.request_header_version(version))
        .unwrap();
    body.encode(&mut payload, version).unwrap();
    with_length(&payload)
}

/// Reads a frame back; all of it must be the response.
fn read<R: Decodable>(api: ApiKey, version: i16, frame: &[u8]) -> R {
    let mut rest = Bytes::copy_from_slice(&frame[4..]);
    assert_eq!(frame[..4], (rest.len() as i32).to_be_bytes());
    let header = ResponseHeader::decode(&mut rest, api.response_header_version(version)).unwrap();
    assert_eq!(header.correlation_id, 77);
    let body = R::decode(&mut rest, version).unwrap();
    assert!(rest.is_empty());
    body
}

fn brokers(ports: &[u16]) -> Vec<MetadataResponseBroker> {
    let broker = |(id, port): (usize, &u16)| {
        MetadataResponseBroker::default()
            .with_node_id(BrokerId(id as i32))
            .with_host(text("kafka.example"))
            .with_port(i32::from(*port))
    };
    ports.iter().enumerate().map(broker).collect()
}

proptest! {
    /// Every node of every version is moved, and nothing else changes.
    #[test]
    fn metadata_name_the_proxy(
        version in 0..=13_i16,
        ports in proptest::collection::vec(1..20_000_u16, 0..4),
        topics in proptest::collection::vec("[a-z]{1,8}", 0..4),
        id in 1..u128::MAX,
    ) {
        let topic = |name: &String| {
            let topic = MetadataResponseTopic::default()
                .with_name(Some(text(name).into()))
                .with_error_code(5);
            if version >= 10 { topic.with_topic_id(Uuid::from_u128(id)) } else { topic }
        };
        let sent = MetadataResponse::default()
            .with_brokers(brokers(&ports))
            .with_topics(topics.iter().map(topic).collect());
        let frame = response(ApiKey::Metadata, version, &sent);
        let places = Further::default();
        let changed = rewrite(ApiKey::Metadata, version, &frame, &places).unwrap();
        prop_assert_eq!(changed.is_some(), !ports.is_empty());
        let frame = changed.map_or(frame, BytesMut::freeze);
        let mut got: MetadataResponse = read(ApiKey::Metadata, version, &frame);
        for (broker, port) in got.brokers.iter_mut().zip(&ports) {
            prop_assert_eq!(&*broker.host, "proxy");
            prop_assert_eq!(broker.port, i32::from(*port) + 20_000);
            broker.host = text("kafka.example");
            broker.port = i32::from(*port);
        }
        prop_assert_eq!(got, sent);
        let learnt = if version >= 10 { topics.len() } else { 0 };
        prop_assert_eq!(places.0.lock().len(), learnt);
    }

    #[test]
    fn damaged_responses_are_refused_or_read(
        api in prop_oneof![
            Just(ApiKey::Metadata), Just(ApiKey::FindCoordinator), Just(ApiKey::ApiVersions)
        ],
        version in 0..5_i16,
        payload in proptest::collection::vec(0..4_u8, 4..60),
    ) {
        let _ = rewrite(api, version, &with_length(&payload), &Further::default());
    }

    #[test]
    fn request_heads_of_arbitrary_frames(payload in proptest::collection::vec(any::<u8>(), 0..40)) {
        let frame = with_length(&payload);
        if let Some(head) = RequestHead::parse(&frame) {
            is_without_response(&frame, &head);
        }
    }
}

#[test]
fn coordinators_are_moved_and_unknown_ones_are_left() {
    for version in 0..=6 {
        let found = |host: &str, port| match version {
            4.. => {
                let node = Coordinator::default().with_key(text("g")).with_host(text(host));
                FindCoordinatorResponse::default().with_coordinators(vec![node.with_port(port)])
            }
            _ => FindCoordinatorResponse::default().with_host(text(host)).with_port(port),
        };
        let known = response(ApiKey::FindCoordinator, version, &found("kafka", 9_092));
        let changed =
            rewrite(ApiKey::FindCoordinator, version, &known, &Further::default()).unwrap();
        let got: FindCoordinatorResponse =
            read(ApiKey::FindCoordinator, version, &changed.unwrap());
        assert_eq!(got, found("proxy", 29_092), "version {version}");
        let unknown = response(ApiKey::FindCoordinator, version, &found("", -1));
        assert_eq!(
            rewrite(ApiKey::FindCoordinator, version, &unknown, &Further::default()),
            Ok(None)
        );
    }
}

#[test]
fn nodes_of_a_cluster_and_new_leaders_are_moved() {
    let node = DescribeClusterBroker::default().with_host(text("kafka")).with_port(1);
    let cluster = DescribeClusterResponse::default().with_brokers(vec![node]);
    let frame = response(ApiKey::DescribeCluster, 1, &cluster);
    let changed = rewrite(ApiKey::DescribeCluster, 1, &frame, &Further::default()).unwrap();
    let got: DescribeClusterResponse = read(ApiKey::DescribeCluster, 1, &changed.unwrap());
    assert_eq!((&*got.brokers[0].host, got.brokers[0].port), ("proxy", 20_001));

    let node = fetch_response::NodeEndpoint::default().with_host(text("kafka")).with_port(2);
    let partition = fetch_response::PartitionData::default()
        .with_error_code(6)
        .with_records(Some(Bytes::from_static(b"records")));
    let topic = fetch_response::FetchableTopicResponse::default()
        .with_topic_id(Uuid::from_u128(1))
        .with_partitions(vec![partition]);
    let fetched =
        FetchResponse::default().with_responses(vec![topic]).with_node_endpoints(vec![node]);
    let frame = response(ApiKey::Fetch, 16, &fetched);
    let changed = rewrite(ApiKey::Fetch, 16, &frame, &Further::default()).unwrap();
    let mut got: FetchResponse = read(ApiKey::Fetch, 16, &changed.unwrap());
    assert_eq!(got.node_endpoints[0].port, 20_002);
    got.node_endpoints.clone_from(&fetched.node_endpoints);
    assert_eq!(got, fetched);

    let node = produce_response::NodeEndpoint::default().with_host(text("kafka")).with_port(3);
    let produced = ProduceResponse::default().with_node_endpoints(vec![node]);
    let frame = response(ApiKey::Produce, 10, &produced);
    let changed = rewrite(ApiKey::Produce, 10, &frame, &Further::default()).unwrap();
    let got: ProduceResponse = read(ApiKey::Produce, 10, &changed.unwrap());
    assert_eq!(got.node_endpoints[0].port, 20_003);

    assert!(!is_read(ApiKey::Fetch, 15) && !is_read(ApiKey::Produce, 9));
}

#[test]
fn clients_hear_only_of_versions_that_can_be_read() {
    let offer = |api, max: i16| {
        ApiVersion::default().with_api_key(api).with_min_version(0).with_max_version(max)
    };
    let newest = MetadataResponse::VERSIONS.max;
    for version in 0..=4 {
        let sent = ApiVersionsResponse::default().with_api_keys(vec![
            offer(3, newest + 1),
            offer(19, 99),
            offer(999, 9),
        ]);
        let frame = response(ApiKey::ApiVersions, version, &sent);
        let changed = rewrite(ApiKey::ApiVersions, version, &frame, &Further::default()).unwrap();
        let got: ApiVersionsResponse = read(ApiKey::ApiVersions, version, &changed.unwrap());
        assert_eq!(got.api_keys, [offer(3, newest), offer(19, 99), offer(999, 9)]);
        let known = ApiVersionsResponse::default().with_api_keys(vec![offer(3, newest)]);
        let frame = response(ApiKey::ApiVersions, version, &known);
        assert_eq!(rewrite(ApiKey::ApiVersions, version, &frame, &Further::default()), Ok(None));
    }
    let unsupported = ApiVersionsResponse::default()
        .with_error_code(35)
        .with_api_keys(vec![offer(3, newest + 1), offer(18, 3)]);
    let frame = response(ApiKey::ApiVersions, 0, &unsupported);
    let changed = rewrite(ApiKey::ApiVersions, 4, &frame, &Further::default()).unwrap();
    let got: ApiVersionsResponse = read(ApiKey::ApiVersions, 0, &changed.unwrap());
    assert_eq!((got.error_code, got.api_keys[0].max_version), (35, newest));
}

#[test]
fn the_head_of_a_request_is_read() {
    let body = ProduceRequest::default().with_acks(-1);
    let frame = request(ApiKey::Produce, 9, Some("me"), &body);
    let head = RequestHead::parse(&frame).unwrap();
    let (version, correlation_id, client_id) = (9, -5, "me".to_owned());
    let api = Some(ApiKey::Produce);
    assert_eq!(head, RequestHead { api, version, correlation_id, client_id });
    let nameless = RequestHead::parse(&request(ApiKey::Produce, 3, None, &body)).unwrap();
    assert_eq!(nameless.client_id, "");
    let unknown = with_length(&[3, 231, 0, 1, 0, 0, 0, 9, 255, 255]);
    assert_eq!(RequestHead::parse(&unknown).unwrap().api, None);
    assert_eq!(RequestHead::parse(&with_length(b"short")), None);
}

#[test]
fn only_produce_without_acks_gets_no_response() {
    for version in ProduceRequest::VERSIONS.min..=ProduceRequest::VERSIONS.max {
        for id in [None, Some(text("transaction").into())] {
            for acks in [-1, 0, 1] {
                let body =
                    ProduceRequest::default().with_acks(acks).with_transactional_id(id.clone());
                let frame = request(ApiKey::Produce, version, Some("client"), &body);
                let head = RequestHead::parse(&frame).unwrap();
                assert_eq!(is_without_response(&frame, &head), acks == 0, "version {version}");
            }
        }
    }
}
