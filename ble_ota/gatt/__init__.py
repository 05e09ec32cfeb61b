"""The door to real GATT: one bleak adapter, for the system's Bluetooth and for a controller driven by Bumble."""
