"""A virtual world: a device, a radio and a Developer Center with behaviour of their own, for tests and for `demo`.

Nothing here imports `ble_ota.cloud` or `ble_ota.protocols`: both sides read the same specification, each by itself,
so that a misreading is not made twice by one line.
"""
