"""The flight board: real airports, a simulated timetable, and pages about it."""
