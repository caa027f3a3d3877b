"""Lesson scripts, which travel inside the wheel."""
