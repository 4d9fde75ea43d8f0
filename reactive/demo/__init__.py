"""`reactive demo`: real flights over TCP, live, then the same pipeline in batch."""
