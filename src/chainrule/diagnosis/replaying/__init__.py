"""Replaying: the same run again from just before its first step, with one thing changed."""
