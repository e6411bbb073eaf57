"""The product's own benchmark: ratios measured in one run, on real servers, with a worker running beside each."""
