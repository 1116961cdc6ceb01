"""Connections and events to one record per mail session, and what follows from the records alone."""
