"""The fixtures of these tests."""

from tests.integration.queue.world import world

__all__ = ["world"]
