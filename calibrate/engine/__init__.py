"""Messages between processes on one or many hosts: a small interface, and MPI behind it."""
