"""The vendors' callbacks as the vendors send them, signed from their documentation and not with the product's code."""
