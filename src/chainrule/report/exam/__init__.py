"""Exams to hand out: Markdown, LaTeX, Moodle XML, PrairieLearn and notebooks, each with a key."""
