"""Many photos and videos to one table."""
