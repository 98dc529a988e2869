"""Projects, their categories and counts, and the maintenance that the timers do."""
