"""Operations on topics and their settings."""

import time
from typing import Any

from support.conformance.world import World

# A broker applies settings, and the end of a topic, a moment after it shows them.
SETTLES_S = 0.06
GROUPS = ["g0", "g1"]
SET = 0
TOPIC_RESOURCE = 2
FROM_TOPIC = 1


def create(
    world: World, *, v: float, topic: str, partitions: int, settings: dict[str, str], dry: bool
) -> Any:
    """Create a topic, or only ask whether it could be."""
    version = world.version("CreateTopics", v)
    assert version is not None
    fields = {
        "topics": [
            {
                "name": world.name(topic),
                "num_partitions": partitions,
                "replication_factor": 1,
                "assignments": [],
                "configs": [{"name": k, "value": v} for k, v in settings.items()],
            }
        ],
        "timeout_ms": 10_000,
        "validate_only": dry,
    }
    answer = world.ask(0, "CreateTopics", version, fields)
    for one in answer["topics"]:
        # The settings of the broker are not part of it: kafka.sh sets a few.
        one.pop("configs", None)
        if one["error_code"] == 0 and not dry:
            world.topics[topic] = partitions
            world.wait_partitions(topic, partitions)
    return world.tidy(answer)


def delete(world: World, *, v: float, topic: str) -> Any:
    """Delete a topic."""
    version = world.version("DeleteTopics", v)
    assert version is not None
    name = world.name(topic)
    fields = {
        "topics": [{"name": name, "topic_id": NO_ID}],
        "topic_names": [name],
        "timeout_ms": 10_000,
    }
    answer = world.ask(0, "DeleteTopics", version, fields)
    if answer["responses"][0]["error_code"] == 0:
        world.wait_partitions(topic, world.topics.pop(topic), gone=True)
        time.sleep(SETTLES_S)
        world.until(lambda: not any(_has_offsets(world, group, name) for group in GROUPS))
    return world.tidy(answer)


def _has_offsets(world: World, group: str, topic: str) -> bool:
    fields = {"group_id": world.name(group), "topics": None, "require_stable": False}
    found = world.clients[0].ask("OffsetFetch", 7, fields)["topics"]
    return any(one["name"] == topic for one in found)


def grow(world: World, *, v: float, topic: str, count: int) -> Any:
    """Give a topic more partitions."""
    version = world.version("CreatePartitions", v)
    assert version is not None
    fields = {
        "topics": [{"name": world.name(topic), "count": count, "assignments": None}],
        "timeout_ms": 10_000,
        "validate_only": False,
    }
    answer = world.ask(0, "CreatePartitions", version, fields)
    if answer["results"][0]["error_code"] == 0:
        world.topics[topic] = count
        world.wait_partitions(topic, count)
    return world.tidy(answer)


def configure(world: World, *, v: float, topic: str, changes: list[list[Any]]) -> Any:
    """Change settings of a topic one by one; a change is name, operation and value."""
    version = world.version("IncrementalAlterConfigs", v)
    assert version is not None
    fields = {
        "resources": [
            {
                "resource_type": TOPIC_RESOURCE,
                "resource_name": world.name(topic),
                "configs": [
                    {"name": name, "config_operation": operation, "value": value}
                    for name, operation, value in changes
                ],
            }
        ],
        "validate_only": False,
    }
    answer = world.ask(0, "IncrementalAlterConfigs", version, fields)
    if answer["responses"][0]["error_code"] == 0:
        world.until(lambda: _shown(world, topic, changes))
        time.sleep(SETTLES_S)
    return world.tidy(answer)


def _shown(world: World, topic: str, changes: list[list[Any]]) -> bool:
    shown = _settings(world, world.newest("DescribeConfigs"), topic, [c[0] for c in changes])
    for one in shown["results"][0]["configs"]:
        for name, operation, value in changes:
            if one["name"] != name:
                continue
            if (one["config_source"] == FROM_TOPIC) != (operation == SET):
                return False
            if operation == SET and one["value"] != value:
                return False
    return True


def _settings(world: World, version: int, topic: str, names: list[str]) -> Any:
    resource = {
        "resource_type": TOPIC_RESOURCE,
        "resource_name": world.name(topic),
        "configuration_keys": names,
    }
    fields = {"resources": [resource], "include_synonyms": False, "include_documentation": False}
    return world.ask(0, "DescribeConfigs", version, fields)


def settings(world: World, *, v: float, topic: str, names: list[str]) -> Any:
    """Show settings of a topic."""
    version = world.version("DescribeConfigs", v)
    assert version is not None
    answer = _settings(world, version, topic, names)
    for one in answer["results"]:
        for row in one["configs"] or []:
            row.pop("documentation", None)
    return world.tidy(answer)


def metadata(world: World, *, v: float, topic: str) -> Any:
    """Ask for the partitions of a topic, without creating it."""
    version = world.version("Metadata", v, least=4)
    assert version is not None
    fields = {
        "topics": [{"name": world.name(topic), "topic_id": NO_ID}],
        "allow_auto_topic_creation": False,
        "include_cluster_authorized_operations": False,
        "include_topic_authorized_operations": False,
    }
    answer = world.ask(0, "Metadata", version, fields)
    for one in answer["topics"]:
        for partition in one["partitions"]:
            for nodes in ("leader_id", "replica_nodes", "isr_nodes", "offline_replicas"):
                value = partition.get(nodes)
                partition[nodes] = len(value) if isinstance(value, list) else None
    return world.tidy(answer["topics"])


NO_ID = None
