"""Simulators of the gateways: real wire formats, books that can be read, faults that can be asked for."""

from infra.sandbox.server import PROVIDERS, Sandbox, run

__all__ = ["PROVIDERS", "Sandbox", "run"]
