//! Where to go instead: responses of newer versions name the leader to clients that asked another
//! node, or this one in an old epoch.

use super::Context;
use crate::broker::{
    cluster::{Endpoint, NodeIds},
    topics::Partition,
};
use kafka_protocol::{ResponseError, messages::BrokerId};

/// Leaders that a response names.
#[derive(Default)]
pub(super) struct Hints(NodeIds);

impl Hints {
    /// Who leads the partition and in which epoch, if `error` is because the client does not know.
    pub(super) fn leader(&mut self, partition: &Partition, error: i16) -> Option<(BrokerId, i32)> {
        let does_not_know = [ResponseError::NotLeaderOrFollower, ResponseError::FencedLeaderEpoch];
        if !does_not_know.iter().any(|known| known.code() == error) {
            return None;
        }
        let replicas = partition.replicas();
        self.0.extend(replicas.leader());
        Some((BrokerId(replicas.leader().unwrap_or(-1)), replicas.epoch()))
    }

    /// Where they are reached.
    pub(super) fn endpoints<'a>(&self, context: &Context<'a>) -> Vec<&'a Endpoint> {
        let cluster = &context.broker.cluster;
        self.0.iter().filter_map(|id| cluster.endpoint(*id)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{fetch, produce},
        *,
    };
    use crate::broker::{
        config::BrokerConfig, log::testing::BatchBuilder, security::Session, server::Shared,
        topic_config::TopicConfig,
    };
    use kafka_protocol::messages::{
        FetchRequest, ProduceRequest,
        fetch_request::{FetchPartition, FetchTopic},
        produce_request::{PartitionProduceData, TopicProduceData},
    };
    use parking_lot::Mutex;

    /// Partition 1 is led by node 2.
    const ELSEWHERE: i32 = 1;

    fn at_node_1<R>(version: i16, ask: impl AsyncFnOnce(&Context<'_>) -> R) -> R {
        let config = BrokerConfig { nodes: 2, ..BrokerConfig::default() };
        let broker = Shared::open(config, &[9092, 9093]).unwrap();
        broker.topics.create("t", 2, TopicConfig::default()).unwrap();
        let context = Context {
            broker: &broker,
            node: 1,
            version,
            client_id: "test",
            client_host: "/127.0.0.1",
            peer: &std::sync::Arc::default(),
            session: &Mutex::new(Session::new(false)),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        runtime.unwrap().block_on(ask(&context))
    }

    #[test]
    fn a_producer_at_the_wrong_node_is_told_the_right_one() {
        let response = at_node_1(10, async |context| {
            let data = PartitionProduceData::default()
                .with_index(ELSEWHERE)
                .with_records(Some(BatchBuilder::new(1).build()));
            let topic = TopicProduceData::default()
                .with_name(super::super::topic_name("t"))
                .with_partition_data(vec![data]);
            let request = ProduceRequest::default().with_acks(1).with_topic_data(vec![topic]);
            produce::produce(context, request).ok().flatten().unwrap()
        });
        let refused = &response.responses[0].partition_responses[0];
        assert_eq!(refused.error_code, ResponseError::NotLeaderOrFollower.code());
        assert_eq!(
            (refused.current_leader.leader_id.0, refused.current_leader.leader_epoch),
            (2, 0)
        );
        let node = &response.node_endpoints[0];
        assert_eq!((node.node_id.0, &*node.host, node.port), (2, "127.0.0.1", 9093));
    }

    #[test]
    fn a_consumer_is_told_too_unless_a_follower_may_serve_it() {
        let fetched = |version, epoch| {
            at_node_1(version, async |context| {
                let partition = FetchPartition::default()
                    .with_partition(ELSEWHERE)
                    .with_current_leader_epoch(epoch);
                let mut topic = FetchTopic::default().with_partitions(vec![partition]);
                if version >= 13 {
                    topic.topic_id = context.broker.topics.get("t").unwrap().id;
                } else {
                    topic.topic = super::super::topic_name("t");
                }
                fetch::fetch(context, FetchRequest::default().with_topics(vec![topic])).await
            })
        };
        let old = fetched(10, -1);
        let error = old.responses[0].partitions[0].error_code;
        assert_eq!(error, ResponseError::NotLeaderOrFollower.code());
        assert!(old.node_endpoints.is_empty(), "it could not read it");
        assert_eq!(fetched(16, 0).responses[0].partitions[0].error_code, 0, "from a follower");
        let ahead = fetched(16, 7);
        let error = ahead.responses[0].partitions[0].error_code;
        assert_eq!(error, ResponseError::UnknownLeaderEpoch.code());
        assert!(ahead.node_endpoints.is_empty(), "it knows more than this node");
    }

    #[test]
    fn a_consumer_of_an_old_epoch_is_told_the_new_leader() {
        let response = at_node_1(16, async |context| {
            let live = context.broker.cluster.set_live(2, false).unwrap();
            context.broker.topics.settle(&live);
            let partition =
                FetchPartition::default().with_partition(ELSEWHERE).with_current_leader_epoch(0);
            let mut topic = FetchTopic::default().with_partitions(vec![partition]);
            topic.topic_id = context.broker.topics.get("t").unwrap().id;
            fetch::fetch(context, FetchRequest::default().with_topics(vec![topic])).await
        });
        let refused = &response.responses[0].partitions[0];
        assert_eq!(refused.error_code, ResponseError::FencedLeaderEpoch.code());
        assert_eq!(
            (refused.current_leader.leader_id.0, refused.current_leader.leader_epoch),
            (1, 1)
        );
        assert_eq!(response.node_endpoints[0].port, 9092);
    }
}
