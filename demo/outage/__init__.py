"""The switch that takes Redis away: a fault on purpose, for the demo only."""
