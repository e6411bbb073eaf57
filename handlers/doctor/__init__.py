"""What `reelhook doctor` finds out, and what it advises."""
