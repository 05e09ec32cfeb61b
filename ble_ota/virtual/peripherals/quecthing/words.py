"""The numbers of QuecThing's file transfer, as the documents give them (2022 page, "universal file transfer")."""

from __future__ import annotations

QUERY, NOTIFICATION, CONTROL, CONTROLLED, PACKET, STORED = 0x7020, 0x7022, 0x7023, 0x7024, 0x7025, 0x7026
TRANSFER = range(QUERY, STORED + 1)
ASK_VERSION, TELL_VERSION = 0x7040, 0x7041  # by name only in third-party sources

ACTION, DELAY, OFFSET, DATA, CHUNK, VERSION = 7, 8, 9, 10, 11, 12  # TTLV ids
DECLINE, RECEIVE, PAUSE, PROCEED, CANCEL, SUCCESS, FAILURE = 1, 2, 3, 4, 5, 6, 7  # actions, under id 7
