"""Assignments: lessons with blanks, and a checker that runs what students fill in and says what is wrong."""
