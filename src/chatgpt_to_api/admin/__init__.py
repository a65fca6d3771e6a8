"""The admin API: who may use it, and what it changes while the gateway runs."""
