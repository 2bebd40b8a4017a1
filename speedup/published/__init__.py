"""Measurements that other people published, and how well each model foretells them."""
