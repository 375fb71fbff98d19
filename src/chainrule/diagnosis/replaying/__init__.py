"""Replaying: the same run again, forked from just before its first training step, one thing changed."""
