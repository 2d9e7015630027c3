"""Are two rasters equal, every bit? If not: where first, and why."""
