"""What moving bytes takes: between hosts, between host and device, and among devices."""
