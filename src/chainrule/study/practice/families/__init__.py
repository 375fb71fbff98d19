"""Families of questions: one module for each part of the course, ``FAMILIES`` in each."""
