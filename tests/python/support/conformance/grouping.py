"""Operations on groups: membership, committed offsets, administration."""

import struct
from typing import Any

from support.conformance.world import REBALANCE_IN_PROGRESS, Member, World

MEMBER_ID_REQUIRED = 79
SESSION_MS = 30_000
# First versions that know static members, and that give an id before a membership.
STATIC = 5
ASKS_TWICE = 4


def subscription(topics: list[str]) -> bytes:
    """Encode what a consumer says when it joins: the protocol of consumers, version 0."""
    names = b"".join(struct.pack(">h", len(t)) + t.encode() for t in topics)
    return struct.pack(">hi", 0, len(topics)) + names + struct.pack(">i", 0)


def join(
    world: World, *, v: float, client: int, group: str, topics: list[str], static: bool
) -> Any:
    """
    Join, or join again; the other member of the group follows, and the leader shares the work.

    A rebalance runs to its end, so that the sequence goes on with a stable group.
    """
    version = world.version("JoinGroup", v, least=STATIC if static else 0)
    sync_version = world.version("SyncGroup", v, least=3 if static else 0)
    assert version is not None
    assert sync_version is not None
    own = world.members.setdefault((client, group), Member())
    same, own.topics = own.topics == topics, topics
    own.instance = f"instance-{client}" if static else None
    seen: list[Any] = []
    if not own.id and not static and version >= ASKS_TWICE:
        answer = _ask_join(world, version, client, group)
        if answer["error_code"] == MEMBER_ID_REQUIRED:
            # Which id it is says nothing; that there is one does.
            seen.append(["asked to come again", bool(answer["member_id"])])
            own.id = answer["member_id"]
        else:
            return [*seen, _joined(world, sync_version, group, {client: answer})]
    others = _others(world, client, group)
    if others and same and not own.leader and own.generation >= 0:
        # A member that changes nothing and does not lead gets the same generation once more.
        answer = _ask_join(world, version, client, group)
        return [*seen, _joined(world, sync_version, group, {client: answer})]
    _send_join(world, version, client, group)
    for other in others:
        seen.append(["rebalance", _rebalancing(world, other, group)])
        _send_join(world, version, other, group)
    answers = {one: world.clients[one].receive() for one in [client, *others]}
    return [*seen, _joined(world, sync_version, group, answers)]


def leave(world: World, *, v: float, client: int, group: str) -> Any:
    """Leave; the other member of the group takes over."""
    version = world.version("LeaveGroup", v)
    assert version is not None
    own = world.members.get((client, group))
    if own is None or not own.id:
        return "no member"
    if version < 3 and own.instance:
        version = 3
    fields = {
        "group_id": world.name(group),
        "member_id": own.id,
        "members": [{"member_id": own.id, "group_instance_id": own.instance}],
    }
    seen: list[Any] = [world.tidy(world.ask(client, "LeaveGroup", version, fields))]
    world.members[client, group] = Member()
    others = _others(world, client, group)
    for other in others:
        seen.append(["rebalance", _rebalancing(world, other, group)])
        _send_join(world, 7, other, group)
    if others:
        answers = {other: world.clients[other].receive() for other in others}
        seen.append(_joined(world, 5, group, answers))
    return seen


def _others(world: World, client: int, group: str) -> list[int]:
    return [
        one
        for (one, of), member in sorted(world.members.items())
        if of == group and one != client and member.id
    ]


def _join_fields(world: World, client: int, group: str) -> dict[str, Any]:
    own = world.members[client, group]
    return {
        "group_id": world.name(group),
        "session_timeout_ms": SESSION_MS,
        "rebalance_timeout_ms": SESSION_MS,
        "member_id": own.id,
        "group_instance_id": own.instance,
        "protocol_type": "consumer",
        "protocols": [
            {
                "name": name,
                "metadata": subscription([world.name(topic) for topic in own.topics]),
            }
            for name in ("range", "roundrobin")
        ],
        "reason": None,
    }


def _send_join(world: World, version: int, client: int, group: str) -> None:
    own = world.members[client, group]
    if own.instance:
        version = max(version, STATIC)
    world.clients[client].send("JoinGroup", version, _join_fields(world, client, group))


def _ask_join(world: World, version: int, client: int, group: str) -> dict[str, Any]:
    return world.ask(client, "JoinGroup", version, _join_fields(world, client, group))


def _rebalancing(world: World, client: int, group: str) -> bool:
    """Send heartbeats until the member is told to join again."""
    own = world.members[client, group]
    fields = {
        "group_id": world.name(group),
        "generation_id": own.generation,
        "member_id": own.id,
        "group_instance_id": own.instance,
    }
    return world.until(
        lambda: (
            world.clients[client].ask("Heartbeat", 3, fields)["error_code"] == REBALANCE_IN_PROGRESS
        )
    )


def _joined(
    world: World, sync_version: int, group: str, answers: dict[int, dict[str, Any]]
) -> list[Any]:
    """Note what members were told, and exchange the assignment."""
    for client, answer in answers.items():
        if answer["error_code"] == 0:
            world.label(("member", answer["member_id"]), f"member {client}")
            own = world.members[client, group]
            own.id, own.generation = answer["member_id"], answer["generation_id"]
            own.leader = answer["leader"] == answer["member_id"]
    # The member without the lead first: it waits for the one with it.
    ready = sorted(
        (client for client, answer in answers.items() if answer["error_code"] == 0),
        key=lambda client: world.members[client, group].leader,
    )
    for client in ready:
        own = world.members[client, group]
        shares = [
            {
                "member_id": member["member_id"],
                "assignment": b"for " + world.label_of(("member", member["member_id"])).encode(),
            }
            for member in answers[client]["members"]
        ]
        fields = {
            "group_id": world.name(group),
            "generation_id": own.generation,
            "member_id": own.id,
            "group_instance_id": own.instance,
            "protocol_type": "consumer",
            "protocol_name": answers[client]["protocol_name"],
            "assignments": shares if own.leader else [],
        }
        version = max(sync_version, 3) if own.instance else sync_version
        world.clients[client].send("SyncGroup", version, fields)
    synced = {client: world.tidy(world.clients[client].receive()) for client in ready}
    return [
        [client, world.tidy(answer), synced.get(client)]
        for client, answer in sorted(answers.items())
    ]


def heartbeat(world: World, *, v: float, client: int, group: str, kind: str) -> Any:
    """Send a heartbeat as the member (``own``), of an old generation, or as somebody else."""
    version = world.version("Heartbeat", v)
    assert version is not None
    own = world.members.get((client, group)) or Member()
    if own.instance:
        version = max(version, 3)
    fields = {
        "group_id": world.name(group),
        "generation_id": own.generation - (kind == "stale"),
        "member_id": "nobody" if kind == "other" else own.id,
        "group_instance_id": None if kind == "other" else own.instance,
    }
    return world.tidy(world.ask(client, "Heartbeat", version, fields))


def commit(
    world: World, *, v: float, client: int, group: str, offsets: list[list[Any]], member: str
) -> Any:
    """Commit offsets as a member, of an old generation, as somebody else, or from outside."""
    version = world.version("OffsetCommit", v, most=8)
    assert version is not None
    if any(group in groups for groups in world.pending.values()):
        # Of an offset in a transaction and one beside it, Kafka keeps the one that came last.
        return "offsets of the group are in a transaction"
    own = world.members.get((client, group)) or Member()
    if own.instance and member != "none":
        version = max(version, 7)
    who: dict[str, Any] = {"generation_id_or_member_epoch": -1, "member_id": ""}
    if member != "none":
        who = {
            "generation_id_or_member_epoch": own.generation - (member == "stale"),
            "member_id": "nobody" if member == "other" else own.id,
            "group_instance_id": None if member == "other" else own.instance,
        }
    topics: dict[str, list[dict[str, Any]]] = {}
    for topic, partition, offset, metadata in offsets:
        topics.setdefault(world.name(topic), []).append(
            {
                "partition_index": partition,
                "committed_offset": offset,
                "committed_leader_epoch": -1,
                "committed_metadata": metadata,
            }
        )
    fields = {
        "group_id": world.name(group),
        **who,
        "retention_time_ms": -1,
        "topics": [{"name": name, "partitions": rows} for name, rows in topics.items()],
    }
    return world.tidy(world.ask(client, "OffsetCommit", version, fields))


def committed(
    world: World,
    *,
    v: float,
    client: int,
    group: str,
    places: list[list[Any]] | None,
    stable: bool,
) -> Any:
    """Fetch committed offsets, of some partitions or of all."""
    version = world.version("OffsetFetch", v, least=2 if places is None else 0, most=9)
    assert version is not None
    topics: dict[str, list[int]] = {}
    for topic, partition in places or []:
        topics.setdefault(world.name(topic), []).append(partition)
    asked = (
        None
        if places is None
        else [{"name": name, "partition_indexes": p} for name, p in topics.items()]
    )
    if version >= 8:
        fields: dict[str, Any] = {
            "groups": [{"group_id": world.name(group), "topics": asked, "member_epoch": -1}],
            "require_stable": stable,
        }
    else:
        fields = {"group_id": world.name(group), "topics": asked, "require_stable": stable}
    return world.tidy(world.ask(client, "OffsetFetch", version, fields))


def forget(world: World, *, v: float, group: str, places: list[list[Any]]) -> Any:
    """Delete committed offsets."""
    version = world.version("OffsetDelete", v)
    assert version is not None
    topics: dict[str, list[dict[str, int]]] = {}
    for topic, partition in places:
        topics.setdefault(world.name(topic), []).append({"partition_index": partition})
    fields = {
        "group_id": world.name(group),
        "topics": [{"name": name, "partitions": p} for name, p in topics.items()],
    }
    return world.tidy(world.ask(0, "OffsetDelete", version, fields))


def drop(world: World, *, v: float, group: str) -> Any:
    """Delete a group."""
    version = world.version("DeleteGroups", v)
    assert version is not None
    fields = {"groups_names": [world.name(group)]}
    return world.tidy(world.ask(0, "DeleteGroups", version, fields))


def describe(world: World, *, v: float, group: str) -> Any:
    """Describe a group."""
    version = world.version("DescribeGroups", v)
    assert version is not None
    fields = {"groups": [world.name(group)], "include_authorized_operations": False}
    return world.tidy(world.ask(0, "DescribeGroups", version, fields))


def listed(world: World, *, v: float, group: str) -> Any:
    """List groups; only the one asked for is looked at."""
    version = world.version("ListGroups", v)
    assert version is not None
    fields: dict[str, Any] = {"states_filter": [], "types_filter": []}
    answer = world.ask(0, "ListGroups", version, fields)
    answer["groups"] = [one for one in answer["groups"] if one["group_id"] == world.name(group)]
    return world.tidy(answer)
