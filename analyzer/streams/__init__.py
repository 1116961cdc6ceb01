"""Packets to TCP connections with ordered octets."""

from analyzer.streams.connection import Chunk, Connection, Listener, Stall
from analyzer.streams.flows import connections

__all__ = ["Chunk", "Connection", "Listener", "Stall", "connections"]
