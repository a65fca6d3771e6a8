"""Every setting: its type, unit, default, environment name and TOML key; where its value came from."""
