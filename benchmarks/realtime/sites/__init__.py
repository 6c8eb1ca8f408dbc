"""What each contestant's site is made of, as a project would write it."""
