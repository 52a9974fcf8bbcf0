//! Which topics a request names.

use bytes::Bytes;
use kafka_protocol::{
    messages::{self, ApiKey, TopicName},
    protocol::Decodable,
};
use uuid::Uuid;

/// A topic as a request names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TopicRef {
    /// By its name.
    Name(String),
    /// By its id.
    Id(Uuid),
}

impl TopicRef {
    fn named(name: &TopicName) -> Self {
        Self::Name(name.to_string())
    }

    /// By the id, unless the version of the request has only names.
    fn either(name: &TopicName, id: Uuid) -> Self {
        if id.is_nil() { Self::named(name) } else { Self::Id(id) }
    }
}

/// Kind of a resource in requests about settings.
const TOPIC_RESOURCE: i8 = 2;

/// True if requests of this kind name topics.
#[must_use]
pub fn names_topics(api: ApiKey) -> bool {
    named(api, 0, &Bytes::new()).is_some()
}

/// The topics that a request names; none if its kind has no topics, empty if it cannot be read.
///
/// The body must have been checked: the decoder trusts the lengths that it finds.
#[must_use]
pub fn named(api: ApiKey, version: i16, body: &Bytes) -> Option<Vec<TopicRef>> {
    macro_rules! topics {
        ($request:ty, $list:expr) => {{
            let list: fn($request) -> Vec<TopicRef> = $list;
            <$request>::decode(&mut body.clone(), version).map(list).unwrap_or_default()
        }};
    }
    macro_rules! names {
        ($request:ty, $field:ident) => {
            topics!($request, |r| r.$field.iter().map(|t| TopicRef::named(&t.name)).collect())
        };
    }
    macro_rules! resources {
        ($request:ty) => {
            topics!($request, |r| {
                let topics = r.resources.into_iter().filter(|r| r.resource_type == TOPIC_RESOURCE);
                topics.map(|r| TopicRef::Name(r.resource_name.to_string())).collect()
            })
        };
    }
    Some(match api {
        ApiKey::Produce => topics!(messages::ProduceRequest, |r| {
            r.topic_data.iter().map(|t| TopicRef::either(&t.name, t.topic_id)).collect()
        }),
        ApiKey::Fetch => topics!(messages::FetchRequest, |r| {
            r.topics.iter().map(|t| TopicRef::either(&t.topic, t.topic_id)).collect()
        }),
        ApiKey::ListOffsets => names!(messages::ListOffsetsRequest, topics),
        ApiKey::Metadata => topics!(messages::MetadataRequest, |r| {
            let topics = r.topics.unwrap_or_default();
            topics
                .iter()
                .map(|t| TopicRef::either(&t.name.clone().unwrap_or_default(), t.topic_id))
                .collect()
        }),
        ApiKey::OffsetCommit => topics!(messages::OffsetCommitRequest, |r| {
            r.topics.iter().map(|t| TopicRef::either(&t.name, t.topic_id)).collect()
        }),
        ApiKey::OffsetFetch => topics!(messages::OffsetFetchRequest, |r| {
            let groups = r.groups.iter().flat_map(|g| g.topics.iter().flatten());
            let groups = groups.map(|t| TopicRef::either(&t.name, t.topic_id));
            let one = r.topics.iter().flatten().map(|t| TopicRef::named(&t.name));
            groups.chain(one).collect()
        }),
        ApiKey::OffsetDelete => names!(messages::OffsetDeleteRequest, topics),
        ApiKey::OffsetForLeaderEpoch => topics!(messages::OffsetForLeaderEpochRequest, |r| {
            r.topics.iter().map(|t| TopicRef::named(&t.topic)).collect()
        }),
        ApiKey::DeleteRecords => names!(messages::DeleteRecordsRequest, topics),
        ApiKey::CreateTopics => names!(messages::CreateTopicsRequest, topics),
        ApiKey::CreatePartitions => names!(messages::CreatePartitionsRequest, topics),
        ApiKey::DeleteTopics => topics!(messages::DeleteTopicsRequest, |r| {
            let named = r.topic_names.iter().map(TopicRef::named);
            let either = r.topics.iter();
            let either =
                either.map(|t| TopicRef::either(&t.name.clone().unwrap_or_default(), t.topic_id));
            named.chain(either).collect()
        }),
        ApiKey::ElectLeaders => topics!(messages::ElectLeadersRequest, |r| {
            r.topic_partitions.iter().flatten().map(|t| TopicRef::named(&t.topic)).collect()
        }),
        ApiKey::DescribeConfigs => resources!(messages::DescribeConfigsRequest),
        ApiKey::AlterConfigs => resources!(messages::AlterConfigsRequest),
        ApiKey::IncrementalAlterConfigs => resources!(messages::IncrementalAlterConfigsRequest),
        ApiKey::AddPartitionsToTxn => topics!(messages::AddPartitionsToTxnRequest, |r| {
            let many = r.transactions.iter().flat_map(|t| &t.topics);
            many.chain(&r.v3_and_below_topics).map(|t| TopicRef::named(&t.name)).collect()
        }),
        ApiKey::TxnOffsetCommit => names!(messages::TxnOffsetCommitRequest, topics),
        ApiKey::DescribeProducers => names!(messages::DescribeProducersRequest, topics),
        ApiKey::DescribeTopicPartitions => names!(messages::DescribeTopicPartitionsRequest, topics),
        _ => return None,
    })
}
