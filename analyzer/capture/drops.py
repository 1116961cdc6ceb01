"""Why Windows dropped a packet, in words: the reasons of Packet Monitor that TCP traffic meets.

Numbers as in PKTMON_DROP_REASON (Microsoft Learn, Packet Monitor extensions for network drivers). Those of virtual switches
and load balancers are left to their number.
"""

from __future__ import annotations

_REASONS = {
    1: "invalid data",
    2: "invalid packet",
    3: "out of resources",
    4: "adapter not ready",
    5: "disconnected",
    6: "not accepted",
    7: "busy",
    8: "filtered",
    9: "filtered by VLAN",
    10: "VLAN not authorised",
    12: "security policy",
    14: "quality of service",
    15: "IPsec",
    23: "larger than the MTU",
    33: "adapter disabled",
    34: "packet filter",
    38: "adapter in low power",
    201: "adapter paused",
    202: "adapter reset",
    203: "send aborted",
    204: "protocol not bound",
    604: "invalid length",
    607: "interface not ready",
    901: "bad source address",
    902: "not for this machine",
    903: "protocol unreachable",
    904: "port unreachable",
    905: "bad length",
    906: "malformed IP header",
    907: "no route",
    909: "blocked by the firewall or another filter",
    911: "administratively prohibited",
    912: "bad IP checksum",
    914: "hop limit exceeded",
    915: "address unreachable",
    919: "taken away by a filter",
    920: "larger than the MTU and not to be fragmented",
    922: "no answer to ARP or neighbour discovery in time",
    923: "ARP or neighbour discovery failed",
    924: "IPsec failed",
    949: "queue full",
    950: "interface disabled",
    1202: "invalid TCP header",
    1203: "bad TCP checksum",
    1204: "nobody listens on the port",
    1206: "does not fit the state of the connection",
    1207: "blocked by the firewall or another filter",
    1208: "invalid acknowledgement",
    1209: "no SYN where one was expected",
    1210: "reset",
    1213: "old TCP timestamp",
    1216: "outside the TCP window",
    1217: "segment received already",
    1218: "receive window closed",
    1219: "connection gone",
    1222: "data behind the FIN",
    1224: "connection unknown",
    1229: "listener paused",
    1230: "protection against SYN floods",
    1231: "connection not admitted by the firewall or another filter",
}


def reason(number: int) -> str:
    """Return the words for a reason, and its number."""
    words = _REASONS.get(number)
    return f"{words} ({number})" if words else f"reason {number}"
