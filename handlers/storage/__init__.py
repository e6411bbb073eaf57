"""Where recorded files lie: what a URL tells of it, and what the settings add."""
