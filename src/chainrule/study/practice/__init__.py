"""Practice: questions whose answers are computed and proved; graded by computing."""
