"""What is done with a delivery once it is in."""
