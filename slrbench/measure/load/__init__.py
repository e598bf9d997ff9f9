"""Load: queries that come at their own times, and how many of them a candidate serves."""
