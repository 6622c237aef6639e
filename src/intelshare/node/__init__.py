"""The node: one asyncio process that carries out the plans of ``broker`` and makes no decisions itself."""
