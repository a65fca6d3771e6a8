"""Every setting: its type, unit, default and names, and where its value came from."""
