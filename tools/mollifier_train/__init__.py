"""Simulate, evaluate and train inverse-parameter models; drives the `mollifier` command."""
