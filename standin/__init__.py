"""Imitations of the vendors, which check what a vendor checks: for tests, the demo, and whoever tests against them."""
