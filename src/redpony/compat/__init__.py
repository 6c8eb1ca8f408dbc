"""Stand-ins for names that projects import from other packages."""
