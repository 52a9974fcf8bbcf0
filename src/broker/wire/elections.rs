//! ElectLeaders.

use super::{Context, text, topic_name};
use crate::broker::{
    cluster::{Cluster, NotElected},
    topics::TopicError,
};
use kafka_protocol::{
    ResponseError,
    messages::{
        ElectLeadersRequest, ElectLeadersResponse,
        elect_leaders_response::{PartitionResult, ReplicaElectionResult},
    },
};

/// Who is to lead, as clients number it.
mod kind {
    pub(super) const PREFERRED: i8 = 0;
    pub(super) const UNCLEAN: i8 = 1;
}

/// Lets the preferred replicas lead or, where nobody does, any that are up. Asked for all
/// partitions, coordinators return to their first nodes too, and partitions that need no election
/// are left out of the response.
pub(super) fn elect_leaders(
    context: &Context<'_>,
    request: ElectLeadersRequest,
) -> ElectLeadersResponse {
    let unclean = match request.election_type {
        kind::PREFERRED => false,
        kind::UNCLEAN => true,
        _ => {
            let response = ElectLeadersResponse::default();
            let error = ResponseError::InvalidRequest.code();
            return if context.version >= 1 { response.with_error_code(error) } else { response };
        }
    };
    let topics = &context.broker.topics;
    let of_all = request.topic_partitions.is_none();
    let wanted: Vec<(String, Vec<i32>)> = if let Some(wanted) = request.topic_partitions {
        wanted.into_iter().map(|t| (t.topic.to_string(), t.partitions)).collect()
    } else {
        if !unclean {
            context.broker.groups.move_coordinators(Cluster::prefer_first_coordinators);
        }
        let numbers = |count: usize| (0..).take(count).collect();
        topics.all().iter().map(|t| (t.name.clone(), numbers(t.partitions.len()))).collect()
    };
    let mut results = Vec::with_capacity(wanted.len());
    for (topic, numbers) in wanted {
        let elected = numbers.into_iter().map(|n| (n, topics.elect(&topic, n, unclean)));
        let needed =
            elected.filter(|(_, r)| !of_all || !matches!(r, Ok(Err(NotElected::NotNeeded))));
        let partitions: Vec<_> =
            needed.map(|(n, result)| response(&topic, n, unclean, &result)).collect();
        if !partitions.is_empty() {
            results.push(
                ReplicaElectionResult::default()
                    .with_topic(topic_name(topic))
                    .with_partition_result(partitions),
            );
        }
    }
    ElectLeadersResponse::default().with_replica_election_results(results)
}

fn response(
    topic: &str,
    number: i32,
    unclean: bool,
    result: &Result<Result<(), NotElected>, TopicError>,
) -> PartitionResult {
    let response = PartitionResult::default().with_partition_id(number);
    let (error, message) = match result {
        Ok(Ok(())) => return response,
        Ok(Err(NotElected::NotNeeded)) => (
            ResponseError::ElectionNotNeeded,
            "Leader election not needed for topic partition.".to_owned(),
        ),
        Ok(Err(NotElected::NotAvailable)) if unclean => (
            ResponseError::EligibleLeadersNotAvailable,
            "Eligible topic partition leaders are not available.".to_owned(),
        ),
        Ok(Err(NotElected::NotAvailable)) => (
            ResponseError::PreferredLeaderNotAvailable,
            "The preferred leader was not available.".to_owned(),
        ),
        Err(TopicError::Unknown) => {
            let error = ResponseError::UnknownTopicOrPartition;
            (error, format!("No such partition as {topic}-{number}"))
        }
        Err(error) => (error.into(), error.to_string()),
    };
    response.with_error_code(error.code()).with_error_message(Some(text(message)))
}
