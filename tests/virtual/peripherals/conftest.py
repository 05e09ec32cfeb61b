from __future__ import annotations

import asyncio

# looptime asks the policy for a loop before every test; for a test without asyncio the policy would make one that
# nobody closes. Told that there is none, it makes none.
asyncio.set_event_loop(None)
