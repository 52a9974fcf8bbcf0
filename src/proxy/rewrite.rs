//! Nodes in responses.

use super::frame::LENGTH_BYTES;
use crate::faults::refusal;
use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::{
    ResponseError,
    messages::{
        ApiKey, ApiVersionsResponse, DescribeClusterResponse, FetchResponse,
        FindCoordinatorResponse, MetadataResponse, ProduceResponse, ResponseHeader,
        ShareAcknowledgeResponse, ShareFetchResponse,
    },
    protocol::{Decodable, Encodable, Message, StrBytes, VersionRange},
};
use uuid::Uuid;

/// Where clients find the nodes that responses name, and what else is learnt from responses.
pub(super) trait Places {
    /// Address of the listener that stands for a node.
    fn local(&self, host: &str, port: u16) -> Result<(String, u16), String>;
    /// A topic has this id.
    fn learn(&self, id: Uuid, name: &str);
}

/// Requests whose responses may name nodes, from which version on, and the versions that can be read.
const NAMING: &[(ApiKey, i16, VersionRange)] = &[
    (ApiKey::Metadata, 0, MetadataResponse::VERSIONS),
    (ApiKey::FindCoordinator, 0, FindCoordinatorResponse::VERSIONS),
    (ApiKey::DescribeCluster, 0, DescribeClusterResponse::VERSIONS),
    (ApiKey::Produce, 10, ProduceResponse::VERSIONS),
    (ApiKey::Fetch, 16, FetchResponse::VERSIONS),
    (ApiKey::ShareFetch, 0, ShareFetchResponse::VERSIONS),
    (ApiKey::ShareAcknowledge, 0, ShareAcknowledgeResponse::VERSIONS),
];

/// True if the proxy has to read responses of this kind.
pub(super) fn is_read(api: ApiKey, version: i16) -> bool {
    api == ApiKey::ApiVersions
        || NAMING.iter().any(|(naming, from, _)| *naming == api && version >= *from)
}

/// The frame that clients get instead of `frame`; none if it can go on as it is.
pub(super) fn rewrite(
    api: ApiKey,
    version: i16,
    frame: &Bytes,
    places: &impl Places,
) -> Result<Option<BytesMut>, String> {
    let mut body = frame.slice(LENGTH_BYTES..);
    let header = ResponseHeader::decode(&mut body, api.response_header_version(version))
        .map_err(|e| format!("{e:#}"))?;
    let mut response = Response { api, version, header, body };
    match api {
        ApiKey::ApiVersions => response.api_versions(),
        ApiKey::Metadata => response.with(|metadata: &mut MetadataResponse| {
            for topic in &metadata.topics {
                if let Some(name) = topic.name.as_ref().filter(|_| !topic.topic_id.is_nil()) {
                    places.learn(topic.topic_id, name);
                }
            }
            move_all(places, metadata.brokers.iter_mut().map(|n| (&mut n.host, &mut n.port)))
        }),
        ApiKey::DescribeCluster => response.with(|cluster: &mut DescribeClusterResponse| {
            move_all(places, cluster.brokers.iter_mut().map(|n| (&mut n.host, &mut n.port)))
        }),
        ApiKey::FindCoordinator => response.with(|found: &mut FindCoordinatorResponse| {
            let one = std::iter::once((&mut found.host, &mut found.port));
            let many = found.coordinators.iter_mut().map(|n| (&mut n.host, &mut n.port));
            move_all(places, one.chain(many))
        }),
        ApiKey::Produce => response.with(|produced: &mut ProduceResponse| {
            move_all(places, produced.node_endpoints.iter_mut().map(|n| (&mut n.host, &mut n.port)))
        }),
        ApiKey::Fetch => response.with(|fetched: &mut FetchResponse| {
            move_all(places, fetched.node_endpoints.iter_mut().map(|n| (&mut n.host, &mut n.port)))
        }),
        ApiKey::ShareFetch => response.with(|fetched: &mut ShareFetchResponse| {
            move_all(places, fetched.node_endpoints.iter_mut().map(|n| (&mut n.host, &mut n.port)))
        }),
        ApiKey::ShareAcknowledge => response.with(|done: &mut ShareAcknowledgeResponse| {
            move_all(places, done.node_endpoints.iter_mut().map(|n| (&mut n.host, &mut n.port)))
        }),
        _ => Ok(None),
    }
}

/// The metadata in `frame` with error `code` at every topic; none if they name no topic.
pub(super) fn spoil(version: i16, frame: &Bytes, code: i16) -> Result<Option<BytesMut>, String> {
    let api = ApiKey::Metadata;
    let mut body = frame.slice(LENGTH_BYTES..);
    let header = ResponseHeader::decode(&mut body, api.response_header_version(version))
        .map_err(|e| format!("{e:#}"))?;
    let mut response = Response { api, version, header, body };
    response.with(|metadata: &mut MetadataResponse| Ok(refusal::spoil_metadata(metadata, code)))
}

/// Replaces addresses; true if there was one.
fn move_all<'a>(
    places: &impl Places,
    nodes: impl Iterator<Item = (&'a mut StrBytes, &'a mut i32)>,
) -> Result<bool, String> {
    let mut has_moved = false;
    for (host, port) in nodes {
        // Without a node, as where a coordinator is not known, there is no host or no port.
        let Some(at) = u16::try_from(*port).ok().filter(|at| *at > 0 && !host.is_empty()) else {
            continue;
        };
        let (local, local_port) = places.local(host, at)?;
        *host = StrBytes::from_string(local);
        *port = local_port.into();
        has_moved = true;
    }
    Ok(has_moved)
}

/// A response that is being read.
struct Response {
    api: ApiKey,
    version: i16,
    header: ResponseHeader,
    body: Bytes,
}

impl Response {
    /// Changes the body; none if `change` says that it has changed nothing.
    fn with<R: Decodable + Encodable>(
        &mut self,
        change: impl FnOnce(&mut R) -> Result<bool, String>,
    ) -> Result<Option<BytesMut>, String> {
        let mut read = R::decode(&mut self.body, self.version).map_err(|e| format!("{e:#}"))?;
        if !change(&mut read)? {
            return Ok(None);
        }
        let mut frame = BytesMut::new();
        frame.put_i32(0);
        let header_version = self.api.response_header_version(self.version);
        self.header.encode(&mut frame, header_version).map_err(|e| format!("{e:#}"))?;
        read.encode(&mut frame, self.version).map_err(|e| format!("{e:#}"))?;
        let length = i32::try_from(frame.len() - LENGTH_BYTES).map_err(|e| e.to_string())?;
        frame[..LENGTH_BYTES].copy_from_slice(&length.to_be_bytes());
        Ok(Some(frame))
    }

    /// Clients hear only of versions that can be read, where that is needed.
    fn api_versions(&mut self) -> Result<Option<BytesMut>, String> {
        let unsupported = ResponseError::UnsupportedVersion.code().to_be_bytes();
        if self.body.starts_with(&unsupported) {
            // The cluster does not know the version either, and says so in the oldest.
            self.version = 0;
        }
        self.with(|versions: &mut ApiVersionsResponse| {
            let mut has_changed = false;
            for (naming, from, readable) in NAMING {
                let of_it = |v: &&mut _| is_version_of(v, *naming);
                if let Some(offered) = versions.api_keys.iter_mut().find(of_it) {
                    let newest = readable.max;
                    if offered.max_version > newest && offered.max_version >= *from {
                        offered.max_version = newest;
                        has_changed = true;
                    }
                }
            }
            versions.api_keys.retain(|offered| offered.max_version >= offered.min_version);
            Ok(has_changed)
        })
    }
}

fn is_version_of(
    offered: &kafka_protocol::messages::api_versions_response::ApiVersion,
    api: ApiKey,
) -> bool {
    offered.api_key == api as i16
}
