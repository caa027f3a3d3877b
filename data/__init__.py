"""Small files that travel inside the wheel; see README.md beside this."""
