# SPDX-License-Identifier: GPL-2.0-or-later
"""Every tuning value of the swarm, each with its reason.

Ratios are the time of the last node over the time that one copy through one link takes, measured
with 8 to 16 nodes on links shaped to 16 Mbit/s; they are followed by the better choice's.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import libtorrent as lt


# A site's swarm is closed: peers come from its trackers only, nothing is looked for outside, and
# nothing goes there. uTP moved 7..13 MB/s where TCP moved 230..290.
_CLOSED: "lt.settings_pack" = {
    "enable_dht": False,
    "enable_lsd": False,
    "enable_upnp": False,
    "enable_natpmp": False,
    "enable_outgoing_utp": False,
    "enable_incoming_utp": False,
}


def node(address: str, port: int) -> "lt.settings_pack":
    """How a peer takes part, in libtorrent's words; what is not here is as libtorrent has it.

    `address` is the one of the network that the node was booted from, and the only one used.
    """
    return {
        "listen_interfaces": f"{address}:{port}",
        "outgoing_interfaces": address,
        "user_agent": "swarmstrap",
        # A burst of pieces must not overflow the queue.
        "alert_queue_size": 100_000,
        **_CLOSED,
        "dht_bootstrap_nodes": "",
        "webtorrent_stun_server": "",
        # Ask for single blocks; with whole pieces the seeder sends more copies: 1.63 -> 1.31.
        "whole_pieces_threshold": 0,
        # Rarest first from the first piece on; random first pieces collide among equal nodes.
        "initial_picker_threshold": 0,
        # Announce a piece 500 ms before it is whole: 1.58 -> 1.49.
        "predictive_piece_announce": 500,
        # A piece announced so early may be the last: those who have all would part with a node that
        # has not, and it would wait 5 s for the next connection. Nor is a node redundant that wants
        # nothing of an image so far.
        "close_redundant_connections": False,
        # Who has a piece need not hear that others have it: a packet a piece and peer.
        "send_redundant_have": False,
        # A peer is asked for what it sends in a second: short queues leave the choice open. At
        # 64 blocks from each of ten peers 10 MiB are under way, 1 Gbit/s for 80 ms.
        "request_queue_time": 1,
        "max_out_request_queue": 64,
        "send_buffer_watermark": 64 * 1024,
        "unchoke_slots_limit": 100,
        "unchoke_interval": 3,
        "optimistic_unchoke_interval": 6,
        # Nodes of one deployment start together and find each other within seconds.
        "smooth_connects": False,
        "connection_speed": 100,
        # The tracker has a newcomer ask again soon for the neighbours that it lacks.
        "min_announce_interval": 1,
        "tracker_backoff": 20,
        "tracker_completion_timeout": 10,
        "stop_tracker_timeout": 2,
        # A peer that died is normal: notice it soon, and come back to one that lives again.
        "peer_connect_timeout": 5,
        "handshake_timeout": 10,
        "request_timeout": 15,
        "piece_timeout": 10,
        "peer_timeout": 60,
        "min_reconnect_time": 5,
        "max_failcount": 100,
        "urlseed_wait_retry": 5,
        # 1 GiB nodes: blocks waiting for the disk are memory too.
        "max_queued_disk_bytes": 16 * 1024 * 1024,
        "aio_threads": 2,
        "hashing_threads": 1,
        "file_pool_size": 4,
    }


def backlog() -> "lt.settings_pack":
    """What a node changes that lacks much when every piece is out, as on a site whose server has a
    faster link than its nodes, or when it joins late.
    """
    return {
        # Whom a busy peer sends little is asked for little, and so it stays: with a server's link
        # of four times the rate, a node fell back until the last was done at 1.14 to 1.27. With
        # longer queues from the start equal links lose: 1.18 -> 1.15.
        "request_queue_time": 3,
    }


def seeder(address: str, port: int, rate: int) -> "lt.settings_pack":
    """How the site's seeder takes part once every piece is out; `rate` in bytes/s, 0 is no cap."""
    return {
        # One address, and no other port if that one is taken: nodes are told this one.
        "listen_interfaces": f"{address}:{port}",
        "listen_system_port_fallback": False,
        **_CLOSED,
        # A rack that powers on connects within a second.
        "connections_limit": 4000,
        "listen_queue_size": 512,
        # Virtual nodes behind one address are several peers.
        "allow_multiple_connections_per_ip": True,
        # Nodes announce pieces before they have them: whoever seems to have all may lack the last.
        "close_redundant_connections": False,
        # It parts with everybody when a deal begins, and comes back when that ends.
        "min_reconnect_time": 1,
        # As many as are dealt pieces at a time; changed often, so that nobody waits long. Few slots
        # let a node starve: two on equal links, eight on a fast server's.
        "unchoke_slots_limit": 16,
        "unchoke_interval": 3,
        "optimistic_unchoke_interval": 6,
        # Little in flight for each peer: what is queued for one cannot be given to another.
        "send_buffer_watermark": 256 * 1024,
        "min_announce_interval": 5,
        "upload_rate_limit": rate,
        "user_agent": "swarmstrap-seeder",
    }
